package mtasts_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"postrider/mx"
	"postrider/mx/dnssim"
	"postrider/mx/mtasts"
)

const (
	testPolicy = "version: STSv1\r\nmode: enforce\r\nmx: mx.example.test\r\nmx: *.backup.test\r\nmax_age: 604800\r\n"
	week       = 7 * 24 * time.Hour
)

// world is a domain example.test with a policy host, a store, and a clock.
type world struct {
	t      *testing.T
	dns    *dnssim.Server
	mx     *mx.Resolver
	web    *policyHost
	store  *mapStore
	clock  *clock
	change []func(*mtasts.Options)
	*mtasts.Cache
}

func newWorld(t *testing.T, change ...func(*mtasts.Options)) *world {
	t.Helper()
	w := &world{
		t: t, web: startPolicyHost(t, "mta-sts.example.test"),
		store: newMapStore(), clock: &clock{now: time.Now()}, change: change,
	}
	var err error
	if w.dns, err = dnssim.New(dnssim.Options{}); err != nil {
		t.Fatal(err)
	}
	w.record("a1")
	if err := w.dns.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.dns.Close() })
	w.mx, err = mx.New(mx.Options{
		Servers: []string{w.dns.Addr()}, OwnAddrs: []netip.Addr{}, Now: w.clock.Now,
		Timeouts: []time.Duration{500 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.mx.Close() })
	w.Cache = w.node()
	return w
}

// node is one more cache on the same store.
func (w *world) node(change ...func(*mtasts.Options)) *mtasts.Cache {
	o := mtasts.Options{
		Resolver: w.mx, Store: w.store, Missing: errMissing, RootCAs: w.web.roots,
		AllowPrivate: true, Port: w.web.port, Now: w.clock.Now, Rand: func() float64 { return 0 },
		FetchTimeout: 5 * time.Second,
	}
	for _, c := range append(w.change, change...) {
		c(&o)
	}
	c := mtasts.New(o)
	w.t.Cleanup(func() { drain(w.t, c) })
	return c
}

func drain(t *testing.T, c *mtasts.Cache) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.Drain(ctx); err != nil {
		t.Errorf("drain: %v", err)
	}
}

// record publishes a TXT record with this id.
func (w *world) record(id string) {
	w.t.Helper()
	w.zone(fmt.Sprintf("_mta-sts 60 TXT %q\n", "v=STSv1; id="+id+";"))
}

func (w *world) zone(text string) {
	w.t.Helper()
	if err := w.dns.Load("example.test", "@ 60 SOA ns h 1 2 3 4 60\nmta-sts 60 A 127.0.0.1\n"+text); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) set(name, qtype string, b dnssim.Behavior) {
	w.t.Helper()
	if err := w.dns.Set(name, qtype, b); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) policy(c *mtasts.Cache) mtasts.Policy {
	w.t.Helper()
	p, err := c.Policy(w.t.Context(), "example.test")
	if err != nil {
		w.t.Fatalf("policy: %v", err)
	}
	return p
}

// wants checks mode, id and fault of what a node says now.
func (w *world) wants(c *mtasts.Cache, what string, mode mtasts.Mode, id, fault string) {
	w.t.Helper()
	if p := w.policy(c); p.Mode != mode || p.ID != id || p.Fault != fault {
		w.t.Errorf("%s: %+v; want mode %s, id %q, fault %q", what, p, mode, id, fault)
	}
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var errMissing = errors.New("no such value")

// mapStore is a Store in memory that can fail.
type mapStore struct {
	mu     sync.Mutex
	values map[string]mapValue
	fault  error
}

type mapValue struct {
	b   []byte
	end time.Time
}

func newMapStore() *mapStore { return &mapStore{values: make(map[string]mapValue)} }

func (s *mapStore) CacheGet(_ context.Context, key string, now time.Time) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return nil, s.fault
	}
	v, ok := s.values[key]
	if !ok || !v.end.After(now) {
		return nil, fmt.Errorf("cache entry %q: %w", key, errMissing)
	}
	return v.b, nil
}

func (s *mapStore) CachePut(_ context.Context, key string, value []byte, now time.Time, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return s.fault
	}
	s.values[key] = mapValue{value, now.Add(ttl)}
	return nil
}

func (s *mapStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

// policyHost is a web server with a certificate.
type policyHost struct {
	srv   *httptest.Server
	roots *x509.CertPool
	port  int

	mu       sync.Mutex
	requests []string // hosts and paths asked for
	answer   http.HandlerFunc
	cert     *tls.Certificate
	ca       *authority
}

func startPolicyHost(t *testing.T, names ...string) *policyHost {
	t.Helper()
	h := &policyHost{ca: newAuthority(t), answer: serve(testPolicy)}
	h.roots = x509.NewCertPool()
	h.roots.AddCert(h.ca.cert)
	h.present(h.ca.issue(t, time.Now().Add(time.Hour), names...))
	h.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.requests = append(h.requests, r.URL.Path)
		answer := h.answer
		h.mu.Unlock()
		answer(w, r)
	}))
	h.srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.srv.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.cert, nil
	}}
	h.srv.StartTLS()
	t.Cleanup(h.srv.Close)
	h.port = h.srv.Listener.Addr().(*net.TCPAddr).Port
	return h
}

func (h *policyHost) present(c *tls.Certificate) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cert = c
}

func (h *policyHost) says(f http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = f
}

func (h *policyHost) asked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.requests)
}

func serve(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, body)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, testPolicy)
	}
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}}, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) issue(t *testing.T, until time.Time, names ...string) *tls.Certificate {
	t.Helper()
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: names,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
	}, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
