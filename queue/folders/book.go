package folders

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"postrider/queue"
	"postrider/queue/codec"
)

// Opener opens contents: the part of queue.Contents that Open needs.
type Opener interface {
	OpenContent(ctx context.Context, ref queue.ContentRef) (queue.Content, error)
}

// Options say what a Book works with.
type Options struct {
	Store    queue.Folders
	Contents Opener
	Now      func() time.Time // nil: time.Now
	Logger   *slog.Logger     // nil: none
	// Freshness is how long a view is taken to be current without asking the
	// store whether it is. What this Book changes is seen at once. 0 asks each
	// time.
	Freshness time.Duration
}

// Book keeps the folders of all accounts. It is safe for concurrent use, and by
// several nodes over one store.
type Book struct {
	o     Options
	cache cache

	mu     sync.Mutex
	poller *poller // while something is watched
}

// New returns the book over a store.
func New(o Options) *Book {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Book{o: o, cache: newCache()}
}

// View returns how an account's folders are now. It makes them if there are
// none.
func (b *Book) View(ctx context.Context, account string) (*View, error) {
	s := b.cache.hold(account)
	defer b.cache.release(s)
	if v := s.fresh(b.o.Now(), b.o.Freshness); v != nil {
		return v, nil
	}
	return b.current(ctx, s)
}

// current asks the store.
func (b *Book) current(ctx context.Context, s *shelf) (*View, error) {
	v, turn := s.state()
	asked := b.o.Now()
	head, err := b.o.Store.FolderHead(ctx, s.account)
	if err != nil {
		return nil, fmt.Errorf("ask for folders of %s: %w", s.account, err)
	}
	if v != nil && v.head == head {
		s.confirm(v, asked)
		return v, nil
	}
	if err := s.loading.lock(ctx); err != nil {
		return nil, fmt.Errorf("wait for folders of %s: %w", s.account, err)
	}
	defer s.loading.unlock()
	// Who held the lock has read the store after we asked.
	if now, later := s.state(); later != turn && now != nil {
		return now, nil
	}
	return b.load(ctx, s, v, 0)
}

// load reads the account's index, or makes one whose UIDVALIDITY is at least
// that. The caller holds s.loading.
func (b *Book) load(ctx context.Context, s *shelf, prev *View, validity uint32) (*View, error) {
	for range maxTries {
		_, turn := s.state()
		asked := b.o.Now()
		head, index, err := b.o.Store.FolderIndex(ctx, s.account)
		if err != nil {
			return nil, fmt.Errorf("read folders of %s: %w", s.account, err)
		}
		if head.Version > 0 {
			v, err := load(s.account, head, index, prev)
			if err != nil {
				return nil, err
			}
			return s.put(v, asked, turn), nil
		}
		v, err := b.create(ctx, s.account, head, validity)
		if err == nil {
			return s.put(v, asked, turn), nil
		}
		if !errors.Is(err, queue.ErrVersion) {
			return nil, fmt.Errorf("make folders of %s: %w", s.account, err)
		}
	}
	return nil, fmt.Errorf("make folders of %s: %w", s.account, queue.ErrVersion)
}

// create makes the folders of an account that has none. UIDVALIDITY is the time,
// in seconds, so that it is greater than any before (RFC 3501 §2.3.1.1).
func (b *Book) create(ctx context.Context, account string, head queue.FolderHead, validity uint32) (*View, error) {
	now := b.o.Now().Unix()
	v := newView(account, head, max(validity, uint32(max(1, min(now, math.MaxUint32)))))
	version, err := b.o.Store.FolderCommit(ctx, account, queue.FolderWrite{Version: head.Version, Lineage: head.Lineage, Index: v.since(nil)})
	if err != nil {
		return nil, err
	}
	v.head.Version = version
	return v, nil
}

// Accounts returns the names of all accounts that have folders, sorted.
func (b *Book) Accounts(ctx context.Context) ([]string, error) {
	const page = 1000
	var all []string
	for after := ""; ; {
		names, err := b.o.Store.FolderAccounts(ctx, after, page)
		if err != nil {
			return nil, fmt.Errorf("list accounts that have folders: %w", err)
		}
		all = append(all, names...)
		if len(names) < page {
			return all, nil
		}
		after = names[len(names)-1]
	}
}

// maxTries bounds how often an edit is made again because somebody else was
// quicker. Editors of one node wait for each other, so others are few.
const maxTries = 100

// Edit does what fn asks for, on the view that it is given. fn is called again,
// with the new view, if somebody else was quicker. A large edit is done in
// several commits, removals first; where it ends early, what was done stays, and
// it can be repeated. Edit returns the view that the last commit made and the
// UIDs of the items in Append, in their order. Nothing is written if nothing
// changes.
//
// Among its errors are ErrExhausted, ErrTooLarge, ErrInvalid, queue.ErrFull, and
// those of fn.
func (b *Book) Edit(ctx context.Context, account string, fn func(v *View) (Edit, error)) (*View, []UID, error) {
	s := b.cache.hold(account)
	defer b.cache.release(s)
	if err := s.editing.lock(ctx); err != nil {
		return nil, nil, fmt.Errorf("wait for folders of %s: %w", account, err)
	}
	defer s.editing.unlock()
	for range maxTries {
		v, err := b.current(ctx, s)
		if err != nil {
			return nil, nil, err
		}
		e, err := fn(v)
		if err != nil {
			return nil, nil, err
		}
		if err := e.check(); err != nil {
			return nil, nil, fmt.Errorf("edit folders of %s: %w", account, err)
		}
		v, uids, err := b.commitAll(ctx, s, v, e)
		if err == nil {
			return v, uids, nil
		}
		if !errors.Is(err, queue.ErrVersion) {
			return nil, nil, fmt.Errorf("edit folders of %s: %w", account, err)
		}
	}
	return nil, nil, fmt.Errorf("edit folders of %s: %d times somebody else was quicker: %w", account, maxTries, queue.ErrVersion)
}

// commitAll does an edit in as many commits as it needs.
func (b *Book) commitAll(ctx context.Context, s *shelf, v *View, e Edit) (*View, []UID, error) {
	var uids []UID
	for todo := []Edit{e}; len(todo) > 0; {
		next := todo[0]
		todo = todo[1:]
		parts, added, err := b.commit(ctx, s, &v, &next)
		if err != nil {
			return nil, nil, err
		}
		uids = append(uids, added...)
		todo = append(parts, todo...)
	}
	return v, uids, nil
}

// commit does an edit in one commit, or returns parts of it if it is too large.
func (b *Book) commit(ctx context.Context, s *shelf, v **View, e *Edit) (parts []Edit, uids []UID, err error) {
	if e.isLarge() {
		if parts := e.split(); parts != nil {
			return parts, nil, nil
		}
	}
	d, err := b.draft(ctx, *v, e)
	if err != nil {
		return nil, nil, err
	}
	if !d.changed() {
		return nil, d.uids, nil
	}
	w, octets := d.write()
	if octets > queue.MaxFolderCommit {
		if parts := e.split(); parts != nil {
			return parts, nil, nil
		}
		return nil, nil, fmt.Errorf("%d octets: %w", octets, ErrTooLarge)
	}
	asked := b.o.Now()
	version, err := b.o.Store.FolderCommit(ctx, s.account, w)
	if err != nil {
		return nil, nil, err
	}
	d.next.head.Version = version
	s.committed(d.next, asked)
	*v = d.next
	return nil, d.uids, nil
}

// Filed returns what the account's folders show of messages, in their order.
func (b *Book) Filed(ctx context.Context, account string, ms []queue.MessageID) ([][]Filed, error) {
	s := b.cache.hold(account)
	defer b.cache.release(s)
	// The rows are read first: the view then knows all UIDs that are in them.
	rows, err := b.filed(ctx, account, ms)
	if err != nil {
		return nil, err
	}
	v, err := b.current(ctx, s)
	if err != nil {
		return nil, err
	}
	out := make([][]Filed, len(ms))
	for i, list := range rows {
		for _, f := range list {
			if v.isAlive(f.uid) {
				out[i] = append(out[i], Filed{UID: f.uid, Key: f.key, Sets: v.shownIn(f.uid)})
			}
		}
	}
	return out, nil
}

// Reset forgets all entries of an account, and what was read and subscribed to.
// The folders begin anew with a greater UIDVALIDITY.
func (b *Book) Reset(ctx context.Context, account string) error {
	s := b.cache.hold(account)
	defer b.cache.release(s)
	if err := s.editing.lock(ctx); err != nil {
		return fmt.Errorf("wait for folders of %s: %w", account, err)
	}
	defer s.editing.unlock()
	least := uint32(0)
	v, err := b.current(ctx, s)
	switch {
	case err == nil:
		least = v.UIDValidity + 1
	case !errors.Is(err, codec.ErrCodec): // folders that cannot be read can still be forgotten
		return err
	}
	if err := s.loading.lock(ctx); err != nil {
		return fmt.Errorf("wait for folders of %s: %w", account, err)
	}
	defer s.loading.unlock()
	if err := b.o.Store.FolderDrop(ctx, account); err != nil {
		return fmt.Errorf("forget folders of %s: %w", account, err)
	}
	s.forget()
	return b.renew(ctx, s, least)
}

// renew makes the folders that come after a Reset. Another node may have made
// them already, with a UIDVALIDITY that is not greater.
func (b *Book) renew(ctx context.Context, s *shelf, least uint32) error {
	for range maxTries {
		v, err := b.load(ctx, s, nil, least)
		if err != nil {
			return err
		}
		if v.UIDValidity >= least {
			s.changed.Send()
			return nil
		}
		d := &draft{old: v, next: v.clone()}
		d.next.UIDValidity = least
		w, _ := d.write()
		version, err := b.o.Store.FolderCommit(ctx, s.account, w)
		if err == nil {
			d.next.head.Version = version
			s.committed(d.next, b.o.Now())
			return nil
		}
		if !errors.Is(err, queue.ErrVersion) {
			return fmt.Errorf("begin folders of %s anew: %w", s.account, err)
		}
	}
	return fmt.Errorf("begin folders of %s anew: %w", s.account, queue.ErrVersion)
}
