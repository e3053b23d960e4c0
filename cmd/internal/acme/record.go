package acme

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"postrider/queue"
)

// name is one name and its certificate.
type name struct {
	domain string
	shown  atomic.Pointer[pair] // nil: none yet
	record record               // as last seen in the store; the loop's alone
	seen   atomic.Pointer[record]
}

// note takes a record as the store has it.
func (n *name) note(r record) {
	n.record = r
	n.seen.Store(&r)
}

// pair is a certificate with its chain and key.
type pair struct {
	cert       *tls.Certificate // with its Leaf
	chain, key []byte           // PEM
}

// record is what the store knows of a name.
type record struct {
	version uint64
	pair    *pair // nil: none yet

	Failures int       // attempts since the last that went well, with one under way
	Tried    time.Time // zero: there was none
	Trying   bool      // the last one has not come to its end
	Next     time.Time // not before
	Limited  bool      // Next is the authority's word
	Fault    string
	Advice   string
}

// begun notes an attempt as if it had failed: if this process dies over it, the
// next one waits.
func (r record) begun(now time.Time) record {
	r.Failures++
	r.Tried, r.Trying, r.Next, r.Limited = now, true, now.Add(pause(r.Failures, r.pair.lifetime())), false
	r.Fault, r.Advice = "the last attempt did not come to its end", "see the log of the node that made it"
	return r
}

// had is the record of a certificate that came just now. If our clock is wrong it
// may seem due for renewal already: that is no reason to ask all the time.
func had(p *pair, now time.Time) record {
	return record{pair: p, Tried: now, Next: now.Add(min(maxPause, p.lifetime()/3))}
}

// relent lets a restart try soon, unless the authority said when.
func (n *name) relent() {
	r := n.record
	if soon := r.Tried.Add(restartPause); !r.Limited && soon.Before(r.Next) {
		r.Next = soon
		n.note(r)
	}
}

// older reports whether the record's certificate is older than p.
func (r *record) older(p *pair) bool { return r.pair.older(p) }

// older reports whether p was given before q. Its end says nothing: an authority
// may come to give shorter lives.
func (p *pair) older(q *pair) bool {
	return p == nil || p.cert.Leaf.NotBefore.Before(q.cert.Leaf.NotBefore)
}

// due is when the next attempt is. What is not in the store yet is due now.
func (n *name) due() time.Time {
	p := n.shown.Load()
	if p == nil {
		return n.record.Next
	}
	if n.record.older(p) {
		return time.Time{}
	}
	if due := p.renewal(); due.After(n.record.Next) {
		return due
	}
	return n.record.Next
}

// next is how long from now something is due, or another node may be done.
func (n *name) next(now time.Time) time.Duration {
	wait := n.due().Sub(now)
	if n.record.Trying && now.Sub(n.record.Tried) < orderTime {
		wait = min(wait, lookSoon)
	}
	return wait
}

// left is how long the certificate that is shown is still good; 0: none is.
func (n *name) left(now time.Time) time.Duration {
	p := n.shown.Load()
	if p == nil {
		return 0
	}
	return max(0, p.cert.Leaf.NotAfter.Sub(now))
}

// stored is a record as it lies in the store.
type stored struct {
	Chain    string    `json:"chain,omitempty"`
	Key      string    `json:"key,omitempty"`
	Failures int       `json:"failures,omitempty"`
	Tried    time.Time `json:"tried,omitzero"`
	Trying   bool      `json:"trying,omitempty"`
	Next     time.Time `json:"next,omitzero"`
	Limited  bool      `json:"limited,omitempty"`
	Fault    string    `json:"fault,omitempty"`
	Advice   string    `json:"advice,omitempty"`
}

func (r record) encode() ([]byte, error) {
	s := stored{Failures: r.Failures, Tried: r.Tried, Trying: r.Trying, Next: r.Next, Limited: r.Limited, Fault: r.Fault, Advice: r.Advice}
	if r.pair != nil {
		s.Chain, s.Key = string(r.pair.chain), string(r.pair.key)
	}
	return json.Marshal(s)
}

func decode(value []byte) (r record, err error) {
	var s stored
	if err := json.Unmarshal(value, &s); err != nil {
		return r, fmt.Errorf("decode the certificate's record: %w", err)
	}
	r = record{Failures: max(0, s.Failures), Tried: s.Tried, Trying: s.Trying, Next: s.Next, Limited: s.Limited, Fault: s.Fault, Advice: s.Advice}
	if s.Chain != "" {
		if r.pair, err = newPair([]byte(s.Chain), []byte(s.Key)); err != nil {
			return r, err
		}
	}
	return r, nil
}

// newPair reads a chain, leaf first, and its key.
func newPair(chain, key []byte) (*pair, error) {
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	return &pair{cert: &cert, chain: chain, key: key}, nil
}

// recordName is that of a domain's record. Each authority has its own: nodes that
// are not configured alike do not replace each other's certificates for ever.
func (m *Manager) recordName(domain string) string {
	return "certificate " + domain + " " + m.o.Directory
}

// look reads the name's record and shows a newer certificate.
func (m *Manager) look(ctx context.Context, n *name) error {
	found, err := m.o.Store.GetRecord(ctx, queue.RecordACME, m.recordName(n.domain))
	switch {
	case errors.Is(err, queue.ErrNotFound):
		n.note(record{})
		return nil
	case err != nil:
		return fmt.Errorf("read the certificate of %s: %w", n.domain, err)
	case found.Version == n.record.version:
		return nil
	}
	r, err := decode(found.Value)
	if err != nil { // a new one takes its place
		m.o.Logger.Error("the certificate in the store cannot be read", "domain", n.domain, "error", err)
		r = record{}
	}
	r.version = found.Version
	n.note(r)
	if r.pair != nil && n.shown.Load().older(r.pair) {
		m.show(n, r.pair)
	}
	return nil
}

// save replaces the name's record.
func (m *Manager) save(ctx context.Context, n *name, r record) error {
	value, err := r.encode()
	if err != nil {
		return err
	}
	version, err := m.o.Store.PutRecord(ctx, queue.Record{Kind: queue.RecordACME, Name: m.recordName(n.domain), Version: n.record.version, Value: value})
	if err != nil {
		return fmt.Errorf("keep the certificate of %s: %w", n.domain, err)
	}
	r.version = version
	n.note(r)
	return nil
}
