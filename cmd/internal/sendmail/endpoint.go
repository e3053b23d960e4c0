package sendmail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// endpoint is one place where a relay may answer.
type endpoint struct {
	network, address string // "unix" or "tcp"
	implicitTLS      bool
	requireTLS       bool // STARTTLS before anything else
	user, password   string
	roots            *x509.CertPool // nil is the system's
}

func (e endpoint) String() string { return e.address }

// host is the name that a certificate must bear.
func (e endpoint) host() string {
	host, _, err := net.SplitHostPort(e.address)
	if err != nil {
		return ""
	}
	return host
}

// isHere reports whether nothing that is said to the relay leaves this host.
func (e endpoint) isHere() bool {
	if e.network == "unix" || e.host() == "localhost" {
		return true
	}
	ip := net.ParseIP(e.host())
	return ip != nil && ip.IsLoopback()
}

func parseEndpoint(text string) (endpoint, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		return endpoint{network: "unix", address: strings.TrimPrefix(path, "//")}, nil
	}
	if !strings.Contains(text, "://") {
		if strings.Contains(text, "/") {
			return endpoint{network: "unix", address: text}, nil
		}
		return endpoint{network: "tcp", address: withPort(text, "2525")}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		// The error would repeat the address with its password.
		return endpoint{}, errors.New("not a valid address: want HOST:PORT, smtp://HOST:PORT or a socket path")
	}
	e := endpoint{network: "tcp"}
	port := "2525"
	switch u.Scheme {
	case "smtp":
	case "smtps":
		e.implicitTLS, port = true, "465"
	case "starttls":
		e.requireTLS, port = true, "587"
	default:
		return endpoint{}, fmt.Errorf("scheme %q is none of smtp, smtps, starttls", u.Scheme)
	}
	if u.Hostname() == "" {
		return endpoint{}, errors.New("no host in the address")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	e.address = net.JoinHostPort(u.Hostname(), port)
	e.user = u.User.Username()
	e.password, _ = u.User.Password()
	return e, nil
}

func withPort(address, port string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), port)
}

// dial connects to the endpoint.
func (e endpoint) dial(ctx context.Context, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if !e.implicitTLS {
		return e.dialPlain(ctx)
	}
	plain, err := e.dialPlain(ctx)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(plain, e.tlsConfig())
	if err := conn.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, err
	}
	return conn, nil
}

// dialPlain knows localhost by itself: not every container has it in its
// hosts file, and a look-up elsewhere would be slow and wrong.
func (e endpoint) dialPlain(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	if e.network == "unix" {
		return dialSocket(ctx, e.address)
	}
	if e.host() != "localhost" {
		return dialer.DialContext(ctx, e.network, e.address)
	}
	_, port, _ := net.SplitHostPort(e.address)
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err == nil {
		return conn, nil
	}
	if conn, err6 := dialer.DialContext(ctx, "tcp", net.JoinHostPort("::1", port)); err6 == nil {
		return conn, nil
	}
	return nil, err
}

func (e endpoint) tlsConfig() *tls.Config {
	return &tls.Config{ServerName: e.host(), RootCAs: e.roots, MinVersion: tls.VersionTLS12}
}

// dialSocket waits while the socket's queue of connections is full, where TCP
// would wait by itself.
func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "unix", path)
		if !errors.Is(err, syscall.EAGAIN) {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(5 * time.Millisecond):
		}
	}
}
