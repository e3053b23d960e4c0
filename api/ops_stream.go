package api

import (
	"context"
	"errors"
	"net/http"

	"postrider/api/stream"
	"postrider/api/unsubscribe"
	v1 "postrider/api/v1"
	"postrider/queue"
)

func (s *Server) streamOperations(r *router) {
	register(r, operation{
		id: "list-streams", method: http.MethodGet, path: "/v1/streams", scope: queue.ScopeStreamsRead, tag: tagStreams,
		summary: "List streams", description: "With those that every account has: transactional and bulk.",
	}, s.listStreams)
	register(r, operation{
		id: "create-stream", method: http.MethodPost, path: "/v1/streams", status: http.StatusCreated, scope: queue.ScopeStreamsWrite, tag: tagStreams,
		summary: "Create a stream", conflicts: true,
	}, s.createStream)
	register(r, operation{
		id: "get-stream", method: http.MethodGet, path: "/v1/streams/{name}", scope: queue.ScopeStreamsRead, tag: tagStreams,
		summary: "Show a stream",
	}, s.getStream)
	register(r, operation{
		id: "change-stream", method: http.MethodPatch, path: "/v1/streams/{name}", scope: queue.ScopeStreamsWrite, tag: tagStreams,
		summary: "Change a stream", description: "Changes what is there. It counts for mail that is accepted from some seconds later on.", conflicts: true,
	}, s.changeStream)
	register(r, operation{
		id: "delete-stream", method: http.MethodDelete, path: "/v1/streams/{name}", status: http.StatusNoContent, scope: queue.ScopeStreamsWrite, tag: tagStreams,
		summary: "Delete a stream", description: "One that every account has is then as it was at first. Mail that names a stream which does not exist is refused.",
	}, s.deleteStream)
}

func streamOf(t stream.Stream) v1.Stream {
	v := v1.Stream{
		Name: t.Name, Kind: string(t.Kind), Description: t.Description, BuiltIn: stream.BuiltIn(t.Name),
		CreatedAt: timeOf(t.CreatedAt), UpdatedAt: timeOf(t.UpdatedAt),
	}
	if u := t.Unsubscribe; u != nil {
		v.Unsubscribe = &v1.Unsubscribe{Mode: string(u.Mode), List: u.List, URL: u.URL, Mailto: u.Mailto}
	}
	return v
}

// leaveOf reads an offer; nil if there is to be none.
func leaveOf(v *v1.Unsubscribe) *unsubscribe.Offer {
	if v == nil || v.Mode == string(unsubscribe.None) {
		return nil
	}
	return &unsubscribe.Offer{Mode: unsubscribe.Mode(v.Mode), List: v.List, URL: v.URL, Mailto: v.Mailto}
}

type listStreamsInput struct {
	Account string `query:"account" maxLength:"64" doc:"Whose; for admins."`
}

func (s *Server) listStreams(ctx context.Context, in *listStreamsInput) (*answer[v1.StreamList], error) {
	of, err := mine(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	list, err := s.o.Streams.List(ctx, of)
	if err != nil {
		return nil, err
	}
	out := v1.StreamList{Data: make([]v1.Stream, 0, len(list))}
	for _, t := range list {
		out.Data = append(out.Data, streamOf(t))
	}
	return answerOf(out), nil
}

type createStreamInput struct {
	Stream jsonBody[v1.NewStream]
}

func (s *Server) createStream(ctx context.Context, in *createStreamInput) (*created[v1.Stream], error) {
	n := in.Stream.Value
	of, err := mine(ctx, n.Account)
	if err != nil {
		return nil, err
	}
	t, err := s.o.Streams.Put(ctx, of, stream.Stream{
		Name: n.Name, Kind: stream.Kind(n.Kind), Description: n.Description, Unsubscribe: leaveOf(n.Unsubscribe),
	})
	if err != nil {
		return nil, streamError(err)
	}
	s.o.Logger.Info("stream created", "account", of, "stream", t.Name, "actor", actor(ctx))
	return createdAt("/v1/streams/"+t.Name, streamOf(t)), nil
}

// streamError tells what is wrong with a stream.
func streamError(err error) error {
	var wrong stream.Problems
	switch {
	case errors.As(err, &wrong):
		f := refusal(http.StatusUnprocessableEntity, "validation_failed", "The request is not as it must be: see errors.")
		for _, p := range wrong {
			f.at("#/"+p.Field, p.Code, p.Detail)
		}
		return f
	case errors.Is(err, stream.ErrTooMany):
		return refusal(http.StatusUnprocessableEntity, "too_many", "The account has too many streams: delete some first.")
	}
	return err
}

type streamInput struct {
	Name    string `path:"name" maxLength:"64"`
	Account string `query:"account" maxLength:"64" doc:"Whose; for admins."`
}

func (s *Server) getStream(ctx context.Context, in *streamInput) (*answer[v1.Stream], error) {
	of, err := mine(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	t, err := s.o.Streams.Get(ctx, of, in.Name)
	if err != nil {
		return nil, err
	}
	return answerOf(streamOf(t)), nil
}

type changeStreamInput struct {
	Name   string `path:"name" maxLength:"64"`
	Change jsonBody[v1.StreamChange]
}

func (s *Server) changeStream(ctx context.Context, in *changeStreamInput) (*answer[v1.Stream], error) {
	c := in.Change.Value
	of, err := mine(ctx, c.Account)
	if err != nil {
		return nil, err
	}
	t, err := s.o.Streams.Get(ctx, of, in.Name)
	if err != nil {
		return nil, err
	}
	if c.Kind != nil {
		t.Kind = stream.Kind(*c.Kind)
	}
	set(&t.Description, c.Description)
	if c.Unsubscribe != nil {
		t.Unsubscribe = leaveOf(c.Unsubscribe)
	}
	if t, err = s.o.Streams.Put(ctx, of, t); err != nil {
		return nil, streamError(err)
	}
	s.o.Logger.Info("stream changed", "account", of, "stream", t.Name, "actor", actor(ctx))
	return answerOf(streamOf(t)), nil
}

func (s *Server) deleteStream(ctx context.Context, in *streamInput) (*nothing, error) {
	of, err := mine(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	if err := s.o.Streams.Delete(ctx, of, in.Name, 0); err != nil {
		return nil, err
	}
	s.o.Logger.Info("stream deleted", "account", of, "stream", in.Name, "actor", actor(ctx))
	return nil, nil
}
