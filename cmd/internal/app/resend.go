package app

import (
	"context"
	"fmt"

	"postrider/api"
	"postrider/api/access"
	"postrider/api/send"
	"postrider/queue"
)

// resender sends what is stored once more.
type resender struct {
	contents queue.Contents
	sender   send.Sender
}

var _ api.Resender = resender{}

// Resend hands the stored octets in again, as the account that sent them first:
// its policy counts, whoever asks. The trace of the first time stays in them.
func (s resender) Resend(ctx context.Context, c access.Caller, r api.Resend) (send.Receipt, error) {
	m := r.Entry.Message
	if len(m.Content.Key) == 0 {
		return send.Receipt{}, fmt.Errorf("resend %s: its content is no longer kept: %w", m.ID, queue.ErrNotFound)
	}
	content, err := s.contents.OpenContent(ctx, m.Content)
	if err != nil {
		return send.Receipt{}, fmt.Errorf("resend %s: %w", m.ID, err)
	}
	defer content.Close() //nolint:errcheck // it was only read from
	c.Scopes = append(c.Scopes[:len(c.Scopes):len(c.Scopes)], queue.ScopeMessagesSend)
	if c.Account != m.Account {
		c.Account, c.Credential, c.Disabled = m.Account, "", ""
	}
	from := m.Envelope.ReversePath
	return s.sender.Send(ctx, c, send.Request{
		Raw: content, RawTo: r.To, EnvelopeFrom: &from, Labels: m.Labels, Priority: m.Priority,
		RequireTLS: m.Envelope.RequireTLS, StrictTLS: m.Envelope.StrictTLS, Sandbox: m.Sandbox, IdempotencyKey: r.IdempotencyKey, Operation: r.Operation,
	})
}
