package redisstore_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

// constant are the keys of a store in which nothing is, however long it was
// used: what it is, the nodes, and of each partition its state, its counts, an
// empty log, and the segment that was last written to.
var constant = regexp.MustCompile(`^pr(\{meta\}n?|\{reg\}.*|\{q\d+\}([cev]|s|[sg]\d+)?)$`)

// all forgets everything.
func all() queue.Retention {
	later := time.Now().Add(1000 * time.Hour)
	return queue.Retention{Now: later, Sent: later, Bounced: later, Content: later}
}

// forgotten sweeps a store in which all is final, and demands that nothing of its
// mail is left.
func forgotten(t *testing.T, s *redisstore.Store, on ...*redistest.Server) {
	t.Helper()
	if n := leases(t, s, time.Now().Add(time.Hour), 10); n > 0 { // who looks for work clears hints that are stale
		t.Errorf("%d leases of what is final", n)
	}
	for more := true; more; {
		v, err := s.Sweep(t.Context(), all())
		if err != nil {
			t.Fatal(err)
		}
		more = v.More || v.Entries > 0
	}
	eventually(t, func() error { // idempotency keys end by the server's clock
		left, err := leftovers(t.Context(), on)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%d keys are left, such as %.10q", len(left), left)
		}
		return err
	})
	cs, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for st, c := range cs {
		if c.Recipients != 0 {
			t.Errorf("%d are counted as %s", c.Recipients, st)
		}
	}
}

func leftovers(ctx context.Context, on []*redistest.Server) (left []string, err error) {
	for _, server := range on {
		it := server.Client().Scan(ctx, 0, "*", 1000).Iterator()
		for it.Next(ctx) {
			if !constant.MatchString(it.Val()) {
				left = append(left, it.Val())
			}
		}
		if err := it.Err(); err != nil {
			return nil, err
		}
	}
	return left, nil
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		dir  bool
	}{{"contents in chunks", false}, {"contents in a directory", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			on := redistest.StartServer(t)
			o := redisstore.Options{Addrs: []string{on.Addr()}, ContentGrace: -1, OrphanAge: time.Millisecond}
			if c.dir {
				o.ContentDir = t.TempDir()
			}
			s := open(t, o)
			dropContents(t, s)
			deliverSome(t, s)
			if err := s.Close(); err != nil { // what is given up goes in the background
				t.Fatal(err)
			}
			forgotten(t, open(t, o), on)
			if n := files(t, o.ContentDir); n > 0 {
				t.Errorf("%d files are left", n)
			}
		})
	}
}

// dropContents leaves contents of every size that no message will name.
func dropContents(t *testing.T, s *redisstore.Store) {
	t.Helper()
	for _, size := range []int{100, 40_000, 300_000, 900_000} {
		for _, abort := range []bool{true, false} {
			w, err := s.CreateContent(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(bytes.Repeat([]byte("x"), size)); err != nil {
				t.Fatal(err)
			}
			if abort {
				w.Abort()
			}
		}
	}
}

// deliverSome takes messages of every size to their end, one of them twice
// submitted.
func deliverSome(t *testing.T, s *redisstore.Store) {
	t.Helper()
	for i, size := range []int{100, 40_000, 300_000, 900_000, 900_000} {
		r := request(uint64(1+i), time.Now(), 2)
		r.Message.Account = "shop"
		r.Idempotency = queue.Idempotency{Key: string(rune('a' + min(i, 3))), ExpiresAt: time.Now().Add(time.Second)}
		withContent(t, s, &r, bytes.Repeat([]byte("y"), size))
		if out, err := s.Enqueue(t.Context(), r); err != nil || out.Duplicate != (i == 4) {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	for {
		ls, err := s.Lease(t.Context(), queue.LeaseRequest{Now: time.Now(), Holder: "node", TTL: time.Minute, Max: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(ls) == 0 {
			break
		}
		for _, l := range ls {
			var ss []queue.Settlement
			for _, r := range l.Recipients {
				ss = append(ss, queue.Settlement{Recipient: r.ID, Outcome: queue.StateBounced, Class: queue.ClassRcptSyntax})
			}
			if err := s.Settle(t.Context(), l, ss); err != nil {
				t.Fatal(err)
			}
		}
	}
	// One with a key that has ended is another message.
	eventually(t, func() error {
		r := request(99, time.Now(), 1)
		r.Message.Account = "shop"
		r.Idempotency = queue.Idempotency{Key: "a", Fingerprint: [32]byte{1}, ExpiresAt: time.Now().Add(time.Millisecond)}
		_, err := s.Enqueue(context.Background(), r)
		return err
	})
	if _, err := s.Apply(t.Context(), queue.Operation{Action: queue.ActionCancel, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, dir string) (n int) {
	t.Helper()
	if dir == "" {
		return 0
	}
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
