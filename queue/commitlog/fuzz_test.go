package commitlog

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func encodeSegmentHeaderAs(version uint32) []byte {
	return encodeHeader(&segment{salt: 42}, version)
}

// FuzzDecode feeds a segment file with arbitrary records to Open. It must give
// an error or a log whose records all read back, and never more than one
// outcome for the same bytes.
func FuzzDecode(f *testing.F) {
	frame := func(at int, b byte, n int, more bool, unsynced uint32) []byte {
		r := &Record{Type: b, Payload: bytes.Repeat([]byte{b}, n)}
		pos := Position(segmentHeaderSize + at)
		out, _ := appendFrame(nil, 42, pos, r, appendSums(nil, r.Payload, nil), more, unsynced)
		return out
	}
	one := frame(0, 3, 10, false, segmentHeaderSize)
	two := frame(len(one), 4, 0, true, uint32(len(one)))
	f.Add([]byte{})
	f.Add(one)
	f.Add(slices.Concat(one, two))
	f.Add(slices.Concat(one, two, frame(len(one)+len(two), 5, 9, false, 0)))
	f.Add(slices.Concat(make([]byte, len(one)), two))
	f.Add(frame(0, 9, blockSize+1, false, 0))
	f.Add(bytes.Repeat([]byte{0x52, 0x50}, 50))
	f.Fuzz(func(t *testing.T, data []byte) {
		fs := vfs.NewMem()
		if err := fs.MkdirAll("log", 0o700); err != nil {
			t.Fatal(err)
		}
		file, err := fs.Create("log/"+segmentName(0), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(slices.Concat(encodeSegmentHeaderAs(formatVersion), data)); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		open := func() []Entry {
			var got []Entry
			l, err := Open(t.Context(), "log", Options{FS: fs, SegmentSize: minSegmentSize, Apply: func(es []Entry) error {
				for _, e := range es {
					e.Payload = bytes.Clone(e.Payload)
					got = append(got, e)
				}
				return nil
			}})
			if err != nil {
				if asCorrupt(err) == nil {
					t.Fatal(err)
				}
				return nil
			}
			for _, e := range got {
				r, err := l.ReadAt(e.Position, nil)
				if err != nil || !bytes.Equal(r.Payload, e.Payload) || r.Next != e.Next {
					t.Fatalf("read %s: %v", e.Position, err)
				}
				if e.Position > 8 {
					if _, err := l.ReadAt(e.Position-3, nil); err == nil || errors.Is(err, ErrBeyondEnd) {
						t.Fatalf("a record before %s: %v", e.Position, err)
					}
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return got
		}
		same := func(a, b Entry) bool { return a.Position == b.Position && bytes.Equal(a.Payload, b.Payload) }
		if a, b := open(), open(); !slices.EqualFunc(a, b, same) {
			t.Fatalf("opened twice: %d and %d records", len(a), len(b))
		}
	})
}
