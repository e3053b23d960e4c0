package resend

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"postrider/api/access"
	"postrider/api/compat"
	"postrider/queue"
)

const (
	defaultLimit = 20
	maxLimit     = 100
	// maxBack is how many messages are walked over to find the page before one.
	maxBack = 5000
	// pageSize of a walk.
	pageSize = 200
)

// shown is a message as GET /emails/{id} has it; in lists without the last part.
type shown struct {
	Object      string   `json:"object,omitempty"`
	ID          string   `json:"id"`
	MessageID   string   `json:"message_id"`
	To          []string `json:"to"`
	From        string   `json:"from"`
	CreatedAt   string   `json:"created_at"`
	Subject     string   `json:"subject"`
	Bcc         []string `json:"bcc"`
	Cc          []string `json:"cc"`
	ReplyTo     []string `json:"reply_to"`
	LastEvent   string   `json:"last_event"`
	ScheduledAt *string  `json:"scheduled_at"`
	TopicID     *string  `json:"topic_id"`

	*shownBody
}

type shownBody struct {
	HTML *string `json:"html"`
	Text *string `json:"text"`
	Tags []tag   `json:"tags"`
}

type tag struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type page struct {
	Object  string  `json:"object"`
	HasMore bool    `json:"has_more"`
	Data    []shown `json:"data"`
}

func (s *surface) get(w http.ResponseWriter, r *http.Request) {
	caller, err := s.Caller(w, r, queue.ScopeMessagesRead)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	e, err := s.entry(r, caller, chi.URLParam(r, "id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	c, err := s.storedOf(r.Context(), e, caller.May(queue.ScopeMessagesContent))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v := view(e, c)
	v.Object = "email"
	v.shownBody = &shownBody{HTML: c.html, Text: c.text, Tags: []tag{}}
	for name, value := range e.Message.Labels.Metadata {
		v.Tags = append(v.Tags, tag{name, value})
	}
	slices.SortFunc(v.Tags, func(a, b tag) int { return strings.Compare(a.Name, b.Name) })
	compat.WriteJSON(w, http.StatusOK, v)
}

// entry returns a message that the caller may see. Of others' it is not told that
// they exist.
func (s *surface) entry(r *http.Request, c access.Caller, text string) (queue.Entry, error) {
	id, err := queue.ParseMessageID(text)
	if err != nil {
		return queue.Entry{}, queue.ErrNotFound
	}
	e, err := s.Store.Message(r.Context(), id)
	if err != nil {
		return queue.Entry{}, err
	}
	if !c.Admin() && e.Message.Account != c.Account {
		return queue.Entry{}, queue.ErrNotFound
	}
	return e, nil
}

func (s *surface) list(w http.ResponseWriter, r *http.Request) {
	caller, err := s.Caller(w, r, queue.ScopeMessagesRead)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	entries, more, err := s.pageOf(r, caller)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p := page{Object: "list", HasMore: more, Data: make([]shown, 0, len(entries))}
	for _, e := range entries {
		c, err := s.storedOf(r.Context(), e, false)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		p.Data = append(p.Data, view(e, c))
	}
	compat.WriteJSON(w, http.StatusOK, p)
}

func (s *surface) pageOf(r *http.Request, c access.Caller) (entries []queue.Entry, more bool, err error) {
	q := r.URL.Query()
	limit := defaultLimit
	if text := q.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxLimit {
			return nil, false, compat.Refuse("limit", "invalid", "must be a number from 1 to 100")
		}
	}
	f := queue.Filter{Account: c.Account}
	if c.Admin() {
		f.Account = ""
	}
	after, before := q.Get("after"), q.Get("before")
	switch {
	case after != "" && before != "":
		return nil, false, compat.Refuse("before", "invalid", "cannot be used together with after")
	case before != "":
		e, err := s.entry(r, c, before)
		if err != nil {
			return nil, false, err
		}
		return s.newer(r, f, e, limit)
	case after != "":
		e, err := s.entry(r, c, after)
		if err != nil {
			return nil, false, err
		}
		return s.older(r, f, &e, limit)
	}
	return s.older(r, f, nil, limit)
}

// older returns the messages that come after one in the order of the list, which
// is newest first.
func (s *surface) older(r *http.Request, f queue.Filter, than *queue.Entry, limit int) (entries []queue.Entry, more bool, err error) {
	if than != nil {
		f.Until = than.Message.AcceptedAt.Add(time.Second) // ids are made a moment before
	}
	err = s.walk(r, f, func(e queue.Entry) bool {
		if than != nil && !less(e, *than) {
			return true
		}
		entries = append(entries, e)
		return len(entries) <= limit
	})
	if len(entries) > limit {
		return entries[:limit], true, err
	}
	return entries, false, err
}

// newer returns the messages right before one in the order of the list.
func (s *surface) newer(r *http.Request, f queue.Filter, than queue.Entry, limit int) (entries []queue.Entry, more bool, err error) {
	f.Since = than.Message.AcceptedAt.Add(-time.Second)
	looked := 0
	err = s.walk(r, f, func(e queue.Entry) bool {
		if !less(than, e) {
			return false
		}
		entries = append(entries, e)
		if len(entries) > limit+1 {
			entries = entries[1:]
		}
		looked++
		return looked <= maxBack
	})
	switch {
	case err != nil:
		return nil, false, err
	case looked > maxBack:
		return nil, false, compat.Refuse("before", "too_far", "has too many newer emails; begin at the newest and use after")
	case len(entries) > limit:
		return entries[1:], true, nil
	}
	return entries, false, nil
}

func less(a, b queue.Entry) bool {
	return slices.Compare(a.Message.ID[:], b.Message.ID[:]) < 0
}

func (s *surface) walk(r *http.Request, f queue.Filter, visit func(queue.Entry) (on bool)) error {
	var cursor queue.Cursor
	for {
		entries, next, err := s.Store.List(r.Context(), f, cursor, pageSize)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !visit(e) {
				return nil
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}
