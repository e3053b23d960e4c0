//go:build full

package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"postrider/cmd/e2e/e2etest"
)

// askIMAP logs in as the account of the tests and returns all untagged lines that
// answer the commands, which must succeed.
func askIMAP(ctx context.Context, addr string, commands ...string) ([]string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('\n'); err != nil {
		return nil, fmt.Errorf("greeting: %w", err)
	}
	var untagged []string
	for _, command := range slices.Concat([]string{fmt.Sprintf("LOGIN %s %s", e2etest.User, e2etest.Password)}, commands, []string{"LOGOUT"}) {
		if _, err := fmt.Fprintf(conn, "t %s\r\n", command); err != nil {
			return nil, err
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return nil, fmt.Errorf("reply to %s: %w", command, err)
			}
			line = strings.TrimSuffix(line, "\r\n")
			if status, ok := strings.CutPrefix(line, "t "); ok {
				if !strings.HasPrefix(status, "OK") {
					return nil, fmt.Errorf("%s is answered %s", command, status)
				}
				break
			}
			untagged = append(untagged, line)
		}
	}
	return untagged, nil
}

// wire stands between mail programs and the server and writes down what the
// programs say.
type wire struct {
	addr string

	mu    sync.Mutex
	said  [][]string // the lines of each connection
	order []string   // all of them
}

// tapWire listens on a free port and passes everything on to the server.
func tapWire(t *testing.T, server string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String()}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
		if t.Failed() {
			t.Logf("the last that was said to the server:\n%s", strings.Join(w.since(max(0, w.now()-60)), "\n"))
		}
	})
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { w.pass(t.Context(), client, server) })
		}
	})
	return w
}

// pass connects a client with the server until either hangs up or ctx ends.
func (w *wire) pass(ctx context.Context, client net.Conn, server string) {
	defer client.Close()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { client.Close(); conn.Close() })()
	w.mu.Lock()
	n := len(w.said)
	w.said = append(w.said, nil)
	w.mu.Unlock()
	back := make(chan struct{})
	go func() { io.Copy(client, conn); client.Close(); close(back) }()
	for r := bufio.NewReader(client); ; {
		line, err := r.ReadString('\n')
		w.note(n, strings.TrimRight(line, "\r\n"))
		if _, werr := io.WriteString(conn, line); err != nil || werr != nil {
			break
		}
	}
	conn.Close()
	<-back
}

func (w *wire) note(conn int, line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said[conn] = append(w.said[conn], line)
	w.order = append(w.order, fmt.Sprintf("%d: %s", conn, line))
}

// now is how many lines were said so far.
func (w *wire) now() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.order)
}

// since returns the lines that were said after so many.
func (w *wire) since(n int) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.order[n:])
}

// saidSince returns the lines after so many that contain a text.
func (w *wire) saidSince(n int, text string) []string {
	return slices.DeleteFunc(w.since(n), func(line string) bool { return !strings.Contains(line, text) })
}

// awaitIdle waits until a program has a folder open and idles in it.
func (w *wire) awaitIdle(ctx context.Context, t *testing.T, folder string) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, said := range w.said {
			open := ""
			for _, line := range said {
				if _, name, ok := strings.Cut(line, " select "); ok {
					open = strings.Trim(name, `"`)
				}
			}
			if strings.HasPrefix(open, folder) && strings.HasSuffix(said[len(said)-1], " IDLE") {
				return nil
			}
		}
		return fmt.Errorf("nobody idles in %s", folder)
	})
}
