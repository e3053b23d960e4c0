package logstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/commitlog"
)

var _ queue.Folders = (*Store)(nil)

// FolderHead tells the version of an account's shelf.
func (s *Store) FolderHead(ctx context.Context, account string) (queue.FolderHead, error) {
	h := queue.FolderHead{Lineage: s.lineage}
	if err := s.enterShelf(ctx, account); err != nil {
		return h, fmt.Errorf("read folders of %q: %w", account, err)
	}
	defer s.leave()
	var err error
	if h.Version, err = shelfVersion(s.db, account); err != nil {
		return h, fmt.Errorf("read folders of %q: %w", account, err)
	}
	return h, nil
}

// FolderIndex reads the index of a shelf, and its version, from one snapshot.
func (s *Store) FolderIndex(ctx context.Context, account string) (queue.FolderHead, map[string][]byte, error) {
	h := queue.FolderHead{Lineage: s.lineage}
	if err := s.enterShelf(ctx, account); err != nil {
		return h, nil, fmt.Errorf("read folder index of %q: %w", account, err)
	}
	defer s.leave()
	snap := s.db.NewSnapshot()
	index := make(map[string][]byte)
	var err error
	h.Version, err = shelfVersion(snap, account)
	if err == nil && h.Version != 0 {
		prefix := shelfKey(nil, keyShelved, account, "")
		err = each(snap, prefix, after(prefix), func(it *pebble.Iterator) (bool, error) {
			index[string(it.Key()[len(prefix):])] = append([]byte{}, it.Value()...)
			return true, nil
		})
	}
	if err := errors.Join(err, snap.Close()); err != nil {
		return h, nil, fmt.Errorf("read folder index of %q: %w", account, err)
	}
	return h, index, nil
}

// FolderRows reads rows of a shelf. It goes through them in the order in which
// they lie, whatever the order of keys: those of one page are neighbours.
func (s *Store) FolderRows(ctx context.Context, account string, keys []string) ([][]byte, error) {
	return s.FolderRowsIf(ctx, account, keys, func([]byte) bool { return true })
}

// FolderRowsIf is FolderRows for those values alone that want takes: the others
// are nil, too, and cost little. What want is given is valid until it returns.
func (s *Store) FolderRowsIf(ctx context.Context, account string, keys []string, want func(value []byte) bool) ([][]byte, error) {
	if err := s.enterShelf(ctx, account); err != nil {
		return nil, fmt.Errorf("read folder rows of %q: %w", account, err)
	}
	defer s.leave()
	prefix := shelfKey(nil, keyShelfRow, account, "")
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return nil, unavailable("read index", err)
	}
	rows := make([][]byte, len(keys))
	r := rowReader{it: it, want: want, key: prefix, prefix: len(prefix)}
	for n, i := range inOrder(keys) {
		if n%256 == 255 && ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), it.Close())
		}
		rows[i] = r.row(keys[i])
	}
	if err := it.Close(); err != nil {
		return nil, fmt.Errorf("read folder rows of %q: %w", account, unavailable("read index", err))
	}
	return rows, nil
}

// inOrder returns the places of keys in the order of the keys.
func inOrder(keys []string) []int {
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	if !slices.IsSorted(keys) {
		slices.SortFunc(order, func(a, b int) int { return strings.Compare(keys[a], keys[b]) })
	}
	return order
}

// rowReader reads rows in ascending order. Searches read a million of them, each
// next to the one before: a step costs much less than a look for the place.
type rowReader struct {
	it     *pebble.Iterator
	want   func(value []byte) bool
	begun  bool
	valid  bool   // it stands at a key; if it has begun, none is left otherwise
	key    []byte // the prefix of all, and the key that is looked for
	prefix int
	room   []byte // for values
}

// row returns a copy of the value of a key; nil if there is none that is wanted.
func (r *rowReader) row(key string) []byte {
	r.key = append(r.key[:r.prefix], key...)
	switch {
	case !r.begun:
		r.begun, r.valid = true, r.it.SeekGE(r.key)
	case r.valid && bytes.Compare(r.it.Key(), r.key) < 0:
		if r.valid = r.it.Next(); r.valid && bytes.Compare(r.it.Key(), r.key) < 0 {
			r.valid = r.it.SeekGE(r.key)
		}
	}
	if !r.valid || !bytes.Equal(r.it.Key(), r.key) {
		return nil
	}
	if v := r.it.Value(); r.want(v) {
		return r.keep(v)
	}
	return nil
}

// maxRoom is how much room is made for values at once, if there are many.
const maxRoom = 16 << 10

func (r *rowReader) keep(value []byte) []byte {
	if r.room == nil || cap(r.room)-len(r.room) < len(value) {
		r.room = make([]byte, 0, max(len(value), min(2*cap(r.room), maxRoom)))
	}
	from := len(r.room)
	r.room = append(r.room, value...)
	return r.room[from:len(r.room):len(r.room)]
}

// FolderCommit changes a shelf if nobody else did meanwhile.
func (s *Store) FolderCommit(ctx context.Context, account string, w queue.FolderWrite) (uint64, error) {
	version, err := s.folderCommit(ctx, account, w)
	if err != nil {
		return 0, fmt.Errorf("change folders of %q: %w", account, err)
	}
	return version, nil
}

func (s *Store) folderCommit(ctx context.Context, account string, w queue.FolderWrite) (uint64, error) {
	if err := checkFolderWrite(w); err != nil {
		return 0, err
	}
	if err := s.enterShelf(ctx, account); err != nil {
		return 0, err
	}
	defer s.leave()
	if err := s.raiseFormat(formatFolders); err != nil {
		return 0, err
	}
	l := s.names.of(hashString("folders", account))
	l.Lock()
	defer l.Unlock()
	now, err := shelfVersion(s.db, account)
	if err != nil {
		return 0, err
	}
	if now != w.Version {
		return 0, fmt.Errorf("version is %d, not %d: %w", now, w.Version, queue.ErrVersion)
	}
	if w.Lineage != "" && w.Lineage != s.lineage {
		return 0, fmt.Errorf("lineage is %s, not %s: %w", s.lineage, w.Lineage, queue.ErrVersion)
	}
	return s.shelve(ctx, newFolderRecord(account, w))
}

// shelve appends a change of a shelf whose stripe is held. What adds no row may
// use the space that is kept for keeping promises: it is small, and clean-up
// needs it.
func (s *Store) shelve(ctx context.Context, r *folderRecord) (version uint64, err error) {
	adds := slices.ContainsFunc(r.rows, func(v shelved) bool { return v.value != nil })
	b := &commitlog.Batch{Critical: !adds, Records: []commitlog.Record{{Type: recordFolder, Payload: r.encode(), Value: r}}}
	if err := s.append(ctx, b); err != nil {
		return 0, err
	}
	return uint64(b.Records[0].Position), nil
}

// checkFolderWrite reports what is beyond the limits of the contract.
func checkFolderWrite(w queue.FolderWrite) error {
	total := 0
	for _, part := range []map[string][]byte{w.Index, w.Rows} {
		for k, v := range part {
			switch {
			case len(k) > queue.MaxFolderKey:
				return fmt.Errorf("key %.20q… has %d octets, and may have %d", k, len(k), queue.MaxFolderKey)
			case len(v) > queue.MaxFolderValue:
				return fmt.Errorf("the value of %.20q has %d octets, and may have %d", k, len(v), queue.MaxFolderValue)
			}
			total += len(k) + len(v)
		}
	}
	if total > queue.MaxFolderCommit {
		return fmt.Errorf("keys and values have %d octets, and may have %d in one commit", total, queue.MaxFolderCommit)
	}
	return nil
}

// FolderAccounts lists the accounts that have a shelf.
func (s *Store) FolderAccounts(ctx context.Context, afterName string, limit int) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, fmt.Errorf("list accounts with folders: %w", err)
	}
	defer s.leave()
	lower := nameKey(nil, keyShelf, afterName)
	if afterName != "" {
		lower = append(lower, 0)
	}
	var names []string
	err := each(s.db, lower, []byte{keyShelf + 1}, func(it *pebble.Iterator) (bool, error) {
		if len(names) >= limit {
			return false, nil
		}
		names = append(names, string(it.Key()[1:]))
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list accounts with folders: %w", err)
	}
	return names, nil
}

// FolderDrop forgets a shelf in one step, whatever its size.
func (s *Store) FolderDrop(ctx context.Context, account string) error {
	if err := s.folderDrop(ctx, account); err != nil {
		return fmt.Errorf("drop folders of %q: %w", account, err)
	}
	return nil
}

func (s *Store) folderDrop(ctx context.Context, account string) error {
	if err := s.enterShelf(ctx, account); err != nil {
		return err
	}
	defer s.leave()
	l := s.names.of(hashString("folders", account))
	l.Lock()
	defer l.Unlock()
	version, err := shelfVersion(s.db, account)
	if err != nil || version == 0 {
		return err
	}
	_, err = s.shelve(ctx, &folderRecord{account: account, dropped: true})
	return err
}

// enterShelf is enter for an account's shelf.
func (s *Store) enterShelf(ctx context.Context, account string) error {
	if account == "" || len(account) > maxRecordName {
		return fmt.Errorf("an account has a name of at most %d bytes", maxRecordName)
	}
	return s.enter(ctx)
}

// shelfVersion is zero if the account has no shelf.
func shelfVersion(r pebble.Reader, account string) (version uint64, err error) {
	err = get(r, nameKey(nil, keyShelf, account), func(b []byte) error {
		if len(b) != 8 {
			return damaged("the version of a shelf", codec.ErrCodec)
		}
		version = binary.BigEndian.Uint64(b)
		return nil
	})
	if errors.Is(err, queue.ErrNotFound) {
		return 0, nil
	}
	return version, err
}

// findLineage learns the name of the store's history. It is made with the store,
// or when a store of before there were any is opened: then opened, which is
// about to be appended, notes it.
func (s *Store) findLineage(opened *commitlog.Batch) error {
	err := get(s.db, lineageKey, func(b []byte) error {
		s.lineage = string(b)
		return nil
	})
	if !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	s.lineage = rand.Text()
	var x edits
	x.put(lineageKey, []byte(s.lineage))
	opened.Records = append(opened.Records, commitlog.Record{Type: recordIndex, Payload: x.encode()})
	return nil
}
