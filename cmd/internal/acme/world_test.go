package acme

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
)

const day = 24 * time.Hour

// world is a store, a clock and an authority that answers as it is told.
type world struct {
	t     *testing.T
	store queue.Store
	now   time.Time
	log   *lockedBuffer

	asked    []string // domain and challenge of each order
	refuse   map[string]error
	lifetime time.Duration
	serial   int64
	told     []Trouble
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &world{
		t: t, store: s, now: time.Date(2026, 11, 26, 19, 0, 0, 0, time.UTC), log: &lockedBuffer{},
		refuse: map[string]error{}, lifetime: 90 * day,
	}
}

func (w *world) clock() time.Time { return w.now }

func (w *world) options(holder string, domains ...string) Options {
	return Options{
		Domains: domains, Directory: "https://ca.example/dir", HTTP: true, Store: w.store, Holder: holder, Now: w.clock,
		Told: func(t Trouble) { w.told = append(w.told, t) }, Logger: slog.New(slog.NewTextHandler(w.log, nil)),
	}
}

// node is a manager that has its certificates from this world, loaded as at the
// start of a relay.
func (w *world) node(holder string, domains ...string) *Manager {
	w.t.Helper()
	return w.manager(w.options(holder, domains...))
}

func (w *world) manager(o Options) *Manager {
	w.t.Helper()
	m, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	m.obtain = w.obtain
	if err := m.Load(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) obtain(_ context.Context, domain, kind string) (*pair, error) {
	w.asked = append(w.asked, domain+" "+kind)
	if err := w.refuse[domain]; err != nil {
		return nil, err
	}
	return w.issue(domain), nil
}

// issue makes a certificate that begins now.
func (w *world) issue(domain string) *pair {
	w.t.Helper()
	signer, key, err := newKey()
	if err != nil {
		w.t.Fatal(err)
	}
	w.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(w.serial), DNSNames: []string{domain}, Subject: pkix.Name{CommonName: domain},
		NotBefore: w.now, NotAfter: w.now.Add(w.lifetime),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := newPair(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// after lets time pass, and a node look.
func (w *world) after(d time.Duration, m *Manager) time.Duration {
	w.now = w.now.Add(d)
	return m.pass(w.t.Context())
}

// shown is the serial number that a client is shown; 0: none.
func (w *world) shown(m *Manager, domain string) int64 {
	p := m.find(domain)
	if p == nil {
		return 0
	}
	return p.cert.Leaf.SerialNumber.Int64()
}

func (w *world) wantAsked(n int) {
	w.t.Helper()
	if len(w.asked) != n {
		w.t.Fatalf("the authority was asked %d times, want %d: %q", len(w.asked), n, w.asked)
	}
}

var errDown = errors.New("the authority is down")
