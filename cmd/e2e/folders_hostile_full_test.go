//go:build full

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

const (
	idleConnections = 2000
	idleMemory      = 150 // MiB that they may take
)

// Mail programs of forty accounts wait in IDLE, fifty each, and hear of what comes.
func TestTwoThousandIdleConnections(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	var accounts []string
	for i := range 40 {
		accounts = append(accounts, fmt.Sprintf("shop%d:%s", i, e2etest.Password))
	}
	relay := e2etest.Start(t, folderWorld(t).Env(), e2etest.Env{
		"POSTRIDER_ACCOUNTS":                            strings.Join(accounts, ","),
		"POSTRIDER_FOLDERS_MAX_CONNECTIONS":             "3000",
		"POSTRIDER_FOLDERS_MAX_CONNECTIONS_PER_ACCOUNT": "100",
		"POSTRIDER_FOLDERS_MAX_CONNECTIONS_PER_ADDRESS": "3000",
	})
	bounce := func() {
		t.Helper()
		for i := range accounts {
			c, err := e2etest.Login(ctx, relay.SMTP, fmt.Sprint("shop", i), e2etest.Password)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Send("a@shop.test", []string{"bob@refusal.test"}, e2etest.Mail("a@shop.test", "bob@refusal.test", "order")); err != nil {
				t.Fatal(err)
			}
		}
	}
	bounce()
	for i := range accounts {
		c, err := e2etest.LoginIMAP(ctx, relay.IMAP, fmt.Sprint("shop", i), e2etest.Password)
		if err != nil {
			t.Fatal(err)
		}
		awaitFolder(ctx, t, c, "INBOX", 1)
		c.Close()
	}
	before := relay.MemoryMiB(t)
	began := time.Now()
	clients := idleClients(ctx, t, relay, len(accounts))
	took := time.Since(began)
	after := relay.MemoryMiB(t)
	t.Logf("%d idle connections, made in %v, take %d MiB: %d before, %d after, %d octets each", idleConnections, took, after-before, before, after, (after-before)<<20/idleConnections)
	if after-before > idleMemory {
		t.Errorf("they take %d MiB", after-before)
	}
	began = time.Now()
	bounce()
	for i, c := range clients {
		for line := ""; line != "* 2 EXISTS"; {
			var err error
			if line, err = c.Line(); err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
		}
	}
	t.Logf("all heard of a bounce after %v; then there were %d MiB", time.Since(began), relay.MemoryMiB(t))
}

func idleClients(ctx context.Context, t *testing.T, relay *e2etest.Relay, accounts int) []*e2etest.IMAP {
	t.Helper()
	clients, errs := make([]*e2etest.IMAP, idleConnections), make([]error, idleConnections)
	var all sync.WaitGroup
	const at = 20 // once
	for n := range at {
		all.Go(func() {
			for i := n; i < idleConnections; i += at {
				clients[i], errs[i] = idleClient(ctx, relay, fmt.Sprint("shop", i%accounts))
			}
		})
	}
	all.Wait()
	t.Cleanup(func() {
		for _, c := range clients {
			if c != nil {
				c.Close()
			}
		}
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return clients
}

func idleClient(ctx context.Context, relay *e2etest.Relay, user string) (*e2etest.IMAP, error) {
	c, err := e2etest.LoginIMAP(ctx, relay.IMAP, user, e2etest.Password)
	if err != nil {
		return nil, err
	}
	if _, err = c.Do("SELECT INBOX"); err == nil {
		_, err = c.Send("IDLE")
	}
	for line := ""; err == nil && !strings.HasPrefix(line, "+"); {
		line, err = c.Line()
	}
	return c, err
}

// halfOpenConnectionsEnd: who never logs in, or stops in the middle of it, is gone
// after a minute.
func halfOpenConnectionsEnd(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	relay := e2etest.Start(t, folderWorld(t).Env())
	began := time.Now()
	var all sync.WaitGroup
	for _, half := range []struct{ addr, text string }{
		{relay.IMAP, ""}, {relay.IMAP, "a LOG"}, {relay.IMAP, "a LOGIN shop {10}\r\n"}, {relay.IMAP, "a LOGIN shop {100+}\r\nx"}, {relay.IMAP, "a AUTHENTICATE PLAIN\r\n"},
		{relay.IMAP, strings.Repeat("a NOOP\r\n", 1000)}, {relay.POP3, ""}, {relay.POP3, "USER sh"}, {relay.POP3, "USER shop\r\n"}, {relay.POP3, "AUTH PLAIN\r\n"},
	} {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", half.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, half.text); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			if _, err := io.Copy(io.Discard, conn); ctx.Err() != nil {
				t.Errorf("after %q the connection stays open, %v", half.text[:min(20, len(half.text))], err)
			}
		})
	}
	all.Wait()
	t.Logf("all have ended after %v", time.Since(began))
}

const (
	slowMails = 10
	slowSize  = 16 << 20
)

// aSlowReaderHoldsNothingUp: it takes a kilobyte a second of a folder of large mails.
// Mail is accepted and filed as if it were not there, and what retention gives free
// is given back to the disk.
func aSlowReaderHoldsNothingUp(t *testing.T) {
	ctx := within(t, 4*time.Minute)
	world := e2etest.NewInternet(t)
	world.Domain(t, "customer.test", smtpsim.Options{Keep: smtpsim.KeepCounters})
	world.Domain(t, "shop.test", smtpsim.Options{Keep: smtpsim.KeepCounters})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_RETENTION_CONTENT": "30s"})
	large := string(e2etest.Mail("owner@shop.test", "ann@customer.test", "A large order")) + strings.Repeat(strings.Repeat("x", 70)+"\r\n", slowSize/72)
	for range slowMails {
		relay.Submit(ctx, t, "owner@shop.test", []string{"ann@customer.test"}, []byte(large))
	}
	c := folderClient(ctx, t, relay)
	awaitFolder(ctx, t, c, "Sent", slowMails)
	full := logSize(t, relay)
	slow := readSlowly(ctx, t, relay, "UID FETCH 1:* (FLAGS BODY.PEEK[])")
	for i := range 20 {
		began := time.Now()
		submitTo(ctx, t, relay, "bob@customer.test", fmt.Sprint("order ", i))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("mail was accepted after %v", took)
		}
	}
	awaitFolder(ctx, t, c, "Sent", slowMails+20)
	if slow.hasEnded() {
		t.Error("the slow reader was cut off at once")
	}
	e2etest.Poll(ctx, t, func() error {
		if now := logSize(t, relay); now > full/2 {
			return fmt.Errorf("the log has %d MiB, and had %d", now>>20, full>>20)
		}
		return nil
	})
	t.Logf("the log had %d MiB and has %d; the slow reader has read %d octets, and its connection has ended: %t", full>>20, logSize(t, relay)>>20, slow.octets(), slow.hasEnded())
}

// logSize is what all files of the store take, but for those that are unlinked.
func logSize(t *testing.T, relay *e2etest.Relay) (n int64) {
	t.Helper()
	err := filepath.WalkDir(relay.DataDir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return n
}

// slowReader reads a kilobyte a second.
type slowReader struct {
	mu    sync.Mutex
	n     int
	ended bool
}

func (s *slowReader) octets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

func (s *slowReader) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// readSlowly sends a command in the folder Sent and reads its answer until the test
// ends.
func readSlowly(ctx context.Context, t *testing.T, relay *e2etest.Relay, command string) *slowReader {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		})
		return errors.Join(err, failed)
	}}
	conn, err := dialer.DialContext(ctx, "tcp", relay.IMAP)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "a LOGIN %s %s\r\nb SELECT Sent\r\nc %s\r\n", e2etest.User, e2etest.Password, command); err != nil {
		t.Fatal(err)
	}
	s := &slowReader{}
	tick := time.NewTicker(time.Second)
	var reading sync.WaitGroup
	t.Cleanup(func() {
		tick.Stop()
		conn.Close()
		reading.Wait()
	})
	reading.Go(func() {
		for p := make([]byte, 1<<10); ; {
			n, err := conn.Read(p)
			s.mu.Lock()
			s.n, s.ended = s.n+n, err != nil
			s.mu.Unlock()
			if err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return s
}
