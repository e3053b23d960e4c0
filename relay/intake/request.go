package intake

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"postrider/queue"
)

func refuseTooLarge(size, limit int64) *queue.Refusal {
	return refuse(queue.RefusedSize, 552, queue.Enhanced{5, 3, 4},
		fmt.Sprintf("The message is too large: more than %d octets, the limit is %d.", size, limit),
		"Send a link instead of a large attachment.")
}

// request makes the one commit of a message.
func (e *entering) request(hold bool) queue.EnqueueRequest {
	m := e.message()
	return queue.EnqueueRequest{
		Message:     m,
		Recipients:  e.recipients(&m, hold),
		Content:     e.w,
		Idempotency: e.idempotency(),
		Now:         e.now,
	}
}

func (e *entering) message() queue.Message {
	env := e.s.Envelope
	env.EightBit = env.EightBit || e.text.eightBit
	m := queue.Message{
		ID: e.s.ID, Account: e.s.Account, Credential: e.s.Credential, Envelope: env, Header: e.facts, Source: e.s.Source,
		Labels: e.s.Labels, Sandbox: e.s.Sandbox, Priority: e.s.Priority, AcceptedAt: e.now, ExpiresAt: e.expires,
		Content: queue.ContentRef{Size: e.size, HeaderSize: e.headerSize},
	}
	if m.Priority == 0 {
		m.Priority = queue.PriorityNormal
	}
	if e.s.NotBefore.After(e.now) && !e.s.Sandbox {
		m.NotBefore = e.s.NotBefore
	}
	return m
}

func (e *entering) recipients(m *queue.Message, hold bool) []queue.Recipient {
	sender := m.SenderDomain()
	rs := make([]queue.Recipient, 0, len(e.s.Recipients))
	for i, in := range e.s.Recipients {
		r := queue.Recipient{
			ID: e.s.ID.Recipient(i), Address: in.Address, ORCPT: in.ORCPT, Notify: in.Notify,
			State: queue.StateQueued, Due: e.now, UpdatedAt: e.now,
		}
		if e.s.Sandbox {
			r.Notify = queue.NotifyNever
		}
		why, listed := e.listed[i]
		switch {
		case in.Raw != "":
			unreadable(&r, in.Raw, e.now)
		case listed:
			keepBack(&r, why, e.now)
		case e.s.Sandbox:
			pretend(&r, e.now)
		case e.keeps(r.Address) != "":
			e.keep(&r)
		case hold:
			r.State = queue.StateHeld
		case e.s.NotBefore.After(e.now):
			r.State, r.Due = queue.StateScheduled, e.s.NotBefore
		}
		r.Lane = e.door.o.Lane(m.Account, sender, r.Address.Fold().Domain)
		rs = append(rs, r)
	}
	if e.redirects() && !e.included() {
		rs = append(rs, e.redirected(m, hold))
	}
	return rs
}

// unreadable makes a recipient that bounces at once: its text is kept as a
// local-part of the domain that never exists (RFC 6761 §6.4), so that lists and
// reports can show it.
func unreadable(r *queue.Recipient, raw string, now time.Time) {
	raw = clipText(ascii(raw), 64)
	r.Address = queue.Address{Local: raw, Domain: "invalid"}
	if r.ORCPT == "" {
		r.ORCPT = "rfc822;" + raw
	}
	r.State, r.Class = queue.StateBounced, queue.ClassRcptSyntax
	r.Last = &queue.Attempt{
		Start: now, Stage: queue.StageRcpt, Error: "the address cannot be read: check its spelling",
		Reply: queue.Reply{Code: 501, Enhanced: queue.Enhanced{5, 1, 3}, Text: "Bad recipient address syntax", Command: "RCPT"},
	}
}

// idempotency names the submission by its key. Where it is scheduled, the key is
// known until a day after it is due.
func (e *entering) idempotency() queue.Idempotency {
	if e.key == "" {
		return queue.Idempotency{}
	}
	id := queue.Idempotency{Key: e.key, ExpiresAt: e.now.Add(e.door.o.IdempotencyTTL)}
	if end := e.s.NotBefore.Add(24 * time.Hour); e.s.NotBefore.After(e.now) && end.After(id.ExpiresAt) {
		id.ExpiresAt = end
	}
	if e.s.Fingerprint != nil {
		id.Fingerprint = e.s.Fingerprint()
	} else {
		id.Fingerprint = e.fingerprint()
	}
	return id
}

// fingerprint is of what a repeated submission has in common: a client that
// builds its message again makes a new Date, Message-ID and MIME boundary, so
// those cannot count.
func (e *entering) fingerprint() (sum [sha256.Size]byte) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00", e.s.Envelope.ReversePath, e.facts.From, e.facts.Subject)
	rcpts := make([]string, 0, len(e.s.Recipients))
	for _, r := range e.s.Recipients {
		rcpts = append(rcpts, r.Address.Fold().String()+r.Raw)
	}
	slices.Sort(rcpts)
	fmt.Fprintf(h, "%q", rcpts)
	h.Sum(sum[:0])
	return sum
}
