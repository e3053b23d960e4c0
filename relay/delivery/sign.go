package delivery

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"postrider/dkim"
	"postrider/queue"
)

// signedMessages is how many messages' signatures are kept for their other lanes
// and tries.
const signedMessages = 1024

// signatures signs each message once, and again when its keys were rotated.
type signatures struct {
	signer Signer
	keys   Keys

	mu     sync.Mutex
	recent recent[queue.MessageID, *signature]
}

// signature is one that is made or being made.
type signature struct {
	done chan struct{} // closed when it is made
	sig  dkim.Signature
	err  error
}

var errSigning = errors.New("signing was broken off")

func newSignatures(s Signer, k Keys) *signatures {
	return &signatures{signer: s, keys: k, recent: newRecent[queue.MessageID, *signature](signedMessages)}
}

// of returns the signature of a message that open opens. Whoever asks while it
// is being made waits for it.
func (s *signatures) of(ctx context.Context, m *queue.Message, now time.Time, open func() (queue.Content, error)) (dkim.Signature, error) {
	domain := m.Header.From.Domain
	for {
		s.mu.Lock()
		made, ok := s.recent.get(m.ID)
		if !ok || made == nil {
			made = &signature{done: make(chan struct{}), err: errSigning}
			s.recent.put(m.ID, made)
			s.mu.Unlock()
			s.make(ctx, made, m, now, open)
			return made.sig, made.err
		}
		s.mu.Unlock()
		select {
		case <-made.done:
		case <-ctx.Done():
			return dkim.Signature{}, context.Cause(ctx)
		}
		if made.err == nil && s.current(ctx, made.sig, domain, now) {
			return made.sig, nil
		}
		s.forget(m.ID, made)
	}
}

func (s *signatures) make(ctx context.Context, made *signature, m *queue.Message, now time.Time, open func() (queue.Content, error)) {
	defer func() {
		if made.err != nil {
			s.forget(m.ID, made)
		}
		close(made.done)
	}()
	content := lateContent{open: open}
	defer content.close()
	made.sig, made.err = s.signer.Sign(ctx, dkim.SignRequest{FromDomain: m.Header.From.Domain, Message: &content, Now: now})
}

// lateContent is opened by the first read: a domain without a key needs none.
type lateContent struct {
	open    func() (queue.Content, error)
	content queue.Content
}

func (c *lateContent) Read(p []byte) (n int, err error) {
	if c.content == nil {
		if c.content, err = c.open(); err != nil {
			return 0, err
		}
	}
	return c.content.Read(p)
}

func (c *lateContent) close() {
	if c.content != nil {
		_ = c.content.Close()
	}
}

// forget drops a signature unless another has taken its place.
func (s *signatures) forget(id queue.MessageID, made *signature) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now, ok := s.recent.get(id); ok && now == made {
		s.recent.forget(id)
	}
}

// current reports whether a signature is made with the keys of now and lasts.
func (s *signatures) current(ctx context.Context, sig dkim.Signature, domain string, now time.Time) bool {
	if !sig.Expires.IsZero() && sig.Expires.Sub(now) < 24*time.Hour {
		return false
	}
	if s.keys == nil || domain == "" {
		return true
	}
	keys, err := s.keys.Keys(ctx, domain)
	if err != nil {
		return true // what was found before stays in use
	}
	return slices.EqualFunc(sig.KeyIDs, keys, func(id string, k dkim.Key) bool { return id == k.ID() })
}

// A worker waits Options.KeyPatience for a key that is being made, which takes
// some tenths of a second, but not more than keyWaiters of them: new domains must
// not occupy us. Then the message is tried again after keyWait, and later the
// longer it takes.
const (
	keyWaiters = 8
	keyWait    = 2 * time.Second
	keyWaitMax = time.Minute
)

// sign returns the signature fields of the run's message, empty where none are
// due. If they cannot be had now, it settles the recipients.
func (d *Dispatcher) sign(ctx, keep context.Context, r *run) (prefix []byte, ok bool) {
	if d.signatures == nil {
		return nil, true
	}
	r.stage = queue.StageSign
	m := &r.lease.Message
	began := time.Now()
	open := func() (queue.Content, error) { return d.o.Store.OpenContent(ctx, m.Content) }
	sig, err := d.signatures.of(ctx, m, r.start, open)
	if errors.Is(err, dkim.ErrKeyPending) && d.keyCame(ctx, m.Header.From.Domain) {
		sig, err = d.signatures.of(ctx, m, r.start, open)
	}
	d.observe(queue.StageSign, began)
	switch {
	case err == nil:
		return sig.Header, true
	case errors.Is(err, dkim.ErrNoKey):
		return nil, true
	case errors.Is(err, dkim.ErrMessage):
		d.o.Logger.Warn("message is sent without a signature", "id", m.ID, "domain", m.Header.From.Domain, "error", err)
		return nil, true
	case ctx.Err() != nil:
		d.abandon(keep, r, r.open, context.Cause(ctx))
	case errors.Is(err, dkim.ErrKeyPending):
		d.waitForKey(keep, r)
	default:
		d.deferOwn(keep, r, r.open, "sign with DKIM: "+err.Error())
	}
	return nil, false
}

// keyCame waits for a key that is being made, if not too many wait already.
func (d *Dispatcher) keyCame(ctx context.Context, domain string) bool {
	if d.o.Keys == nil || domain == "" {
		return false
	}
	defer d.waiters.Add(-1)
	if d.waiters.Add(1) > keyWaiters {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, d.o.KeyPatience)
	defer cancel()
	return d.o.Keys.Wait(ctx, domain) == nil
}

// waitForKey puts the recipients off for a moment, which counts as no attempt.
func (d *Dispatcher) waitForKey(ctx context.Context, r *run) {
	now := d.o.Now()
	wait := min(max(now.Sub(r.lease.Message.AcceptedAt)/4, keyWait), keyWaitMax)
	ss := make([]queue.Settlement, len(r.open))
	for i, rc := range r.open {
		ss[i] = d.deferral(r, rc, nil, queue.ClassLocalTemp, now.Add(wait))
		ss[i].Reason = "the DKIM key of " + clip(r.lease.Message.Header.From.Domain, 255) + " is being made"
	}
	d.settle(ctx, r, r.open, ss)
}
