package redistest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// probe asks a server whether it has loaded its data and is the process with
// the id. It uses a plain connection: a client has pools and waits of its own.
func probe(addr string, pid int) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "PING\r\nINFO server\r\n"); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(line, "-NOAUTH"):
		return nil // it is up, and tells strangers no more
	case !strings.HasPrefix(line, "+PONG"):
		return fmt.Errorf("PING is answered %q", line)
	}
	want := fmt.Sprintf("process_id:%d\r\n", pid)
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return err
		case line == want:
			return nil
		case strings.HasPrefix(line, "process_id:"):
			return fmt.Errorf("another server listens at %s", addr)
		}
	}
}

// await calls try until it returns nil, and fails the test when ctx ends, or
// after a while.
func await(ctx context.Context, t testing.TB, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, waitTime)
	defer cancel()
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%v; last: %v", ctx.Err(), err)
		}
	}
}
