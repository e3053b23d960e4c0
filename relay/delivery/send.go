package delivery

import (
	"context"
	"io"

	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/throttle"
)

// deliver sends to the targets in turn, each time to those recipients for whom
// no host of the target before could be spoken to, or would do. The results are in
// the order of r.open.
func (d *Dispatcher) deliver(ctx context.Context, r *run, next hops, prefix []byte) ([]outbound.RecipientResult, error) {
	sender := d.sender(next.private)
	limits := d.limitsOf(&r.permit)
	open := make([]int, len(r.open))
	for i := range open {
		open[i] = i
	}
	results := make([]outbound.RecipientResult, len(r.open))
	for _, t := range next.targets {
		t.Limits = limits
		heedProvider(&t.TLS, &r.permit, r.way.chain.TLS)
		res := sender.Deliver(ctx, t, d.transaction(r, open, prefix))
		r.setbacks = append(r.setbacks, res.Setbacks...)
		r.endings = append(r.endings, res.Endings...)
		var left []int
		for k, i := range open {
			before := results[i].Outcome
			if declined(&res.Recipients[k]) && before == outbound.Temporary {
				left = append(left, i) // what may go well later counts
				continue
			}
			results[i] = res.Recipients[k]
			if unspoken(&results[i]) || declined(&results[i]) {
				left = append(left, i)
			}
		}
		if res.Err != nil || len(left) == 0 {
			return results, res.Err
		}
		open = left
	}
	return results, nil
}

// limitsOf are those of a connection: the configured ones, or fewer messages if
// the site takes fewer.
func (d *Dispatcher) limitsOf(p *throttle.Permit) outbound.Limits {
	l := outbound.Limits{Connections: p.Connections, MessagesPerConnection: d.o.MessagesPerConnection}
	if n := p.MessagesPerConnection; n > 0 && (l.MessagesPerConnection <= 0 || n < l.MessagesPerConnection) {
		l.MessagesPerConnection = n
	}
	return l
}

// unspoken reports that no host got as far as MAIL.
func unspoken(res *outbound.RecipientResult) bool {
	if res.Outcome != outbound.Temporary {
		return false
	}
	switch res.Attempt.Stage {
	case queue.StageConnect, queue.StageTLS, queue.StageGreeting, queue.StageEhlo, queue.StageAuth:
		return true
	}
	return false
}

// declined reports that it is us who do not give the message to the hosts, since
// they lack an extension that it needs. Others may have it (RFC 8689 §4.2.1). A
// bad address is one everywhere.
func declined(res *outbound.RecipientResult) bool {
	reply := &res.Attempt.Reply
	return res.Outcome == outbound.Permanent && reply.Code == 0 && !reply.Enhanced.IsZero() && reply.Enhanced[1] != 1
}

func (d *Dispatcher) transaction(r *run, which []int, prefix []byte) *outbound.Transaction {
	m := &r.lease.Message
	tx := &outbound.Transaction{
		Envelope:   m.Envelope,
		Recipients: make([]outbound.Recipient, len(which)),
		Size:       m.Content.Size + int64(len(prefix)),
		Prefix:     prefix,
		FirstTry:   true,
	}
	for k, i := range which {
		rc := r.open[i]
		tx.FirstTry = tx.FirstTry && rc.Attempts == 0
		tx.Recipients[k] = outbound.Recipient{ID: rc.ID, Address: rc.Address, Notify: rc.Notify, ORCPT: rc.ORCPT}
	}
	tx.Open = func() (io.ReadCloser, error) {
		// Opening is quick; what was opened is read under the transaction's own
		// limits.
		return d.o.Store.OpenContent(context.Background(), m.Content)
	}
	if m.Envelope.EightBit {
		tx.SevenBit = d.sevenBit(r)
	}
	tx.BeforeDot = func(ctx context.Context, accepted []queue.RecipientID) error {
		r.marked = true
		return d.o.Store.Mark(ctx, r.lease, accepted)
	}
	return tx
}
