package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"postrider/queue"
	"postrider/relay/intake"
)

// entry is an account ready for use.
type entry struct {
	Account
	policy  intake.Policy
	version uint64
}

// directory keeps copies of accounts and keys until the registry changes.
type directory struct {
	store     queue.Registry
	defaults  intake.Policy
	freshness time.Duration
	now       func() time.Time

	mu      sync.Mutex
	version uint64
	copies  map[recordName]any
	asked   time.Time // when version was seen
	changes int       // made here
}

type recordName struct {
	kind queue.RecordKind
	name string
}

// lookupTime bounds the wait for the registry: a client that logs in or begins
// a message gets its answer within two seconds.
const lookupTime = 1500 * time.Millisecond

// account returns queue.ErrNotFound if there is none.
func (d *directory) account(ctx context.Context, name string) (*entry, error) {
	e, err := lookUp(ctx, d, recordName{queue.RecordAccount, name}, d.entry)
	if err != nil {
		return nil, fmt.Errorf("look up account: %w", err)
	}
	return e, nil
}

// key likewise.
func (d *directory) key(ctx context.Context, id string) (*keyEntry, error) {
	k, err := lookUp(ctx, d, recordName{queue.RecordCredential, id}, readKey)
	if err != nil {
		return nil, fmt.Errorf("look up key: %w", err)
	}
	return k, nil
}

// lookUp is quick for what was asked for before.
func lookUp[T any](ctx context.Context, d *directory, n recordName, read func(queue.Record) (*T, error)) (*T, error) {
	now := d.now()
	v, changes := d.fresh(n, now)
	if v, ok := v.(*T); ok {
		return v, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	version, err := d.store.RegistryVersion(ctx)
	if err != nil {
		return nil, err
	}
	if v, ok := d.at(version, n, now, changes).(*T); ok {
		return v, nil
	}
	r, err := d.store.GetRecord(ctx, n.kind, n.name)
	if err != nil {
		return nil, err
	}
	t, err := read(r)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.version == version { // what was read is at least as new
		d.copies[n] = t
	}
	return t, nil
}

// fresh returns a copy that is good without asking, or nil, and the count of
// changes made here.
func (d *directory) fresh(n recordName, now time.Time) (any, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Before(d.asked.Add(d.freshness)) {
		return d.copies[n], d.changes
	}
	return nil, d.changes
}

// at takes note of the registry's version, seen after so many changes, and
// returns a copy of that version or nil.
func (d *directory) at(version uint64, n recordName, now time.Time, changes int) any {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.version != version || d.copies == nil {
		d.version, d.copies = version, map[recordName]any{}
	}
	if d.changes == changes {
		d.asked = now
	}
	return d.copies[n]
}

// changed is called after every change made here: it counts at once.
func (d *directory) changed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes++
	d.asked = time.Time{}
}

func (d *directory) entry(r queue.Record) (*entry, error) {
	e := &entry{version: r.Version}
	if err := json.Unmarshal(r.Value, &e.Account); err != nil {
		return nil, fmt.Errorf("read account %q: %w", r.Name, err)
	}
	var err error
	e.policy, err = e.Account.policy(d.defaults)
	return e, err
}

func isNotFound(err error) bool { return errors.Is(err, queue.ErrNotFound) }
