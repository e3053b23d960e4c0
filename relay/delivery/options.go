package delivery

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"postrider/dkim"
	"postrider/mx"
	"postrider/queue"
	"postrider/queue/suspension"
	"postrider/relay/bounce"
	"postrider/relay/outbound"
	"postrider/relay/throttle"
	"postrider/relay/tlspolicy"
)

// Store is what delivery needs of the queue's store.
type Store interface {
	queue.Leaser
	queue.Lanes
	OpenContent(ctx context.Context, ref queue.ContentRef) (queue.Content, error)
}

// Router finds next hops; *mx.Resolver is one.
type Router interface {
	Plan(ctx context.Context, domain string) (mx.Plan, error)
	PlanRoute(ctx context.Context, route mx.Route) (mx.Plan, error)
}

// Sender sends; *outbound.Pool is one. Drain must refuse and end deliveries as
// that of outbound.Pool does.
type Sender interface {
	Deliver(ctx context.Context, t outbound.Target, tx *outbound.Transaction) outbound.Result
	Drain(ctx context.Context) error
}

// Signer signs; *dkim.Signer is one.
type Signer interface {
	Sign(ctx context.Context, r dkim.SignRequest) (dkim.Signature, error)
}

// Keys says with which keys a domain's mail is signed now; *dkim.Keyring is one.
type Keys interface {
	Keys(ctx context.Context, fromDomain string) ([]dkim.Key, error)
	// Wait returns nil once there are keys.
	Wait(ctx context.Context, fromDomain string) error
}

// Limits says how fast each site may be sent to; *throttle.Sites is one, and
// documents the methods.
type Limits interface {
	Key(site string, hosts []string, source string) string
	Acquire(ctx context.Context, key string, now time.Time) (p throttle.Permit, until time.Time, ok bool)
	Again(ctx context.Context, p throttle.Permit, now time.Time) bool
	Report(ctx context.Context, p throttle.Permit, r throttle.Report, now time.Time) (until time.Time)
	Release(ctx context.Context, p throttle.Permit)
}

// Security says what is asked of connections to the hosts of a plan;
// *tlspolicy.Decider is one.
type Security interface {
	Decide(ctx context.Context, plan *mx.Plan, w tlspolicy.Want) (tlspolicy.Decision, error)
}

// Suspensions says which mail waits; *suspension.View is one. It is asked for
// every lease, so it must be quick.
type Suspensions interface {
	Suspended(ctx context.Context, m suspension.Mail) (suspension.Match, bool)
}

// Hooks are called with what happens, from many goroutines; nil ones are not.
// They must not block.
type Hooks struct {
	// Outcome is called for each recipient that was settled.
	Outcome func(state queue.State, class queue.Class)
	// Stage is called with the time that finding the route and signing took;
	// outbound.Options.Observe tells of the other stages.
	Stage func(stage queue.Stage, took time.Duration)
	// InDoubt is called for each recipient whose final dot got no reply
	// (again false), or who got what may be a second copy (again true).
	InDoubt func(again bool)
	// Site is called with the time that sending a message to a site took,
	// connecting included.
	Site func(site string, took time.Duration)
}

// Options are what a Dispatcher needs. Store, Router, Sender and Classifier are
// required.
type Options struct {
	Store      Store
	Router     Router
	Routes     *mx.Routes // ways that differ; nil: all mail goes by MX
	Sender     Sender
	Classifier *bounce.Classifier
	Limits     Limits // nil: throttle.New with its defaults

	// Sources are the addresses that routes name.
	Sources map[string]Source
	// Blocked reports that port 25 is found blocked from an IPv4 address, or from
	// what the system chooses (the zero one), so that mail exchangers cannot be
	// reached; nil: it never is. It must be quick.
	Blocked func(from netip.Addr) bool
	// Security decides about TLS; nil: MXTLS for mail exchangers, and what the
	// route says for smart hosts.
	Security Security

	// PrivateSender sends where the plan allows private addresses, which is
	// what routes to smart hosts do; nil: Sender. The one should have
	// mx.DialControl(true), the other mx.DialControl(false).
	PrivateSender Sender

	Signer Signer // nil: mail is not signed
	Keys   Keys   // nil: a signature is used again without asking for rotated keys

	// Suspensions says which mail waits because its destination is suspended;
	// nil: none does.
	Suspensions Suspensions

	// KeepBack says why an address must not be sent to whatever is queued, empty if
	// it may; nil: all may. What it keeps is held. It must be quick.
	KeepBack func(m *queue.Message, a queue.Address) (reason string)

	Workers     int            // attempts at a time; 0: 64
	Holder      string         // this node's name; empty: Hostname
	LeaseTTL    time.Duration  // 0: 2 min
	Schedule    queue.Schedule // nil: queue.DefaultSchedule
	DelayNotice time.Duration  // age at which a deferral asks for the notice; 0: 4 h, negative: never
	Hostname    string         // for EHLO; empty: localhost
	MXPort      uint16         // of mail exchangers; 0: 25
	MXTLS       outbound.TLS   // towards mail exchangers, if the route does not say; the zero value is opportunistic

	// KeyPatience is how long a worker waits for a DKIM key that is being made
	// before the message is put off; 0: 3 s.
	KeyPatience time.Duration
	// MessagesPerConnection of a pooled connection; 0: 100.
	MessagesPerConnection int
	// Recheck is how often the clock is looked at while nothing is due, for
	// clocks that jump; 0: 15 s.
	Recheck time.Duration

	// SuspensionCheck is how often it is asked whether what was suspended may go
	// on; 0: 1 s.
	SuspensionCheck time.Duration

	// MaskAddress writes addresses for the log; nil: in full.
	MaskAddress func(queue.Address) string
	Hooks       Hooks
	Now         func() time.Time // nil: time.Now
	Rand        func() float64   // in [0,1), for concurrent use; nil: rand.Float64
	Logger      *slog.Logger     // nil: discard
}

func (o *Options) setDefaults() {
	if o.Limits == nil {
		o.Limits = throttle.New(throttle.Options{})
	}
	if o.PrivateSender == nil {
		o.PrivateSender = o.Sender
	}
	if o.Hostname == "" {
		o.Hostname = "localhost"
	}
	if o.Holder == "" {
		o.Holder = o.Hostname
	}
	orDefault(&o.Workers, 64)
	orDefault(&o.LeaseTTL, 2*time.Minute)
	orDefault(&o.Recheck, 15*time.Second)
	orDefault(&o.KeyPatience, 3*time.Second)
	orDefault(&o.SuspensionCheck, time.Second)
	if o.DelayNotice == 0 {
		o.DelayNotice = 4 * time.Hour
	}
	if o.MXPort == 0 {
		o.MXPort = 25
	}
	if o.MaskAddress == nil {
		o.MaskAddress = queue.Address.String
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
}

func orDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}
