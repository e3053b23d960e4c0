package commitlog

import (
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestAppliedIsCalledOnceThePositionHasMoved(t *testing.T) {
	t.Parallel()
	var l *Log
	var given, calls atomic.Uint64
	o := Options{FS: vfs.NewMem()}
	o.Apply = func(es []Entry) error {
		given.Store(uint64(es[len(es)-1].Next))
		return nil
	}
	o.Applied = func() {
		calls.Add(1)
		if l.Applied() != Position(given.Load()) {
			t.Errorf("called at %s, before %s is applied", l.Applied(), Position(given.Load()))
		}
	}
	l, err := Open(t.Context(), "log", o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(20) {
		if err := l.Append(t.Context(), &Batch{Records: []Record{rec("x")}}); err != nil {
			t.Fatal(err)
		}
		if calls.Load() != i+1 {
			t.Fatalf("%d calls after %d appends", calls.Load(), i+1)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
