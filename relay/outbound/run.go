package outbound

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"postrider/queue"
)

// run serves the open recipients over one session, in as many transactions as
// it takes. It returns nil if the session has done what it could.
func (d *delivery) run(ctx context.Context, s *session) *failure {
	defer s.attach(ctx)()
	if f := d.refuseSize(s); f != nil {
		return f
	}
	if f := d.refuseTLS(s); f != nil {
		return f
	}
	for n := 0; len(d.open) > 0 && !s.dead && s.messages < s.limit(d.limits); n++ {
		fit := d.oneDomain(s, d.withinDomains(s, d.open))
		if len(fit) == 0 {
			s.spent = true
			if n > 0 {
				return nil // the others need another connection
			}
			return &failure{stage: queue.StageMail, unacked: true, text: "the server takes no further domain on this connection"}
		}
		chunk, f := d.chunk(s, fit)
		if f != nil {
			return f
		}
		if f := d.transact(ctx, s, chunk); f != nil {
			return f
		}
	}
	return nil
}

// refuseTLS keeps a message with REQUIRETLS from a peer that does not promise to
// keep it (RFC 8689 §4.2.1).
func (d *delivery) refuseTLS(s *session) *failure {
	if !d.target.TLS.RequireTLS || s.caps.requireTLS && s.tls != "" {
		return nil
	}
	return &failure{
		stage: queue.StageMail, refusal: true, reply: queue.Reply{Enhanced: queue.Enhanced{5, 7, 30}},
		text: "the message has REQUIRETLS and the server does not offer it",
	}
}

// refuseSize spares the peer content that it would refuse (RFC 1870 §6.2).
func (d *delivery) refuseSize(s *session) *failure {
	if s.caps.size == 0 || d.tx.Size <= s.caps.size {
		return nil
	}
	return &failure{
		stage: queue.StageMail, refusal: true, reply: queue.Reply{Enhanced: queue.Enhanced{5, 3, 4}},
		text: fmt.Sprintf("the message has %d octets and the server takes %d", d.tx.Size, s.caps.size),
	}
}

// chunk picks the recipients of the next transaction out of those that fit.
func (d *delivery) chunk(s *session, fit []int) ([]int, *failure) {
	if s.caps.smtputf8 {
		return fit[:min(len(fit), d.perTransaction(s))], nil
	}
	refuse := func(e queue.Enhanced, what string) *failure {
		return &failure{
			stage: queue.StageMail, refusal: true, reply: queue.Reply{Enhanced: e},
			text: what + " and the server does not offer SMTPUTF8",
		}
	}
	if !isASCII(d.tx.Envelope.ReversePath.Local) {
		return nil, refuse(queue.Enhanced{5, 6, 7}, "the sender's address is not ASCII")
	}
	internationalHeader, err := d.internationalHeader()
	if err != nil {
		return nil, &failure{stage: queue.StageMail, ours: err}
	}
	if internationalHeader {
		return nil, refuse(queue.Enhanced{5, 6, 9}, "the message's header is not ASCII")
	}
	chunk := make([]int, 0, min(len(fit), d.perTransaction(s)))
	for _, i := range fit {
		if len(chunk) < cap(chunk) && isASCII(d.tx.Recipients[i].Address.Local) {
			chunk = append(chunk, i)
		}
	}
	if len(chunk) == 0 {
		return nil, refuse(queue.Enhanced{5, 6, 7}, "the recipient's address is not ASCII")
	}
	return chunk, nil
}

func (d *delivery) perTransaction(s *session) int {
	if s.caps.rcptMax > 0 {
		return min(d.limits.RecipientsPerTransaction, s.caps.rcptMax)
	}
	return d.limits.RecipientsPerTransaction
}

// needsUTF8 reports whether MAIL must carry SMTPUTF8: domains alone have
// A-labels (RFC 6531 §3.2).
func (d *delivery) needsUTF8(chunk []int) bool {
	if d.tx.Envelope.SMTPUTF8 || !isASCII(d.tx.Envelope.ReversePath.Local) {
		return true
	}
	for _, i := range chunk {
		if !isASCII(d.tx.Recipients[i].Address.Local) {
			return true
		}
	}
	return false
}

type headerKind uint8

const (
	headerUnread headerKind = iota
	headerASCII
	headerUTF8
)

// internationalHeader reports whether the header is what made SMTPUTF8
// necessary. It is read only if no address explains it.
func (d *delivery) internationalHeader() (bool, error) {
	if d.header != headerUnread {
		return d.header == headerUTF8, nil
	}
	d.header = headerASCII
	if !d.tx.Envelope.SMTPUTF8 || !d.tx.Envelope.ReversePath.ASCII() {
		return false, nil
	}
	for i := range d.tx.Recipients {
		if !d.tx.Recipients[i].Address.ASCII() {
			return false, nil
		}
	}
	content, err := d.tx.Open()
	if err != nil {
		return false, fmt.Errorf("open content: %w", err)
	}
	defer content.Close()
	header := make([]byte, 0, 8<<10)
	for {
		n, err := content.Read(header[len(header):cap(header)])
		header = header[:len(header)+n]
		end := bytes.Index(header, []byte("\r\n\r\n"))
		text := header
		if end >= 0 {
			text = header[:end]
		}
		if !isASCII(string(text)) {
			d.header = headerUTF8
			return true, nil
		}
		if end >= 0 || err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read content: %w", err)
		}
		if len(header) == cap(header) {
			header = append(header[:0], header[len(header)-3:]...)
		}
	}
}
