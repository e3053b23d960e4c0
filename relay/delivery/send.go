package delivery

import (
	"context"
	"io"

	"postrider/queue"
	"postrider/relay/outbound"
)

// deliver sends to the targets in turn, each time to those recipients for whom
// no host of the target before could be spoken to. The results are in the order
// of r.open.
func (d *Dispatcher) deliver(ctx context.Context, r *run, next hops, prefix []byte) ([]outbound.RecipientResult, error) {
	sender := d.sender(next.private)
	limits := outbound.Limits{Connections: r.permit.Connections, MessagesPerConnection: d.o.MessagesPerConnection}
	open := make([]int, len(r.open))
	for i := range open {
		open[i] = i
	}
	results := make([]outbound.RecipientResult, len(r.open))
	for _, t := range next.targets {
		t.Limits = limits
		res := sender.Deliver(ctx, t, d.transaction(r, open, prefix))
		var left []int
		for k, i := range open {
			results[i] = res.Recipients[k]
			if unspoken(&results[i]) {
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

func (d *Dispatcher) transaction(r *run, which []int, prefix []byte) *outbound.Transaction {
	m := &r.lease.Message
	tx := &outbound.Transaction{
		Envelope:   m.Envelope,
		Recipients: make([]outbound.Recipient, len(which)),
		Size:       m.Content.Size + int64(len(prefix)),
		Prefix:     prefix,
	}
	for k, i := range which {
		rc := r.open[i]
		tx.Recipients[k] = outbound.Recipient{ID: rc.ID, Address: rc.Address, Notify: rc.Notify, ORCPT: rc.ORCPT}
	}
	tx.Open = func() (io.ReadCloser, error) {
		// Opening is quick; what was opened is read under the transaction's own
		// limits.
		return d.o.Store.OpenContent(context.Background(), m.Content)
	}
	tx.BeforeDot = func(ctx context.Context, accepted []queue.RecipientID) error {
		r.marked = true
		return d.o.Store.Mark(ctx, r.lease, accepted)
	}
	return tx
}
