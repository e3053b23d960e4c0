package logstore

import (
	"encoding/binary"
	"maps"
	"slices"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/commitlog"
)

// folderRecord is one change of an account's shelf. The position of the record
// is the shelf's new version: so versions ascend, also over a drop.
type folderRecord struct {
	account string
	dropped bool // all of it; then there is nothing else
	index   []shelved
	rows    []shelved
}

// shelved is a value of a shelf, or, if that is nil, the removal of one.
type shelved struct {
	key   string
	value []byte
}

func newFolderRecord(account string, w queue.FolderWrite) *folderRecord {
	return &folderRecord{account: account, index: sorted(w.Index), rows: sorted(w.Rows)}
}

// sorted lists values by key, as the index keeps them.
func sorted(m map[string][]byte) []shelved {
	var all []shelved
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, shelved{k, m[k]})
	}
	return all
}

// size is roughly what a part takes when encoded.
func size(part []shelved) (n int) {
	for i := range part {
		n += len(part[i].key) + len(part[i].value) + 8
	}
	return n
}

func (r *folderRecord) encode() []byte {
	e := codec.Encoder{B: make([]byte, 0, 32+len(r.account)+size(r.index)+size(r.rows))}
	e.Version()
	e.String(r.account)
	e.Byte(codec.Bits(r.dropped))
	for _, part := range [][]shelved{r.index, r.rows} {
		e.Uint(uint64(len(part)))
		for i := range part {
			e.String(part[i].key)
			e.Byte(codec.Bits(part[i].value != nil))
			e.Bytes(part[i].value)
		}
	}
	return e.B
}

// decodeFolder does not copy values.
func decodeFolder(b []byte) (*folderRecord, error) {
	d := codec.Decoder{B: b}
	d.Version()
	r := &folderRecord{account: d.String()}
	r.dropped = d.Byte()&1 != 0
	for _, part := range []*[]shelved{&r.index, &r.rows} {
		for range d.Count() {
			v := shelved{key: d.String()}
			there := d.Byte()&1 != 0
			v.value = d.Raw()
			if there && v.value == nil {
				v.value = []byte{}
			}
			if !there {
				if len(v.value) > 0 {
					d.Fail()
				}
				v.value = nil
			}
			*part = append(*part, v)
		}
	}
	return r, d.Done()
}

func (a *applier) folder(e *commitlog.Entry) error {
	r, ok := e.Value.(*folderRecord)
	if !ok {
		var err error
		if r, err = decodeFolder(e.Payload); err != nil {
			return err
		}
	}
	if r.dropped {
		a.del(nameKey(a.key, keyShelf, r.account))
		for _, part := range []byte{keyShelved, keyShelfRow} {
			prefix := shelfKey(nil, part, r.account, "")
			_ = a.batch.DeleteRange(prefix, after(prefix), nil) // in memory, as set
		}
		return nil
	}
	a.value = binary.BigEndian.AppendUint64(a.value[:0], uint64(e.Position))
	a.set(nameKey(a.key, keyShelf, r.account), a.value)
	a.shelve(keyShelved, r.account, r.index)
	a.shelve(keyShelfRow, r.account, r.rows)
	return nil
}

func (a *applier) shelve(part byte, account string, values []shelved) {
	for i := range values {
		v := &values[i]
		key := shelfKey(a.key, part, account, v.key)
		if v.value == nil {
			a.del(key)
		} else {
			a.set(key, v.value)
		}
	}
}
