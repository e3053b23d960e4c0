package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
)

// firstInherited is the first file descriptor that is handed over
// (sd_listen_fds(3)); those below are standard input, output and error.
const firstInherited = 3

// Sockets are TCP sockets on which somebody else listened before the relay
// started, as systemd's socket units do. They stay open when it stops: clients
// that connect meanwhile wait for the next one instead of being refused. Its
// methods are safe for concurrent use, and on nil.
type Sockets struct {
	settings map[string]string // key path to addresses, as a listen key takes them

	mu   sync.Mutex
	open map[string]net.Listener // by address, until somebody takes it
}

// InheritSockets takes over what LISTEN_FDS hands to the process pid. The name of
// each socket says which listener it is: submission, http, http-operator, imap or
// pop3, with -tls or -starttls behind it where TLS is spoken so. It returns nil if
// there are none.
func InheritSockets(getenv func(string) string, pid int) (*Sockets, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil // none, or meant for another process
	}
	names, err := inheritedNames(getenv("LISTEN_FDS"), getenv("LISTEN_FDNAMES"))
	if err != nil || len(names) == 0 {
		return nil, err
	}
	s := &Sockets{settings: make(map[string]string), open: make(map[string]net.Listener)}
	for i, name := range names {
		if err := s.inherit(uintptr(firstInherited+i), name); err != nil {
			return nil, errors.Join(fmt.Errorf("socket %q of systemd: %w", name, err), s.Close())
		}
	}
	return s, nil
}

// inheritedNames has one name for each descriptor.
func inheritedNames(count, list string) ([]string, error) {
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("LISTEN_FDS is %q: it should be the number of sockets that are handed over", count)
	}
	if n == 0 {
		return nil, nil
	}
	names := strings.Split(list, ":")
	if len(names) != n {
		return nil, fmt.Errorf("LISTEN_FDNAMES is %q: it should name %d sockets; set FileDescriptorName in each socket unit", list, n)
	}
	return names, nil
}

func (s *Sockets) inherit(fd uintptr, name string) error {
	key, scheme, ok := listenerOf(name)
	if !ok {
		return errors.New("no listener has this name: set FileDescriptorName to submission, http, http-operator, imap or pop3, or one of these with -tls or -starttls behind it")
	}
	f := os.NewFile(fd, name)
	l, err := net.FileListener(f) // a copy of the descriptor, which closes on exec
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("take it over: %w", err)
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return errors.Join(fmt.Errorf("it is at %s, and not a TCP socket", l.Addr()), l.Close())
	}
	addr := tcp.Addr().String()
	if _, twice := s.open[addr]; twice {
		return errors.Join(fmt.Errorf("%s was handed over twice", addr), l.Close())
	}
	s.open[addr] = tcp
	if s.settings[key] != "" {
		s.settings[key] += ","
	}
	s.settings[key] += scheme + addr
	return nil
}

// listenerOf is the key of the listener that a socket's name means.
func listenerOf(name string) (key, scheme string, ok bool) {
	for _, mode := range []string{"starttls", "tls"} {
		if base, found := strings.CutSuffix(name, "-"+mode); found {
			name, scheme = base, mode+"://"
			break
		}
	}
	switch name {
	case "submission", "http", "imap", "pop3":
		return name + ".listen", scheme, true
	case "http-operator":
		return "http.operator_listen", scheme, true
	}
	return "", "", false
}

// Settings are the addresses of the sockets by the keys whose values they
// replace.
func (s *Sockets) Settings() map[string]string {
	if s == nil {
		return nil
	}
	return s.settings
}

// Listen returns the socket of this address, or opens one.
func (s *Sockets) Listen(ctx context.Context, address string) (net.Listener, error) {
	if l := s.take(address); l != nil {
		return l, nil
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", address)
}

func (s *Sockets) take(address string) net.Listener {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.open[address]
	if !ok {
		return nil
	}
	delete(s.open, address)
	return l
}

// Close closes our copies of what nobody took.
func (s *Sockets) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for address, l := range s.open {
		errs = append(errs, l.Close())
		delete(s.open, address)
	}
	return errors.Join(errs...)
}

// States of the process that NotifySystemd tells.
const (
	NotifyReady    = "READY=1"
	NotifyStopping = "STOPPING=1"
)

// NotifySystemd tells the service manager a state (sd_notify(3)). Where none asks
// for it, it does nothing.
func NotifySystemd(getenv func(string) string, state string) error {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	_, err = conn.Write([]byte(state))
	if err := errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	return nil
}
