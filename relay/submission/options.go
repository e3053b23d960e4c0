package submission

import (
	"context"
	"crypto/tls"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"postrider/queue"
	"postrider/relay/auth"
)

// Door takes mail. It is implemented by intake.Door. Errors that wrap a
// *queue.Refusal are told to the client; all others are our own trouble.
type Door interface {
	queue.Submitter
	// CheckSender says whether the account may send with this reverse-path. The
	// credential is the id of the key that was used to log in, empty for none.
	CheckSender(ctx context.Context, account, credential string, from queue.Address) error
}

// Authenticator checks passwords. It is implemented by auth.Authenticator, whose
// errors it returns.
type Authenticator interface {
	Verify(ctx context.Context, a auth.Attempt) (auth.Identity, error)
}

// Security is how a listener uses TLS.
type Security uint8

// The ways to use TLS.
const (
	// Plain offers STARTTLS if there are certificates, and works without.
	Plain Security = iota
	// StartTLS wants STARTTLS before AUTH and MAIL.
	StartTLS
	// ImplicitTLS starts with the handshake (RFC 8314 §3.3).
	ImplicitTLS
)

// Listen is one TCP listener.
type Listen struct {
	Address  string // host:port; port 0 picks a free one
	Security Security
}

// Socket is the Unix socket for local programs, which need no password.
type Socket struct {
	Path string      // empty: none
	Mode fs.FileMode // 0: 0666
}

// AuthWithoutTLS says who may send a password over a connection without TLS.
type AuthWithoutTLS string

// The choices for AuthWithoutTLS.
const (
	AuthLocal  AuthWithoutTLS = "local"  // clients with a loopback or private address
	AuthAlways AuthWithoutTLS = "always" // everybody
	AuthNever  AuthWithoutTLS = "never"  // nobody
)

// Options are what a Server needs. Door and Hostname are required, and Auth if
// anybody may log in.
type Options struct {
	Door     Door
	Auth     Authenticator // nil: AUTH is not offered
	Hostname string        // in the banner and the EHLO reply
	Notice   string        // what else the banner says, of printable ASCII; empty: nothing

	Listen []Listen
	// Bind opens a TCP listener at host:port; nil: as net.Listen does. It lets a
	// caller hand over sockets that are open already.
	Bind   func(ctx context.Context, address string) (net.Listener, error)
	Socket Socket
	// TLS holds the certificates; nil: STARTTLS is not offered, and listeners
	// that need TLS are an error at Start. Versions below 1.2 are refused.
	TLS *tls.Config
	// TLSReady says whether there is a certificate by now; nil: always. Before
	// that STARTTLS is not offered.
	TLSReady func() bool

	// TrustedNetworks may send without AUTH, as auth.AccountTrusted.
	TrustedNetworks []netip.Prefix
	// AcceptTrustedLogin lets a wrong or empty password of a trusted client
	// pass: it stays auth.AccountTrusted. Plugins with a half-filled form need it.
	AcceptTrustedLogin bool
	AuthWithoutTLS     AuthWithoutTLS // empty: AuthLocal

	MaxSize          int64 // octets of a message; 0: 25 MiB
	MaxRecipients    int   // of one message; 0 or more than queue.MaxRecipients: that
	MaxConnections   int   // in all; beyond: 421. 0: 10000
	MaxPerAddress    int   // from one IPv4 address or IPv6 /64, trusted ones excepted; 0: 500
	MaxErrors        int   // replies of 4yz and 5yz before an unknown client is cut off; 0: 20
	MaxLoginFailures int   // per connection; 0: 3
	// LoginFailureDelay is waited before a failed login is answered, doubled with
	// each further one of the connection; 0: 1 s.
	LoginFailureDelay time.Duration

	IdleTimeout      time.Duration // for a command of a known client; 0: 5 min (RFC 5321 §4.5.3.2.7)
	StrangerTimeout  time.Duration // for a command before AUTH; 0: 60 s
	StrangerLifetime time.Duration // of a connection before AUTH; 0: 1 h
	HandshakeTimeout time.Duration // of TLS; 0: 10 s
	ContentTimeout   time.Duration // without any octet of a content; 0: 3 min (RFC 5321 §4.5.3.2.5)
	ContentGrace     time.Duration // before MinRate counts; 0: 60 s
	MinRate          int           // octets a second of a content, on average; 0: 500
	WriteTimeout     time.Duration // for replies; 0: 60 s

	Logger *slog.Logger // nil: discard
}

const (
	defaultMaxSize = 25 << 20
	// maxCommand is the longest line before or between contents: the base64
	// line of RFC 4954 §4.
	maxCommand = 12288 + 2
	// maxBodyLine bounds a line of a content. RFC 5321 says 998, programs send
	// tens of thousands; they go out as they came.
	maxBodyLine = 128 << 10
)

func (o Options) withDefaults() Options {
	if o.Bind == nil {
		o.Bind = bind
	}
	setZero(&o.AuthWithoutTLS, AuthLocal)
	setZero(&o.Socket.Mode, 0o666)
	setZero(&o.MaxSize, defaultMaxSize)
	setZero(&o.MaxConnections, 10000)
	setZero(&o.MaxPerAddress, 500)
	setZero(&o.MaxErrors, 20)
	setZero(&o.MaxLoginFailures, 3)
	setZero(&o.LoginFailureDelay, time.Second)
	setZero(&o.IdleTimeout, 5*time.Minute)
	setZero(&o.StrangerTimeout, time.Minute)
	setZero(&o.StrangerLifetime, time.Hour)
	setZero(&o.HandshakeTimeout, 10*time.Second)
	setZero(&o.ContentTimeout, 3*time.Minute)
	setZero(&o.ContentGrace, time.Minute)
	setZero(&o.MinRate, 500)
	setZero(&o.WriteTimeout, time.Minute)
	if o.MaxRecipients <= 0 || o.MaxRecipients > queue.MaxRecipients {
		o.MaxRecipients = queue.MaxRecipients
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
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
