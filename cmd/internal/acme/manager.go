package acme

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"postrider/queue"
	"postrider/queue/claim"
)

// Store is what a Manager needs of the queue's store.
type Store interface {
	queue.Registry
	queue.Cache
	queue.Claims
}

// Options of a Manager. Domains, Directory, Store and Holder are required.
type Options struct {
	Domains []string // in lower case, without a dot at the end
	// Fallback is the name whose certificate is shown to clients that ask for none
	// or an unknown one; if there is none, that of the first Domain that has one.
	Fallback  string
	Directory string
	Email     string       // empty: none
	Binding   *Binding     // nil: none
	Client    *http.Client // to the authority; nil: one without settings of its own
	// HTTP and TLS say which challenges can be answered: on port 80 by Handler, on
	// port 443 by Config.
	HTTP, TLS bool

	Store  Store
	Holder string // this process: no other has this name

	Told   func(Trouble)    // of failures that need a hand; nil: nobody. It must return at once.
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discard
}

// Binding ties the account to one that the authority knows already (RFC 8555
// §7.3.4).
type Binding struct {
	KeyID string
	Key   []byte
}

// Trouble is a certificate that is not had, or not renewed.
type Trouble struct {
	Domain string
	Reason string    // what was said
	Advice string    // what to do
	Ends   time.Time // of the certificate that is shown; zero: there is none
}

const (
	claimName = "acme"
	claimTTL  = 15 * time.Minute
	orderTime = 4 * time.Minute // less than two thirds of claimTTL
	// lookEvery is how soon a certificate is shown that another node had.
	lookEvery = 30 * time.Second
	// lookSoon is the same while another node is at it.
	lookSoon = 3 * time.Second
)

// Manager has certificates and renews them. Start it once, then Drain it. Its
// methods are safe for concurrent use.
type Manager struct {
	o       Options
	answers *answers
	claim   *claim.Held
	obtain  func(ctx context.Context, domain string, kind string) (*pair, error)
	names   []*name // used by the loop alone, but for their pairs
	refused atomic.Int64

	stop context.CancelFunc
	done chan struct{}
}

// New returns a Manager.
func New(o Options) (*Manager, error) {
	if len(o.Domains) == 0 || o.Directory == "" || o.Store == nil || o.Holder == "" {
		return nil, errors.New("acme: domains, directory, store and holder are required")
	}
	if !o.HTTP && !o.TLS {
		return nil, errors.New("acme: no challenge can be answered")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Told == nil {
		o.Told = func(Trouble) {}
	}
	m := &Manager{o: o, answers: newAnswers(o.Store, o.Domains, o.Now),
		claim: claim.New(claim.Options{Store: o.Store, Name: claimName, Holder: o.Holder, TTL: claimTTL, Now: o.Now, Logger: o.Logger})}
	m.obtain = (&authority{o: o, answers: m.answers}).obtain
	for _, d := range o.Domains {
		m.names = append(m.names, &name{domain: d})
	}
	return m, nil
}

// Load shows what the store has. It is called before listeners begin, so that a
// restart shows what was had before.
func (m *Manager) Load(ctx context.Context) error {
	for _, n := range m.names {
		if err := m.look(ctx, n); err != nil {
			return err
		}
		n.relent()
	}
	return nil
}

// Start begins to have and to renew certificates.
func (m *Manager) Start(ctx context.Context) {
	ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx))
	m.done = make(chan struct{})
	go m.run(ctx)
}

// Drain ends that. An order under way is given up.
func (m *Manager) Drain(ctx context.Context) error {
	if m.stop == nil {
		return nil
	}
	m.stop()
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *Manager) run(ctx context.Context) {
	defer close(m.done)
	defer m.claim.Leave(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(m.pass(ctx))
	}
}

// pass looks at every name, does what is due, and returns when to look again.
func (m *Manager) pass(ctx context.Context) time.Duration {
	wait := lookEvery
	for _, n := range m.names {
		if ctx.Err() != nil {
			return wait
		}
		next, err := m.tend(ctx, n)
		if err != nil && ctx.Err() == nil {
			m.o.Logger.Warn("certificates not looked at; it is tried again", "domain", n.domain, "error", err)
			next = lookEvery
		}
		wait = min(wait, next)
	}
	m.claim.Leave(ctx)
	m.tellRefused()
	return max(wait, time.Second)
}

// tend looks at one name, and has its certificate if that is due and ours to do.
func (m *Manager) tend(ctx context.Context, n *name) (next time.Duration, err error) {
	if err := m.look(ctx, n); err != nil {
		return 0, err
	}
	if now := m.o.Now(); n.due().After(now) {
		return n.next(now), nil
	}
	switch _, err := m.claim.Keep(ctx); {
	case errors.Is(err, queue.ErrClaimed):
		return lookSoon, nil
	case err != nil:
		return 0, fmt.Errorf("claim the work of certificates: %w", err)
	}
	// Another node may have been at it until now.
	if err := m.look(ctx, n); err != nil {
		return 0, err
	}
	if now := m.o.Now(); n.due().After(now) {
		return n.next(now), nil
	}
	if err := m.order(ctx, n); err != nil {
		return 0, err
	}
	return n.next(m.o.Now()), nil
}

// order makes one attempt. The error is the store's: the authority's is written
// down.
func (m *Manager) order(ctx context.Context, n *name) error {
	if unsaved := n.shown.Load(); unsaved != nil && n.record.older(unsaved) {
		return m.save(ctx, n, had(unsaved, m.o.Now()))
	}
	before := n.record
	attempt := before.begun(m.o.Now())
	if err := m.save(ctx, n, attempt); err != nil {
		return err // with no note of it, there is no attempt
	}
	kind := m.kind(before.Failures)
	m.o.Logger.Info("certificate ordered", "domain", n.domain, "authority", m.o.Directory, "challenge", kind, "attempt", attempt.Failures)
	limited, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	p, err := m.obtain(limited, n.domain, kind)
	switch {
	case err == nil:
		m.show(n, p)
		return m.save(ctx, n, had(p, m.o.Now()))
	case ctx.Err() != nil: // we are told to stop: nobody failed
		giveBack, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return m.save(giveBack, n, before)
	}
	return m.failed(ctx, n, err)
}

// kind is the challenge of the next attempt: where both can be answered they take
// turns, beginning with the one that needs nothing of a listener.
func (m *Manager) kind(failures int) string {
	if m.o.HTTP && (!m.o.TLS || failures%2 == 0) {
		return challengeHTTP
	}
	return challengeTLS
}

// failed writes down why there is no new certificate, and says so.
func (m *Manager) failed(ctx context.Context, n *name, err error) error {
	f := explain(err, m.o.Directory, n.domain)
	r := n.record
	now := m.o.Now()
	r.Trying, r.Fault, r.Advice, r.Limited = false, f.reason, f.advice, f.wait > 0
	r.Next = now.Add(max(pause(r.Failures, r.pair.lifetime()), min(f.wait, maxLimit)))
	if f.silent {
		r.Next = now.Add(silentPause(r.Failures))
	}
	attrs := []any{"domain", n.domain, "error", f.reason, "do", f.advice, "attempt", r.Failures, "next", r.Next.UTC()}
	trouble := Trouble{Domain: n.domain, Reason: f.reason, Advice: f.advice}
	p := n.shown.Load()
	switch {
	case p == nil:
		m.o.Logger.Warn("certificate not obtained", attrs...)
	default:
		trouble.Ends = p.cert.Leaf.NotAfter
		attrs = append(attrs, "expires", trouble.Ends.UTC())
		if trouble.Ends.After(now) {
			m.o.Logger.Warn("certificate not renewed; the old one stays in use", attrs...)
		} else {
			m.o.Logger.Error("certificate expired and not renewed: clients that verify refuse it", attrs...)
		}
	}
	if p == nil && r.Failures >= patience || p != nil && n.left(now) < p.window()/2 {
		m.o.Told(trouble)
	}
	return m.save(ctx, n, r)
}

// patience is how often a first order may fail until somebody is told elsewhere
// than in the log.
const patience = 2

// show lets listeners use a certificate.
func (m *Manager) show(n *name, p *pair) {
	n.shown.Store(p)
	m.o.Logger.Info("certificate in use", "domain", n.domain, "serial", p.cert.Leaf.SerialNumber.Text(16),
		"issuer", p.cert.Leaf.Issuer.String(), "expires", p.cert.Leaf.NotAfter.UTC(), "renewed_from", p.renewal().UTC())
}
