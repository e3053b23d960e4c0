package api

import (
	"context"
	"net/http"
	"slices"

	v1 "postrider/api/v1"
	"postrider/queue"
)

func (s *Server) messageOperations(r *router) {
	register(r, operation{
		id: "list-messages", method: http.MethodGet, path: "/v1/messages", scope: queue.ScopeMessagesRead, tag: tagMessages,
		summary: "List messages", description: "Newest first. A page may be empty and not the last one: `has_more` says so.",
	}, s.listMessages)
	register(r, operation{
		id: "get-message", method: http.MethodGet, path: "/v1/messages/{id}", scope: queue.ScopeMessagesRead, tag: tagMessages,
		summary: "Show a message with its recipients",
	}, s.getMessage)
	register(r, operation{
		id: "explain-message", method: http.MethodGet, path: "/v1/messages/{id}/why", scope: queue.ScopeMessagesRead, tag: tagMessages,
		summary: "Say why a message is where it is", description: "Of each recipient: its state, the next try, what limit binds, and the last reply with advice.",
	}, s.why)
	s.sendOperations(r)
	s.steerOperations(r)
	s.contentOperations(r)
	s.eventOperations(r)
}

type messageInput struct {
	ID string `path:"id" maxLength:"64" doc:"Of the message." example:"msg_06f1qf41f5x05ch7rg00000000"`
}

type getInput struct {
	ID     string   `path:"id" maxLength:"64" doc:"Of the message." example:"msg_06f1qf41f5x05ch7rg00000000"`
	Expand []string `query:"expand" enum:"events,attempts" maxItems:"2" default:"events" doc:"What to add, separated by commas."`
}

func (s *Server) getMessage(ctx context.Context, in *getInput) (*answer[v1.Message], error) {
	e, err := s.message(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	history, err := s.o.Store.History(ctx, e.Message.ID)
	if err != nil {
		return nil, err
	}
	m := messageOf(e)
	for _, ev := range history {
		if slices.Contains(in.Expand, "events") {
			m.Events = append(m.Events, eventOf(ev))
		}
		if ev.Attempt != nil && slices.Contains(in.Expand, "attempts") {
			a := attemptOf(ev.Attempt)
			a.Recipient = ev.Recipient.String()
			m.Attempts = append(m.Attempts, *a)
		}
	}
	return answerOf(m), nil
}

// message reads a message that is the caller's to see. What is no id is nothing
// that exists.
func (s *Server) message(ctx context.Context, text string) (queue.Entry, error) {
	id, err := queue.ParseMessageID(text)
	if err != nil {
		return queue.Entry{}, err
	}
	e, err := s.o.Store.Message(ctx, id)
	if err != nil {
		return e, err
	}
	if !owns(ctx, e.Message.Account) {
		return queue.Entry{}, queue.ErrNotFound
	}
	return e, nil
}
