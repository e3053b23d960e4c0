package webhook

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"postrider/api/feed"
	"postrider/queue"
)

// AllAccounts is the account of endpoints that are told of everybody's mail.
const AllAccounts = "*"

const (
	defaultConcurrency = 4
	maxConcurrency     = 16
	maxURL             = 2048
	maxDescription     = 512
	maxStreams         = 50
)

// Endpoint is where events of an account go.
type Endpoint struct {
	ID             string      `json:"id"`
	Account        string      `json:"account"` // "*": of all accounts
	URL            string      `json:"url"`
	Description    string      `json:"description,omitempty"`
	Events         []feed.Type `json:"events,omitempty"`  // none: all
	Streams        []string    `json:"streams,omitempty"` // none: all
	AllAttempts    bool        `json:"all_attempts,omitempty"`
	Concurrency    int         `json:"concurrency"`
	Enabled        bool        `json:"enabled"`
	DisabledReason string      `json:"disabled_reason,omitempty"`
	CreatedAt      time.Time   `json:"created_at"`
	UpdatedAt      time.Time   `json:"updated_at"`
}

// stored is an endpoint as it is kept.
type stored struct {
	Endpoint
	Secrets []Secret `json:"secrets"`

	version uint64
}

func recordName(account, id string) string { return account + "/" + id }

func (e *stored) record() (queue.Record, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return queue.Record{}, fmt.Errorf("encode webhook %s: %w", e.ID, err)
	}
	return queue.Record{Kind: queue.RecordWebhook, Name: recordName(e.Account, e.ID), Version: e.version, Value: b}, nil
}

func decodeStored(r queue.Record) (*stored, error) {
	e := &stored{version: r.Version}
	if err := json.Unmarshal(r.Value, e); err != nil {
		return nil, fmt.Errorf("decode webhook record %q: %w", r.Name, err)
	}
	return e, nil
}

func (e *Endpoint) filter() *feed.Filter {
	f := &feed.Filter{Account: e.Account, Types: e.Events, Streams: e.Streams}
	if f.Account == AllAccounts {
		f.Account = ""
	}
	return f
}

// readerName is the endpoint's name among the readers of the log, and that of its
// claim.
func readerName(id string) string { return "webhook/" + id }

// check says what is wrong with an endpoint as a caller described it.
func (e *Endpoint) check(allowPrivate bool) error {
	if why := checkURL(e.URL, allowPrivate); why != "" {
		return invalid("#/url", "invalid_url", why)
	}
	if len(e.Description) > maxDescription {
		return invalid("#/description", "too_long", "The description has more than 512 octets.")
	}
	for i, t := range e.Events {
		if !t.Valid() {
			return invalid("#/events/"+strconv.Itoa(i), "unknown_type", "There is no such type of event. GET /v1/events lists what there is; leave events out for all.")
		}
	}
	if len(e.Streams) > maxStreams {
		return invalid("#/streams", "too_many", "An endpoint names at most 50 streams. Leave them out for all.")
	}
	for i, s := range e.Streams {
		if s == "" || len(s) > queue.MaxStream {
			return invalid("#/streams/"+strconv.Itoa(i), "invalid_stream", "A stream's name has 1 to 64 octets.")
		}
	}
	if e.Concurrency == 0 {
		e.Concurrency = defaultConcurrency
	}
	if e.Concurrency < 1 || e.Concurrency > maxConcurrency {
		return invalid("#/concurrency", "out_of_range", "Concurrency is 1 to 16.")
	}
	return nil
}

func checkURL(text string, allowPrivate bool) (why string) {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURL:
		return "The URL has more than 2048 octets."
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return "The URL must be absolute, such as https://example.com/hooks."
	case u.Scheme != "https" && u.Scheme != "http":
		return "The URL must begin with https://."
	case u.Scheme == "http" && !allowPrivate:
		return "The URL must begin with https://. Plain http is only for relays that may reach private networks (webhooks.allow_private_networks)."
	case u.User != nil:
		return "The URL must not carry a user name or password. Requests are signed: verify the header webhook-signature instead."
	case u.Fragment != "" || strings.Contains(text, "#"):
		return "The URL must have no fragment."
	case !portOK(u.Port()):
		return "The URL's port must be 1 to 65535."
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && !allowPrivate && !public(a) {
		return "The URL leads to a private or reserved address. Use a public one, or let the operator set webhooks.allow_private_networks."
	}
	return ""
}

func portOK(p string) bool {
	if p == "" {
		return true
	}
	n, err := strconv.ParseUint(p, 10, 16)
	return err == nil && n > 0
}

// Error is a no that a caller is told. Nothing of it repeats what was submitted.
type Error struct {
	Status  int    // HTTP
	Code    string // "validation_failed", "conflict"
	Detail  string
	Pointer string // into the request, as a URI fragment; empty: the whole
	Problem string // code of what is wrong there
}

func (e *Error) Error() string { return e.Detail }

func invalid(pointer, problem, detail string) error {
	return &Error{Status: 422, Code: "validation_failed", Pointer: pointer, Problem: problem, Detail: detail}
}
