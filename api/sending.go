package api

import (
	"context"
	"fmt"
	"net/http"

	"postrider/api/access"
	"postrider/api/compat"
	"postrider/api/send"
	v1 "postrider/api/v1"
	"postrider/queue"
)

func (s *Server) sendOperations(r *router) {
	if s.o.Sender == nil {
		return
	}
	register(r, operation{
		id: "send-message", method: http.MethodPost, path: "/v1/messages", status: http.StatusAccepted, maxBody: s.o.MaxRequest,
		scope: queue.ScopeMessagesSend, tag: tagMessages, conflicts: true, summary: "Send a message",
		description: "When this answers 202, the message is on disk, and is delivered or reported as failed. The same `Idempotency-Key` again " +
			"gives the first answer again, with the header `Idempotency-Replayed`, and sends nothing.",
		example: exampleMessage(),
	}, s.sendMessage)
	register(r, operation{
		id: "send-batch", method: http.MethodPost, path: "/v1/messages/batch", status: http.StatusAccepted, maxBody: s.o.MaxRequest,
		scope: queue.ScopeMessagesSend, tag: tagMessages, conflicts: true, summary: "Send several messages",
		example: map[string]any{"mode": "strict", "messages": []any{exampleMessage()}},
		description: fmt.Sprintf("At most %d. In the mode `strict` all are checked first, and none is sent unless all may be. "+
			"An `Idempotency-Key` covers the batch; without it, messages can have their own.", s.o.BatchMax),
	}, s.sendBatch)
	register(r, operation{
		id: "validate-message", method: http.MethodPost, path: "/v1/messages/validate", maxBody: s.o.MaxRequest,
		scope: queue.ScopeMessagesSend, tag: tagMessages, conflicts: true, summary: "Check a message without sending it",
	}, s.validateMessage)
	s.rawOperation(r)
}

// exampleMessage is what the document shows.
func exampleMessage() map[string]any {
	return map[string]any{
		"from": "Acme <hello@example.com>", "to": []any{"bob@example.org", map[string]any{"email": "carol@example.net", "name": "Carol"}},
		"subject": "Your order", "text": "Thank you for order 1042.", "html": "<p>Thank you for order 1042.",
		"tags": []any{"receipt"}, "metadata": map[string]any{"order": "1042"},
	}
}

// keyInput is the header that makes a request safe to repeat.
type keyInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"300" doc:"1 to 255 visible ASCII characters, bare or as a quoted string. Kept for a day, or until a day after scheduled_at."`
}

// key reads the header as all surfaces do.
func (k keyInput) key() (string, error) {
	h := http.Header{}
	if k.IdempotencyKey == "" {
		return "", nil
	}
	h.Set("Idempotency-Key", k.IdempotencyKey)
	return compat.IdempotencyKey(&http.Request{Header: h})
}

// sender is who sends: for an admin, the account that it names.
func (s *Server) sender(ctx context.Context, asked string) (access.Caller, error) {
	c := access.From(ctx)
	of, err := account(ctx, asked)
	if err != nil {
		return c, err
	}
	if of != "" && of != c.Account { // an admin: the other account's own policy counts
		c.Account, c.Credential, c.Stream, c.Disabled = of, "", "", ""
	}
	if c.Account == "" {
		f := refusal(http.StatusUnprocessableEntity, "validation_failed", "Mail is sent for an account: name it in the parameter account.")
		query{f: f}.add("account", "required", "Name the account that sends.")
		return c, f
	}
	return c, nil
}

type sendInput struct {
	Account        string `query:"account" maxLength:"256" doc:"For admins: which account sends."`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"300" doc:"1 to 255 visible ASCII characters, bare or as a quoted string. Kept for a day, or until a day after scheduled_at."`
	Message        bareBody[v1.NewMessage]
}

// sent is the answer to a message that was accepted.
type sent struct {
	Location string `header:"Location" doc:"Path of the message."`
	Replayed string `header:"Idempotency-Replayed" doc:"true, if an earlier request had the same key."`
	Body     v1.Receipt
}

func sentOf(r send.Receipt) *sent {
	v := &sent{Location: "/v1/messages/" + r.ID.String(), Body: receiptOf(r)}
	if r.Replayed {
		v.Replayed = "true"
	}
	return v
}

func (s *Server) sendMessage(ctx context.Context, in *sendInput) (*sent, error) {
	key, err := keyInput{in.IdempotencyKey}.key()
	if err != nil {
		return nil, err
	}
	q, err := s.read("#", &in.Message.Value)
	if err != nil {
		return nil, err
	}
	if in.Message.Value.IdempotencyKey != "" {
		return nil, misplacedKey()
	}
	q.IdempotencyKey, q.Operation = key, "POST /v1/messages"
	caller, err := s.sender(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	receipt, err := s.o.Sender.Send(ctx, caller, q)
	if err != nil {
		return nil, err
	}
	return sentOf(receipt), nil
}

func misplacedKey() *failure {
	return refusal(http.StatusUnprocessableEntity, "validation_failed", "The request is not as it must be: see errors.").
		at("#/idempotency_key", "not_allowed", "For one message, give the key in the header Idempotency-Key.")
}

// read turns one message of a request into what the sender takes.
func (s *Server) read(base string, m *v1.NewMessage) (send.Request, error) {
	r := &reader{base: base, max: s.o.MaxMessage}
	q := r.request(m)
	if f := r.failure(); f != nil {
		return q, f
	}
	return q, nil
}

type validateInput struct {
	Account string `query:"account" maxLength:"256" doc:"For admins: which account would send."`
	Message bareBody[v1.NewMessage]
}

// validateMessage answers 200 for what is wrong with the message itself; what
// the caller may not do at all is refused as it would be on sending.
func (s *Server) validateMessage(ctx context.Context, in *validateInput) (*answer[v1.Validation], error) {
	caller, err := s.sender(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	q, err := s.read("#", &in.Message.Value)
	if err == nil {
		q.Operation = "POST /v1/messages"
		err = s.o.Sender.Check(ctx, caller, q)
	}
	if err == nil {
		return answerOf(v1.Validation{Valid: true}), nil
	}
	f := s.failureOf(ctx, err)
	switch f.problem.Status {
	case http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return answerOf(v1.Validation{Code: f.problem.Code, Detail: f.problem.Detail, Errors: f.problem.Errors}), nil
	}
	return nil, f
}
