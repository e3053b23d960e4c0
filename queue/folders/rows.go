package folders

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"postrider/queue"
	"postrider/queue/codec"
)

// First octets of the keys of rows; see doc.go.
const (
	prefixEntry   = 'r' // UID
	prefixSearch  = 's' // UID
	prefixMessage = 'm' // message id
)

func uidKey(prefix byte, uid UID) string {
	return string(binary.BigEndian.AppendUint32([]byte{prefix}, uid))
}

func messageKey(m queue.MessageID) string { return string(prefixMessage) + string(m[:]) }

// A row that is longer than a value may be is stored in several: the first says
// how many more there are, whose keys have their number, from 1, behind them.
const maxMore = queue.MaxFolderCommit/rowValue + 1

const rowValue = queue.MaxFolderValue - 16 // octets of a row in one value

func moreKey(key string, n int) string { return key + string([]byte{byte(n)}) }

// putRow writes a row and returns how many further values it took.
func putRow(rows map[string][]byte, key string, row []byte) (more int) {
	more = max(0, len(row)-1) / rowValue
	begin := row[:min(len(row), rowValue)]
	first := encoderFor(len(begin) + 8)
	first.Uint(uint64(more))
	first.Fixed(begin)
	rows[key] = first.B
	for n := 1; n <= more; n++ {
		rows[moreKey(key, n)] = row[n*rowValue : min(len(row), (n+1)*rowValue)]
	}
	return more
}

func removeRow(rows map[string][]byte, key string, more int) {
	rows[key] = nil
	for n := 1; n <= more; n++ {
		rows[moreKey(key, n)] = nil
	}
}

// row is one that was read: nil octets if it is not there.
type row struct {
	b    []byte
	more int
}

// readBatch bounds what is asked for, and held, at once.
const readBatch = 1024

// chooseBatch is readBatch where most rows are expected to be left out.
const chooseBatch = 4096

// eachRow calls fn with the rows of these keys, in their order.
func (b *Book) eachRow(ctx context.Context, account string, keys []string, fn func(i int, r row) error) error {
	return b.eachRowIf(ctx, account, keys, readBatch, nil, fn)
}

// eachRowIf is eachRow that may take a row for one that is not there if want, which
// is asked about values, does not take it. Nil takes all.
func (b *Book) eachRowIf(ctx context.Context, account string, keys []string, batch int, want func(value []byte) bool, fn func(i int, r row) error) error {
	for at := 0; at < len(keys); at += batch {
		part := keys[at:min(len(keys), at+batch)]
		rows, err := b.readRows(ctx, account, part, want)
		if err != nil {
			return fmt.Errorf("read rows of folders of %s: %w", account, err)
		}
		for i, r := range rows {
			if err := fn(at+i, r); err != nil {
				return fmt.Errorf("read row %q of folders of %s: %w", part[i], account, err)
			}
		}
	}
	return nil
}

func (b *Book) readValues(ctx context.Context, account string, keys []string, want func(value []byte) bool) ([][]byte, error) {
	if c, ok := b.o.Store.(queue.FolderChooser); ok && want != nil {
		return c.FolderRowsIf(ctx, account, keys, want)
	}
	return b.o.Store.FolderRows(ctx, account, keys)
}

func (b *Book) readRows(ctx context.Context, account string, keys []string, want func(value []byte) bool) ([]row, error) {
	values, err := b.readValues(ctx, account, keys, want)
	if err != nil {
		return nil, err
	}
	rows := make([]row, len(keys))
	var more []string
	for i, value := range values {
		if value == nil {
			continue
		}
		d := decoder(value)
		n := d.Uint()
		if d.Err != nil || n > maxMore {
			return nil, fmt.Errorf("row %q: %w", keys[i], codec.ErrCodec)
		}
		rows[i] = row{d.B, int(n)}
		for k := 1; k <= rows[i].more; k++ {
			more = append(more, moreKey(keys[i], k))
		}
	}
	if len(more) == 0 {
		return rows, nil
	}
	if values, err = b.o.Store.FolderRows(ctx, account, more); err != nil {
		return nil, err
	}
	for i := range rows {
		rows[i].join(values[:rows[i].more])
		values = values[rows[i].more:]
	}
	return rows, nil
}

// join adds the further values. A row of which one is missing was removed while
// it was read.
func (r *row) join(values [][]byte) {
	if len(values) == 0 {
		return
	}
	all := append([]byte(nil), r.b...)
	for _, v := range values {
		if v == nil {
			r.b = nil
			return
		}
		all = append(all, v...)
	}
	r.b = all
}

// Entries returns the entries of these UIDs, nil for those that are gone.
func (b *Book) Entries(ctx context.Context, account string, uids []UID) ([]*Entry, error) {
	out := make([]*Entry, len(uids))
	err := b.eachRow(ctx, account, uidKeys(prefixEntry, uids), func(i int, r row) (err error) {
		if r.b != nil {
			out[i], err = decodeEntry(r.b)
		}
		return err
	})
	return out, err
}

// Searches returns what is searched for in the entries of these UIDs, nil for
// those that are gone. It holds all that it returns in memory: ask for some
// thousands at a time.
func (b *Book) Searches(ctx context.Context, account string, uids []UID) ([]*Search, error) {
	return b.SearchesWith(ctx, account, uids, nil)
}

// SearchesWith is Searches for one who looks for texts: where none of them occurs
// in any field it may return nil, which spares much of the work. Where texts is
// empty it leaves out none.
func (b *Book) SearchesWith(ctx context.Context, account string, uids []UID, texts []string) ([]*Search, error) {
	out := make([]*Search, len(uids))
	batch, has := chooseBatch, containing(texts)
	// A row that goes on in other values may have a text there.
	want := func(value []byte) bool { return len(value) >= rowValue || has(value) }
	if len(texts) == 0 {
		batch, has, want = readBatch, func([]byte) bool { return true }, nil
	}
	err := b.eachRowIf(ctx, account, uidKeys(prefixSearch, uids), batch, want, func(i int, r row) error {
		if r.b == nil || !has(r.b) {
			return nil
		}
		out[i] = new(Search)
		return decodeSearch(r.b, out[i])
	})
	return out, err
}

// containing tells octets in which a text occurs.
func containing(texts []string) func(b []byte) bool {
	words := make([][]byte, len(texts))
	for i, text := range texts {
		words[i] = []byte(text)
	}
	return func(b []byte) bool {
		return slices.ContainsFunc(words, func(w []byte) bool { return bytes.Contains(b, w) })
	}
}

// uidKeys returns keys that are parts of one string.
func uidKeys(prefix byte, uids []UID) []string {
	const size = 1 + 4
	all := make([]byte, 0, size*len(uids))
	for _, uid := range uids {
		all = binary.BigEndian.AppendUint32(append(all, prefix), uid)
	}
	text := string(all)
	keys := make([]string, len(uids))
	for i := range keys {
		keys[i] = text[i*size : (i+1)*size]
	}
	return keys
}

// facts returns what must be known of entries to remove them. An entry that has
// no row weighs nothing and is of no message.
func (b *Book) facts(ctx context.Context, account string, uids []UID) (map[UID]fact, error) {
	out := make(map[UID]fact, len(uids))
	err := b.eachRow(ctx, account, uidKeys(prefixSearch, uids), func(i int, r row) error {
		if r.b == nil {
			return nil
		}
		d := decoder(r.b)
		f := decodeFact(d)
		f.moreSearch = r.more
		out[uids[i]] = f
		return d.Err
	})
	return out, err
}

// filed returns what is filed of messages.
func (b *Book) filed(ctx context.Context, account string, ms []queue.MessageID) ([][]filed, error) {
	keys := make([]string, len(ms))
	for i, m := range ms {
		keys[i] = messageKey(m)
	}
	out := make([][]filed, len(ms))
	err := b.eachRow(ctx, account, keys, func(i int, r row) (err error) {
		if r.b != nil {
			out[i], err = decodeFiled(r.b)
		}
		return err
	})
	return out, err
}
