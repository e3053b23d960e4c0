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

	"github.com/go-chi/chi/v5"

	v1 "postrider/api/v1"
	"postrider/queue"
)

// Store is what the API needs of the queue's store.
type Store interface {
	queue.Reader
	queue.Operator
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

// Options of a Server. Store is required.
type Options struct {
	Store    Store
	Accounts Accounts
	Domains  Domains
	Metrics  http.Handler // nil: no /metrics
	Ready    func() error // nil: the store's condition alone decides
	// Admin says whether a key may administer, without telling by its timing;
	// nil: no administration over TCP.
	Admin  func(ctx context.Context, key string, remote netip.Addr) bool
	Now    func() time.Time   // nil: time.Now
	Logger *slog.Logger       // nil: discard
	Live   func() (err error) // nil: always alive
}

// Server serves HTTP on any number of listeners. Serve, then Drain once.
type Server struct {
	o      Options
	public *http.Server
	admin  *http.Server
	wg     sync.WaitGroup
}

// Limits against slow and greedy clients.
const (
	readTimeout  = 30 * time.Second
	idleTimeout  = 2 * time.Minute
	maxHeader    = 32 << 10
	maxAdminBody = 1 << 20
)

// New returns a Server.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o}
	s.public = s.serverFor(s.publicRoutes())
	s.admin = s.serverFor(s.adminRoutes())
	return s
}

func (s *Server) serverFor(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
}

// ServePublic serves probes, metrics and, with a key, administration on l until
// Drain. It returns at once.
func (s *Server) ServePublic(l net.Listener) { s.serve(s.public, l) }

// ServeAdmin serves the same without asking for a key: only for a socket that
// none but the operator can reach.
func (s *Server) ServeAdmin(l net.Listener) { s.serve(s.admin, l) }

func (s *Server) serve(h *http.Server, l net.Listener) {
	s.wg.Go(func() {
		if err := h.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.o.Logger.Error("http listener failed", "address", l.Addr().String(), "error", err)
		}
	})
}

// Drain stops listening and waits for the requests under way.
func (s *Server) Drain(ctx context.Context) error {
	err := errors.Join(s.public.Shutdown(ctx), s.admin.Shutdown(ctx))
	if err != nil {
		err = errors.Join(fmt.Errorf("drain http: %w", err), s.public.Close(), s.admin.Close())
	}
	s.wg.Wait()
	return err
}

func (s *Server) publicRoutes() http.Handler {
	r := chi.NewRouter()
	s.probes(r)
	if s.o.Admin != nil {
		r.Group(func(r chi.Router) {
			r.Use(s.requireKey)
			s.administration(r)
		})
	}
	r.NotFound(notFound)
	r.MethodNotAllowed(notAllowed)
	return r
}

func (s *Server) adminRoutes() http.Handler {
	r := chi.NewRouter()
	s.probes(r)
	s.administration(r)
	r.NotFound(notFound)
	r.MethodNotAllowed(notAllowed)
	return r
}

func (s *Server) probes(r chi.Router) {
	r.Get("/livez", s.livez)
	r.Get("/readyz", s.readyz)
	if s.o.Metrics != nil {
		r.Method(http.MethodGet, "/metrics", s.o.Metrics)
	}
}

func (s *Server) administration(r chi.Router) {
	r.Route("/v1", func(r chi.Router) {
		r.Get("/queue", s.getQueue)
		r.Post("/queue/actions", s.postAction)
		r.Get("/messages", s.listMessages)
		r.Get("/messages/{id}", s.getMessage)
		if s.o.Accounts != nil {
			r.Get("/accounts", s.listAccounts)
			r.Post("/accounts", s.createAccount)
			r.Patch("/accounts/{name}", s.changeAccount)
			r.Delete("/accounts/{name}", s.deleteAccount)
		}
		if s.o.Domains != nil {
			r.Get("/domains/{domain}/records", s.getRecords)
		}
	})
}
