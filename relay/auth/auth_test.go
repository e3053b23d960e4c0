package auth_test

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/relay/auth"
	"postrider/relay/intake"
)

var home = netip.MustParseAddr("192.0.2.1")

type fixture struct {
	*auth.Authenticator
	store *logstore.Store
	clock *clock
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func openStore(t testing.TB) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func open(t testing.TB, edit func(*auth.Options)) *fixture {
	t.Helper()
	f := &fixture{store: openStore(t), clock: &clock{t: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
	o := auth.Options{Store: f.store, Now: f.clock.now}
	if edit != nil {
		edit(&o)
	}
	var err error
	if f.Authenticator, err = auth.New(o); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) login(t testing.TB, name, password string) error {
	return f.loginFrom(t, home, name, password)
}

func (f *fixture) loginFrom(t testing.TB, from netip.Addr, name, password string) error {
	t.Helper()
	_, err := f.Verify(t.Context(), auth.Attempt{Name: name, Password: password, Remote: from, Protocol: "smtp", Scope: auth.ScopeSend})
	return err
}

func want(t testing.TB, got, want error, what string) {
	t.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func TestChosenAndGeneratedPasswords(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	if _, err := f.Create(t.Context(), auth.Account{Name: "Shop"}, "correct horse"); err != nil {
		t.Fatal(err)
	}
	generated, err := f.Create(t.Context(), auth.Account{Name: "blog"}, "")
	if err != nil || len(generated) < 32 {
		t.Fatalf("generated %q, %v", generated, err)
	}
	want(t, f.login(t, "shop", "correct horse"), nil, "right")
	want(t, f.login(t, " SHOP ", "correct horse"), nil, "letter case of names does not count")
	want(t, f.login(t, "shop", "Correct horse"), auth.ErrCredentials, "letter case of passwords counts")
	want(t, f.login(t, "blog", generated), nil, "generated")
	want(t, f.login(t, "shop", generated), auth.ErrCredentials, "another account's")
	want(t, f.login(t, "nobody", "correct horse"), auth.ErrCredentials, "unknown name")
	want(t, f.login(t, "shop", ""), auth.ErrCredentials, "empty")
	want(t, f.login(t, "", ""), auth.ErrCredentials, "nothing at all")
	want(t, f.login(t, "shop", strings.Repeat("x", 5000)), auth.ErrCredentials, "far too long")
	_, err = f.Create(t.Context(), auth.Account{Name: "shop"}, "")
	want(t, err, queue.ErrExists, "twice")

	r, err := f.store.GetRecord(t.Context(), queue.RecordAccount, "shop")
	if err != nil || !strings.Contains(string(r.Value), "$argon2id$v=19$m=19456,t=2,p=1$") || strings.Contains(string(r.Value), "horse") {
		t.Errorf("record %s, %v", r.Value, err)
	}
}

func TestChangeOfPasswordEndsCachedLogins(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	first, err := f.Create(t.Context(), auth.Account{Name: "shop"}, "")
	want(t, err, nil, "create")
	want(t, f.login(t, "shop", first), nil, "first")
	second, err := f.SetPassword(t.Context(), "shop", "")
	want(t, err, nil, "set")
	want(t, f.login(t, "shop", first), auth.ErrCredentials, "old password")
	want(t, f.login(t, "shop", second), nil, "new password")
	want(t, f.Delete(t.Context(), "shop"), nil, "delete")
	want(t, f.login(t, "shop", second), auth.ErrCredentials, "deleted account")
	_, err = f.Policy(t.Context(), "shop", "")
	want(t, err, queue.ErrNotFound, "policy of a deleted account")
	want(t, f.Delete(t.Context(), "shop"), queue.ErrNotFound, "delete again")
}

func TestDisabledAccountLogsInAndIsToldByPolicy(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	pw, err := f.Create(t.Context(), auth.Account{Name: "shop"}, "")
	want(t, err, nil, "create")
	want(t, f.Disable(t.Context(), "shop", "invoice is open"), nil, "disable")
	id, err := f.Verify(t.Context(), auth.Attempt{Name: "shop", Password: pw, Remote: home})
	if err != nil || id.Disabled != "invoice is open" || id.Account != "shop" {
		t.Errorf("%+v %v", id, err)
	}
	if p, err := f.Policy(t.Context(), "shop", ""); err != nil || p.Disabled != "invoice is open" {
		t.Errorf("policy %+v %v", p, err)
	}
	want(t, f.Enable(t.Context(), "shop"), nil, "enable")
	if p, err := f.Policy(t.Context(), "shop", ""); err != nil || p.Disabled != "" {
		t.Errorf("policy %+v %v", p, err)
	}
}

func TestKeysCarryScopesAndDieWithTheirAccount(t *testing.T) {
	t.Parallel()
	f := open(t, func(o *auth.Options) {
		o.Keys = []auth.StaticKey{{Name: "admin", Secret: "0123456789abcdef", Account: "admin", Scopes: []auth.Scope{auth.ScopeAdmin}}}
	})
	_, err := f.Create(t.Context(), auth.Account{Name: "shop"}, "")
	want(t, err, nil, "create")
	send, k, err := f.CreateKey(t.Context(), auth.NewKey{Account: "shop", Label: "wordpress", Scopes: []auth.Scope{auth.ScopeSend}})
	if err != nil || !strings.HasPrefix(send, "prk_") || !strings.HasPrefix(k.ID, "key_") {
		t.Fatalf("%q %+v %v", send, k, err)
	}
	read, _, err := f.CreateKey(t.Context(), auth.NewKey{Account: "shop", Scopes: []auth.Scope{auth.ScopeRead}})
	want(t, err, nil, "create key")
	id, err := f.Verify(t.Context(), auth.Attempt{Name: "whatever", Password: send, Remote: home, Scope: auth.ScopeSend})
	if err != nil || id.Account != "shop" || id.Credential != k.ID || id.May(auth.ScopeRead) {
		t.Errorf("%+v %v", id, err)
	}
	want(t, f.login(t, "shop", read), auth.ErrScope, "key to read, used to send")
	want(t, f.login(t, "shop", send+"x"), auth.ErrCredentials, "wrong key")
	if id, err := f.Verify(t.Context(), auth.Attempt{Password: "0123456789abcdef", Remote: home, Scope: auth.ScopeAdmin}); err != nil || id.Account != "admin" {
		t.Errorf("%+v %v", id, err)
	}
	if keys, err := f.Keys(t.Context(), "shop"); err != nil || len(keys) != 2 {
		t.Errorf("%+v %v", keys, err)
	}
	want(t, f.DeleteKey(t.Context(), k.ID), nil, "delete key")
	want(t, f.login(t, "", send), auth.ErrCredentials, "deleted key")
	want(t, f.DeleteKey(t.Context(), k.ID), queue.ErrNotFound, "delete key again")
	want(t, f.Delete(t.Context(), "shop"), nil, "delete account")
	_, err = f.Create(t.Context(), auth.Account{Name: "shop"}, "")
	want(t, err, nil, "create again")
	want(t, f.login(t, "", read), auth.ErrCredentials, "key of the former account")
	_, _, err = f.CreateKey(t.Context(), auth.NewKey{Account: "nobody", Scopes: []auth.Scope{auth.ScopeSend}})
	want(t, err, queue.ErrNotFound, "key for nobody")
	if _, _, err = f.CreateKey(t.Context(), auth.NewKey{Account: "shop", Scopes: []auth.Scope{"root"}}); err == nil {
		t.Error("made a key with an unknown scope")
	}
}

func TestStaticAccounts(t *testing.T) {
	t.Parallel()
	f := open(t, func(o *auth.Options) {
		o.Static = []auth.Static{{Name: "Shop", Secret: "x", Policy: intake.Policy{HourlyLimit: 7}}, {Name: "odd", Secret: "prk_mine"}}
		o.Trusted, o.Local = intake.Policy{HourlyLimit: 1}, intake.Policy{HourlyLimit: 2}
	})
	want(t, f.login(t, "shop", "x"), nil, "static")
	want(t, f.login(t, "odd", "prk_mine"), nil, "a static password that looks like a key")
	want(t, f.login(t, "shop", "y"), auth.ErrCredentials, "static, wrong")
	want(t, f.login(t, "trusted", "x"), auth.ErrCredentials, "nobody logs in as trusted")
	for name, limit := range map[string]int{"shop": 7, auth.AccountTrusted: 1, auth.AccountLocal: 2} {
		if p, err := f.Policy(t.Context(), name, ""); err != nil || p.HourlyLimit != limit {
			t.Errorf("policy of %s: %+v %v", name, p, err)
		}
	}
	want(t, f.Disable(t.Context(), "shop", "x"), auth.ErrStatic, "disable")
	_, err := f.Create(t.Context(), auth.Account{Name: "shop"}, "")
	want(t, err, auth.ErrStatic, "create")
	if first, created, err := f.CreateFirst(t.Context(), "admin"); created || err != nil || first.Name != "" {
		t.Errorf("made a first account beside static ones: %v", err)
	}
	for _, bad := range [][]auth.Static{{{Name: "a"}}, {{Name: "a", Secret: "x"}, {Name: "A", Secret: "y"}}, {{Name: "local", Secret: "x"}}, {{Name: "a b", Secret: "x"}}} {
		if _, err := auth.New(auth.Options{Store: f.store, Static: bad}); err == nil {
			t.Errorf("took %+v", bad)
		}
	}
}

func TestFirstAccountIsMadeOnce(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	first, created, err := f.CreateFirst(t.Context(), "postrider")
	if err != nil || !created {
		t.Fatal(created, err)
	}
	want(t, f.login(t, first.Name, first.Password), nil, "password")
	if id, err := f.Verify(t.Context(), auth.Attempt{Password: first.Key, Remote: home, Scope: auth.ScopeAdmin}); err != nil || id.Account != "postrider" {
		t.Error(id, err)
	}
	if _, created, err = f.CreateFirst(t.Context(), "postrider"); created || err != nil {
		t.Error("made it twice", err)
	}
	if all, err := f.List(t.Context()); err != nil || len(all) != 1 || all[0].Name != "postrider" {
		t.Error(all, err)
	}
}

func TestNodesThatStartAtOnceMakeOneFirstAccount(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	const nodes = 8
	var wg sync.WaitGroup
	made := make(chan auth.First, nodes)
	for range nodes {
		node, err := auth.New(auth.Options{Store: f.store, Now: f.clock.now})
		want(t, err, nil, "another node")
		wg.Go(func() {
			if first, created, err := node.CreateFirst(t.Context(), "postrider"); err != nil {
				t.Error(err)
			} else if created {
				made <- first
			}
		})
	}
	wg.Wait()
	if len(made) != 1 {
		t.Fatalf("%d nodes say that they made the first account", len(made))
	}
	first := <-made
	want(t, f.login(t, first.Name, first.Password), nil, "the password that was shown")
}

func TestOtherNodesChangesAreNoticedSoonAndOwnOnesAtOnce(t *testing.T) {
	t.Parallel()
	edit := func(o *auth.Options) { o.Freshness = time.Second }
	f := open(t, edit)
	o := auth.Options{Store: f.store, Now: f.clock.now}
	edit(&o)
	other, err := auth.New(o)
	want(t, err, nil, "another node")
	two := &fixture{Authenticator: other, store: f.store, clock: f.clock}

	old, err := f.Create(t.Context(), auth.Account{Name: "shop"}, "")
	want(t, err, nil, "create")
	want(t, f.login(t, "shop", old), nil, "where it was made")
	want(t, two.login(t, "shop", old), nil, "elsewhere")
	password, err := f.SetPassword(t.Context(), "shop", "")
	want(t, err, nil, "change")
	want(t, f.login(t, "shop", old), auth.ErrCredentials, "the old password where it was changed")
	want(t, f.login(t, "shop", password), nil, "the new one there")
	f.clock.add(time.Second)
	want(t, two.login(t, "shop", old), auth.ErrCredentials, "the old password elsewhere, a second later")
	want(t, two.login(t, "shop", password), nil, "the new one there")
	want(t, f.Delete(t.Context(), "shop"), nil, "delete")
	want(t, f.login(t, "shop", password), auth.ErrCredentials, "where it was deleted")
}

func TestPolicyTakesDefaultsForWhatIsOpen(t *testing.T) {
	t.Parallel()
	senders, err := intake.ParseAddresses([]string{"example.com"})
	want(t, err, nil, "parse")
	f := open(t, func(o *auth.Options) {
		o.Defaults = intake.Policy{Senders: senders, From: intake.FromRewrite, HourlyLimit: 10}
	})
	_, err = f.Create(t.Context(), auth.Account{Name: "plain"}, "")
	want(t, err, nil, "create")
	_, err = f.Create(t.Context(), auth.Account{Name: "own", AllowedSenders: []string{"shop.example"}, From: intake.FromReject, HourlyLimit: 3}, "")
	want(t, err, nil, "create")
	p, err := f.Policy(t.Context(), "plain", "")
	if err != nil || p.HourlyLimit != 10 || p.From != intake.FromRewrite || !p.Senders.Allow(queue.Address{Local: "a", Domain: "example.com"}) || p.Senders.Any() {
		t.Errorf("%+v %v", p, err)
	}
	p, err = f.Policy(t.Context(), "own", "")
	if err != nil || p.HourlyLimit != 3 || p.From != intake.FromReject || p.Senders.Allow(queue.Address{Local: "a", Domain: "example.com"}) {
		t.Errorf("%+v %v", p, err)
	}
	for _, bad := range []auth.Account{{Name: ""}, {Name: "trusted"}, {Name: "x", AllowedSenders: []string{"a b"}}, {Name: "x", From: "maybe"}, {Name: "x", Scopes: []auth.Scope{"root"}}} {
		if _, err := f.Create(t.Context(), bad, ""); err == nil {
			t.Errorf("took %+v", bad)
		}
	}
	for _, bad := range []string{"short", "prk_looks-like-a-key", "nul\x00nul\x00"} {
		if _, err := f.Create(t.Context(), auth.Account{Name: "x"}, bad); err == nil {
			t.Errorf("took password %q", bad)
		}
	}
}

func TestGuessingFromOneAddressIsThrottled(t *testing.T) {
	t.Parallel()
	f := open(t, func(o *auth.Options) {
		o.Static = []auth.Static{{Name: "shop", Secret: "right"}, {Name: "blog", Secret: "fine"}}
		o.AddressBudget = auth.Budget{PerMinute: 3, PerDay: 5}
	})
	guesser := netip.MustParseAddr("2001:db8:1:2::1")
	want(t, f.loginFrom(t, guesser, "blog", "fine"), nil, "a login before")
	for range 4 {
		want(t, f.loginFrom(t, guesser, "shop", "wrong"), auth.ErrCredentials, "within the budget, and the one that overdraws it")
	}
	want(t, f.loginFrom(t, guesser, "shop", "right"), auth.ErrThrottled, "guessed right, too late")
	want(t, f.loginFrom(t, netip.MustParseAddr("2001:db8:1:2:ffff::9"), "nobody", "x"), auth.ErrThrottled, "another address of the same /64")
	want(t, f.loginFrom(t, guesser, "blog", "fine"), nil, "what was right from here before")
	want(t, f.login(t, "shop", "right"), nil, "another address")
	f.clock.add(time.Minute)
	want(t, f.loginFrom(t, guesser, "shop", "right"), nil, "after a minute")
}

func TestGuessingIsThrottledByAllNodes(t *testing.T) {
	t.Parallel()
	edit := func(o *auth.Options) {
		o.Static = []auth.Static{{Name: "shop", Secret: "right"}}
		o.AddressBudget = auth.Budget{PerMinute: 3, PerDay: 50}
	}
	f := open(t, edit)
	o := auth.Options{Store: f.store, Now: f.clock.now}
	edit(&o)
	other, err := auth.New(o)
	want(t, err, nil, "another node")
	two := &fixture{Authenticator: other, store: f.store, clock: f.clock}

	for _, node := range []*fixture{f, two, f, two} {
		want(t, node.login(t, "shop", "wrong"), auth.ErrCredentials, "within the budget, and the one that overdraws it")
	}
	for _, node := range []*fixture{f, two} {
		want(t, node.login(t, "shop", "right"), auth.ErrThrottled, "guessed right, too late")
	}
	f.clock.add(time.Minute)
	for _, node := range []*fixture{f, two} {
		want(t, node.login(t, "shop", "right"), nil, "after a minute")
	}
}

func TestGuessingAtOneAccountIsThrottled(t *testing.T) {
	t.Parallel()
	f := open(t, func(o *auth.Options) {
		o.Static = []auth.Static{{Name: "shop", Secret: "right"}}
		o.AccountBudget = auth.Budget{PerMinute: 3, PerDay: 50}
		o.CacheTTL = time.Second
	})
	want(t, f.login(t, "shop", "right"), nil, "the owner")
	addr := netip.MustParseAddr("203.0.113.1")
	for range 4 {
		want(t, f.loginFrom(t, addr, "shop", "wrong"), auth.ErrCredentials, "guess")
		addr = addr.Next()
	}
	want(t, f.loginFrom(t, addr, "shop", "right"), auth.ErrThrottled, "a new address")
	f.clock.add(2 * time.Second) // past the cache, not past the block
	want(t, f.login(t, "shop", "right"), nil, "the owner is not locked out")
}

func TestUnknownAccountIsThrottledAsAKnownOne(t *testing.T) {
	t.Parallel()
	f := open(t, func(o *auth.Options) { o.AccountBudget = auth.Budget{PerMinute: 1, PerDay: 50} })
	addr := netip.MustParseAddr("203.0.113.1")
	for _, w := range []error{auth.ErrCredentials, auth.ErrCredentials, auth.ErrThrottled} {
		want(t, f.loginFrom(t, addr, "nobody", "wrong"), w, "guess")
		addr = addr.Next()
	}
}

func TestTroubleOfTheStoreIsNoWrongPassword(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	pw, err := f.Create(t.Context(), auth.Account{Name: "shop"}, "")
	want(t, err, nil, "create")
	want(t, f.store.Close(), nil, "close")
	for _, secret := range []string{pw, "wrong", "prk_something"} {
		err := f.login(t, "shop", secret)
		want(t, err, queue.ErrUnavailable, "closed store")
		if errors.Is(err, auth.ErrCredentials) {
			t.Error("said wrong password")
		}
	}
}

func TestHashingIsBounded(t *testing.T) {
	t.Parallel()
	f := open(t, func(o *auth.Options) {
		o.Waiting = 3
		o.AddressBudget = auth.Budget{PerMinute: 1000, PerDay: 1000}
		o.AccountBudget = o.AddressBudget
	})
	var wg sync.WaitGroup
	errs := make(chan error, 40)
	for range cap(errs) {
		wg.Go(func() { errs <- f.login(t, "nobody", "x") })
	}
	wg.Wait()
	close(errs)
	busy := 0
	for err := range errs {
		if errors.Is(err, auth.ErrBusy) {
			busy++
		} else {
			want(t, err, auth.ErrCredentials, "the rest")
		}
	}
	if busy == 0 {
		t.Error("all of 40 logins at once were hashed")
	}
}

func BenchmarkVerify(b *testing.B) {
	f := open(b, nil)
	if _, err := f.Create(b.Context(), auth.Account{Name: "shop"}, "correct horse"); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := f.login(b, "shop", "correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}
