package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// model is what a log should hold.
type model struct {
	entries []Entry // Next is not known to the writer and stays zero
	applied int     // how many of all entries ever appended Apply has seen
	dropped int     // entries removed with their segments
}

// TestRandomHistoriesMatchTheModel runs random operations on log and model.
func TestRandomHistoriesMatchTheModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			runHistory(t, rand.New(rand.NewPCG(seed, 3)))
		})
	}
}

func runHistory(t *testing.T, rng *rand.Rand) {
	mem := vfs.NewCrashableMem()
	m := &model{}
	opts := Options{SegmentSize: int64(minSegmentSize + rng.IntN(30000)), MaxOpenFiles: 1 + rng.IntN(4)}
	opts.Apply = func(es []Entry) error {
		for range es {
			m.applied++
		}
		return nil
	}
	l := mustOpen(t, mem, opts)
	sync := func() {
		if err := l.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m.applied != len(m.entries)+m.dropped {
			t.Fatalf("%d applied of %d", m.applied, len(m.entries)+m.dropped)
		}
	}
	for range 150 {
		switch k := rng.IntN(20); {
		case k < 10:
			b := &Batch{NoSync: rng.IntN(3) == 0, Critical: rng.IntN(2) == 0}
			for range rng.IntN(4) {
				p := make([]byte, rng.IntN(1<<rng.IntN(15)))
				for i := range p {
					p[i] = byte(rng.Uint32())
				}
				cut := rng.IntN(len(p) + 1)
				b.Records = append(b.Records, Record{Type: byte(1 + rng.IntN(255)), Payload: p[:cut], Body: p[cut:]})
			}
			if err := l.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			for _, r := range b.Records {
				m.entries = append(m.entries, Entry{Position: r.Position, Type: r.Type, Payload: append(bytes.Clone(r.Payload), r.Body...)})
			}
		case k == 10:
			if err := l.Roll(t.Context()); err != nil {
				t.Fatal(err)
			}
		case k == 11:
			if segs := l.Segments(); len(segs) > 1 {
				if err := l.Remove(segs[0].First); err != nil {
					t.Fatal(err)
				}
				for len(m.entries) > 0 && m.entries[0].Position < segs[0].End {
					old := m.entries[0].Position
					if _, err := l.ReadAt(old, nil); !errors.Is(err, ErrRemoved) {
						t.Fatalf("removed %s: %v", old, err)
					}
					m.entries = m.entries[1:]
					m.dropped++
				}
			}
		case k < 14:
			sync()
			at := l.End()
			if rng.IntN(2) == 0 {
				mem = clone(mem, rng, rng.IntN(101))
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			opts.From = at
			l = mustOpen(t, mem, opts)
		default:
			sync()
			m.compare(t, l, rng)
		}
	}
	sync()
	m.compare(t, l, rng)
}

func (m *model) compare(t *testing.T, l *Log, rng *rand.Rand) {
	t.Helper()
	from, start := l.First(), 0
	if len(m.entries) > 0 && rng.IntN(2) == 0 {
		start = rng.IntN(len(m.entries))
		from = m.entries[start].Position
	}
	i := start
	next := from
	end, err := l.Scan(t.Context(), from, func(e Entry) error {
		if i >= len(m.entries) {
			return fmt.Errorf("record at %s is too many", e.Position)
		}
		w := m.entries[i]
		if e.Position != w.Position || e.Type != w.Type || !bytes.Equal(e.Payload, w.Payload) {
			return fmt.Errorf("record %d at %s (want %s) differs", i, e.Position, w.Position)
		}
		i, next = i+1, e.Next
		return nil
	})
	if err != nil || i != len(m.entries) || (i > start && next != end) || end != l.End() {
		t.Fatalf("scan from %s to %s: %v; %d of %d", from, end, err, i, len(m.entries))
	}
	if len(m.entries) == 0 {
		return
	}
	w := m.entries[rng.IntN(len(m.entries))]
	e, err := l.ReadAt(w.Position, make([]byte, 0, rng.IntN(20000)))
	if err != nil || !bytes.Equal(e.Payload, w.Payload) {
		t.Fatalf("read %s: %v", w.Position, err)
	}
}
