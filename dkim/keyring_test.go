package dkim

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newKeyring(t *testing.T, o KeyringOptions) *Keyring {
	t.Helper()
	r, err := NewKeyring(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Start(t.Context())
	t.Cleanup(func() {
		if err := r.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func ed25519Key(t *testing.T, domain, selector string, state State, created time.Time) Key {
	t.Helper()
	made, err := Generate(domain, Ed25519, created)
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewKey(domain, selector, made.private, state, created)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ids(keys []Key) []string {
	var all []string
	for _, k := range keys {
		all = append(all, k.ID())
	}
	return all
}

func TestKeysAreChosenByAlignment(t *testing.T) {
	t.Parallel()
	store := &memoryStore{}
	for _, d := range []string{"example.com", "deep.shop.example.com", "example.co.uk", "xn--mnchen-3ya.de", "co.uk", "com"} {
		store.put(t, ed25519Key(t, d, "s", Active, day))
	}
	store.put(t, ed25519Key(t, "retired.example.com", "s", Retired, day))
	ring := newKeyring(t, KeyringOptions{Store: store})
	for from, want := range map[string]string{
		"example.com":                "example.com",
		"EXAMPLE.com.":               "example.com",
		"shop.example.com":           "example.com",
		"deep.shop.example.com":      "deep.shop.example.com",
		"very.deep.shop.example.com": "deep.shop.example.com",
		"retired.example.com":        "example.com",
		"_odd_.example.com":          "example.com",
		"a.b.example.co.uk":          "example.co.uk",
		"other.co.uk":                "", // never above the organisational domain
		"other.com":                  "",
		"notexample.com":             "",
		"München.de":                 "xn--mnchen-3ya.de",
		"localhost":                  "",
		"192.0.2.1":                  "",
		"[192.0.2.1]":                "",
		"":                           "",
		"a..example.com":             "",
		"a b.example.com":            "",
		"a;d=x.example.com":          "",
		strings.Repeat("a.", 120) + "example.com": "example.com",
	} {
		keys, err := ring.Keys(t.Context(), from)
		if want == "" {
			if !errors.Is(err, ErrNoKey) {
				t.Errorf("From %q: %v, %v; want ErrNoKey", from, keys, err)
			}
			continue
		}
		if err != nil || len(keys) != 1 || keys[0].Domain != want {
			t.Errorf("From %q: %v, %v; want the key of %s", from, keys, err, want)
		}
	}
	before, _ := store.counts()
	if _, err := ring.Keys(t.Context(), strings.Repeat("b.", 120)+"example.com"); err != nil {
		t.Error(err)
	}
	if after, _ := store.counts(); after-before > maxCandidates {
		t.Errorf("one From domain caused %d reads", after-before)
	}
}

func TestNewestActiveKeyOfEachAlgorithmSignsRSAFirst(t *testing.T) {
	t.Parallel()
	rsaKey, err := NewKey("example.com", "r", importedKeys(t)[1].private, Active, day)
	if err != nil {
		t.Fatal(err)
	}
	store := &memoryStore{}
	store.put(t,
		ed25519Key(t, "example.com", "old", Active, day),
		ed25519Key(t, "example.com", "new", Active, day.Add(time.Hour)),
		ed25519Key(t, "example.com", "next", Published, day.Add(2*time.Hour)),
		ed25519Key(t, "example.com", "gone", Retired, day.Add(3*time.Hour)),
		rsaKey)
	keys, err := newKeyring(t, KeyringOptions{Store: store}).Keys(t.Context(), "example.com")
	want := []string{"r._domainkey.example.com", "new._domainkey.example.com"}
	if err != nil || !slices.Equal(ids(keys), want) {
		t.Errorf("Keys = %v, %v; want %v", keys, err, want)
	}
}

func TestImportedKeysStandBeforeTheStore(t *testing.T) {
	t.Parallel()
	store := &memoryStore{}
	store.put(t, ed25519Key(t, "example.com", "stored", Active, day))
	ring := newKeyring(t, KeyringOptions{Store: store, Imported: importedKeys(t)[1:]})
	keys, err := ring.Keys(t.Context(), "example.com")
	if err != nil || !slices.Equal(ids(keys), []string{"mail._domainkey.example.com"}) {
		t.Errorf("Keys = %v, %v", keys, err)
	}
}

func TestAnswersAreCachedUntilInvalidatedOrOld(t *testing.T) {
	t.Parallel()
	store, now := &memoryStore{}, &clock{now: day}
	ring := newKeyring(t, KeyringOptions{Store: store, Now: now.Now})
	want := func(step, selector string, reads int) {
		t.Helper()
		keys, err := ring.Keys(t.Context(), "shop.example.com")
		if selector == "" && !errors.Is(err, ErrNoKey) || selector != "" && (err != nil || keys[0].Selector != selector) {
			t.Errorf("%s: %v, %v", step, keys, err)
		}
		if got, _ := store.counts(); got != reads {
			t.Errorf("%s: %d reads, want %d", step, got, reads)
		}
	}
	want("nothing there", "", 2) // the domain and its parent
	want("nothing, cached", "", 2)
	store.put(t, ed25519Key(t, "example.com", "a", Active, day))
	want("still cached", "", 2)
	ring.Invalidate("example.com")
	want("invalidated at the parent", "a", 4)
	store.put(t, ed25519Key(t, "example.com", "b", Active, day))
	now.pass(defaultCacheFor - 1)
	want("nearly old", "a", 4)
	now.pass(1)
	want("old", "b", 6)

	store.breakWith(errors.New("no route to store"))
	now.pass(defaultCacheFor)
	want("store fails, known keys go on", "b", 7)
	want("and it is left alone for a while", "b", 7)
	if _, err := ring.Keys(t.Context(), "example.org"); err == nil || errors.Is(err, ErrNoKey) {
		t.Errorf("store fails for an unknown domain: %v, want the store's error", err)
	}
}

func TestKeysAreMadeOncePerDomain(t *testing.T) {
	t.Parallel()
	store := &memoryStore{}
	var log lockedBuffer
	ring := newKeyring(t, KeyringOptions{
		Store: store, Autogenerate: true, Now: func() time.Time { return day },
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	signer := NewSigner(Options{Keyring: ring})
	if _, err := signer.Sign(t.Context(), SignRequest{Message: strings.NewReader(plain)}); !errors.Is(err, ErrKeyPending) {
		t.Fatalf("first message: %v, want ErrKeyPending", err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := ring.Wait(t.Context(), "example.com"); err != nil {
				t.Error(err)
			}
			if _, err := signer.Sign(t.Context(), SignRequest{Message: strings.NewReader(plain)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, creates := store.counts(); creates != 1 {
		t.Errorf("keys were made %d times", creates)
	}
	keys, err := ring.Keys(t.Context(), "example.com")
	if err != nil || !slices.Equal(ids(keys), []string{"pr20260102r._domainkey.example.com", "pr20260102e._domainkey.example.com"}) {
		t.Errorf("Keys = %v, %v", keys, err)
	}
	wantSignedBy(t, signer, keys)
	if text := log.String(); strings.Count(text, "dkim key ready") != 2 || strings.Contains(text, "PRIVATE") {
		t.Errorf("log:\n%s", text)
	}
}

func wantSignedBy(t *testing.T, signer *Signer, keys []Key) {
	t.Helper()
	got, err := signer.Sign(t.Context(), SignRequest{Message: strings.NewReader(plain)})
	if err != nil {
		t.Fatal(err)
	}
	wantValid(t, string(got.Header)+plain, len(keys), publish(t, keys...))
}

func TestNodesAgreeOnOneKey(t *testing.T) {
	t.Parallel()
	store := &memoryStore{}
	var nodes sync.WaitGroup
	found := make([][]Key, 3)
	for i := range found {
		ring := newKeyring(t, KeyringOptions{Store: store, Autogenerate: true})
		nodes.Go(func() {
			if err := ring.Wait(t.Context(), "example.com"); err != nil {
				t.Error(err)
			}
			found[i], _ = ring.Keys(t.Context(), "example.com")
		})
	}
	nodes.Wait()
	for _, keys := range found {
		if len(keys) != 2 || recordOf(t, keys[0]) != recordOf(t, found[0][0]) {
			t.Errorf("nodes sign with different keys")
		}
	}
}

func recordOf(t testing.TB, k Key) string {
	t.Helper()
	r, err := RecordFor(k)
	if err != nil {
		t.Fatal(err)
	}
	return r.Value
}

func TestKeysAreMadeOnlyWhereAllowed(t *testing.T) {
	t.Parallel()
	store := &memoryStore{}
	ring := newKeyring(t, KeyringOptions{
		Store: store, Autogenerate: true,
		Allow: func(d string) bool { return d == "example.com" || d == "localhost" || d == "192.0.2.1" },
	})
	for _, from := range []string{"example.org", "localhost", "192.0.2.1", "com"} {
		if err := ring.Wait(t.Context(), from); !errors.Is(err, ErrNoKey) {
			t.Errorf("From %s: %v, want ErrNoKey", from, err)
		}
	}
	if err := ring.Wait(t.Context(), "shop.example.com"); err != nil {
		t.Fatal(err)
	}
	keys, err := ring.Keys(t.Context(), "shop.example.com")
	if err != nil || keys[0].Domain != "example.com" {
		t.Errorf("Keys = %v, %v; want those of the allowed parent", keys, err)
	}
	if _, err := NewKeyring(KeyringOptions{Autogenerate: true}); err == nil {
		t.Error("keys would be generated with nowhere to keep them")
	}
}

func TestFailedGenerationIsToldAndTriedAgainLater(t *testing.T) {
	t.Parallel()
	store, now := &memoryStore{}, &clock{now: day}
	ring, err := NewKeyring(KeyringOptions{Store: store, Autogenerate: true, Now: now.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Keys(t.Context(), "example.com"); !errors.Is(err, ErrKeyPending) {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	store.breakWith(full)
	ring.Start(t.Context())
	if err := ring.Wait(t.Context(), "example.com"); !errors.Is(err, full) {
		t.Errorf("Wait: %v, want the store's error", err)
	}
	store.breakWith(nil)
	if err := ring.Wait(t.Context(), "example.com"); !errors.Is(err, full) {
		t.Errorf("at once: %v, want the same error", err)
	}
	now.pass(retryAfter)
	if err := ring.Wait(t.Context(), "example.com"); err != nil {
		t.Errorf("later: %v", err)
	}
	if err := ring.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDomainWithRetiredKeysOnlyGetsNoOthers(t *testing.T) {
	t.Parallel()
	store := &memoryStore{}
	store.put(t, ed25519Key(t, "example.com", "s", Retired, day))
	ring := newKeyring(t, KeyringOptions{Store: store, Autogenerate: true})
	if err := ring.Wait(t.Context(), "example.com"); !errors.Is(err, ErrNoKey) {
		t.Errorf("Wait: %v, want ErrNoKey", err)
	}
}

func TestDrainFreesThoseWhoWait(t *testing.T) {
	t.Parallel()
	ring, err := NewKeyring(KeyringOptions{Store: &memoryStore{}, Autogenerate: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ring.Wait(ctx, "example.com"); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with an ended context: %v", err)
	}
	waited := make(chan error)
	go func() { waited <- ring.Wait(context.Background(), "example.com") }()
	if err := ring.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-waited; !errors.Is(err, errDraining) {
		t.Errorf("Wait: %v, want that it shuts down", err)
	}
}

func TestPendingDomainsAreBounded(t *testing.T) {
	t.Parallel()
	ring, err := NewKeyring(KeyringOptions{Store: &memoryStore{}, Autogenerate: true}) // not started
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxPending + 1 {
		from := strings.Repeat("x", i%60+1) + strings.Repeat(".y", i/60) + ".example.com"
		if _, err := ring.Keys(t.Context(), from); !errors.Is(err, ErrKeyPending) {
			t.Fatal(err)
		}
	}
	if len(ring.pending) != maxPending {
		t.Errorf("%d domains pending, want %d", len(ring.pending), maxPending)
	}
	if err := ring.Wait(t.Context(), "one.too.many.example.com"); !errors.Is(err, ErrKeyPending) {
		t.Errorf("Wait when too many wait: %v", err)
	}
}

// A lockedBuffer is a bytes.Buffer for several goroutines.
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

func TestKeysThatAppearWhileWaitingAreTaken(t *testing.T) {
	t.Parallel()
	store := &memoryStore{}
	ring, err := NewKeyring(KeyringOptions{Store: store, Autogenerate: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Keys(t.Context(), "example.com"); !errors.Is(err, ErrKeyPending) {
		t.Fatal(err)
	}
	store.put(t, ed25519Key(t, "example.com", "other", Active, day)) // by another node
	ring.Start(t.Context())
	if err := ring.Wait(t.Context(), "example.com"); err != nil {
		t.Fatal(err)
	}
	keys, err := ring.Keys(t.Context(), "example.com")
	if _, creates := store.counts(); err != nil || keys[0].Selector != "other" || creates != 0 {
		t.Errorf("Keys = %v, %v after %d creations", keys, err, creates)
	}
	if err := ring.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

// An invalidatedStore changes under the reader: its answer is old by the time
// it is returned.
type invalidatedStore struct {
	*memoryStore
	changed func()
}

func (s *invalidatedStore) Keys(ctx context.Context, domain string) ([]Key, error) {
	keys, err := s.memoryStore.Keys(ctx, domain)
	s.changed()
	return keys, err
}

func TestAnswersOvertakenByInvalidateAreNotKept(t *testing.T) {
	t.Parallel()
	store := &invalidatedStore{memoryStore: &memoryStore{}}
	ring := newKeyring(t, KeyringOptions{Store: store})
	newer := ed25519Key(t, "example.com", "s", Active, day)
	store.changed = func() {
		store.changed = func() {}
		store.put(t, newer)
		ring.Invalidate("example.com")
	}
	if _, err := ring.Keys(t.Context(), "example.com"); !errors.Is(err, ErrNoKey) {
		t.Fatal(err)
	}
	if keys, err := ring.Keys(t.Context(), "example.com"); err != nil || len(keys) != 1 {
		t.Errorf("Keys = %v, %v; want the key stored meanwhile", keys, err)
	}
}
