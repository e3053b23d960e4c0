package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"postrider/api/feed"
	"postrider/queue"
)

// Events reads the event log for callers: see feed.Reader, which whoever made it
// drains before the Server, so that its streams end.
type Events interface {
	Read(ctx context.Context, q feed.Query) (feed.Page, error)
	Stream(w http.ResponseWriter, r *http.Request, q feed.Query) error
}

func (s *Server) eventOperations(r *router) {
	if s.o.Events == nil {
		return
	}
	register(r, operation{
		id: "list-message-events", method: http.MethodGet, path: "/v1/messages/{id}/events", scope: queue.ScopeEventsRead, tag: tagEvents, gone: true,
		summary: "List the events of a message",
	}, s.messageEvents)
	register(r, operation{
		id: "list-events", method: http.MethodGet, path: "/v1/events", scope: queue.ScopeEventsRead, tag: tagEvents, gone: true,
		summary: "List events", description: "Oldest first. With `wait`, a request that finds nothing waits for the first event. Go on with `next_cursor`, also from an empty page: nothing is missed.",
	}, s.listEvents)
	plain[followInput, struct{}](r, operation{
		id: "stream-events", method: http.MethodGet, path: "/v1/events/stream", scope: queue.ScopeEventsRead, tag: tagEvents, gone: true,
		summary: "Follow events", description: "Server-sent events. Each has its cursor as `id`: connect again with it as `Last-Event-ID` or `cursor`, and nothing is missed. Begins now without either.",
	}, "", "text/event-stream", s.streamEvents)
}

type messageEventsInput struct {
	ID     string `path:"id" maxLength:"64" doc:"Of the message."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
	Cursor string `query:"cursor" maxLength:"2048" doc:"next_cursor of the page before."`
}

func (s *Server) messageEvents(ctx context.Context, in *messageEventsInput) (*answer[feed.Page], error) {
	e, err := s.message(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return s.events(ctx, feed.Query{Filter: feed.Filter{Account: e.Message.Account}, Message: e.Message.ID, After: in.Cursor, Limit: in.Limit})
}

type eventsInput struct {
	Account string   `query:"account" maxLength:"256" doc:"For admins: all accounts if absent."`
	Types   []string `query:"types" maxItems:"20" doc:"Such as email.delivered; any of them, separated by commas."`
	Stream  []string `query:"stream" maxItems:"20" doc:"Any of them, separated by commas."`
	Domain  string   `query:"recipient_domain" maxLength:"255"`
	Tag     string   `query:"tag" maxLength:"128"`
	Limit   int      `query:"limit" minimum:"1" maximum:"500" default:"50"`
	Cursor  string   `query:"cursor" maxLength:"2048" doc:"next_cursor of the page before; absent: the oldest event that is kept; latest: only what happens from now on."`
	Wait    string   `query:"wait" maxLength:"10" pattern:"^[0-9]+s?$" doc:"How long to wait for the first event: at most 30s."`
}

func (s *Server) listEvents(ctx context.Context, in *eventsInput) (*answer[feed.Page], error) {
	of, err := account(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	wait, err := waitOf(in.Wait)
	if err != nil {
		return nil, err
	}
	return s.events(ctx, feed.Query{
		Filter: feed.Filter{Account: of, Types: typesOf(in.Types), Streams: in.Stream, RecipientDomain: in.Domain, Tag: in.Tag},
		After:  in.Cursor, Limit: in.Limit, Wait: wait,
	})
}

func typesOf(names []string) []feed.Type {
	var list []feed.Type
	for _, n := range names {
		list = append(list, feed.Type(n))
	}
	return list
}

func waitOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(strings.TrimSuffix(text, "s") + "s")
	if err != nil || d > 30*time.Second {
		f := refusal(http.StatusUnprocessableEntity, "validation_failed", "The request is not as it must be: see errors.")
		query{f: f}.add("wait", "out_of_range", "At most 30s.")
		return 0, f
	}
	return d, nil
}

func (s *Server) events(ctx context.Context, q feed.Query) (*answer[feed.Page], error) {
	p, err := s.o.Events.Read(ctx, q)
	if err != nil {
		return nil, eventFailure(err)
	}
	return answerOf(p), nil
}

func eventFailure(err error) error {
	var e *feed.Error
	if errors.As(err, &e) {
		return refusal(e.Status, e.Code, e.Detail).after(e.RetryAfter)
	}
	return err
}

// followInput has the parameters of the stream, for the document.
type followInput struct {
	Account string   `query:"account" maxLength:"256" doc:"For admins: all accounts if absent."`
	Types   []string `query:"types" doc:"Any of them, separated by commas."`
	Stream  []string `query:"stream" doc:"Any of them, separated by commas."`
	Domain  string   `query:"recipient_domain" maxLength:"255"`
	Tag     string   `query:"tag" maxLength:"128"`
	Cursor  string   `query:"cursor" maxLength:"2048"`
	Last    string   `header:"Last-Event-ID" maxLength:"2048" doc:"Takes the place of cursor."`
}

func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) {
	f := refusal(http.StatusUnprocessableEntity, "validation_failed", "The request is not as it must be: see errors.")
	p := query{values: r.URL.Query(), f: f}
	p.known("account", "types", "stream", "recipient_domain", "tag", "cursor")
	q := feed.Query{
		Filter: feed.Filter{Types: typesOf(p.list("types")), Streams: p.list("stream"), RecipientDomain: p.one("recipient_domain"), Tag: p.one("tag")},
		After:  p.one("cursor"),
	}
	of, err := account(r.Context(), p.one("account"))
	if len(f.problem.Errors) > 0 {
		s.refuse(w, r, f)
		return
	}
	if err == nil && r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return
	}
	if err == nil {
		q.Account = of
		err = eventFailure(s.o.Events.Stream(w, r, q))
	}
	if err != nil {
		s.fail(w, r, err)
	}
}

// list reads a parameter of several values, separated by commas.
func (p query) list(name string) []string {
	text := p.one(name)
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
