package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"time"

	"postrider/queue"
)

// Options configure a Pool. The zero value is usable.
type Options struct {
	Timeouts Timeouts

	// IdleTimeout is how long a connection waits for its next message; 0 means
	// 60 s.
	IdleTimeout time.Duration

	// AddressesPerAttempt bounds how many addresses are dialled in one Deliver;
	// 0 means 5. SessionsPerAttempt bounds how many connections are lost in a
	// transaction before it gives up; 0 means 2.
	AddressesPerAttempt int
	SessionsPerAttempt  int

	// MinTLS is the oldest version spoken under TLSOpportunistic; 0 means TLS
	// 1.2. The other policies never go below TLS 1.2.
	MinTLS uint16
	// RootCAs verify certificates; nil means the system's.
	RootCAs *x509.CertPool
	// TLSMemory remembers hosts whose TLS is broken; nil means a memory of this
	// pool's own. BrokenTLSFor is how long; 0 means 3 days.
	TLSMemory    TLSMemory
	BrokenTLSFor time.Duration

	// Control sees every address before it is dialled and may refuse it; nil
	// lets all through.
	Control func(network, address string, c syscall.RawConn) error
	// Dial replaces the dialer; Control is then not asked. local is invalid if
	// the source address is free.
	Dial func(ctx context.Context, local netip.Addr, to netip.AddrPort) (net.Conn, error)

	// Observe is called with the time each stage took, from many goroutines;
	// nil means that nobody wants to know. It must not block.
	Observe func(stage queue.Stage, took time.Duration)

	// Connected is called with the result of each connect that was tried: err is
	// nil if there is a connection. Connects that we broke off ourselves, or that
	// Control refused, are not told. It must not block.
	Connected func(host string, addr netip.AddrPort, err error)

	// Now is the clock for records; nil means time.Now.
	Now func() time.Time
	// Logger gets a line for what an operator should know of a peer; nil means
	// none.
	Logger *slog.Logger
}

// Timeouts limit the phases of a session. Zero fields mean the default in the
// comment; RFC 5321 §4.5.3.2 has the least for most of them.
type Timeouts struct {
	Connect   time.Duration // 30 s
	Greeting  time.Duration // 300 s
	Ehlo      time.Duration // 300 s, also for AUTH
	StartTLS  time.Duration // 60 s for command and handshake, each
	Mail      time.Duration // 300 s
	Rcpt      time.Duration // 300 s for each reply
	Data      time.Duration // 120 s for the command
	BodyBlock time.Duration // 180 s for each block written
	Dot       time.Duration // 600 s
	Reset     time.Duration // 10 s, RSET and QUIT
}

func (o *Options) setDefaults() {
	t := &o.Timeouts
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Connect, 30 * time.Second},
		{&t.Greeting, 300 * time.Second},
		{&t.Ehlo, 300 * time.Second},
		{&t.StartTLS, 60 * time.Second},
		{&t.Mail, 300 * time.Second},
		{&t.Rcpt, 300 * time.Second},
		{&t.Data, 120 * time.Second},
		{&t.BodyBlock, 180 * time.Second},
		{&t.Dot, 600 * time.Second},
		{&t.Reset, 10 * time.Second},
		{&o.IdleTimeout, 60 * time.Second},
		{&o.BrokenTLSFor, 72 * time.Hour},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if o.AddressesPerAttempt <= 0 {
		o.AddressesPerAttempt = 5
	}
	if o.SessionsPerAttempt <= 0 {
		o.SessionsPerAttempt = 2
	}
	if o.MinTLS == 0 {
		o.MinTLS = tls.VersionTLS12
	}
	if o.TLSMemory == nil {
		o.TLSMemory = newTLSMemory(4096)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = dialer(o.Control)
	}
}

// refusedDial is an error of Control.
type refusedDial struct{ error }

func (e refusedDial) Unwrap() error { return e.error }

func dialer(control func(string, string, syscall.RawConn) error) func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) {
	if ask := control; ask != nil {
		control = func(network, address string, c syscall.RawConn) error {
			if err := ask(network, address, c); err != nil {
				return refusedDial{err}
			}
			return nil
		}
	}
	return func(ctx context.Context, local netip.Addr, to netip.AddrPort) (net.Conn, error) {
		d := net.Dialer{Control: control}
		if local.IsValid() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
		}
		return d.DialContext(ctx, "tcp", to.String())
	}
}
