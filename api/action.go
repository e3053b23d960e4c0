package api

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"

	v1 "postrider/api/v1"
	"postrider/queue"
)

var actions = map[string]queue.Action{
	"hold": queue.ActionHold, "release": queue.ActionRelease, "retry": queue.ActionRetry,
	"cancel": queue.ActionCancel, "expire": queue.ActionExpire,
}

func (s *Server) postAction(w http.ResponseWriter, r *http.Request) {
	var a v1.Action
	if !readJSON(w, r, &a) {
		return
	}
	what, known := actions[a.Action]
	if !known {
		problem(w, http.StatusUnprocessableEntity, "invalid", "action must be hold, release, retry, cancel or expire.")
		return
	}
	if !a.All && reflect.ValueOf(a.Filter).IsZero() {
		problem(w, http.StatusUnprocessableEntity, "invalid", "The filter is empty; set all to true to mean the whole queue.")
		return
	}
	f, err := filterOf(a.Filter)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	done, err := s.o.Store.Apply(r.Context(), queue.Operation{
		Action: what, Filter: f, Now: s.o.Now(), Actor: "operator", Reason: a.Reason, DryRun: a.DryRun,
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if !a.DryRun {
		s.o.Logger.Info("queue changed by operator", "action", a.Action, "matched", done.Matched, "changed", done.Changed, "pending", done.Pending, "reason", a.Reason)
	}
	writeJSON(w, http.StatusOK, v1.ActionResult{Matched: done.Matched, Changed: done.Changed, Pending: done.Pending, DryRun: a.DryRun})
}

func (s *Server) getQueue(w http.ResponseWriter, r *http.Request) {
	counts, err := s.o.Store.Counts(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	c := s.condition(r.Context())
	q := v1.Queue{States: map[string]v1.Count{}, Accepting: c.Accepting, Reason: c.Reason, Free: c.Free, Used: c.Used}
	for _, state := range queue.States() {
		n := counts[state]
		q.States[state.String()] = v1.Count{Recipients: n.Recipients, Oldest: timeOf(n.Oldest)}
	}
	writeJSON(w, http.StatusOK, q)
}

// filterOf reads a filter's texts.
func filterOf(v v1.Filter) (queue.Filter, error) {
	f := queue.Filter{Account: v.Account, Domain: strings.ToLower(v.Domain), Sender: v.Sender, Class: queue.Class(v.Class)}
	for _, id := range v.IDs {
		if strings.HasPrefix(strings.ToLower(id), "rcp_") {
			r, err := queue.ParseRecipientID(id)
			if err != nil {
				return f, err
			}
			f.Recipients = append(f.Recipients, r)
			continue
		}
		m, err := queue.ParseMessageID(id)
		if err != nil {
			return f, err
		}
		f.Messages = append(f.Messages, m)
	}
	for _, name := range v.States {
		state, err := queue.ParseState(name)
		if err != nil {
			return f, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		f.States = append(f.States, state)
	}
	if v.Recipient != "" {
		a, err := queue.ParseAddress(v.Recipient)
		if err != nil {
			return f, err
		}
		f.Recipient = a.Fold().String()
	}
	if v.Since != nil {
		f.Since = *v.Since
	}
	if v.Until != nil {
		f.Until = *v.Until
	}
	return f, nil
}
