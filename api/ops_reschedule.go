package api

import (
	"context"
	"slices"

	v1 "postrider/api/v1"
	"postrider/queue"
)

// reschedule is the action that has times of its own.
const reschedule = "reschedule"

// reschedulePage is how many messages are changed at a time.
const reschedulePage = 100

// rescheduleMany gives those that match and were not attempted yet other times,
// page by page: of each message it must be known that it will not be given up
// before it is due.
func (s *Server) rescheduleMany(ctx context.Context, a v1.Action) (*answer[v1.ActionResult], error) {
	f, err := chosen(ctx, a.Filter, a.All)
	if err != nil {
		return nil, err
	}
	op, err := s.rescheduling(ctx, a)
	if err != nil {
		return nil, err
	}
	waiting := []queue.State{queue.StateQueued, queue.StateScheduled}
	if len(f.States) > 0 {
		waiting = slices.DeleteFunc(waiting, func(st queue.State) bool { return !slices.Contains(f.States, st) })
		if len(waiting) == 0 {
			return answerOf(v1.ActionResult{DryRun: a.DryRun}), nil
		}
	}
	f.States = waiting
	out := v1.ActionResult{DryRun: a.DryRun}
	for cursor := queue.Cursor(""); ; {
		entries, next, err := s.o.Store.List(ctx, f, cursor, reschedulePage)
		if err != nil {
			return nil, err
		}
		if err := s.reschedulePage(ctx, entries, f, op, &out); err != nil {
			return nil, err
		}
		if next == "" {
			break
		}
		cursor = next
	}
	if !a.DryRun {
		s.o.Logger.Info("queue changed by operator", "action", reschedule, "matched", out.Matched, "changed", out.Changed,
			"skipped", out.Skipped, "reason", a.Reason, "actor", op.Actor)
	}
	return answerOf(out), nil
}

// rescheduling is the operation on every page.
func (s *Server) rescheduling(ctx context.Context, a v1.Action) (queue.Operation, error) {
	now := s.o.Now()
	op := queue.Operation{Action: queue.ActionReschedule, Now: now, Actor: actor(ctx), Reason: a.Reason, DryRun: a.DryRun, ExpiresAt: valueOf(a.ExpiresAt)}
	if a.ScheduledAt != nil {
		op.Due = *a.ScheduledAt
		if op.Due.Before(now) {
			op.Due = now
		}
	}
	switch {
	case a.ScheduledAt == nil && a.ExpiresAt == nil:
		return op, invalidField("#", "required", "Give scheduled_at, expires_at, or both.")
	case op.Due.After(now.Add(maxAhead)):
		return op, invalidField("#/scheduled_at", "out_of_range", "At most 90 days ahead.")
	case a.ExpiresAt != nil && !op.ExpiresAt.After(now):
		return op, invalidField("#/expires_at", "out_of_range", "This time has passed.")
	case op.ExpiresAt.After(now.Add(2 * maxAhead)):
		return op, invalidField("#/expires_at", "out_of_range", "At most 180 days ahead.")
	case a.ExpiresAt != nil && !op.Due.IsZero() && !op.ExpiresAt.After(op.Due):
		return op, invalidField("#/expires_at", "out_of_range", "The messages would be given up before they are due.")
	}
	return op, nil
}

func (s *Server) reschedulePage(ctx context.Context, entries []queue.Entry, f queue.Filter, op queue.Operation, out *v1.ActionResult) error {
	op.Filter = f
	op.Filter.Messages = nil
	for _, e := range entries {
		if tooLate(e, op) {
			out.Skipped += len(e.Recipients)
			continue
		}
		op.Filter.Messages = append(op.Filter.Messages, e.Message.ID)
	}
	if len(op.Filter.Messages) == 0 {
		return nil
	}
	done, err := s.o.Store.Apply(ctx, op)
	if err != nil {
		return err
	}
	out.Matched += done.Matched
	out.Changed += done.Changed
	out.Pending += done.Pending
	return nil
}

// tooLate reports whether a message would be given up before its recipients, as
// the operation leaves them, are due.
func tooLate(e queue.Entry, op queue.Operation) bool {
	end := op.ExpiresAt
	if end.IsZero() {
		end = e.Message.ExpiresAt
	}
	if !op.Due.IsZero() {
		return !end.After(op.Due)
	}
	return slices.ContainsFunc(e.Recipients, func(r queue.Recipient) bool {
		return r.State == queue.StateScheduled && !end.After(r.Due)
	})
}
