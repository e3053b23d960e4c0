package logstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
)

// ledger is what the store has acknowledged to the load.
type ledger struct {
	mu       sync.Mutex
	contents map[queue.MessageID]string
	final    map[queue.RecipientID]queue.State // settled for good, and said so
	records  map[string]uint64
}

func newLedger() *ledger {
	return &ledger{
		contents: map[queue.MessageID]string{}, final: map[queue.RecipientID]queue.State{},
		records: map[string]uint64{},
	}
}

func (l *ledger) clone() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := newLedger()
	for k, v := range l.contents {
		c.contents[k] = v
	}
	for k, v := range l.final {
		c.final[k] = v
	}
	for k, v := range l.records {
		c.records[k] = v
	}
	return c
}

// load runs random operations until it is told to stop.
type load struct {
	t   *testing.T
	s   *Store
	l   *ledger
	now time.Time
}

func (w *load) run(ctx context.Context, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	for i := 0; ctx.Err() == nil; i++ {
		var err error
		switch n := rng.IntN(10); {
		case n < 4:
			err = w.enqueue(ctx, rng, fmt.Sprintf("%d-%d", seed, i))
		case n < 8:
			err = w.deliver(ctx, rng)
		case n == 8:
			err = w.operate(ctx, rng)
		default:
			err = w.record(ctx, rng, fmt.Sprint("r", seed))
		}
		if err != nil && ctx.Err() == nil {
			w.t.Errorf("under load: %v", err)
			return
		}
	}
}

func (w *load) enqueue(ctx context.Context, rng *rand.Rand, tag string) error {
	body := tag + strings.Repeat("x", rng.IntN(5000))
	m := mail{
		account: fmt.Sprint("a", rng.IntN(3)), lane: queue.Lane(fmt.Sprint("l", rng.IntN(4))), rcpts: 1 + rng.IntN(4),
		body: body, prio: queue.Priority(1 + rng.IntN(3)), due: w.now.Add(time.Duration(rng.IntN(3)-1) * time.Hour),
		state: []queue.State{queue.StateQueued, queue.StateQueued, queue.StateScheduled, queue.StateHeld, queue.StateBounced}[rng.IntN(5)],
	}
	if rng.IntN(2) == 0 {
		r := request(w.now, 2)
		m.lease = &r
	}
	r := m.request(w.t, nil)
	c, err := w.s.CreateContent(ctx)
	if err != nil {
		return err
	}
	if _, err := c.Write([]byte(body)); err != nil {
		return err
	}
	if r.Content = c; rng.IntN(20) == 0 {
		c.Abort()
		return nil
	}
	out, err := w.s.Enqueue(ctx, r)
	if err != nil {
		return err
	}
	w.l.mu.Lock()
	w.l.contents[out.ID] = body
	w.l.mu.Unlock()
	for _, l := range out.Leases {
		if err := w.settle(ctx, rng, l); err != nil {
			return err
		}
	}
	return nil
}

func (w *load) deliver(ctx context.Context, rng *rand.Rand) error {
	ls, err := w.s.Lease(ctx, request(w.now, 1+rng.IntN(3)))
	if err != nil {
		return err
	}
	for _, l := range ls {
		if err := w.settle(ctx, rng, l); err != nil {
			return err
		}
	}
	return nil
}

func (w *load) settle(ctx context.Context, rng *rand.Rand, l queue.Lease) error {
	var ids []queue.RecipientID
	for _, r := range l.Recipients {
		ids = append(ids, r.ID)
	}
	if err := w.s.Mark(ctx, l, ids); err != nil {
		return err
	}
	switch rng.IntN(5) {
	case 0:
		return w.s.Release(ctx, l, w.now, nil)
	case 1:
		return nil // abandoned: it expires
	}
	st := []queue.State{queue.StateDelivered, queue.StateDeferred, queue.StateBounced, queue.StateRelayed, queue.StateHeld}[rng.IntN(5)]
	err := w.s.Settle(ctx, l, settleAs(l, st, w.now))
	if err == nil && st.Final() {
		w.l.mu.Lock()
		for _, id := range ids {
			w.l.final[id] = st
		}
		w.l.mu.Unlock()
	}
	return err
}

func (w *load) operate(ctx context.Context, rng *rand.Rand) error {
	_, err := w.s.Apply(ctx, queue.Operation{
		Action: queue.Action(1 + rng.IntN(3)), Now: w.now, Actor: "op",
		Filter: queue.Filter{Account: fmt.Sprint("a", rng.IntN(3)), Lane: queue.Lane(fmt.Sprint("l", rng.IntN(4)))},
	})
	if err != nil || rng.IntN(4) > 0 {
		return err
	}
	_, err = w.s.Sweep(ctx, queue.Retention{Now: w.now, Content: w.now.Add(-time.Hour)})
	return err
}

func (w *load) record(ctx context.Context, rng *rand.Rand, name string) error {
	r, err := w.s.GetRecord(ctx, queue.RecordSetting, name)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	r.Kind, r.Name, r.Value = queue.RecordSetting, name, []byte(fmt.Sprint(rng.Uint64()))
	v, err := w.s.PutRecord(ctx, r)
	if err == nil {
		w.l.mu.Lock()
		w.l.records[name] = v
		w.l.mu.Unlock()
	}
	return err
}

// verify holds the store that came back against what was acknowledged.
func (l *ledger) verify(t *testing.T, s *Store) {
	t.Helper()
	ctx := context.Background()
	for id, body := range l.contents {
		e, err := s.Message(ctx, id)
		if err != nil {
			t.Errorf("acknowledged %s: %v", id, err)
			continue
		}
		if got := readContent(t, s, e.Message.Content); string(got) != body {
			t.Errorf("content of %s has %d bytes, want %d", id, len(got), len(body))
		}
		for _, r := range e.Recipients {
			if want, ok := l.final[r.ID]; ok && r.State != want {
				t.Errorf("%s was settled as %s, is %s", r.ID, want, r.State)
			}
		}
	}
	for name, v := range l.records {
		if r, err := s.GetRecord(ctx, queue.RecordSetting, name); err != nil || r.Version < v {
			t.Errorf("record %s has version %d (%v), want %d", name, r.Version, err, v)
		}
	}
	checkIndex(t, s)
	byMessage := map[queue.MessageID][]queue.EventID{}
	for _, v := range allEvents(t, s) {
		byMessage[v.Message] = append(byMessage[v.Message], v.ID)
	}
	for id := range l.contents {
		h, err := s.History(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		got := byMessage[id]
		for i := range h {
			if len(got) != len(h) || got[i] != h[i].ID {
				t.Errorf("the log has %d events of %s, its history %d, or in another order", len(got), id, len(h))
				break
			}
		}
	}
	checkLeases(t, s)
}

func TestPowerLossUnderLoad(t *testing.T) {
	t.Parallel()
	for round := range uint64(24) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(round, 1))
			fs := vfs.NewCrashableMem()
			// Small sizes let all the steps happen: rolls, flushes, compactions.
			o := Options{FS: fs, SegmentSize: 128 << 10, MemTableSize: 64 << 10, InlineLimit: 1000}
			known := newLedger()
			for range 2 {
				o.FS = fs
				s := openTest(t, o)
				ctx, stop := context.WithCancel(context.Background())
				var wg sync.WaitGroup
				for i := range uint64(6) {
					w := &load{t: t, s: s, l: known, now: t0}
					wg.Go(func() { w.run(ctx, round*100+i) })
				}
				wait := time.NewTimer(time.Duration(20+rng.IntN(200)) * time.Millisecond)
				<-wait.C
				acknowledged := known.clone()
				clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 30, 100}[rng.IntN(3)], RNG: rng})
				stop()
				wg.Wait()
				fs, known = clone, acknowledged
				o.FS = fs
				back := openTest(t, o)
				known.verify(t, back)
				if err := back.Close(); err != nil {
					t.Fatal(err)
				}
				back = openTest(t, o)
				known.verify(t, back)
				if err := back.Close(); err != nil {
					t.Fatal(err)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}
