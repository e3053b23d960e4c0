// Package mailgun answers as the API of Mailgun does to those who send: POST of
// /v3/{domain}/messages and /v3/{domain}/messages.mime.
//
// The domain in the path says nothing that the sender's address does not say; who
// may send for which is up to the key. Options that the relay does not have are
// refused, also those it does not know.
package mailgun

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"

	"postrider/api/access"
	"postrider/api/compat"
	"postrider/api/send"
	"postrider/queue"
)

type surface struct{ compat.Options }

// Routes adds the routes of the surface.
func Routes(r chi.Router, o compat.Options) {
	s := &surface{o.WithDefaults()}
	r.Post("/v3/{domain}/messages", s.messages)
	r.Post("/v3/{domain}/messages.mime", s.mime)
}

type queued struct {
	ID      string `json:"id"`
	Message string `json:"message"`
}

func (s *surface) messages(w http.ResponseWriter, r *http.Request) {
	caller, key, err := s.caller(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	f, err := s.readForm(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	j, err := s.job(f, key)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	first, err := s.sendAll(r, caller, j)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, first)
}

func (s *surface) caller(w http.ResponseWriter, r *http.Request) (c access.Caller, key string, err error) {
	if c, err = s.Caller(w, r, queue.ScopeMessagesSend); err != nil {
		return c, "", err
	}
	if _, err := queue.ParseAddress("postmaster@" + chi.URLParam(r, "domain")); err != nil {
		return c, "", &send.Error{Status: http.StatusNotFound, Code: "not_found", Detail: "The path has no valid domain."}
	}
	key, err = compat.IdempotencyKey(r)
	return c, key, err
}

// sendAll checks all messages before it sends the first, and returns that one.
func (s *surface) sendAll(r *http.Request, c access.Caller, j *job) (send.Receipt, error) {
	n := len(j.to)
	if n > 1 {
		for _, err := range s.CheckAll(r.Context(), c, n, j.request) {
			if err != nil {
				return send.Receipt{}, err
			}
		}
	}
	outcomes := s.SendAll(r.Context(), c, n, j.size(), j.request)
	done, failed := 0, error(nil)
	for _, o := range outcomes {
		if o.Err == nil {
			done++
		} else if failed == nil {
			failed = o.Err
		}
	}
	if failed == nil {
		return outcomes[0].Receipt, nil
	}
	if done > 0 {
		e := *s.Fault(r, failed)
		e.Detail = fmt.Sprintf("%s (%d of %d messages were accepted; with an Idempotency-Key the request can be sent again)",
			rename.Message(&e), done, n)
		e.Problems = nil
		failed = &e
	}
	return send.Receipt{}, failed
}

func answer(w http.ResponseWriter, r send.Receipt) {
	if r.Replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	compat.WriteJSON(w, http.StatusOK, queued{"<" + r.MessageID + ">", "Queued. Thank you."})
}

func (s *surface) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := s.Fault(r, err)
	status := e.Status
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest
	}
	compat.WriteRetry(w.Header(), e)
	if status == http.StatusTooManyRequests {
		// The Go library reads it as a number with a fraction.
		reset := s.Now().Unix() + int64(compat.RetrySeconds(e))
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(reset, 10)+".0")
	}
	compat.WriteJSON(w, status, struct {
		Message string `json:"message"`
	}{rename.Message(e)})
}

var rename compat.Rename = func(parts []string) string {
	switch parts[0] {
	case "tags":
		return "o:tag"
	case "metadata":
		return "v: fields"
	case "headers", "message_id", "sender":
		return "h: fields"
	case "attachments":
		parts[0] = "attachment"
	case "scheduled_at":
		return "o:deliverytime"
	case "reply_to":
		return "h:Reply-To"
	}
	return compat.Path(parts...)
}
