package feedback

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"postrider/queue"
	"postrider/queue/suppression"
	"postrider/relay/report/status"
)

// look does what one event calls for.
func (r *Reader) look(ctx context.Context, e *queue.Event) error {
	switch e.Kind {
	case queue.EventDelivered:
		return r.delivered(ctx, e)
	case queue.EventBounced:
		return r.bounced(ctx, e)
	}
	return nil // a smart host that took mail says nothing about the mailbox
}

// delivered begins the count of an address anew.
func (r *Reader) delivered(ctx context.Context, e *queue.Event) error {
	if !r.counts.has(e.Account, e.Address) {
		return nil
	}
	sent, err := r.sent(ctx, e.Message)
	if sent {
		r.counts.clear(e.Account, e.Address)
	}
	return err
}

// bounced puts an address on the list if its bounces are enough for that.
func (r *Reader) bounced(ctx context.Context, e *queue.Event) error {
	times, within := r.o.After(e.Class)
	if times <= 0 || e.Address.IsNull() || e.At.Before(r.head.Since) {
		return nil
	}
	if sent, err := r.sent(ctx, e.Message); !sent || err != nil {
		return err
	}
	if e.At.After(r.head.Last) {
		r.head.Last, r.head.dirty = e.At, true
	}
	if times > 1 && r.counts.add(e, within) < times {
		return nil
	}
	if err := r.still(ctx); err != nil {
		return err
	}
	return r.suppress(ctx, e, times, within)
}

// sent reports whether a message was really sent for somebody: it was not
// sandboxed and is none of the relay's own. One that is no longer there is no
// news.
func (r *Reader) sent(ctx context.Context, id queue.MessageID) (bool, error) {
	if sent, known := r.facts[id]; known {
		return sent, nil
	}
	entry, err := r.o.Store.Message(ctx, id)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return false, fmt.Errorf("read message %s: %w", id, err)
	}
	sent := err == nil && !entry.Message.Sandbox && entry.Message.Source.Kind != internal
	r.facts[id] = sent
	return sent, nil
}

// internal is the Source.Kind of the relay's own mail.
const internal = "internal"

func (r *Reader) suppress(ctx context.Context, e *queue.Event, times int, within time.Duration) error {
	entry := suppression.Entry{
		Account: e.Account, Address: e.Address, Scope: suppression.Everything, Reason: suppression.Bounce,
		Source: e.Message.String(), Note: note(e, times, within), CreatedAt: e.At,
	}
	expire := r.o.Expire
	if times > 1 {
		expire = r.o.ExpireSoft
	}
	if expire > 0 {
		entry.ExpiresAt = e.At.Add(expire)
		if entry.Ended(r.o.Now()) {
			return nil // it is read late
		}
	}
	_, added, err := r.o.List.Add(ctx, entry)
	switch {
	case errors.Is(err, suppression.ErrInvalid):
		r.o.Logger.Warn("address not suppressed after its bounce", "id", e.Message, "rcpt", e.Address, "account", e.Account, "error", err)
	case err != nil:
		return err
	case added:
		r.o.Logger.Info("address suppressed after its bounce", "id", e.Message, "rcpt", e.Address, "account", e.Account,
			"class", string(e.Class), "until", entry.ExpiresAt)
	}
	r.counts.clear(e.Account, e.Address)
	return nil
}

// words say what a class means for the address.
var words = map[queue.Class]string{
	queue.ClassRcptUnknown:     "the mailbox does not exist",
	queue.ClassRcptDisabled:    "the mailbox is switched off",
	queue.ClassRcptMoved:       "the recipient has moved",
	queue.ClassRcptFull:        "the mailbox is full",
	queue.ClassDomainBad:       "the domain takes no mail",
	queue.ClassPolicyRecipient: "a rule of the recipient's organisation refuses it",
}

// note says in one line why the address is on the list: our words, then the
// peer's.
func note(e *queue.Event, times int, within time.Duration) string {
	var b strings.Builder
	text, ok := words[e.Class]
	if !ok {
		text = "refused (" + string(e.Class) + ")"
	}
	b.WriteString(text)
	if times > 1 {
		fmt.Fprintf(&b, ", %d times", times)
		if days := int(within.Hours() / 24); days > 0 {
			fmt.Fprintf(&b, " within %d days", days)
		}
	}
	if a := e.Attempt; a != nil {
		said := a.Error
		if a.Reply.Code != 0 {
			said = a.Reply.String()
		}
		switch {
		case said == "":
		case a.Host != "" && a.Reply.Code != 0:
			fmt.Fprintf(&b, "; %s said: %s", a.Host, said)
		default:
			fmt.Fprintf(&b, ": %s", said)
		}
	}
	return status.Clip(status.Plain(b.String()), suppression.MaxNote)
}
