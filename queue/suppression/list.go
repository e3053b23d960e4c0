package suppression

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postrider/queue"
)

// Filter selects entries; all the fields that are set must match.
type Filter struct {
	Address queue.Address
	Domain  string
	Reason  Reason
	Scope   string
}

func (f Filter) fold() Filter {
	f.Address, f.Domain = Fold(f.Address), foldDomain(strings.TrimPrefix(f.Domain, "@"))
	return f
}

func (f Filter) match(e Entry) bool {
	return (f.Address.IsNull() || f.Address == e.Address) && (f.Domain == "" || f.Domain == e.Address.Domain) &&
		(f.Reason == "" || f.Reason == e.Reason) && (f.Scope == "" || f.Scope == e.Scope)
}

const (
	// page is how many records are read at a time, and maxPages how many times
	// in one call: what matches little is found in several calls.
	page     = 200
	maxPages = 50
)

// List returns up to limit entries of an account that match and are not over, by
// address and scope, and the cursor for more, which is empty at the end. It may
// return fewer, with a cursor, to bound its work. The empty account lists all
// accounts' entries and those of AllAccounts, by account. queue.ErrFilter if the
// cursor makes no sense. Entries that are over are removed where they are met.
func (b *Book) List(ctx context.Context, account string, f Filter, c queue.Cursor, limit int) ([]Entry, queue.Cursor, error) {
	l := lister{book: b, filter: f.fold(), limit: max(limit, 1)}
	if account != "" {
		if err := checkAccount(account); err != nil {
			return nil, "", err
		}
		l.prefix = account + "/"
		if !f.Address.IsNull() {
			l.prefix += l.filter.Address.String()
		}
	}
	if err := l.resume(c); err != nil {
		return nil, "", err
	}
	return l.run(ctx)
}

// lister is a listing under way.
type lister struct {
	book   *Book
	filter Filter
	prefix string // of the names
	limit  int

	after string // name of the last record that was looked at
	scope string // the last entry of it that was returned; empty: all were
	found []Entry
}

// resume goes on where a cursor was made: at a record's name, and within it
// after a scope.
func (l *lister) resume(c queue.Cursor) error {
	if c == "" {
		return nil
	}
	text, ok := strings.CutPrefix(string(c), cursorPrefix)
	b, err := idEncoding.DecodeString(text)
	name, scope, cut := strings.Cut(string(b), "\x00")
	if !ok || err != nil || !cut || len(name) > maxName || !strings.HasPrefix(name, l.prefix) {
		return fmt.Errorf("cursor of suppressions: %w", queue.ErrFilter)
	}
	l.after, l.scope = name, scope
	return nil
}

const (
	cursorPrefix = "s1"
	maxName      = 512 // octets of a record's
)

func (l *lister) cursor() queue.Cursor {
	return queue.Cursor(cursorPrefix + idEncoding.EncodeToString([]byte(l.after+"\x00"+l.scope)))
}

func (l *lister) run(ctx context.Context) ([]Entry, queue.Cursor, error) {
	if l.scope != "" {
		if err := l.rest(ctx); err != nil {
			return nil, "", err
		}
	}
	for n := 0; n < maxPages && len(l.found) <= l.limit; n++ {
		rs, err := l.book.o.Store.ListRecords(ctx, queue.RecordSuppression, l.prefix, l.after, page)
		if err != nil {
			return nil, "", fmt.Errorf("list suppressions: %w", err)
		}
		if len(rs) == 0 {
			return l.found, "", nil
		}
		for i := 0; i < len(rs) && len(l.found) <= l.limit; i++ {
			l.after = rs[i].Name
			if err := l.look(ctx, rs[i], ""); err != nil {
				return nil, "", err
			}
		}
	}
	if len(l.found) > l.limit {
		return l.cut()
	}
	return l.found, l.cursor(), nil
}

// cut ends a page with its last entry; that there was another says that the
// cursor leads somewhere.
func (l *lister) cut() ([]Entry, queue.Cursor, error) {
	l.found = l.found[:l.limit]
	last := l.found[l.limit-1]
	l.after, l.scope = recordName(last.Account, last.Address), last.Scope
	return l.found, l.cursor(), nil
}

// rest looks at what is left of the record that the last page ended in.
func (l *lister) rest(ctx context.Context) error {
	q, err := l.book.o.Store.GetRecord(ctx, queue.RecordSuppression, l.after)
	if errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list suppressions: %w", err)
	}
	after := l.scope
	l.scope = ""
	return l.look(ctx, q, after)
}

// look takes what matches of a record, after a scope.
func (l *lister) look(ctx context.Context, q queue.Record, after string) error {
	r, err := decode(q)
	if err != nil {
		return err
	}
	had := len(r.entries)
	r.drop(l.book.o.Now())
	if had > len(r.entries) {
		// Whoever changed it meanwhile has dropped them too.
		if err := l.book.write(ctx, &r); err != nil && !errors.Is(err, queue.ErrVersion) {
			return fmt.Errorf("remove suppressions that are over: %w", err)
		}
	}
	for _, e := range r.entries {
		if e.Scope > after && l.filter.match(e) {
			l.found = append(l.found, e)
		}
	}
	return nil
}
