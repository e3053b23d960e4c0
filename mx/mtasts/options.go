package mtasts

import (
	"context"
	"crypto/x509"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"postrider/mx"
)

// Resolver asks DNS; [*mx.Resolver] is one.
type Resolver interface {
	TXT(ctx context.Context, name string) (mx.Answer[string], error)
	Addrs(ctx context.Context, host string) (mx.Answer[netip.Addr], error)
}

// Store keeps small values until they expire, over restarts and for all nodes.
// It may forget any of them early. Its methods are called concurrently.
type Store interface {
	// CacheGet returns Options.Missing, wrapped or not, if there is no value
	// that lasts beyond now.
	CacheGet(ctx context.Context, key string, now time.Time) ([]byte, error)
	// CachePut keeps a value. Keys have at most 300 bytes, values 64 KiB.
	CachePut(ctx context.Context, key string, value []byte, now time.Time, ttl time.Duration) error
}

// Options configure a [Cache]. Resolver is required.
type Options struct {
	Resolver Resolver
	// Store keeps policies. Nil: they are kept in memory only.
	Store Store
	// Missing is the error with which the Store says that it has no value. Nil
	// takes every error for that; with it, other errors are trouble of the
	// store, and no domain counts as one without a policy because of them.
	Missing error

	// RootCAs vouch for policy hosts. Nil means those of the system.
	RootCAs *x509.CertPool
	// AllowPrivate lets policies be fetched from private addresses.
	AllowPrivate bool
	// Port of policy hosts. Default 443.
	Port int
	// UserAgent names this program to policy hosts. Default "postrider".
	UserAgent string
	// FetchTimeout bounds one fetch. Default, and at most, 60 s (RFC 8461 §3.3).
	FetchTimeout time.Duration
	// Patience is how long a caller waits for news of a domain whose policy
	// holds, or could not be fetched before. Default 5 s.
	Patience time.Duration

	// CheckEvery is how long what is known of a domain is used without a look
	// at its TXT record. Default 5 min.
	CheckEvery time.Duration
	// RefreshEvery is the age at which a policy in use is fetched again though
	// its id is the same. Default 24 h (RFC 8461 §10.2).
	RefreshEvery time.Duration
	// MinRetry and MaxRetry bound the pause after a failed fetch, which
	// doubles. Default 5 min, 1 h.
	MinRetry, MaxRetry time.Duration

	// Entries and Bytes bound the domains kept in memory. Default 10,000 and
	// 16 MiB.
	Entries, Bytes int
	// InFlight bounds the domains looked at at once. Default 32.
	InFlight int

	// Now is the clock for everything that is kept. Default time.Now.
	Now func() time.Time
	// Rand returns a number in [0,1), to spread refreshes. It must be safe for
	// concurrent use. Default rand.Float64 of math/rand/v2.
	Rand func() float64
	// Logger gets a line when a policy changes or cannot be fetched. Default: none.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	positive(&o.Port, 443)
	positive(&o.FetchTimeout, maxFetch)
	o.FetchTimeout = min(o.FetchTimeout, maxFetch)
	positive(&o.Patience, 5*time.Second)
	positive(&o.CheckEvery, 5*time.Minute)
	positive(&o.RefreshEvery, 24*time.Hour)
	positive(&o.MinRetry, 5*time.Minute)
	positive(&o.MaxRetry, time.Hour)
	positive(&o.Entries, 10_000)
	positive(&o.Bytes, 16<<20)
	positive(&o.InFlight, 32)
	if o.UserAgent == "" {
		o.UserAgent = "postrider"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func positive[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}
