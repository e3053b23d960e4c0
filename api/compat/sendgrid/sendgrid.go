// Package sendgrid answers as SendGrid's v3 API does to those who send: POST of
// /v3/mail/send. Each personalization becomes a message of its own.
//
// The answer has room for one id, so it is the first message's; the header
// X-Postrider-Message-Ids has those of all, if they are not too many to list.
package sendgrid

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"postrider/api/access"
	"postrider/api/compat"
	"postrider/api/send"
	"postrider/queue"
)

const (
	maxPersonalizations = 1000
	// maxListed ids fit the 16 KB of header that Node reads.
	maxListed = 200
)

type surface struct{ compat.Options }

// Routes adds the routes of the surface.
func Routes(r chi.Router, o compat.Options) {
	s := &surface{o.WithDefaults()}
	r.Post("/v3/mail/send", s.send)
}

func (s *surface) send(w http.ResponseWriter, r *http.Request) {
	caller, err := s.Caller(w, r, queue.ScopeMessagesSend)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	j, err := s.read(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	receipts, err := s.sendAll(r, caller, j)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ids := make([]string, len(receipts))
	for i, receipt := range receipts {
		ids[i] = receipt.ID.String()
	}
	w.Header().Set("X-Message-Id", ids[0])
	if len(ids) > 1 && len(ids) <= maxListed {
		w.Header().Set("X-Postrider-Message-Ids", strings.Join(ids, ","))
	}
	w.Header().Set("Cache-Control", "no-store")
	if j.sandbox {
		w.WriteHeader(http.StatusOK) // by SendGrid's documentation of its sandbox mode
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (s *surface) read(w http.ResponseWriter, r *http.Request) (*job, error) {
	key, err := compat.IdempotencyKey(r)
	if err != nil {
		return nil, err
	}
	var m mail
	if err := s.DecodeJSON(w, r, &m); err != nil {
		return nil, err
	}
	j, err := s.job(&m)
	if err != nil {
		return nil, err
	}
	for i := range m.Personalizations {
		item := key
		if len(m.Personalizations) > 1 {
			if item, err = compat.ItemKey(key, i); err != nil {
				return nil, err
			}
		}
		j.keys = append(j.keys, item)
	}
	return j, nil
}

// sendAll checks all messages before it sends the first.
func (s *surface) sendAll(r *http.Request, c access.Caller, j *job) ([]send.Receipt, error) {
	n := len(j.mail.Personalizations)
	for i, err := range s.CheckAll(r.Context(), c, n, j.request) {
		if err != nil {
			return nil, s.nth(r, i, n, err)
		}
	}
	var receipts []send.Receipt
	var first *send.Error
	for i, o := range s.SendAll(r.Context(), c, n, j.size(), j.request) {
		switch {
		case o.Err == nil:
			receipts = append(receipts, o.Receipt)
		case first == nil:
			first = s.nth(r, i, n, o.Err)
		}
	}
	if first == nil {
		return receipts, nil
	}
	if len(receipts) > 0 {
		first.Problems = nil
		first.Detail = fmt.Sprintf("%s (%d of %d messages were accepted; with an Idempotency-Key the request can be sent again)",
			rename.Message(first), len(receipts), n)
	}
	return nil, first
}

// nth puts the problems of one message where they are in the request.
func (s *surface) nth(r *http.Request, i, n int, err error) *send.Error {
	e := *s.Fault(r, err)
	problems := make([]send.Problem, len(e.Problems))
	for j, p := range e.Problems {
		p.Pointer = rename.Field(p)
		if personal(p.Pointer) {
			p.Pointer = fmt.Sprintf("personalizations.%d.%s", i, p.Pointer)
		}
		problems[j] = p
	}
	e.Problems = problems
	if len(problems) == 0 && n > 1 {
		e.Detail = fmt.Sprintf("personalization %d: %s", i, e.Detail)
	}
	return &e
}

// personal reports whether a member is one of a personalization.
func personal(field string) bool {
	first, _, _ := strings.Cut(field, ".")
	return first == "to" || first == "cc" || first == "bcc"
}

type faults struct {
	Errors []fault `json:"errors"`
}

type fault struct {
	Message string  `json:"message"`
	Field   *string `json:"field"`
	Help    *string `json:"help"`
}

func (s *surface) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := s.Fault(r, err)
	status := e.Status
	switch {
	case e.Code == "forbidden_scope", e.Code == "sender_not_allowed":
		status = http.StatusForbidden
	case status == http.StatusUnprocessableEntity:
		status = http.StatusBadRequest
	}
	compat.WriteRetry(w.Header(), e)
	if status == http.StatusTooManyRequests {
		// The Go library waits until then.
		reset := s.Now().Unix() + int64(compat.RetrySeconds(e))
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(reset, 10))
	}
	compat.WriteJSON(w, status, faults{faultsOf(e)})
}

func faultsOf(e *send.Error) []fault {
	var list []fault
	for _, p := range e.Problems {
		f := fault{Message: p.Detail}
		if field := dotted.Replace(rename.Field(p)); field != "" {
			f.Message = field + " " + p.Detail
			f.Field = &field
		}
		list = append(list, f)
	}
	if list == nil {
		list = append(list, fault{Message: e.Detail})
	}
	return list
}

// dotted writes attachments[0].content as SendGrid does: attachments.0.content.
var dotted = strings.NewReplacer("[", ".", "]", "")

var rename compat.Rename = func(parts []string) string {
	switch parts[0] {
	case "html", "text":
		return "content"
	case "headers", "message_id", "sender":
		return "headers"
	case "tags":
		parts[0] = "categories"
	case "metadata":
		parts[0] = "custom_args"
	case "stream":
		return "ip_pool_name"
	case "scheduled_at":
		return "send_at"
	}
	return strings.Join(parts, ".")
}
