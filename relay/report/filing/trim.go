package filing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/queue"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

const (
	trimBudget = 2000 // of the oldest entries that one Trim looks at, about
	probe      = 4    // oldest entries of a kind that are looked at first
	maxProbe   = 256
	fullEvery  = time.Hour
	walkBudget = 5000 // of all entries, looked at by one pass
	walkShare  = 1024 // of these, of one account before the next has its turn
	maxLeave   = 10_000
)

// trimming is how far a pass of Trim has come, and what is known of accounts.
type trimming struct {
	under    bool // a pass is under way
	all      []string
	accounts []string // of all, those that are left
	shelves  map[string]*shelf
	budget   int
	walked   string // the account whose entries were looked at last
}

// shelf is when all of an account's entries were looked at.
type shelf struct {
	full time.Time
	at   folders.UID // how far a look at all has come; 0: none is under way
}

// Trim takes from the folders what the store has forgotten, and what is more than
// a folder shows. It looks at the oldest entries of each account, and goes on as
// long as it finds something. All of them are looked at once an hour, or some with
// each pass where there are too many for that. more says that it stopped since it
// has looked at much.
func (f *Filer) Trim(ctx context.Context) (more bool, err error) {
	if err := f.begin(ctx); err != nil {
		return false, err
	}
	t := &f.trim
	t.budget = trimBudget
	if !t.under {
		if t.all, err = f.o.Book.Accounts(ctx); err != nil {
			return false, fmt.Errorf("list accounts with folders: %w", err)
		}
		t.under, t.accounts = true, t.all
		known := t.shelves
		t.shelves = make(map[string]*shelf, len(t.all))
		for _, a := range t.all {
			if t.shelves[a] = known[a]; known[a] == nil {
				t.shelves[a] = &shelf{}
			}
		}
	}
	for len(t.accounts) > 0 {
		if t.budget <= 0 {
			return true, nil
		}
		if err := f.keep(ctx); err != nil {
			return false, err
		}
		if err := f.trimAccount(ctx, t.accounts[0]); err != nil {
			t.under = false
			return false, fmt.Errorf("trim folders of account %.64q: %w", t.accounts[0], err)
		}
		t.accounts = t.accounts[1:]
	}
	t.under = false
	return false, f.walk(ctx)
}

func (f *Filer) trimAccount(ctx context.Context, account string) error {
	if err := f.limit(ctx, account); err != nil {
		return err
	}
	v, err := f.o.Book.View(ctx, account)
	if err != nil {
		return err
	}
	for _, of := range byAge(v) {
		if err := f.lookAtOldest(ctx, v, of); err != nil {
			return err
		}
	}
	return nil
}

// limit lets entries leave folders that show more than they should.
func (f *Filer) limit(ctx context.Context, account string) error {
	if f.o.FolderLimit <= 0 {
		return nil
	}
	over := func(v *folders.View) (e folders.Edit) {
		for _, name := range []string{folders.FolderInbox, folders.FolderSent, folders.FolderBounced} {
			set := v.Set(name)
			for uid := range set.AndNot(set.Last(f.o.FolderLimit)).All() {
				if e.Leave == nil {
					e.Leave = map[string][]folders.UID{}
				}
				if e.Leave[name] = append(e.Leave[name], uid); len(e.Leave[name]) == maxLeave {
					break
				}
			}
		}
		return e
	}
	for {
		v, err := f.o.Book.View(ctx, account)
		if err != nil {
			return err
		}
		if e := over(v); empty(&e) {
			return nil
		}
		if _, _, err = f.o.Book.Edit(ctx, account, func(v *folders.View) (folders.Edit, error) { return over(v), nil }); err != nil {
			return err
		}
	}
}

// byAge returns groups of entries that the store forgets in about the order of
// their UIDs: by how they ended, and by whether their content is there still.
func byAge(v *folders.View) []bitmap.Set {
	var sent, bounced bitmap.Set
	for _, name := range v.Sets() {
		switch top, _, _ := strings.Cut(name, "/"); top {
		case folders.FolderSent:
			sent = sent.Or(v.Set(name))
		case folders.FolderBounced:
			bounced = bounced.Or(v.Set(name))
		}
	}
	gone := v.Set(flagGone)
	return []bitmap.Set{sent.AndNot(gone), sent.And(gone), bounced.AndNot(gone), bounced.And(gone)}
}

// lookAtOldest looks at the oldest entries of a group, and at more of them as long
// as the store has forgotten any.
func (f *Filer) lookAtOldest(ctx context.Context, v *folders.View, of bitmap.Set) error {
	for n := probe; !of.IsEmpty() && f.trim.budget > 0; n = min(2*n, maxProbe) {
		uids := first(of, 0, n)
		f.trim.budget -= len(uids)
		changed, err := f.look(ctx, v.Account, uids)
		if err != nil {
			return err
		}
		if changed == 0 {
			return nil
		}
		of = of.Without(uids...)
	}
	return nil
}

// first returns up to n members that are greater than after.
func first(of bitmap.Set, after folders.UID, n int) (uids []folders.UID) {
	for uid := range of.From(after + 1) {
		if uids = append(uids, uid); len(uids) == n {
			break
		}
	}
	return uids
}

// walk looks at all entries, some of each account in turn, as many as there is
// budget for. The next pass goes on from there.
func (f *Filer) walk(ctx context.Context) error {
	t := &f.trim
	next, _ := slices.BinarySearch(t.all, t.walked+"\x00")
	turn := slices.Concat(t.all[next:], t.all[:next])
	for left := f.walkBudget; len(turn) > 0 && left > 0; turn = turn[1:] {
		account, s := turn[0], t.shelves[turn[0]]
		if s.at == 0 && f.o.Now().Sub(s.full) < fullEvery {
			continue
		}
		if err := f.keep(ctx); err != nil {
			return err
		}
		n, err := f.walkOn(ctx, account, s, min(left, walkShare))
		if err != nil {
			return fmt.Errorf("look at folders of account %.64q: %w", account, err)
		}
		left -= n
		t.walked = account
		if s.at > 0 {
			turn = append(turn, account)
		}
	}
	return nil
}

// walkOn looks at the next entries of an account, up to limit.
func (f *Filer) walkOn(ctx context.Context, account string, s *shelf, limit int) (n int, err error) {
	v, err := f.o.Book.View(ctx, account)
	if err != nil {
		return 0, err
	}
	var all bitmap.Set
	for _, name := range v.Sets() {
		all = all.Or(v.Set(name))
	}
	for n < limit {
		uids := first(all, s.at, min(maxProbe, limit-n))
		if len(uids) == 0 {
			s.at, s.full = 0, f.o.Now()
			return n, nil
		}
		if _, err := f.look(ctx, account, uids); err != nil {
			return n, err
		}
		n += len(uids)
		s.at = uids[len(uids)-1]
	}
	return n, nil
}

// look compares entries with the store: those whose message is gone go, those
// whose content is gone are made anew. It returns how many.
func (f *Filer) look(ctx context.Context, account string, uids []folders.UID) (changed int, err error) {
	entries, err := f.o.Book.Entries(ctx, account, uids)
	if err != nil {
		return 0, err
	}
	var gone []folders.UID
	var anew []queue.MessageID
	for i, e := range entries {
		if e == nil {
			continue
		}
		m, err := f.o.Store.Message(ctx, e.Message)
		switch {
		case errors.Is(err, queue.ErrNotFound):
			gone = append(gone, uids[i])
		case err != nil:
			return 0, fmt.Errorf("look at message %s: %w", e.Message, err)
		case len(e.Content.Key) > 0 && len(m.Message.Content.Key) == 0 && !slices.Contains(anew, e.Message):
			anew = append(anew, e.Message)
		}
	}
	if len(gone) > 0 {
		_, _, err := f.o.Book.Edit(ctx, account, func(*folders.View) (folders.Edit, error) {
			return folders.Edit{Expunge: gone}, nil
		})
		if err != nil {
			return 0, err
		}
	}
	if len(anew) > 0 {
		list := make([]named, len(anew))
		for i, id := range anew {
			list[i] = named{id, account}
		}
		if _, _, err := f.file(ctx, list); err != nil {
			return 0, err
		}
	}
	return len(gone) + len(anew), nil
}
