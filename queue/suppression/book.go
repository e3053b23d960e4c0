package suppression

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/queue"
)

// Options are what a Book needs.
type Options struct {
	Store queue.Registry
	Now   func() time.Time // nil: time.Now
}

// Book is the suppression list. It is safe for concurrent use, and several
// nodes may have one over the same store.
type Book struct{ o Options }

// New returns the Book that a store keeps.
func New(o Options) *Book {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Book{o: o}
}

// Add puts an address on the list, or strengthens what is there for the scope:
// of two reasons the stronger one stays, and the later end. It returns the entry
// as it is now; added says that the scope was not on the list before. Without
// CreatedAt it is now, without Scope it is Everything. Errors about what was
// asked for wrap ErrInvalid.
func (b *Book) Add(ctx context.Context, e Entry) (now Entry, added bool, err error) {
	at := b.o.Now()
	if e.CreatedAt.IsZero() {
		e.CreatedAt = at
	}
	if e, err = e.tidy(); err != nil {
		return Entry{}, false, err
	}
	if e.Ended(at) {
		return Entry{}, false, fmt.Errorf("%w: it would have ended already: give a later time, or none", ErrInvalid)
	}
	err = b.change(ctx, e.Account, e.Address, func(r *record) (changed bool) {
		now, added, changed = r.put(e)
		return changed
	})
	if err != nil {
		return Entry{}, false, fmt.Errorf("suppress: %w", err)
	}
	return now, added, nil
}

// Remove takes an address off the list for one scope, or for all if scope is
// empty, and returns the entries that were there. queue.ErrNotFound if there
// was none.
func (b *Book) Remove(ctx context.Context, account string, a queue.Address, scope string) (removed []Entry, err error) {
	if err := checkAccount(account); err != nil {
		return nil, err
	}
	err = b.change(ctx, account, Fold(a), func(r *record) bool {
		removed = r.take(scope)
		return len(removed) > 0
	})
	if err != nil {
		return nil, fmt.Errorf("remove suppression: %w", err)
	}
	if len(removed) == 0 {
		return nil, fmt.Errorf("remove suppression: %w", queue.ErrNotFound)
	}
	return removed, nil
}

// change reads a record, lets edit change it, and writes it if that says so,
// until nobody else was quicker. Entries that are over are dropped on the way.
func (b *Book) change(ctx context.Context, account string, a queue.Address, edit func(*record) bool) error {
	for {
		r, err := b.read(ctx, account, a)
		if err != nil {
			return err
		}
		r.drop(b.o.Now())
		if !edit(&r) {
			return nil
		}
		if err := b.write(ctx, &r); !errors.Is(err, queue.ErrVersion) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// read returns an empty record of version 0 where there is none.
func (b *Book) read(ctx context.Context, account string, a queue.Address) (record, error) {
	q, err := b.o.Store.GetRecord(ctx, queue.RecordSuppression, recordName(account, a))
	if errors.Is(err, queue.ErrNotFound) {
		return record{account: account, address: a}, nil
	}
	if err != nil {
		return record{}, err
	}
	return decode(q)
}

func (b *Book) write(ctx context.Context, r *record) error {
	q, err := r.encode()
	if err != nil {
		return err
	}
	if len(r.entries) == 0 {
		return b.o.Store.DeleteRecord(ctx, q)
	}
	_, err = b.o.Store.PutRecord(ctx, q)
	return err
}

// Get returns the entries of an address of an account that are not over, by
// scope; queue.ErrNotFound if there is none.
func (b *Book) Get(ctx context.Context, account string, a queue.Address) ([]Entry, error) {
	if err := checkAccount(account); err != nil {
		return nil, err
	}
	r, err := b.read(ctx, account, Fold(a))
	if err != nil {
		return nil, fmt.Errorf("look up suppression: %w", err)
	}
	r.drop(b.o.Now())
	if len(r.entries) == 0 {
		return nil, fmt.Errorf("look up suppression: %w", queue.ErrNotFound)
	}
	return r.entries, nil
}

// Check returns, by their index, which addresses an account's mail of these
// scopes is not sent to, with the strongest entry that says so: its own or one
// of all accounts, of one of the scopes or of Everything. It asks the store
// once. While it returns an error nobody may be sent to.
func (b *Book) Check(ctx context.Context, account string, scopes []string, addrs []queue.Address, now time.Time) (map[int]Entry, error) {
	if len(addrs) == 0 {
		return nil, nil
	}
	names := make([]string, 0, 2*len(addrs))
	for _, a := range addrs {
		a = Fold(a)
		names = append(names, recordName(account, a), recordName(AllAccounts, a))
	}
	found, err := b.o.Store.GetRecords(ctx, queue.RecordSuppression, names)
	if err != nil {
		return nil, fmt.Errorf("check suppressions: %w", err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	byName := make(map[string]Entry, len(found))
	for _, q := range found {
		r, err := decode(q)
		if err != nil {
			return nil, err
		}
		if e, ok := r.strongest(scopes, now); ok {
			byName[q.Name] = e
		}
	}
	hits := map[int]Entry{}
	for i := range addrs {
		own, ok := byName[names[2*i]]
		if all, shared := byName[names[2*i+1]]; shared && (!ok || all.Reason.strength() > own.Reason.strength()) {
			own, ok = all, true
		}
		if ok {
			hits[i] = own
		}
	}
	return hits, nil
}
