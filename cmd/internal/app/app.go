package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"postrider/api"
	"postrider/api/feed"
	"postrider/api/stats"
	"postrider/api/webhook"
	"postrider/configs"
	"postrider/dkim"
	"postrider/imapview"
	"postrider/mx"
	"postrider/mx/mtasts"
	"postrider/pop3view"
	"postrider/queue"
	"postrider/queue/folders"
	"postrider/queue/suppression"
	"postrider/queue/suspension"
	"postrider/relay/alert"
	"postrider/relay/auth"
	"postrider/relay/bounce"
	"postrider/relay/delivery"
	"postrider/relay/feedback"
	"postrider/relay/intake"
	"postrider/relay/outbound"
	"postrider/relay/port25"
	"postrider/relay/report"
	"postrider/relay/report/filing"
	"postrider/relay/submission"
	"postrider/relay/throttle"
)

// Options of an App. Config is required and must have been loaded without
// failures.
type Options struct {
	Config *configs.Config
	Logger *slog.Logger     // nil: discard
	Now    func() time.Time // nil: time.Now
	// NoFiling leaves the folders as they are: for measurements of what filing
	// takes, and of folders whose messages the store does not have.
	NoFiling bool
	// Sockets are used where the configuration names their addresses; nil: none.
	Sockets *Sockets
}

// App is the whole relay. Start it once, then Drain or Close it once.
type App struct {
	cfg  *configs.Config
	open *Sockets // that were before the relay
	log  *slog.Logger
	now  func() time.Time
	node string // holds leases and claims

	metrics      *metrics
	store        queue.Store
	resolver     *mx.Resolver
	keyring      *dkim.Keyring
	rotation     *rotation
	doctor       *examiner
	sending      *sending
	pools        []*outbound.Pool
	auth         *auth.Authenticator
	certificates certificates // all listeners share them
	sites        *throttle.Sites
	sts          *mtasts.Cache
	port25       *port25.Watch // nil: nobody looks at it
	classifier   *bounce.Classifier
	dispatcher   *delivery.Dispatcher
	reports      *report.Maker
	sweeper      *sweeper
	submission   *submission.Server
	http         *api.Server
	events       *feed.Reader
	webhooks     *webhook.Sender
	stats        *stats.Stats
	folders      *folders.Book
	filer        *filing.Filer // nil: nobody files
	imap         *imapview.Server
	pop3         *pop3view.Server

	suppressions *suppression.Book
	feedback     *feedback.Reader
	alerts       *alert.Watch
	suspensions  *suspension.View
	staging      intake.Staging
	reminder     background // that it is set to staging

	httpAddrs []net.Addr

	operatorAddrs []net.Addr

	adminSocket string // path, once it is there

	first struct {
		name, password, key string
		made                bool
	}
	serving atomic.Bool
}

// failedStart is how long parts have to end when a listener cannot be opened.
const failedStart = 5 * time.Second

var errNotServing = errors.New("the relay is starting or stopping")

// New opens the store and connects all rooms; it listens on nothing yet. Close
// or Drain must follow.
func New(ctx context.Context, o Options) (*App, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &App{cfg: o.Config, open: o.Sockets, log: o.Logger, now: o.Now, node: newNode(o.Config.Hostname), metrics: newMetrics(o.Now)}
	a.log = a.metrics.counting(o.Logger)
	if err := a.build(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	if o.NoFiling {
		a.filer = nil
	}
	return a, nil
}

// newNode names this process among those that share a store: the host name
// alone may be that of others too, who would then hold what is ours.
func newNode(hostname string) string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return hostname + "/" + hex.EncodeToString(random[:])
}

// Start begins to deliver, then to listen; the relay is ready when it returns
// nil.
func (a *App) Start(ctx context.Context) error {
	if err := a.ensureAccount(ctx); err != nil {
		return err
	}
	a.startParts(ctx)
	if err := a.listen(ctx); err != nil {
		// What runs already would else find the store closed.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failedStart)
		defer cancel()
		return errors.Join(err, drainAll(ctx, a.parts()))
	}
	a.doctor.start(ctx)
	a.serving.Store(true)
	a.log.Info("relay started", "hostname", a.cfg.Hostname, "node", a.node, "store", a.cfg.Store.String(), "data_dir", a.cfg.DataDir,
		"submission", addrTexts(a.SubmissionAddrs()), "http", addrTexts(a.httpAddrs), "http_operator", addrTexts(a.operatorAddrs),
		"imap", addrTexts(a.imap.Addrs()), "pop3", addrTexts(a.pop3.Addrs()), "acme", addrTexts(a.ACMEAddrs()))
	return nil
}

// startParts begins all that works without being asked.
func (a *App) startParts(ctx context.Context) {
	a.keyring.Start(ctx)
	a.rotation.start(ctx)
	if a.port25 != nil {
		a.port25.Start(ctx)
	}
	a.startStaging(ctx)
	a.sites.Start(ctx)
	a.sts.Start(ctx)
	a.dispatcher.Start(ctx)
	a.reports.Start(ctx)
	a.feedback.Start(ctx)
	a.alerts.Start(ctx)
	a.sweeper.start(ctx)
	a.webhooks.Start(ctx)
	a.stats.Start(ctx)
	if a.filer != nil {
		a.filer.Start(ctx)
	}
}

// listen opens the doors.
func (a *App) listen(ctx context.Context) error {
	if err := a.startTLS(ctx); err != nil {
		return err
	}
	if err := a.listenHTTP(ctx); err != nil {
		return err
	}
	if err := a.submission.Start(ctx); err != nil {
		return fmt.Errorf("listen for mail: %w%s", err, listenFix(err))
	}
	return a.listenFolders(ctx)
}

// Drain stops: not ready, no new mail, what is in the air ends until ctx does,
// leases go back, everything is closed. Nothing accepted is lost whatever it
// returns.
func (a *App) Drain(ctx context.Context) error {
	a.serving.Store(false)
	return errors.Join(drainAll(ctx, a.parts()), a.Close())
}

// parts are drained all at once: a client that is slow to hand its mail in must
// not use up the time of those that are being delivered.
func (a *App) parts() map[string]func(context.Context) error {
	parts := map[string]func(context.Context) error{
		"submission": a.submission.Drain, "delivery": a.drainDelivery, "reports": a.reports.Drain,
		"feedback": a.feedback.Drain, "alerts": a.alerts.Drain,
		"keys": a.keyring.Drain, "key rotation": a.rotation.drain, "doctor": a.doctor.drain, "looks at domains": a.sending.drain, "http": a.http.Drain, "retention": a.sweeper.drain,
		"webhooks": a.webhooks.Drain, "stats": a.stats.Drain, "events": a.events.Drain,
		"imap": a.imap.Drain, "pop3": a.pop3.Drain, "certificates": a.drainTLS, "staging": a.reminder.drain,
	}
	if a.filer != nil {
		parts["folders"] = a.filer.Drain
	}
	return parts
}

// drainDelivery ends what delivers, and then what that asks.
func (a *App) drainDelivery(ctx context.Context) error {
	errs := []error{a.dispatcher.Drain(ctx), a.sts.Drain(ctx)}
	a.sites.Drain(ctx)
	if a.port25 != nil {
		errs = append(errs, a.port25.Drain(ctx))
	}
	return errors.Join(errs...)
}

func drainAll(ctx context.Context, parts map[string]func(context.Context) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for name, drain := range parts {
		wg.Go(func() {
			if err := drain(ctx); err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("drain %s: %w", name, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close gives back what New opened. It is called by Drain, and instead of it
// where Start was not called or failed.
func (a *App) Close() error {
	for _, p := range a.pools {
		p.Close()
	}
	var errs []error
	if a.adminSocket != "" {
		errs = append(errs, os.Remove(a.adminSocket))
	}
	if a.resolver != nil {
		errs = append(errs, a.resolver.Close())
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	return errors.Join(errs...)
}

// FirstAccount returns the account that Start made because there was no other
// way to send, and its key with all scopes.
func (a *App) FirstAccount() (name, password, key string, made bool) {
	return a.first.name, a.first.password, a.first.key, a.first.made
}

// SubmissionAddrs are the addresses mail is taken at, in the order of the
// configuration.
func (a *App) SubmissionAddrs() []net.Addr { return a.submission.Addrs() }

// HTTPAddrs are those of the HTTP listeners.
func (a *App) HTTPAddrs() []net.Addr { return a.httpAddrs }

// IMAPAddrs are those of the IMAP listeners, in the order of the configuration.
func (a *App) IMAPAddrs() []net.Addr { return a.imap.Addrs() }

func (a *App) ready() error {
	if !a.serving.Load() {
		return errNotServing
	}
	return nil
}

func addrTexts(addrs []net.Addr) []string {
	texts := make([]string, 0, len(addrs))
	for _, addr := range addrs {
		texts = append(texts, addr.String())
	}
	return texts
}
