package send

import (
	"context"
	"errors"
	"fmt"

	"postrider/queue"
)

// receipt says what became of a submission. That of a repeated one is about the
// first message, as it was accepted.
func (d *Desk) receipt(ctx context.Context, p *prepared, done queue.Submitted) (Receipt, error) {
	r := Receipt{
		ID: done.ID, MessageID: p.messageID(), Account: p.caller.Account, Stream: p.labels.Stream, CreatedAt: p.now,
		Recipients: p.to, Held: done.Held, Scheduled: p.r.ScheduledAt.After(p.now), Sandbox: p.r.Sandbox || p.caller.Sandbox,
	}
	if !done.AcceptedAt.IsZero() {
		r.CreatedAt = done.AcceptedAt // what a repeated request is told, too
	}
	if done.MessageID != "" {
		r.MessageID = done.MessageID // a message that is written already may have none
	}
	for _, i := range done.Suppressed {
		if i >= 0 && i < len(r.Recipients) {
			r.Recipients[i].Suppressed = true
		}
	}
	if !done.Duplicate {
		return r, nil
	}
	return d.replayed(ctx, r)
}

func (p *prepared) messageID() string {
	if p.message != nil {
		return p.message.MessageID
	}
	return p.raw.messageID
}

// replayed turns the receipt of a repeated request into that of the first one.
// What kind of recipient each was is the same in both: it is part of what the
// key stands for.
func (d *Desk) replayed(ctx context.Context, r Receipt) (Receipt, error) {
	r.Replayed = true
	e, err := d.o.Messages.Message(ctx, r.ID)
	if errors.Is(err, queue.ErrNotFound) {
		// Its retention is over before the key's: what the request says must do.
		for i := range r.Recipients {
			r.Recipients[i].ID = r.ID.Recipient(i)
		}
		r.CreatedAt = r.ID.Time()
		return r, nil
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("read the first message of an idempotency key: %w", err)
	}
	kinds := map[queue.Address]string{}
	for _, t := range r.Recipients {
		kinds[t.Address.Fold()] = t.Type
	}
	m := e.Message
	r.MessageID, r.CreatedAt, r.Sandbox = m.Header.MessageID, m.AcceptedAt, m.Sandbox
	if m.Labels.Stream != "" {
		r.Stream = m.Labels.Stream
	}
	r.Recipients = make([]Recipient, 0, len(e.Recipients))
	for _, t := range e.Recipients {
		r.Recipients = append(r.Recipients, Recipient{
			ID: t.ID, Address: t.Address, Type: kinds[t.Address.Fold()], Suppressed: t.State == queue.StateSuppressed && t.Class != queue.ClassLocalStaging,
		})
		r.Held = r.Held || t.State == queue.StateHeld
		r.Scheduled = r.Scheduled || t.State == queue.StateScheduled
	}
	return r, nil
}
