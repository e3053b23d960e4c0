// Package resend answers as the API of Resend does, as far as its official
// libraries send mail and look after it: POST, GET and PATCH of /emails.
//
// Ids are the relay's own. Everything that can be refused is refused by a name
// out of the list that the libraries know: some of them take an unknown name for
// success.
package resend

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"postrider/api/compat"
	"postrider/api/send"
	"postrider/queue"
)

type surface struct{ compat.Options }

// Routes adds the routes of the surface.
func Routes(r chi.Router, o compat.Options) {
	s := &surface{o.WithDefaults()}
	r.Post("/emails", s.create)
	r.Post("/emails/batch", s.createBatch)
	if s.Store == nil {
		return
	}
	r.Get("/emails", s.list)
	r.Get("/emails/{id}", s.get)
	r.Patch("/emails/{id}", s.update)
	r.Post("/emails/{id}/cancel", s.cancel)
	for _, pattern := range []string{"/emails/metrics", "/emails/{id}/attachments", "/emails/{id}/attachments/{n}"} {
		r.Get(pattern, s.unsupported)
	}
	r.Post("/emails/{id}/share", s.unsupported)
}

func (s *surface) unsupported(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, &send.Error{Status: http.StatusNotFound, Code: "not_found", Detail: "This relay does not have this part of the API."})
}

type created struct {
	ID string `json:"id"`
}

func (s *surface) create(w http.ResponseWriter, r *http.Request) {
	caller, err := s.Caller(w, r, queue.ScopeMessagesSend)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	key, err := compat.IdempotencyKey(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var e email
	if err := s.DecodeJSON(w, r, &e); err != nil {
		s.fail(w, r, err)
		return
	}
	req, err := e.request(s.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	req.Operation, req.IdempotencyKey = "POST /emails", key
	receipt, err := s.Sender.Send(r.Context(), caller, req)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if receipt.Replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	compat.WriteJSON(w, http.StatusOK, created{receipt.ID.String()})
}

// fault is the body of every error. Libraries in Ruby go by its statusCode.
type fault struct {
	StatusCode int    `json:"statusCode"`
	Name       string `json:"name"`
	Message    string `json:"message"`
}

func (s *surface) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := s.Fault(r, err)
	status, name := nameOf(e)
	compat.WriteRetry(w.Header(), e)
	if status == http.StatusTooManyRequests {
		limited(w.Header(), e)
	}
	// A sub-type such as problem+json makes some libraries lose the message.
	compat.WriteJSON(w, status, fault{status, name, rename.Message(e)})
}

// names of errors by our codes. All of them are known to every library.
var names = map[string]struct {
	status int // 0: the error's own
	name   string
}{
	compat.CodeNoKey:            {401, "missing_api_key"},
	"unauthorized":              {401, "invalid_api_key"},
	"key_expired":               {401, "invalid_api_key"},
	"ip_not_allowed":            {403, "restricted_api_key"},
	"forbidden_scope":           {401, "restricted_api_key"},
	"sender_not_allowed":        {403, "invalid_from_address"},
	"not_found":                 {404, "not_found"},
	"idempotency_in_progress":   {409, "concurrent_idempotent_requests"},
	"idempotency_key_reused":    {409, "invalid_idempotent_request"},
	"idempotency_key_invalid":   {400, "invalid_idempotency_key"},
	"rate_limited":              {429, "rate_limit_exceeded"},
	"quota_exceeded":            {429, "rate_limit_exceeded"},
	"not_cancelable":            {422, "validation_error"},
	"all_recipients_suppressed": {422, "validation_error"},
}

func nameOf(e *send.Error) (status int, name string) {
	if n, ok := names[e.Code]; ok {
		return n.status, n.name
	}
	switch {
	case e.Status >= 500:
		return e.Status, "application_error"
	case len(e.Problems) > 0:
		return e.Status, nameOfProblem(e.Problems[0])
	}
	return e.Status, "validation_error"
}

func nameOfProblem(p send.Problem) string {
	field := rename.Field(p)
	if strings.HasPrefix(field, "[") { // of a batch
		_, field, _ = strings.Cut(field, "].")
	}
	switch {
	case strings.HasPrefix(field, "attachments"):
		return "invalid_attachment"
	case p.Code == "required":
		return "missing_required_field"
	case field == "from" && p.Code == "invalid_address":
		return "invalid_from_address"
	}
	return "validation_error"
}

// rename is easy here: the native request has its names from this API. Names of
// header fields are the caller's own, and not repeated.
var rename compat.Rename = func(parts []string) string {
	if parts[0] == "headers" {
		return "headers"
	}
	return compat.Path(parts...)
}
