package redisstore

import (
	"encoding/binary"
	"sync"
	"time"

	"postrider/queue"
)

// leaseBook knows the leases that this node was granted, so that it can give
// them back, and knows of which it was not told whether they were settled.
type leaseBook struct {
	mu   sync.Mutex
	held map[leaseKey]*heldLease
}

// leaseKey names a lease: partitions make tokens of their own.
type leaseKey struct {
	token   queue.Token
	message queue.MessageID
}

func keyOf(l *queue.Lease) leaseKey { return leaseKey{l.Token, l.Message.ID} }

type heldLease struct {
	part    string
	member  string // as in the partition's set of leases
	granted time.Time
	settled int
	unsure  map[queue.RecipientID]bool // a settlement of it got no answer
}

// memberOf is a lease as scripts know it.
func memberOf(l *queue.Lease) string {
	b := make([]byte, 8, 8+14+2*len(l.Recipients))
	binary.BigEndian.PutUint64(b, uint64(l.Token))
	b = append(b, l.Message.ID[:14]...)
	for i := range l.Recipients {
		n := l.Recipients[i].ID.Index()
		b = append(b, byte(n>>8), byte(n))
	}
	return string(b)
}

func (b *leaseBook) add(part string, l *queue.Lease, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == nil {
		b.held = make(map[leaseKey]*heldLease)
	}
	b.held[keyOf(l)] = &heldLease{part: part, member: memberOf(l), granted: now}
}

// grantedAt is when a lease was granted or extended; the zero time for leases
// of others.
func (b *leaseBook) grantedAt(l *queue.Lease) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h := b.held[keyOf(l)]; h != nil {
		return h.granted
	}
	return time.Time{}
}

func (b *leaseBook) extended(l *queue.Lease, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h := b.held[keyOf(l)]; h != nil {
		h.granted = now
	}
}

// forget drops a lease that holds nothing any more.
func (b *leaseBook) forget(l *queue.Lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.held, keyOf(l))
}

// settled notes that n more recipients were settled.
func (b *leaseBook) settled(l *queue.Lease, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.held[keyOf(l)]
	if h == nil {
		return
	}
	if h.settled += n; h.settled >= len(l.Recipients) {
		delete(b.held, keyOf(l))
	}
}

// unsure reports whether a settlement of one of the recipients got no answer.
func (b *leaseBook) unsure(l *queue.Lease, ids []queue.RecipientID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h := b.held[keyOf(l)]; h != nil {
		for _, id := range ids {
			if h.unsure[id] {
				return true
			}
		}
	}
	return false
}

// doubt notes that a settlement got no answer.
func (b *leaseBook) doubt(l *queue.Lease, ids []queue.RecipientID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.held[keyOf(l)]
	if h == nil {
		return
	}
	if h.unsure == nil {
		h.unsure = make(map[queue.RecipientID]bool, len(ids))
	}
	for _, id := range ids {
		h.unsure[id] = true
	}
}

// empty returns all leases and forgets them.
func (b *leaseBook) empty() map[leaseKey]*heldLease {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.held
	b.held = nil
	return all
}
