package intake

import (
	"fmt"
	"time"

	"postrider/queue"
)

// repair adds what RFC 6409 §8 lets a submission server add: Date, Message-ID
// and, from the envelope, From.
func (h *header) repair(id queue.MessageID, sender queue.Address, hostname string, now time.Time) {
	if _, ok := h.get("Date"); !ok {
		h.set("Date", now.Format(time.RFC1123Z))
	}
	if _, ok := h.get("Message-ID"); !ok {
		h.set("Message-ID", fmt.Sprintf("<%s@%s>", id, hostname))
	}
	if f, ok := h.get("From"); ok && f.value() != "" {
		return
	}
	if sender.IsNull() {
		sender = queue.Address{Local: "postmaster", Domain: hostname}
	}
	h.set("From", sender.Path())
}

// applyFrom holds the header's authors against the account's policy. With
// rewrite, an author outside the account's senders moves to Reply-To (unless
// the message names where to reply itself), its display name stays, and the
// account's own address takes its place: what then leaves aligns with the
// account's SPF and DKIM (RFC 7489 §3.1).
func (h *header) applyFrom(account string, p Policy) *queue.Refusal {
	if p.fromPolicy() == FromAccept {
		return nil
	}
	boxes, certain := h.authors()
	outside, found := firstOutside(boxes, p.Senders)
	if !found && certain && len(boxes) > 0 {
		return nil
	}
	if p.fromPolicy() == FromReject {
		if !found {
			return refuseAuthors()
		}
		return refuseSender(account, outside.addr, "From address")
	}
	if _, has := h.get("Reply-To"); !has && found {
		h.set("Reply-To", outside.addr.Path())
	}
	display := outside.display
	if display != "" {
		display += " "
	}
	h.set("From", display+p.defaultSender().Path())
	h.remove("Sender")
	return nil
}

// authors reads all From fields. More than one are never certain: mail programs
// show the first, or the last.
func (h *header) authors() (boxes []mailbox, certain bool) {
	certain = h.count("From") == 1
	for _, f := range h.fields {
		if f.is("From") {
			more, sure := parseMailboxes(f.value())
			boxes, certain = append(boxes, more...), certain && sure
		}
	}
	return boxes, certain
}

func firstOutside(boxes []mailbox, allowed Addresses) (mailbox, bool) {
	for _, b := range boxes {
		if !allowed.Allow(b.addr) {
			return b, true
		}
	}
	return mailbox{}, false
}

// envelopeSender likewise, for the reverse-path. The null one is always allowed:
// reports must not be answered.
func envelopeSender(account string, p Policy, from queue.Address) (queue.Address, *queue.Refusal) {
	if from.IsNull() || p.Senders.Allow(from) {
		return from, nil
	}
	switch p.fromPolicy() {
	case FromReject:
		return from, refuseSender(account, from, "sender")
	case FromRewrite:
		return p.defaultSender(), nil
	}
	return from, nil
}
