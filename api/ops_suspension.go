package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	v1 "postrider/api/v1"
	"postrider/queue"
	"postrider/queue/suspension"
)

func (s *Server) suspensionOperations(r *router) {
	const collection = "/v1/queue/suspensions"
	register(r, operation{
		id: "list-suspensions", method: http.MethodGet, path: collection, scope: queue.ScopeQueueRead, operator: true, tag: tagQueue,
		summary: "List suspensions",
	}, s.listSuspensions)
	register(r, operation{
		id: "suspend", method: http.MethodPost, path: collection, status: http.StatusCreated, scope: queue.ScopeQueueWrite, operator: true, tag: tagQueue,
		summary:     "Suspend a destination, an account or a sender",
		description: "Mail that waits for it is kept back, and so is what is accepted later: it is taken in and waits, unattempted, until the suspension ends or is resumed. Holding, on the other hand, concerns what is in the queue at that moment. Suspending the same again changes reason and end.",
	}, s.suspend)
	register(r, operation{
		id: "resume-selected", method: http.MethodDelete, path: collection, scope: queue.ScopeQueueWrite, operator: true, tag: tagQueue,
		summary:     "Resume what was suspended by these words",
		description: "Ends the suspension that has exactly these selectors. What waited goes on within seconds.",
	}, s.resumeSelected)
	register(r, operation{
		id: "resume", method: http.MethodDelete, path: collection + "/{id}", status: http.StatusNoContent, scope: queue.ScopeQueueWrite, operator: true, tag: tagQueue,
		summary: "End a suspension", description: "What waited goes on within seconds.",
	}, s.resume)
}

func suspensionOf(p suspension.Suspension) v1.Suspension {
	return v1.Suspension{
		ID: p.ID, Domain: p.Selector.Domain, Lane: string(p.Selector.Lane), Account: p.Selector.Account, Sender: p.Selector.Sender,
		Reason: p.Reason, Actor: p.Actor, CreatedAt: p.CreatedAt, ExpiresAt: timeOf(p.ExpiresAt),
	}
}

func (s *Server) listSuspensions(ctx context.Context, _ *struct{}) (*answer[v1.SuspensionList], error) {
	list, err := s.o.Suspensions.List(ctx)
	if err != nil {
		return nil, err
	}
	out := v1.SuspensionList{Data: make([]v1.Suspension, 0, len(list))}
	for _, p := range list {
		out.Data = append(out.Data, suspensionOf(p))
	}
	return answerOf(out), nil
}

type suspendInput struct {
	Suspension jsonBody[v1.NewSuspension]
}

func (s *Server) suspend(ctx context.Context, in *suspendInput) (*answer[v1.Suspension], error) {
	n := in.Suspension.Value
	p := suspension.Suspension{
		Selector: suspension.Selector{Domain: n.Domain, Lane: queue.Lane(n.Lane), Account: n.Account, Sender: n.Sender},
		Reason:   n.Reason, Actor: actor(ctx), ExpiresAt: valueOf(n.ExpiresAt),
	}
	if n.Duration != "" {
		d, err := parseDuration(n.Duration)
		switch {
		case err != nil || d <= 0:
			return nil, invalidField("#/duration", "invalid", "Give a number with s, m, h or d, such as 90m or 2d.")
		case n.ExpiresAt != nil:
			return nil, invalidField("#/duration", "not_allowed", "Give either duration or expires_at.")
		}
		p.ExpiresAt = s.o.Now().Add(d)
	}
	p, err := s.o.Suspensions.Suspend(ctx, p)
	if err != nil {
		return nil, suspensionError(err)
	}
	s.o.Logger.Info("destination suspended", "suspension", p.ID, "selector", p.Selector.String(), "reason", p.Reason, "actor", p.Actor)
	return answerOf(suspensionOf(p)), nil
}

// parseDuration reads a duration that may have days.
func parseDuration(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * day, err
	}
	return time.ParseDuration(text)
}

// suspensionError marks what the caller can mend.
func suspensionError(err error) error {
	if errors.Is(err, suspension.ErrInvalid) {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return err
}

type resumeSelectedInput struct {
	Domain  string `query:"domain" maxLength:"255"`
	Lane    string `query:"lane" maxLength:"320"`
	Account string `query:"account" maxLength:"64"`
	Sender  string `query:"sender" maxLength:"255"`
}

func (s *Server) resumeSelected(ctx context.Context, in *resumeSelectedInput) (*answer[v1.Suspension], error) {
	p, err := s.o.Suspensions.ResumeSelected(ctx, suspension.Selector{Domain: in.Domain, Lane: queue.Lane(in.Lane), Account: in.Account, Sender: in.Sender})
	if err != nil {
		return nil, suspensionError(err)
	}
	s.resumed(ctx, p)
	return answerOf(suspensionOf(p)), nil
}

type suspensionInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) resume(ctx context.Context, in *suspensionInput) (*nothing, error) {
	p, err := s.o.Suspensions.Resume(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	s.resumed(ctx, p)
	return nil, nil
}

func (s *Server) resumed(ctx context.Context, p suspension.Suspension) {
	s.o.Logger.Info("destination resumed", "suspension", p.ID, "selector", p.Selector.String(), "actor", actor(ctx))
}
