package imapview

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestWritingEndsWhenNothingIsTakenForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		w := &wire{Conn: ours, timeout: time.Minute}
		go func() {
			for range 10 { // an octet every 50 s is slow, but something
				time.Sleep(50 * time.Second)
				if _, err := io.ReadFull(theirs, make([]byte, 1)); err != nil {
					t.Error(err)
				}
			}
		}()
		began := time.Now()
		if n, err := w.Write(make([]byte, 10)); n != 10 || err != nil {
			t.Error(n, err)
		}
		if took := time.Since(began); took != 500*time.Second {
			t.Error(took)
		}
		if n, err := w.Write(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(n, err)
		}
		if took := time.Since(began); took != 560*time.Second {
			t.Error(took)
		}
		_, _ = ours.Close(), theirs.Close()
	})
}

func TestNoReadDeadlineUndoesDraining(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	w := &wire{Conn: ours}
	w.drain()
	w.readBy(time.Now().Add(time.Hour))
	if err := w.SetDeadline(time.Time{}); err != nil {
		t.Error(err)
	}
	if _, err := w.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}
