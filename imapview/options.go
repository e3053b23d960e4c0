package imapview

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"postrider/queue/folders"
)

// Security is how a listener uses TLS.
type Security uint8

// The ways to use TLS.
const (
	// Plain offers STARTTLS if there are certificates, and works without.
	Plain Security = iota
	// StartTLS wants STARTTLS before any login.
	StartTLS
	// ImplicitTLS starts with the handshake (RFC 8314 §3.2).
	ImplicitTLS
)

// Listen is one TCP listener.
type Listen struct {
	Address  string // host:port; port 0 picks a free one
	Security Security
}

// PlainLogin says who may send a password over a connection without TLS.
type PlainLogin string

// The choices for PlainLogin.
const (
	PlainLoopback PlainLogin = "loopback" // programs on this machine
	PlainAlways   PlainLogin = "always"
	PlainNever    PlainLogin = "never"
)

// Login is what a client says of itself.
type Login struct {
	Name     string
	Password string
	Remote   netip.Addr
	TLS      bool
}

// Identity is who a client turned out to be.
type Identity struct {
	Account  string // whose folders it sees; the keeper of its subscriptions
	Operator bool   // sees those of all accounts, too
}

// Authenticator checks logins. It is safe for concurrent use.
type Authenticator interface {
	// Login returns ErrCredentials if name or password are wrong, whichever it is,
	// and ErrThrottled if there were too many attempts. All other errors are our
	// own trouble.
	Login(ctx context.Context, l Login) (Identity, error)
}

// The errors of an Authenticator.
var (
	ErrCredentials = errors.New("wrong name or password")
	ErrThrottled   = errors.New("too many attempts to log in")
)

// Options are what a Server needs. Book and Auth are required.
type Options struct {
	Listen []Listen
	// Bind opens a TCP listener at host:port; nil: as net.Listen does. It lets a
	// caller hand over sockets that are open already.
	Bind func(ctx context.Context, address string) (net.Listener, error)
	Book *folders.Book
	Auth Authenticator
	// Accounts names the accounts that operators see; nil: there are no others.
	Accounts func(ctx context.Context) ([]string, error)
	// TLS holds the certificates; nil: STARTTLS is not offered, and listeners that
	// need TLS are an error at Start. Versions below 1.2 are refused.
	TLS *tls.Config
	// TLSReady says whether there is a certificate by now; nil: always. Before
	// that STARTTLS is not offered.
	TLSReady   func() bool
	PlainLogin PlainLogin // empty: PlainLoopback
	// SeenOff has SELECT answer READ-ONLY, and nothing is stored.
	SeenOff bool

	MaxConnections int // in all; 0: 10000
	MaxPerAccount  int // 0: 20
	MaxPerAddress  int // from one IPv4 address or IPv6 /64; 0: 50

	IdleTimeout    time.Duration // for a command, or within IDLE; 0: 30 min (RFC 3501 §5.4)
	LoginTimeout   time.Duration // from the greeting to being logged in; 0: 60 s
	CommandTimeout time.Duration // from a command's first octet to its last; 0: 60 s
	WriteTimeout   time.Duration // without any progress; 0: 60 s
	IdlePause      time.Duration // between two bursts of changes within IDLE; 0: 1 s
	IdleBeat       time.Duration // between two signs of life within IDLE; 0: 4 min

	// SearchBudget bounds how long a SEARCH looks at messages; 0: 2 s.
	SearchBudget time.Duration
	// SearchBodies is how many of the newest messages a SEARCH reads; 0: 10000.
	SearchBodies int

	Version string // told by ID; empty: not told
	Now     func() time.Time
	Logger  *slog.Logger // nil: discard
}

func (o Options) withDefaults() Options {
	setZero(&o.PlainLogin, PlainLoopback)
	setZero(&o.MaxConnections, 10000)
	setZero(&o.MaxPerAccount, 20)
	setZero(&o.MaxPerAddress, 50)
	setZero(&o.IdleTimeout, 30*time.Minute)
	setZero(&o.LoginTimeout, time.Minute)
	setZero(&o.CommandTimeout, time.Minute)
	setZero(&o.WriteTimeout, time.Minute)
	setZero(&o.IdlePause, time.Second)
	setZero(&o.IdleBeat, 4*time.Minute)
	setZero(&o.SearchBudget, 2*time.Second)
	setZero(&o.SearchBodies, 10000)
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
		o.TLS.MinVersion = max(o.TLS.MinVersion, tls.VersionTLS12)
		o.TLS.ClientAuth = tls.NoClientCert
	}
	return o
}

func setZero[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}
