package sendmail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

var errCancelled = errors.New("cancelled")

// tunnel lends stdin and stdout to an SMTP client: what it says goes to the
// relay as it is, and back. It ends when the relay hangs up, which it does
// after QUIT and after the end of stdin.
func (inv Invocation) tunnel(ctx context.Context, set settings) error {
	s, banner, err := inv.openTunnel(ctx, set)
	if err != nil {
		fmt.Fprintf(inv.Stdout, "421 4.3.0 %s the relay is not available\r\n", set.domain)
		return err
	}
	defer s.conn.Close()
	defer s.release()
	if banner != "" {
		if _, err := io.WriteString(inv.Stdout, banner); err != nil {
			return fail(exitIO, "write to stdout: %w", err)
		}
	}
	// A read from stdin cannot be interrupted. When the relay hung up first,
	// this goroutine ends at the next byte from stdin or with the process.
	go func() {
		if _, err := io.Copy(s.conn, inv.Stdin); err != nil {
			s.conn.Close()
			return
		}
		if half, ok := s.conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	// Nothing is buffered in s.r: what it had is in the banner.
	if _, err := io.Copy(inv.Stdout, s.conn); err != nil && !errors.Is(err, net.ErrClosed) {
		return s.lost("the session", err)
	}
	return nil
}

// openTunnel connects. Where the relay wants a login or TLS first, it does
// that and returns a greeting for the client in place of the relay's own.
func (inv Invocation) openTunnel(ctx context.Context, set settings) (s *session, banner string, err error) {
	conn, at, err := dialAny(ctx, set.relays, inv.Timeouts)
	if err != nil {
		return nil, "", err
	}
	s = newSession(ctx, conn, at, inv.Timeouts)
	if at.user == "" && !at.requireTLS {
		return s, "", nil
	}
	if err := s.greet(set.domain); err != nil {
		s.close()
		return nil, "", err
	}
	return s, "220 " + strings.Join(s.banner.lines, " ") + "\r\n", nil
}
