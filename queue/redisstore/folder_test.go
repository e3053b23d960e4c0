package redisstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

// commitTo commits to a shelf as one who saw a head of it.
func commitTo(t *testing.T, s *redisstore.Store, saw queue.FolderHead, value string) (uint64, error) {
	t.Helper()
	return s.FolderCommit(t.Context(), "shop", queue.FolderWrite{
		Version: saw.Version, Lineage: saw.Lineage, Index: map[string][]byte{"h": []byte(value)}, Rows: map[string][]byte{"r" + value: []byte(value)},
	})
}

func headOf(t *testing.T, s *redisstore.Store) queue.FolderHead {
	t.Helper()
	h, err := s.FolderHead(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// mustCommit commits upon what is there, and returns what is there then.
func mustCommit(t *testing.T, s *redisstore.Store, value string) queue.FolderHead {
	t.Helper()
	was := headOf(t, s)
	v, err := commitTo(t, s, was, value)
	if err != nil {
		t.Fatal(err)
	}
	is := headOf(t, s)
	if is.Version != v || v <= was.Version || is.Lineage != was.Lineage {
		t.Fatalf("the head is %+v, was %+v, committed %d", is, was, v)
	}
	return is
}

func wantValue(t *testing.T, s *redisstore.Store, want string) {
	t.Helper()
	_, index, err := s.FolderIndex(t.Context(), "shop")
	if err != nil || string(index["h"]) != want {
		t.Fatalf("the index says %q, %v; want %q", index["h"], err, want)
	}
}

func TestARestartChangesTheLineage(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	s := openOn(t, on)
	was := mustCommit(t, s, "1")
	on.Restart(t)
	is := headOf(t, s)
	if is.Version != was.Version || is.Lineage == was.Lineage {
		t.Fatalf("the head is %+v, was %+v", is, was)
	}
	if _, err := commitTo(t, s, was, "late"); !errors.Is(err, queue.ErrVersion) {
		t.Fatalf("a commit in the history before: %v", err)
	}
	mustCommit(t, s, "2")
}

// TestWhatAFailoverLostIsNotBuiltUpon has a server made master that lacks the last
// commit of the one before.
func TestWhatAFailoverLostIsNotBuiltUpon(t *testing.T) {
	t.Parallel()
	set := redistest.StartReplicated(t, 1)
	var to atomic.Pointer[redistest.Server]
	to.Store(set[0])
	o := impatient(redisstore.Options{Addrs: []string{set[0].Addr()}})
	o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, to.Load().Addr())
	}
	before, after := open(t, o), open(t, o)
	kept := mustCommit(t, before, "kept")
	eventually(t, func() error {
		if n, err := set[0].Client().Wait(t.Context(), 1, time.Second).Result(); err != nil || n != 1 {
			return fmt.Errorf("%d replicas, %w", n, err)
		}
		return nil
	})
	set[1].Promote(t.Context(), t)
	lost := mustCommit(t, before, "lost")

	to.Store(set[1])
	set[0].Kill()
	eventually(t, func() error { _, err := after.FolderHead(t.Context(), "shop"); return err })
	is := headOf(t, after)
	if is.Version != kept.Version || is.Lineage == kept.Lineage {
		t.Fatalf("the head is %+v, was %+v with what was kept", is, kept)
	}
	for _, saw := range []queue.FolderHead{
		lost, kept, {Version: lost.Version}, {Version: lost.Version, Lineage: is.Lineage}, {Lineage: kept.Lineage},
	} {
		if _, err := commitTo(t, after, saw, "late"); !errors.Is(err, queue.ErrVersion) {
			t.Fatalf("a commit upon %+v: %v", saw, err)
		}
	}
	wantValue(t, after, "kept")
	if now := mustCommit(t, after, "new"); now.Version == lost.Version {
		t.Fatal("the version of what was lost came back")
	}
	if _, err := commitTo(t, after, queue.FolderHead{Version: lost.Version}, "late"); !errors.Is(err, queue.ErrVersion) {
		t.Fatalf("a commit upon what was lost: %v", err)
	}
}

func TestACommitThatNoReplicaHasIsNotDone(t *testing.T) {
	t.Parallel()
	set := redistest.StartSteadySentinels(t, 1)
	s := openSentinels(t, set)
	was := mustCommit(t, s, "1")
	set.Nodes[1].Pause(t)
	if _, err := commitTo(t, s, was, "2"); !errors.Is(err, queue.ErrUnavailable) {
		t.Fatalf("commit: %v", err)
	}
	if _, err := commitTo(t, s, was, "late"); !errors.Is(err, queue.ErrVersion) && !errors.Is(err, queue.ErrUnavailable) {
		t.Fatalf("a commit upon what somebody built upon: %v", err)
	}
	if err := s.FolderDrop(t.Context(), "shop"); !errors.Is(err, queue.ErrUnavailable) {
		t.Fatalf("drop: %v", err)
	}
	set.Nodes[1].Resume(t)
	eventually(t, func() error {
		_, err := commitTo(t, s, headOf(t, s), "3")
		return err
	})
	wantValue(t, s, "3")
}

// TestACommitIsAskedTwice loses the answer to a commit.
func TestACommitIsAskedTwice(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	other := openOn(t, on)
	f := &forgetful{}
	o := impatient(redisstore.Options{Addrs: []string{on.Addr()}})
	o.Dial = f.dial
	s := open(t, o)
	mustCommit(t, s, "0")
	if err := s.FolderDrop(t.Context(), "shop"); err != nil { // so that the scripts are known
		t.Fatal(err)
	}
	was := mustCommit(t, s, "1")
	lost := 0
	f.lose(func() { lost++ })
	v, err := commitTo(t, s, was, "2")
	if is := headOf(t, s); err != nil || lost != 1 || is.Version != v {
		t.Fatalf("version %d, %v; the head is %+v, %d answers were lost", v, err, is, lost)
	}
	// What somebody else did meanwhile says nothing about ours.
	f.lose(func() { mustCommit(t, other, "3") })
	if _, err := commitTo(t, s, headOf(t, s), "4"); !errors.Is(err, queue.ErrUnavailable) || errors.Is(err, queue.ErrVersion) {
		t.Fatalf("a commit that was done and built upon: %v", err)
	}
	// Nor is a shelf dropped that was begun after ours was.
	f.lose(func() { mustCommit(t, other, "5") })
	if err := s.FolderDrop(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	wantValue(t, other, "5")
}

// forgetful loses the answer to a script that changes a shelf.
type forgetful struct {
	mu   sync.Mutex
	then func() // nil: no answer is lost
}

func (f *forgetful) lose(then func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.then = then
}

func (f *forgetful) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	return &forgetfulConn{Conn: c, f: f}, err
}

type forgetfulConn struct {
	net.Conn
	f    *forgetful
	then func()
}

func (c *forgetfulConn) Write(p []byte) (int, error) {
	for _, sha := range redisstore.FolderChanges {
		if bytes.Contains(p, []byte(sha)) {
			c.f.mu.Lock()
			c.then, c.f.then = c.f.then, nil
			c.f.mu.Unlock()
		}
	}
	return c.Conn.Write(p)
}

func (c *forgetfulConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.then == nil || err != nil {
		return n, err
	}
	c.then()
	_ = c.Conn.Close()
	return 0, io.ErrUnexpectedEOF
}

// TestACommitOfVeryManyKeys has as many as fit: the stack of a script does not
// hold them at once.
func TestACommitOfVeryManyKeys(t *testing.T) {
	t.Parallel()
	s := open(t, redisstore.Options{Addrs: []string{redistest.StartServer(t).Addr()}, Timeout: 20 * time.Second, Patience: 20 * time.Second})
	const n = queue.MaxFolderCommit / 32
	w := queue.FolderWrite{Index: map[string][]byte{}, Rows: map[string][]byte{}}
	var keys []string
	for i := range n {
		k := string(binary.BigEndian.AppendUint32(nil, uint32(i)))
		keys = append(keys, k)
		w.Index[k], w.Rows[k] = []byte{}, []byte{}
	}
	v, err := s.FolderCommit(t.Context(), "shop", w)
	if err != nil {
		t.Fatal(err)
	}
	_, index, err := s.FolderIndex(t.Context(), "shop")
	rows, err2 := s.FolderRows(t.Context(), "shop", keys)
	if err != nil || err2 != nil || len(index) != n || len(rows) != n {
		t.Fatalf("%d and %d of %d keys: %v, %v", len(index), len(rows), n, err, err2)
	}
	for i, row := range rows {
		if row == nil {
			t.Fatalf("row %d is missing", i)
		}
	}
	for k := range w.Index {
		w.Index[k], w.Rows[k] = nil, nil
	}
	w.Version = v
	if _, err := s.FolderCommit(t.Context(), "shop", w); err != nil {
		t.Fatal(err)
	}
	if _, index, err := s.FolderIndex(t.Context(), "shop"); err != nil || len(index) != 0 {
		t.Fatalf("%d keys are left: %v", len(index), err)
	}
}
