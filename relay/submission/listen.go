package submission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

func (s *Server) listen(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.o.Listen {
		if s.o.TLS == nil && l.Security != Plain {
			return fmt.Errorf("listen on %s: it needs TLS: set a certificate and its key, or use a plain listener", l.Address)
		}
		n, err := s.o.Bind(ctx, l.Address)
		if err != nil {
			return fmt.Errorf("listen for submission: %w", err)
		}
		s.listeners = append(s.listeners, listener{Listener: n, security: l.Security})
	}
	if s.o.Socket.Path == "" {
		return nil
	}
	n, err := listenUnix(ctx, s.o.Socket)
	if err != nil {
		return fmt.Errorf("listen on the submission socket: %w", err)
	}
	s.listeners = append(s.listeners, listener{Listener: n, local: true})
	return nil
}

func bind(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", address)
}

// listenUnix takes the place of a socket that a dead process left behind, and
// of nothing else.
func listenUnix(ctx context.Context, o Socket) (net.Listener, error) {
	var lc net.ListenConfig
	n, err := lc.Listen(ctx, "unix", o.Path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(ctx, o.Path); err != nil {
			return nil, err
		}
		n, err = lc.Listen(ctx, "unix", o.Path)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(o.Path, o.Mode); err != nil {
		_ = n.Close()
		return nil, err
	}
	return n, nil
}

func removeStale(ctx context.Context, path string) error {
	fi, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if fi.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s is in the way and is no socket: remove it, or set another path", path)
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("%s is in use by another process", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.Remove(path)
}

func (t *transport) tlsVersion() string {
	if t.tls == nil {
		return ""
	}
	return tls.VersionName(t.tls.ConnectionState().Version)
}
