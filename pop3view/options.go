package pop3view

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"postrider/queue/folders"
)

// Security is how a listener uses TLS.
type Security uint8

// The ways to use TLS.
const (
	// Plain offers STLS if there are certificates; see PlainLogin.
	Plain Security = iota
	// StartTLS wants STLS before a login, from everybody.
	StartTLS
	// ImplicitTLS starts with the handshake (RFC 8314 §3.3).
	ImplicitTLS
)

// Listen is one TCP listener.
type Listen struct {
	Address  string // host:port; port 0 picks a free one
	Security Security
}

// PlainLogin says who may log in on a Plain listener without TLS.
type PlainLogin string

// The choices for PlainLogin.
const (
	PlainNever    PlainLogin = "never"
	PlainLoopback PlainLogin = "loopback" // clients on this machine
	PlainAlways   PlainLogin = "always"
)

// Options are what a Server needs. Book and Auth are required.
type Options struct {
	Listen []Listen
	// Bind opens a TCP listener at host:port; nil: as net.Listen does. It lets a
	// caller hand over sockets that are open already.
	Bind func(ctx context.Context, address string) (net.Listener, error)
	Book *folders.Book
	Auth Authenticator
	// TLS holds the certificates; nil: STLS is not offered, and listeners that
	// need TLS are an error at Start. Versions below 1.2 are refused.
	TLS *tls.Config
	// TLSReady says whether there is a certificate by now; nil: always. Before
	// that STLS is not offered.
	TLSReady   func() bool
	PlainLogin PlainLogin // empty: PlainLoopback

	Window int // entries that a maildrop shows, the newest; 0: 10,000
	// ExpireDays is how long entries are kept at least, for CAPA (RFC 2449 §6.7);
	// 0: nothing is said.
	ExpireDays int
	// DeleteFails lets DELE answer yes, and QUIT that it did not happen.
	DeleteFails bool

	MaxConnections   int // 0: 2,000
	MaxPerAccount    int // sessions of one account; 0: 20
	MaxPerAddress    int // from one IPv4 address or IPv6 /64; 0: 50
	MaxErrors        int // commands that make no sense, of one connection; 0: 10
	MaxLoginFailures int // per connection; 0: 3
	// LoginFailureDelay is waited before a failed login is answered, doubled with
	// each further one of the connection; 0: 1 s.
	LoginFailureDelay time.Duration

	IdleTimeout      time.Duration // for a command; 0: 10 min, the least of RFC 1939 §3
	LoginTimeout     time.Duration // from the connection to the login; 0: 60 s
	HandshakeTimeout time.Duration // of TLS; 0: 10 s
	WriteTimeout     time.Duration // without progress; 0: 60 s

	Version string           // told to those who are logged in; may be empty
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: discard
}

func (o Options) withDefaults() Options {
	setZero(&o.PlainLogin, PlainLoopback)
	setZero(&o.Window, 10000)
	setZero(&o.MaxConnections, 2000)
	setZero(&o.MaxPerAccount, 20)
	setZero(&o.MaxPerAddress, 50)
	setZero(&o.MaxErrors, 10)
	setZero(&o.MaxLoginFailures, 3)
	setZero(&o.LoginFailureDelay, time.Second)
	setZero(&o.IdleTimeout, 10*time.Minute)
	setZero(&o.LoginTimeout, time.Minute)
	setZero(&o.HandshakeTimeout, 10*time.Second)
	setZero(&o.WriteTimeout, time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Bind == nil {
		o.Bind = bind
	}
	if o.TLSReady == nil {
		o.TLSReady = func() bool { return true }
	}
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
		o.TLS.MinVersion = max(o.TLS.MinVersion, tls.VersionTLS12) // RFC 8996, RFC 9325
	}
	return o
}

func setZero[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}
