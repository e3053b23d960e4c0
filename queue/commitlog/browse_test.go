package commitlog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestBrowseSeesTheWantedRecordsInOrder(t *testing.T) {
	t.Parallel()
	l := mustOpen(t, vfs.NewMem(), Options{SegmentSize: 300 << 10})
	var want []string
	var at []Position
	for i := range 400 {
		text := fmt.Sprintf("%d %s", i, strings.Repeat("x", []int{0, 10, 5000, 70_000}[i%4]))
		typ := byte(1 + i%3)
		p := mustAppend(t, l, Record{Type: typ, Payload: []byte(text)})
		if typ != 2 {
			want, at = append(want, text), append(at, p[0])
		}
	}
	wanted := func(typ byte) bool { return typ != 2 }
	var got []string
	next, err := l.Browse(t.Context(), l.First(), l.End(), wanted, func(e Entry) (bool, error) {
		got = append(got, string(e.Payload))
		return true, nil
	})
	if err != nil || next != l.End() {
		t.Fatalf("ended at %s, %v; the log ends at %s", next, err, l.End())
	}
	equal(t, "all", got, want)

	// Step by step: it ends at the record that was not taken, and goes on there.
	got = nil
	for from, n := l.First(), 0; n < len(want); n++ {
		taken := false
		next, err := l.Browse(t.Context(), from, l.End(), wanted, func(e Entry) (bool, error) {
			if taken {
				return false, nil
			}
			taken = true
			got = append(got, string(e.Payload))
			return true, nil
		})
		if err != nil || n+1 < len(at) && next != at[n+1] {
			t.Fatalf("step %d ended at %s, %v", n, next, err)
		}
		from = next
	}
	equal(t, "step by step", got, want)

	if _, err := l.Browse(t.Context(), at[0]+1, l.End(), wanted, nil); err == nil {
		t.Error("a position inside a record was taken")
	}
}
