package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	v1 "postrider/api/v1"
	"postrider/queue"
)

const (
	defaultLimit = 50
	maxLimit     = 200
)

func (s *Server) listMessages(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	vf := v1.Filter{
		IDs: q["id"], Account: q.Get("account"), States: q["state"], Domain: q.Get("domain"),
		Recipient: q.Get("recipient"), Sender: q.Get("sender"), Class: q.Get("class"),
	}
	limit := defaultLimit
	var err error
	if l := q.Get("limit"); l != "" {
		if limit, err = strconv.Atoi(l); err != nil || limit < 1 || limit > maxLimit {
			problem(w, http.StatusUnprocessableEntity, "invalid", "limit must be a number from 1 to 200.")
			return
		}
	}
	for name, into := range map[string]**time.Time{"since": &vf.Since, "until": &vf.Until} {
		if text := q.Get(name); text != "" {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				problem(w, http.StatusUnprocessableEntity, "invalid", name+" must be a time such as 2026-01-31T15:04:05Z.")
				return
			}
			*into = &t
		}
	}
	f, err := filterOf(vf)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	entries, next, err := s.o.Store.List(r.Context(), f, queue.Cursor(q.Get("cursor")), limit)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	list := v1.MessageList{Data: make([]v1.Message, 0, len(entries)), NextCursor: string(next)}
	for _, e := range entries {
		list.Data = append(list.Data, messageOf(e))
	}
	writeJSON(w, http.StatusOK, list)
}

func (s *Server) getMessage(w http.ResponseWriter, r *http.Request) {
	id, err := queue.ParseMessageID(chi.URLParam(r, "id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	e, err := s.o.Store.Message(r.Context(), id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	history, err := s.o.Store.History(r.Context(), id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	m := messageOf(e)
	for _, ev := range history {
		m.Events = append(m.Events, eventOf(ev))
	}
	writeJSON(w, http.StatusOK, m)
}
