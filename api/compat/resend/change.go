package resend

import (
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"postrider/api/access"
	"postrider/api/compat"
	"postrider/api/send"
	"postrider/queue"
)

// changed is the answer to a change of an email.
type changed struct {
	Object string `json:"object"`
	ID     string `json:"id"`
}

func (s *surface) update(w http.ResponseWriter, r *http.Request) {
	var change struct {
		ScheduledAt string `json:"scheduled_at"`
	}
	s.change(w, r, &change, func(op *queue.Operation, e queue.Entry) (nothing string, err error) {
		if change.ScheduledAt == "" {
			return "", compat.Refuse("scheduled_at", "required", "is missing")
		}
		if op.Due, err = scheduledAt(change.ScheduledAt, op.Now); err != nil {
			return "", err
		}
		if op.Due.Sub(op.Now) > s.Limits.Schedule {
			return "", compat.Refuse("scheduled_at", "too_late", "is too far ahead")
		}
		op.Action, op.Reason = queue.ActionReschedule, "rescheduled by its sender"
		op.ExpiresAt = expiry(e, op.Due)
		return "This email no longer waits for its time: it was tried, sent or cancelled.", nil
	})
}

// expiry gives a message as long from its new time as it had from the old one.
func expiry(e queue.Entry, due time.Time) time.Time {
	old := e.Message.AcceptedAt
	for _, r := range e.Recipients {
		if r.State == queue.StateScheduled && r.Due.After(old) {
			old = r.Due
		}
	}
	return due.Add(e.Message.ExpiresAt.Sub(old))
}

func (s *surface) cancel(w http.ResponseWriter, r *http.Request) {
	s.change(w, r, nil, func(op *queue.Operation, _ queue.Entry) (string, error) {
		op.Action, op.Reason = queue.ActionCancel, "cancelled by its sender"
		return "This email can no longer be cancelled: it was sent, or is cancelled already.", nil
	})
}

// change does what prepare says to one message. Nothing says what it means when
// no recipient is left that it could concern.
func (s *surface) change(w http.ResponseWriter, r *http.Request, body any, prepare func(op *queue.Operation, e queue.Entry) (nothing string, err error)) {
	caller, err := s.Caller(w, r, queue.ScopeMessagesWrite)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if body != nil {
		if err := s.DecodeJSON(w, r, body); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	e, err := s.entry(r, caller, chi.URLParam(r, "id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	op := queue.Operation{Filter: queue.Filter{Messages: []queue.MessageID{e.Message.ID}}, Now: s.Now(), Actor: actor(caller)}
	nothing, err := prepare(&op, e)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	done, err := s.Store.Apply(r.Context(), op)
	if err == nil && done.Changed+done.Pending == 0 {
		err = &send.Error{Status: http.StatusUnprocessableEntity, Code: "not_cancelable", Detail: nothing}
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	compat.WriteJSON(w, http.StatusOK, changed{"email", e.Message.ID.String()})
}

func actor(c access.Caller) string {
	if c.Credential != "" {
		return c.Credential
	}
	return c.Account
}
