package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"postrider/api/access"
	"postrider/api/send"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// Resender makes new messages of the stored content of others.
type Resender interface {
	// Resend sends what a message holds once more, to the given addresses. Its
	// errors are those of send.Sender, and queue.ErrNotFound if the content is no
	// longer kept.
	Resend(ctx context.Context, c access.Caller, r Resend) (send.Receipt, error)
}

// Resend asks for a copy of a message.
type Resend struct {
	Entry          queue.Entry // the message
	To             []queue.Address
	IdempotencyKey string
	Operation      string // as in send.Request
}

// steering are the actions on one message.
var steering = []struct {
	name, summary string
	action        queue.Action
}{
	{"cancel", "Cancel a message", queue.ActionCancel},
	{"retry", "Try a message again now", queue.ActionRetry},
	{"hold", "Hold a message back", queue.ActionHold},
	{"release", "Release a message that is held", queue.ActionRelease},
}

func (s *Server) steerOperations(r *router) {
	for _, a := range steering {
		register(r, operation{
			id: a.name + "-message", method: http.MethodPost, path: "/v1/messages/{id}/" + a.name, scope: queue.ScopeMessagesWrite,
			tag: tagMessages, summary: a.summary, conflicts: true,
			description: "Per recipient: those that it cannot concern stay as they are. A recipient that is being attempted now is pending: it is done if the attempt does not succeed.",
		}, func(ctx context.Context, in *steerInput) (*answer[v1.Changes], error) {
			return s.steer(ctx, in, a.name, a.action)
		})
	}
	register(r, operation{
		id: "change-message", method: http.MethodPatch, path: "/v1/messages/{id}", scope: queue.ScopeMessagesWrite, tag: tagMessages,
		summary: "Change when a message is sent and given up", conflicts: true,
		description: "While it has not been attempted. Takes a JSON merge patch (RFC 7396).",
	}, s.changeMessage)
	if s.o.Resend == nil {
		return
	}
	register(r, operation{
		id: "resend-message", method: http.MethodPost, path: "/v1/messages/{id}/resend", status: http.StatusAccepted, scope: queue.ScopeMessagesWrite,
		tag: tagMessages, summary: "Send a message once more", conflicts: true,
		description: "Makes a new message of the stored content. Needs the scope `messages:send` too.",
	}, s.resendMessage)
}

type steerInput struct {
	ID        string `path:"id" maxLength:"64" doc:"Of the message."`
	Selection optionalBody[v1.Selection]
}

func (s *Server) steer(ctx context.Context, in *steerInput, name string, action queue.Action) (*answer[v1.Changes], error) {
	before, err := s.message(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	filter, err := selected(before, in.Selection.Value.Recipients)
	if err != nil {
		return nil, err
	}
	done, err := s.o.Store.Apply(ctx, queue.Operation{Action: action, Filter: filter, Now: s.o.Now(), Actor: actor(ctx), Reason: in.Selection.Value.Reason})
	if err != nil {
		return nil, err
	}
	if done.Matched == 0 {
		code := "conflict"
		if action == queue.ActionCancel {
			code = "not_cancelable"
		}
		return nil, refusal(http.StatusConflict, code, "No recipient of the message is in a state for this: see the message.")
	}
	after, err := s.o.Store.Message(ctx, before.Message.ID)
	if err != nil {
		return nil, err
	}
	s.o.Logger.Info("message changed by request", "id", before.Message.ID.String(), "action", name, "actor", actor(ctx), "changed", done.Changed, "pending", done.Pending)
	return answerOf(changesOf(before, after, done)), nil
}

// actor is what events say of who asked.
func actor(ctx context.Context) string {
	c := access.From(ctx)
	switch {
	case c.Credential != "":
		return "key " + c.Credential
	case c.Account != "":
		return "account " + c.Account
	}
	return "operator"
}

// selected is the filter for some recipients of a message, or for all.
func selected(e queue.Entry, ids []string) (queue.Filter, error) {
	f := queue.Filter{Messages: []queue.MessageID{e.Message.ID}, Account: e.Message.Account}
	wrong := refusal(http.StatusUnprocessableEntity, "validation_failed", "The request is not as it must be: see errors.")
	for i, text := range ids {
		id, err := queue.ParseRecipientID(text)
		if err != nil || id.Message() != e.Message.ID || id.Index() >= len(e.Recipients) {
			wrong.at("#/recipients/"+strconv.Itoa(i), "invalid_value", "This is no id of a recipient of the message.")
			continue
		}
		f.Recipients = append(f.Recipients, id)
	}
	if len(wrong.problem.Errors) > 0 {
		return f, wrong
	}
	return f, nil
}

func changesOf(before, after queue.Entry, done queue.Applied) v1.Changes {
	v := v1.Changes{ID: after.Message.ID.String(), Matched: done.Matched, Changed: done.Changed, Pending: done.Pending, Data: make([]v1.RecipientChange, 0, len(after.Recipients))}
	for i, r := range after.Recipients {
		c := v1.RecipientChange{ID: r.ID.String(), Address: r.Address.String(), State: r.State.String()}
		c.Changed = i < len(before.Recipients) && (before.Recipients[i].State != r.State || !before.Recipients[i].Due.Equal(r.Due))
		if r.Pending != queue.ActionNone {
			c.Pending = r.Pending.String()
		}
		v.Data = append(v.Data, c)
	}
	return v
}

type changeInput struct {
	ID     string `path:"id" maxLength:"64" doc:"Of the message."`
	Change jsonBody[v1.MessageChange]
}

func (s *Server) changeMessage(ctx context.Context, in *changeInput) (*answer[v1.Message], error) {
	before, err := s.message(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	op, f := s.reschedule(before, in.Change.Value)
	if f != nil {
		return nil, f
	}
	op.Actor = actor(ctx)
	done, err := s.o.Store.Apply(ctx, op)
	if err != nil {
		return nil, err
	}
	if done.Matched == 0 {
		return nil, refusal(http.StatusConflict, "conflict", "Every recipient of the message has been attempted or is final: its times cannot be changed.")
	}
	after, err := s.o.Store.Message(ctx, before.Message.ID)
	if err != nil {
		return nil, err
	}
	return answerOf(messageOf(after)), nil
}

// maxAhead is how far ahead a message may be scheduled.
const maxAhead = 90 * 24 * time.Hour

func (s *Server) reschedule(e queue.Entry, c v1.MessageChange) (queue.Operation, *failure) {
	now := s.o.Now()
	op := queue.Operation{Action: queue.ActionReschedule, Filter: queue.Filter{Messages: []queue.MessageID{e.Message.ID}, Account: e.Message.Account}, Now: now}
	f := refusal(http.StatusUnprocessableEntity, "validation_failed", "The request is not as it must be: see errors.")
	end := e.Message.ExpiresAt
	if c.ExpiresAt != nil {
		end, op.ExpiresAt = *c.ExpiresAt, *c.ExpiresAt
	}
	if c.ScheduledAt.Given {
		if op.Due = c.ScheduledAt.Value; c.ScheduledAt.Null || op.Due.Before(now) {
			op.Due = now
		}
	}
	switch {
	case !c.ScheduledAt.Given && c.ExpiresAt == nil:
		f.at("#", "required", "Give scheduled_at, expires_at, or both.")
	case op.Due.After(now.Add(maxAhead)):
		f.at("#/scheduled_at", "out_of_range", "At most 90 days ahead.")
	case !end.After(now):
		f.at("#/expires_at", "out_of_range", "This time has passed.")
	case end.After(now.Add(2 * maxAhead)):
		f.at("#/expires_at", "out_of_range", "At most 180 days ahead.")
	case !op.Due.IsZero() && !end.After(op.Due):
		f.at("#/expires_at", "out_of_range", "The message would be given up before it is due.")
	default:
		return op, nil
	}
	return op, f
}

type resendInput struct {
	ID             string `path:"id" maxLength:"64" doc:"Of the message."`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"300" doc:"As of POST /v1/messages."`
	Copy           optionalBody[v1.NewCopy]
}

func (s *Server) resendMessage(ctx context.Context, in *resendInput) (*sent, error) {
	if f := s.missing(ctx, queue.ScopeMessagesSend); f != nil {
		return nil, f
	}
	e, err := s.message(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	q := Resend{Entry: e, Operation: "POST /v1/messages/{id}/resend"}
	if q.IdempotencyKey, err = (keyInput{in.IdempotencyKey}).key(); err != nil {
		return nil, err
	}
	if q.To, err = copyTo(e, in.Copy.Value); err != nil {
		return nil, err
	}
	receipt, err := s.o.Resend.Resend(ctx, access.From(ctx), q)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, refusal(http.StatusConflict, "conflict", "The content of this message is no longer kept.")
	}
	if err != nil {
		return nil, err
	}
	return sentOf(receipt), nil
}

// copyTo says whom a copy is for: chosen recipients, others, or all.
func copyTo(e queue.Entry, c v1.NewCopy) ([]queue.Address, error) {
	f, err := selected(e, c.Recipients)
	if err != nil {
		return nil, err
	}
	var to []queue.Address
	for _, id := range f.Recipients {
		to = append(to, e.Recipients[id.Index()].Address)
	}
	r := &reader{base: "#"}
	for _, b := range r.mailboxes("/to", c.To) {
		to = append(to, b.Address)
	}
	if f := r.failure(); f != nil {
		return nil, f
	}
	if len(to) > 0 {
		return to, nil
	}
	for _, r := range e.Recipients {
		to = append(to, r.Address)
	}
	return to, nil
}
