package port25

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"postrider/mx"
)

// Resolver finds the mail servers of the domains that are asked. *mx.Resolver is
// one.
type Resolver interface {
	MX(ctx context.Context, domain string) (mx.Answer[mx.Record], error)
	Addrs(ctx context.Context, host string) (mx.Answer[netip.Addr], error)
}

// Options of a Watch. Resolver is required where there are Domains.
type Options struct {
	// Domains are those whose mail servers are connected to. With none, only the
	// connections of delivery tell.
	Domains  []string
	Resolver Resolver
	// Port is that of mail servers. 0: 25.
	Port uint16
	// Sources are the addresses that mail leaves from. None: what the system
	// chooses.
	Sources []netip.Addr
	// AllowPrivate counts hosts with private addresses too. Else what happens in
	// our own network says nothing about the way out of it.
	AllowPrivate bool
	// DialTime and GreetTime bound a connection and its greeting. 0: 10 s, 20 s.
	DialTime, GreetTime time.Duration

	// Changed is told of every change, from the Watch's own goroutine or that of
	// whoever calls Observe. It must not block. nil: nobody.
	Changed func(Finding)
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: discard
}

// State says whether the port can be used.
type State string

// The states.
const (
	Unknown State = "unknown"
	Open    State = "open"
	Blocked State = "blocked"
)

const (
	usualPort   = 25
	firstAfter  = 3 * time.Second // after the start, which has more urgent things to do
	againAfter  = 30 * time.Second
	whenUnsure  = 5 * time.Minute
	whenBlocked = 5 * time.Minute
	roundsApart = time.Minute // between rounds that failing connections ask for

	roundsToBlock = 2
	hostsToOpen   = 2

	// Failing connections ask for a round when there were so many, to so many
	// unrelated hosts, within the window, and none that succeeded.
	window       = 10 * time.Minute
	failsToDoubt = 5
	hostsToDoubt = 3
	// Where nobody is asked, more are needed, and they decide.
	failsToBlock = 12
	hostsToBlock = 6
	// Where nobody is asked, delivery must try again some time.
	blindFor = 30 * time.Minute

	maxHosts = 64 // remembered per line
)

// Watch knows the state of the port, by source address. It is safe for concurrent
// use.
type Watch struct {
	o     Options
	wake  chan struct{}
	begun chan struct{} // closed when run has ended; nil before Start
	stop  context.CancelFunc

	mu    sync.Mutex
	lines []*line
}

// New returns a Watch that does nothing on its own before Start.
func New(o Options) *Watch {
	if o.Port == 0 {
		o.Port = usualPort
	}
	if o.DialTime <= 0 {
		o.DialTime = 10 * time.Second
	}
	if o.GreetTime <= 0 {
		o.GreetTime = 20 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Watch{o: o, wake: make(chan struct{}, 1)}
	sources := o.Sources
	if len(sources) == 0 {
		sources = []netip.Addr{{}}
	}
	for _, s := range sources {
		w.lines = append(w.lines, &line{source: s.Unmap(), state: Unknown, since: o.Now()})
	}
	return w
}

// Start begins to look, in the background.
func (w *Watch) Start(ctx context.Context) {
	ctx, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	w.begun = make(chan struct{})
	go w.run(ctx)
}

// Drain breaks off what is being tried, and waits for its end no longer than ctx.
func (w *Watch) Drain(ctx context.Context) error {
	if w.stop == nil {
		return nil
	}
	w.stop()
	select {
	case <-w.begun:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Blocked reports whether no source address can use the port.
func (w *Watch) Blocked() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !slices.ContainsFunc(w.lines, func(l *line) bool { return w.stateOf(l) != Blocked })
}

// BlockedFrom reports whether one source address cannot use the port. Of one that
// is not among Options.Sources it says what Blocked does.
func (w *Watch) BlockedFrom(source netip.Addr) bool {
	w.mu.Lock()
	i := slices.IndexFunc(w.lines, func(l *line) bool { return l.source == source.Unmap() })
	if i >= 0 {
		defer w.mu.Unlock()
		return w.stateOf(w.lines[i]) == Blocked
	}
	w.mu.Unlock()
	return w.Blocked()
}

// stateOf forgets in time what nothing but delivery could find to be over.
func (w *Watch) stateOf(l *line) State {
	if l.state == Blocked && len(w.o.Domains) == 0 && w.o.Now().Sub(l.since) >= blindFor {
		return Unknown
	}
	return l.state
}

// Observe is told of a connection that was tried: err is nil if it came to be. It
// does not block.
func (w *Watch) Observe(host string, addr netip.AddrPort, err error) {
	ip := addr.Addr().Unmap()
	if addr.Port() != w.o.Port || errors.Is(err, context.Canceled) || !w.o.AllowPrivate && mx.ProhibitedAddr(ip) {
		return
	}
	if err != nil && oursAlone(err) {
		return
	}
	now := w.o.Now()
	var changes []Finding
	doubt := false
	w.mu.Lock()
	for _, l := range w.lines {
		if l.source.IsValid() && l.source.Is4() != ip.Is4() {
			continue
		}
		if w.stateOf(l) != l.state {
			l.state, l.since, l.fails = Unknown, now, 0
			clear(l.failing)
		}
		if err == nil {
			doubt = l.connected(unrelated(host, ip), now) || doubt
		} else {
			doubt = l.failed(unrelated(host, ip), now) || doubt
		}
		if to := l.judgeByDelivery(len(w.o.Domains) == 0, err == nil); to != l.state {
			changes = append(changes, w.turn(l, to, now))
		}
	}
	w.mu.Unlock()
	w.tell(changes)
	if doubt {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// oursAlone reports whether a connection failed for want of something on this
// host, such as a route or a file descriptor.
func oursAlone(err error) bool {
	for _, e := range []error{syscall.ENETUNREACH, syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT, syscall.ENOBUFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// turn changes the state of a line; the caller holds w.mu and tells.
func (w *Watch) turn(l *line, to State, now time.Time) Finding {
	l.state, l.since, l.rounds = to, now, 0
	clear(l.opened)
	return w.finding(l)
}

func (w *Watch) tell(changes []Finding) {
	for _, f := range changes {
		attrs := []any{"port", w.o.Port}
		if f.Source.IsValid() {
			attrs = append(attrs, "source", f.Source)
		}
		switch f.State {
		case Blocked:
			w.o.Logger.Warn("outgoing port 25 is blocked", append(attrs, "tried", f.Detail(), "do", f.Advice())...)
		case Open:
			w.o.Logger.Info("outgoing port 25 is open", attrs...)
		case Unknown:
		}
		if w.o.Changed != nil {
			w.o.Changed(f)
		}
	}
}
