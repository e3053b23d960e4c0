package dkim

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// maxPending bounds the domains that wait for a key.
	maxPending = 1024
	// retryAfter is how long a domain whose key could not be made is left
	// alone.
	retryAfter = 10 * time.Second
	// storeTimeout bounds how long looking for and keeping one domain's keys
	// may take.
	storeTimeout = 30 * time.Second
)

// errDraining is what waiters get when the key will not be made any more.
var errDraining = errors.New("shutting down")

// A generation is one domain's keys being made, or having failed lately.
type generation struct {
	domain string
	done   chan struct{}

	// Set before done is closed.
	err     error
	retryAt time.Time
}

// Start begins making requested keys, one domain at a time, so that a burst of
// new domains leaves the processor to the mail. It goes on until ctx ends or
// Drain is called, and is called at most once.
func (r *Keyring) Start(ctx context.Context) {
	finished := make(chan struct{})
	r.mu.Lock()
	r.finished = finished
	r.mu.Unlock()
	go func() {
		defer close(finished)
		defer r.halt()
		for {
			select {
			case <-ctx.Done():
				return
			case <-r.stop:
				return
			case job := <-r.jobs:
				r.complete(job, r.generate(ctx, job.domain))
			}
		}
	}()
}

// Drain stops making keys, frees those who wait for one, and waits, no longer
// than ctx, for the key that is being made.
func (r *Keyring) Drain(ctx context.Context) error {
	r.halt()
	r.mu.Lock()
	finished := r.finished
	r.mu.Unlock()
	if finished == nil {
		return nil
	}
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain dkim key generation: %w", ctx.Err())
	}
}

// Wait returns nil as soon as Keys has keys for the From domain, waiting, no
// longer than ctx, while they are being made. Otherwise it returns what Keys
// does; ErrKeyPending then means that too many other domains wait.
func (r *Keyring) Wait(ctx context.Context, fromDomain string) error {
	for {
		_, job, err := r.keys(ctx, fromDomain)
		if job == nil {
			return err
		}
		select {
		case <-job.done:
		case <-r.stop:
			return fmt.Errorf("make dkim keys of %s: %w", job.domain, errDraining)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// target returns the domain that keys for mail from domain are made for.
func (r *Keyring) target(domain string) (string, bool) {
	if !r.autogenerate || !publishable(domain) {
		return "", false
	}
	for _, d := range candidates(domain) {
		if r.allow == nil || r.allow(d) {
			return d, true
		}
	}
	return "", false
}

// request asks for keys for mail from domain. It says why there are none yet,
// and what is under way if that is the reason.
func (r *Keyring) request(domain string, now time.Time) (*generation, error) {
	target, ok := r.target(domain)
	if !ok {
		return nil, ErrNoKey
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if job := r.pending[target]; job != nil {
		select {
		case <-job.done:
			if now.Before(job.retryAt) {
				return nil, job.err
			}
		default:
			return job, ErrKeyPending
		}
	}
	job := &generation{domain: target, done: make(chan struct{})}
	select {
	case r.jobs <- job:
		r.pending[target] = job
		return job, ErrKeyPending
	default: // too many: the next request tries again
		return nil, ErrKeyPending
	}
}

// generate makes and keeps the keys of one domain, unless it has some by now:
// another node, or a request that looked just before, may have been first.
func (r *Keyring) generate(ctx context.Context, domain string) error {
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	kept, err := r.store.Keys(ctx, domain)
	if err != nil {
		return err
	}
	if len(kept) == 0 {
		var made []Key
		for _, algorithm := range []Algorithm{RSA, Ed25519} {
			k, err := Generate(domain, algorithm, r.now())
			if err != nil {
				return err
			}
			made = append(made, k)
		}
		if kept, err = r.store.Create(ctx, domain, made); err != nil {
			return err
		}
		for _, k := range kept {
			record, err := RecordFor(k)
			if err != nil {
				return err
			}
			r.log.Info("dkim key ready, publish its record", "domain", domain, "key", k.ID(), "record", record.Value, "took", time.Since(started))
		}
	}
	if len(signing(kept)) == 0 {
		return fmt.Errorf("%w: it has keys, and none of them is active", ErrNoKey)
	}
	return nil
}

// complete records how a generation ended and frees those who wait for it.
func (r *Keyring) complete(job *generation, err error) {
	if err != nil {
		job.err = fmt.Errorf("make dkim keys of %s: %w", job.domain, err)
		job.retryAt = r.now().Add(retryAfter)
		r.log.Warn("dkim keys not made", "domain", job.domain, "error", err)
	}
	r.Invalidate(job.domain)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		delete(r.pending, job.domain)
	}
	r.forgetFailures()
	close(job.done)
}

// forgetFailures drops failed generations nobody asked about again, so that
// they do not pile up.
func (r *Keyring) forgetFailures() {
	if len(r.pending) <= 2*maxPending {
		return
	}
	for domain, job := range r.pending {
		if job.err != nil {
			delete(r.pending, domain)
		}
	}
}
