package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"postrider/api/access"
	"postrider/api/send"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// Store is what the API needs of the queue's store.
type Store interface {
	queue.Reader
	queue.Operator
	// OpenContent opens the content of an accepted message: see queue.Contents.
	OpenContent(ctx context.Context, ref queue.ContentRef) (queue.Content, error)
	// Condition returns when ctx is over, at the latest.
	Condition(ctx context.Context) queue.Condition
}

// Accounts administers accounts. Errors that wrap queue.ErrNotFound,
// queue.ErrExists or ErrInvalid are told to the caller.
type Accounts interface {
	List(ctx context.Context) ([]v1.Account, error)
	Create(ctx context.Context, a v1.NewAccount) (password string, err error)
	Change(ctx context.Context, name string, c v1.AccountChange) (password string, err error)
	Delete(ctx context.Context, name string) error
}

// Domains knows what a sending domain should publish. It makes what is missing.
type Domains interface {
	Records(ctx context.Context, domain string) ([]v1.Record, error)
}

// ErrInvalid is wrapped by errors whose text may be told to the caller.
var ErrInvalid = errors.New("not valid")

// Options of a Server. Store is required; what is nil of the rest is not there.
type Options struct {
	Store  Store
	Auth   access.Authenticator // nil: nothing that needs a key
	Sender send.Sender
	Resend Resender
	Why    Explainer
	Events Events

	Accounts Accounts
	Domains  Domains
	Rooms

	Metrics http.Handler
	Ready   func() error       // nil: the store's condition alone decides
	Live    func() (err error) // nil: always alive

	// Surfaces add what is spoken beside the native API, at the root: those of
	// other providers, the links of mailing lists, the stream of events. They
	// check credentials themselves (access.FromRequest), and find the client's
	// address in the request's RemoteAddr, also behind a proxy.
	Surfaces []Surface
	// OperatorApart keeps what concerns the relay as a whole (accounts, domains,
	// queue, limits, metrics) off the public listeners: see ServeOperator.
	OperatorApart bool
	// PublicURL is how clients reach the public listener, such as
	// https://mail.example.com; what a request says of its host is never used.
	PublicURL string
	// TrustedProxies may say in X-Forwarded-For or Forwarded who their client is.
	TrustedProxies []netip.Prefix
	// Notice is in the header v1.HeaderStaging of every answer; empty: there is
	// none.
	Notice string
	// NoDocs serves no description and no reference page.
	NoDocs bool

	RateStatus RateStatus
	MaxRequest int64 // octets of a whole request; 0: 64 MiB
	MaxMessage int64 // octets of the parts of a message, decoded; 0: 35 MiB
	BatchMax   int   // messages of one batch; 0: 500

	BodyStall time.Duration // without progress of a body; 0: 30 s
	BodyRate  int64         // octets a second that a body must come with; 0: 1024

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discard
}

// Server serves HTTP on any number of listeners. Serve, then Drain once.
type Server struct {
	o                       Options
	public, operator, admin *http.Server
	draining                chan struct{}       // closed when Drain begins
	bodies                  *semaphore.Weighted // octets of bodies that are held at once
	drain                   sync.Once
	wg                      sync.WaitGroup
}

// Limits against slow and greedy clients.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeader      = 32 << 10
	maxSmallBody   = 1 << 20
	defaultStall   = 30 * time.Second
	defaultRate    = 1 << 10
	defaultRequest = 64 << 20
	defaultMessage = 35 << 20
	defaultBatch   = 500
)

// bodiesHeld is how many of the largest requests are held in memory at once;
// smaller ones are more.
const bodiesHeld = 4

func (o *Options) fill() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxRequest == 0 {
		o.MaxRequest = defaultRequest
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = defaultMessage
	}
	if o.BatchMax == 0 {
		o.BatchMax = defaultBatch
	}
	if o.BodyStall == 0 {
		o.BodyStall = defaultStall
	}
	if o.BodyRate == 0 {
		o.BodyRate = defaultRate
	}
}

// New returns a Server.
func New(o Options) *Server {
	o.fill()
	s := &Server{o: o, draining: make(chan struct{}), bodies: semaphore.NewWeighted(bodiesHeld * o.MaxRequest)}
	all := s.onDemand(true)
	s.admin = s.serverFor(s.asAdmin(all))
	s.operator = s.serverFor(all)
	s.public = s.operator
	if o.OperatorApart {
		s.public = s.serverFor(s.onDemand(false))
	}
	return s
}

func (s *Server) serverFor(h http.Handler) *http.Server {
	return &http.Server{
		Handler: s.noticed(h), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
}

// noticed says in every answer what everybody should know.
func (s *Server) noticed(next http.Handler) http.Handler {
	if s.o.Notice == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(v1.HeaderStaging, s.o.Notice)
		next.ServeHTTP(w, r)
	})
}

// ServePublic serves what programs use, with a key, and the surfaces, on l until
// Drain; unless OperatorApart is set, what operators use too. It returns at once.
func (s *Server) ServePublic(l net.Listener) { s.serve(s.public, l) }

// ServeOperator serves everything, with a key.
func (s *Server) ServeOperator(l net.Listener) { s.serve(s.operator, l) }

// ServeAdmin serves everything without asking for a key: only for a socket that
// none but the operator can reach.
func (s *Server) ServeAdmin(l net.Listener) { s.serve(s.admin, l) }

func (s *Server) serve(h *http.Server, l net.Listener) {
	s.wg.Go(func() {
		if err := h.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.o.Logger.Error("http listener failed", "address", l.Addr().String(), "error", err)
		}
	})
}

// Drain stops listening and waits for requests under way, at most until ctx is
// done. Answers that have no end of their own are ended.
func (s *Server) Drain(ctx context.Context) error {
	s.drain.Do(func() { close(s.draining) })
	err := errors.Join(s.public.Shutdown(ctx), s.operator.Shutdown(ctx), s.admin.Shutdown(ctx))
	if err != nil {
		err = errors.Join(fmt.Errorf("drain http: %w", err), s.public.Close(), s.operator.Close(), s.admin.Close())
	}
	s.wg.Wait()
	return err
}
