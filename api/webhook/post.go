package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxAnswer = 64 << 10 // octets of an answer that are read
	keptOf    = 1 << 10  // and kept, for debugging
)

// Delivery is one attempt to tell an endpoint of an event.
type Delivery struct {
	EventID  string    `json:"event_id"`
	Type     string    `json:"type"`
	At       time.Time `json:"at"`
	Status   int       `json:"status,omitempty"` // 0: there was no answer
	TookMS   int64     `json:"took_ms"`
	Attempt  int       `json:"attempt"`
	OK       bool      `json:"ok"`
	GivenUp  bool      `json:"given_up,omitempty"` // it is not tried again
	Error    string    `json:"error,omitempty"`
	Response string    `json:"response,omitempty"` // its first 1024 octets
	Replay   bool      `json:"replay,omitempty"`

	retry time.Duration // the pause that was asked for
	gone  bool          // the endpoint wants nothing any more
}

// message is what an endpoint is told.
type message struct {
	id, kind string
	body     []byte
}

// post tells an endpoint once.
func (s *Sender) post(ctx context.Context, e *stored, m *message, attempt int) Delivery {
	now := s.o.Now()
	d := Delivery{EventID: m.id, Type: m.kind, At: now.UTC(), Attempt: attempt}
	begun := time.Now()
	err := s.exchange(ctx, e, m, now, &d)
	d.TookMS = time.Since(begun).Milliseconds()
	switch {
	case err != nil:
		d.Error = reason(err)
	case d.Status/100 == 2:
		d.OK = true
	case d.Status/100 == 3:
		d.Error = "It answered with a redirect, which is not followed. Enter the URL that it leads to."
	default:
		d.Error = fmt.Sprintf("It answered with status %d.", d.Status)
	}
	d.gone = d.Status == http.StatusGone
	return d
}

func (s *Sender) exchange(ctx context.Context, e *stored, m *message, now time.Time, d *Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(m.body))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	sig, err := signature(e.Secrets, m.id, now, m.body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", s.o.UserAgent)
	req.Header.Set(headerID, m.id)
	req.Header.Set(headerTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(headerSignature, sig)
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	d.Status, d.retry = res.StatusCode, retryAfter(res.StatusCode, res.Header, now)
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	d.Response = text(answer[:min(len(answer), keptOf)])
	if err != nil && d.Status/100 != 2 {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil // it has said yes, whatever else it wanted to say
}

// text makes an answer fit for JSON and for a terminal.
func text(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == utf8.RuneError {
			return '.'
		}
		return r
	}, strings.ToValidUTF8(string(b), "."))
}

// reason says in neutral words why there was no answer. What lies behind the
// address of an endpoint, such as who listens on a private network, is not told.
func reason(err error) string {
	var timeout net.Error
	var dns *net.DNSError
	switch {
	case errors.Is(err, errForbidden):
		return "The host's address is private or reserved, and not dialled. Use a public one, or let the operator set webhooks.allow_private_networks."
	case errors.As(err, &dns):
		return "The host's name could not be resolved."
	case errors.Is(err, context.Canceled):
		return "The relay was stopped meanwhile."
	case errors.As(err, &timeout) && timeout.Timeout():
		return "There was no answer in time."
	case strings.Contains(err.Error(), "tls: "), strings.Contains(err.Error(), "x509: "):
		return "No secure connection came about: the certificate or the protocol is not acceptable."
	}
	return "The connection failed."
}
