package redisstore_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

// impatient are options that let trouble show soon.
func impatient(o redisstore.Options) redisstore.Options {
	o.Timeout, o.Patience, o.ContentGrace = 500*time.Millisecond, time.Second, -1
	return o
}

func open(t *testing.T, o redisstore.Options) *redisstore.Store {
	t.Helper()
	s, err := redisstore.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func openOn(t *testing.T, on *redistest.Server) *redisstore.Store {
	t.Helper()
	return open(t, impatient(redisstore.Options{Addrs: []string{on.Addr()}}))
}

// refuses demands that mail is refused in time.
func refuses(t *testing.T, s *redisstore.Store) {
	t.Helper()
	start := time.Now()
	_, err := s.Enqueue(context.Background(), request(uint64(start.UnixNano()), start, 1))
	if !errors.Is(err, queue.ErrUnavailable) {
		t.Fatalf("enqueue: %v, want unavailable", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Fatalf("it took %v to refuse", took)
	}
}

// resumes demands that mail is taken again, and leased.
func resumes(t *testing.T, s *redisstore.Store) {
	t.Helper()
	eventually(t, func() error {
		_, err := s.Enqueue(context.Background(), request(uint64(time.Now().UnixNano()), time.Now(), 1))
		return err
	})
	eventually(t, func() error {
		ls, err := s.Lease(context.Background(), queue.LeaseRequest{Now: time.Now(), Holder: "node", TTL: time.Minute, Max: 1})
		if err == nil && len(ls) == 0 {
			err = errors.New("nothing is leased")
		}
		return err
	})
}

func TestServerIsPaused(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	s := openOn(t, on)
	l := startLoad(t, s)
	l.await(20)
	on.Pause(t)
	refuses(t, s)
	if c := s.Condition(t.Context()); c.Accepting || c.Reason == "" {
		t.Errorf("its condition is %+v", c)
	}
	refuses(t, s)
	on.Resume(t)
	l.await(20)
	l.finish()
	if c := s.Condition(t.Context()); !c.Accepting {
		t.Errorf("its condition is %+v", c)
	}
}

func TestServerIsKilled(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	l := startLoad(t, openOn(t, on), openOn(t, on))
	for range 3 {
		l.await(30)
		on.Kill()
		refuses(t, l.nodes[0])
		on.Restart(t)
	}
	l.await(30)
	l.finish()
}

func TestScriptsAreForgotten(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	l := startLoad(t, openOn(t, on))
	for range 5 {
		l.await(5)
		if err := on.Client().ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	l.finish()
	if l.refused > 0 {
		t.Errorf("%d messages were refused", l.refused)
	}
}

func TestServerIsBusy(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t, "busy-reply-threshold 50")
	s := openOn(t, on)
	resumes(t, s)
	stuck := make(chan error, 1)
	go func() { stuck <- on.Client().Eval(context.Background(), "while true do end", nil).Err() }()
	eventually(t, func() error {
		_, err := s.Enqueue(context.Background(), request(uint64(time.Now().UnixNano()), time.Now(), 1))
		if err == nil {
			return errors.New("it is not busy yet")
		}
		return nil
	})
	refuses(t, s)
	eventually(t, func() error { return on.Client().ScriptKill(context.Background()).Err() })
	<-stuck
	resumes(t, s)
}

func TestServerCannotSave(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t, "stop-writes-on-bgsave-error yes", "dbfilename none.rdb")
	s := openOn(t, on)
	resumes(t, s)
	// A directory in the place of the file lets the snapshot fail.
	if err := os.MkdirAll(on.Dir()+"/none.rdb/x", 0o700); err != nil {
		t.Fatal(err)
	}
	c := on.Client()
	if err := c.ConfigSet(t.Context(), "save", "3600 1").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_ = c.BgSave(t.Context()).Err() // one may be under way
		info, err := on.Info(t.Context(), "persistence")
		if err == nil && info["rdb_last_bgsave_status"] != "err" {
			err = errors.New("the snapshot did not fail yet")
		}
		return err
	})
	refuses(t, s)
	if err := c.ConfigSet(t.Context(), "save", "").Err(); err != nil {
		t.Fatal(err)
	}
	resumes(t, s)
}

func TestServerIsDemoted(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	s := openOn(t, on)
	resumes(t, s)
	if err := on.Client().Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	refuses(t, s)
	if err := on.Client().Do(t.Context(), "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	resumes(t, s)
}

// TestServerIsLoading talks to a server that says so, as one does for minutes
// with a large log.
func TestServerIsLoading(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	front := startFront(t, on)
	s := open(t, impatient(redisstore.Options{Addrs: []string{front.addr}}))
	resumes(t, s)
	front.loading(true)
	refuses(t, s)
	front.loading(false)
	resumes(t, s)
}

// front stands before a server, and answers for it while that is loading.
type front struct {
	addr  string
	says  chan bool
	state chan bool
}

func startFront(t *testing.T, on *redistest.Server) *front {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{addr: ln.Addr().String(), says: make(chan bool), state: make(chan bool)}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); ln.Close() })
	go func() {
		now := false
		for {
			select {
			case now = <-f.says:
			case f.state <- now:
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go f.serve(ctx, c, on.Addr())
		}
	}()
	return f
}

func (f *front) loading(is bool) { f.says <- is }

func (f *front) isLoading(ctx context.Context) bool {
	select {
	case is := <-f.state:
		return is
	case <-ctx.Done():
		return true
	}
}

// serve passes commands on, or answers each with an error.
func (f *front) serve(ctx context.Context, c net.Conn, to string) {
	defer c.Close()
	back, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer back.Close()
	go func() { _, _ = io.Copy(c, back) }() // ends with either
	r := bufio.NewReader(c)
	for {
		cmd, err := readCommand(r)
		if err != nil {
			return
		}
		if f.isLoading(ctx) {
			_, err = io.WriteString(c, "-LOADING Redis is loading the dataset in memory\r\n")
		} else {
			_, err = io.WriteString(back, cmd)
		}
		if err != nil {
			return
		}
	}
}

// readCommand reads one command as it was sent.
func readCommand(r *bufio.Reader) (string, error) {
	var b strings.Builder
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	b.WriteString(line)
	for n := atoi(line[1:]); n > 0; n-- {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		b.WriteString(line)
		if _, err := io.CopyN(&b, r, int64(atoi(line[1:]))+2); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

func atoi(s string) (n int) {
	for _, c := range strings.TrimSpace(s) {
		n = 10*n + int(c-'0')
	}
	return n
}
