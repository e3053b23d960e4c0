package auth_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/auth"
	"postrider/relay/intake"
)

func (f *fixture) shop(t testing.TB, acc auth.Account) {
	t.Helper()
	acc.Name = "shop"
	if _, err := f.Create(t.Context(), acc, ""); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) key(t testing.TB, l auth.KeyLimits) (string, auth.Key) {
	t.Helper()
	secret, k, err := f.CreateKey(t.Context(), auth.NewKey{Account: "shop", Scopes: []auth.Scope{auth.ScopeSend}, KeyLimits: l})
	if err != nil {
		t.Fatal(err)
	}
	return secret, k
}

func TestAKeyThatExpiredIsRefused(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	f.shop(t, auth.Account{})
	secret, k := f.key(t, auth.KeyLimits{ExpiresAt: f.clock.now().Add(time.Hour)})
	want(t, f.login(t, "", secret), nil, "before")
	if _, err := f.Policy(t.Context(), "shop", k.ID); err != nil {
		t.Error(err)
	}
	f.clock.add(time.Hour)
	want(t, f.login(t, "", secret), auth.ErrExpired, "after, though it was verified")
	_, err := f.Policy(t.Context(), "shop", k.ID)
	want(t, err, intake.ErrCredential, "in a session that goes on")
	want(t, f.login(t, "", secret+"x"), auth.ErrCredentials, "a wrong secret is not told")
	_, err = f.UpdateKey(t.Context(), k.ID, func(k *auth.Key) { k.ExpiresAt = time.Time{} })
	want(t, err, nil, "update")
	want(t, f.login(t, "", secret), nil, "made to last")
	_, _, err = f.CreateKey(t.Context(), auth.NewKey{Account: "shop", Scopes: []auth.Scope{auth.ScopeSend}, KeyLimits: auth.KeyLimits{ExpiresAt: f.clock.now()}})
	if err == nil {
		t.Error("made a key that has expired")
	}
}

func TestAKeyWorksInItsNetworksOnly(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	f.shop(t, auth.Account{})
	secret, k := f.key(t, auth.KeyLimits{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.77/24"), netip.MustParsePrefix("2001:db8::/32")}})
	if k.Networks[0] != netip.MustParsePrefix("192.0.2.0/24") {
		t.Errorf("networks %v", k.Networks)
	}
	for addr, w := range map[string]error{
		"192.0.2.200": nil, "::ffff:192.0.2.9": nil, "2001:db8::1": nil,
		"192.0.3.1": auth.ErrNetwork, "2001:db9::1": auth.ErrNetwork, "127.0.0.1": auth.ErrNetwork,
	} {
		want(t, f.loginFrom(t, netip.MustParseAddr(addr), "", secret), w, addr)
	}
	want(t, f.loginFrom(t, netip.Addr{}, "", secret), nil, "the local socket")
	want(t, f.loginFrom(t, netip.MustParseAddr("198.51.100.1"), "", secret+"x"), auth.ErrCredentials, "a wrong secret is not told")
}

func TestTheNameBesideAKeyIsIgnored(t *testing.T) {
	t.Parallel()
	f := open(t, func(o *auth.Options) {
		o.Static = []auth.Static{{Name: "static", Secret: "x"}}
		o.Keys = []auth.StaticKey{{Name: "admin", Secret: "no prefix at all", Account: "postrider", Scopes: []auth.Scope{auth.ScopeAdmin}}}
	})
	f.shop(t, auth.Account{})
	secret, _ := f.key(t, auth.KeyLimits{})
	for _, name := range []string{"", "api", "shop", "static", "nobody", "Bob@Example.org"} {
		id, err := f.Verify(t.Context(), auth.Attempt{Name: name, Password: secret, Remote: home, Scope: auth.ScopeSend})
		if err != nil || id.Account != "shop" {
			t.Errorf("%q: %+v %v", name, id, err)
		}
		id, err = f.Verify(t.Context(), auth.Attempt{Name: name, Password: "no prefix at all", Remote: home, Scope: queue.ScopeConfigRead})
		if err != nil || id.Account != "postrider" || id.Credential != "admin" {
			t.Errorf("the configuration's, %q: %+v %v", name, id, err)
		}
	}
}

func TestScopesAreSets(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	pw, err := f.Create(t.Context(), auth.Account{Name: "shop"}, "")
	want(t, err, nil, "create")
	secret, _, err := f.CreateKey(t.Context(), auth.NewKey{Account: "shop", Scopes: []auth.Scope{queue.ScopeMessagesRead, queue.ScopeManage}})
	want(t, err, nil, "create key")
	for _, c := range []struct {
		secret string
		scope  auth.Scope
		want   error
	}{
		{pw, auth.ScopeSend, nil}, {pw, queue.ScopeMessagesSend, nil}, {pw, queue.ScopeMessagesContent, nil},
		{pw, queue.ScopeKeysWrite, auth.ErrScope}, {pw, auth.ScopeAdmin, auth.ErrScope},
		{secret, queue.ScopeMessagesWrite, nil}, {secret, queue.ScopeKeysWrite, nil}, {secret, auth.ScopeSend, auth.ErrScope},
		{secret, queue.ScopeMessagesContent, auth.ErrScope}, {secret, auth.ScopeRead, auth.ErrScope}, {secret, queue.ScopeAccountsRead, auth.ErrScope},
	} {
		_, err := f.Verify(t.Context(), auth.Attempt{Name: "shop", Password: c.secret, Remote: home, Scope: c.scope})
		want(t, err, c.want, string(c.scope))
	}
}

func TestAKeyNarrowsItsAccount(t *testing.T) {
	t.Parallel()
	addr := func(s string) queue.Address {
		a, err := queue.ParseAddress(s)
		want(t, err, nil, "parse")
		return a
	}
	for _, c := range []struct {
		name     string
		account  auth.Account
		key      []string
		from     intake.FromPolicy
		yes, no  string
		replaced string // the sender that takes another's place
	}{
		{"an account for all, a key for one", auth.Account{}, []string{"orders@shop.example"}, intake.FromReject, "orders@shop.example", "a@shop.example", ""},
		{"accepting", auth.Account{AllowedSenders: []string{"shop.example"}, From: intake.FromAccept}, []string{"other.example"}, intake.FromReject, "a@other.example", "a@shop.example", ""},
		{"both must allow", auth.Account{AllowedSenders: []string{"shop.example"}, From: intake.FromReject}, []string{"shop.example", "other.example"}, intake.FromReject, "a@shop.example", "a@other.example", ""},
		{"the account's default is the key's too", auth.Account{AllowedSenders: []string{"shop.example"}, From: intake.FromRewrite}, []string{"noreply@shop.example"}, intake.FromRewrite, "noreply@shop.example", "a@shop.example", "noreply@shop.example"},
		{"the account's default is not the key's", auth.Account{AllowedSenders: []string{"shop.example"}, From: intake.FromRewrite}, []string{"orders@shop.example"}, intake.FromReject, "orders@shop.example", "a@shop.example", ""},
		{"a key for all", auth.Account{AllowedSenders: []string{"shop.example"}, From: intake.FromRewrite}, nil, intake.FromRewrite, "a@shop.example", "a@other.example", ""},
		{"nothing in common", auth.Account{AllowedSenders: []string{"shop.example"}, From: intake.FromReject}, []string{"other.example"}, intake.FromReject, "", "a@other.example", ""},
	} {
		f := open(t, nil)
		f.shop(t, c.account)
		_, k := f.key(t, auth.KeyLimits{AllowedSenders: c.key})
		p, err := f.Policy(t.Context(), "shop", k.ID)
		if err != nil || p.From != c.from || p.Senders.Allow(addr(c.no)) || c.yes != "" && !p.Senders.Allow(addr(c.yes)) || p.DefaultSender.String() != c.replaced {
			t.Errorf("%s: %+v %v", c.name, p, err)
		}
	}
	f := open(t, nil)
	f.shop(t, auth.Account{HourlyLimit: 9})
	secret, k := f.key(t, auth.KeyLimits{AllowedRecipients: []string{"*.test.example"}, AllowedStreams: []string{"a", "b"}, Sandbox: true, RatePerMinute: 7})
	p, err := f.Policy(t.Context(), "shop", k.ID)
	if err != nil || p.HourlyLimit != 9 || p.Recipients.Allow(addr("x@example.org")) || !p.Recipients.Allow(addr("x@one.test.example")) ||
		strings.Join(p.Streams, ",") != "a,b" || !p.Sandbox || p.RatePerMinute != 7 || p.RateKey != k.ID {
		t.Errorf("%+v %v", p, err)
	}
	if id, err := f.Verify(t.Context(), auth.Attempt{Password: secret, Remote: home}); err != nil || !id.Sandbox {
		t.Errorf("%+v %v", id, err)
	}
	if p, err := f.Policy(t.Context(), "shop", ""); err != nil || p.Sandbox || !p.Recipients.Any() {
		t.Errorf("without the key: %+v %v", p, err)
	}
}

func TestPolicyOfACredentialThatIsNotTheAccounts(t *testing.T) {
	t.Parallel()
	f := open(t, func(o *auth.Options) {
		o.Static = []auth.Static{{Name: "blog", Secret: "x"}}
		o.Keys = []auth.StaticKey{{Name: "admin", Secret: "0123456789abcdef", Account: "blog", Scopes: []auth.Scope{auth.ScopeAdmin}}}
	})
	f.shop(t, auth.Account{})
	_, k := f.key(t, auth.KeyLimits{})
	for _, c := range []struct {
		account, credential string
		want                error
	}{
		{"shop", k.ID, nil}, {"blog", "admin", nil}, {"blog", "", nil},
		{"blog", k.ID, intake.ErrCredential}, {"shop", "admin", intake.ErrCredential}, {"shop", "key_x", intake.ErrCredential}, {"gone", k.ID, queue.ErrNotFound},
	} {
		_, err := f.Policy(t.Context(), c.account, c.credential)
		want(t, err, c.want, c.account+" with "+c.credential)
	}
	want(t, f.DeleteKey(t.Context(), k.ID), nil, "delete")
	_, err := f.Policy(t.Context(), "shop", k.ID)
	want(t, err, intake.ErrCredential, "a deleted key")
}

func TestBadKeysAreRefusedWithoutRepeatingThem(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	f.shop(t, auth.Account{})
	many := make([]string, 101)
	for i := range many {
		many[i] = "example.com"
	}
	long := make([]string, 100)
	for i := range long {
		long[i] = strings.Repeat("x", 60) + "@" + strings.Repeat(strings.Repeat("y", 60)+".", 3) + "example"
	}
	odd := make([]string, 100)
	for i := range odd {
		odd[i] = strings.Repeat("<", queue.MaxStream) // six octets each in the record
	}
	for name, n := range map[string]auth.NewKey{
		"no scope":            {},
		"unknown scope":       {Scopes: []auth.Scope{"evil-value"}},
		"long label":          {Label: strings.Repeat("x", 201)},
		"two lines of label":  {Label: "a\nb"},
		"bad sender":          {KeyLimits: auth.KeyLimits{AllowedSenders: []string{"ok.example", "evil-value@@"}}},
		"bad recipient":       {KeyLimits: auth.KeyLimits{AllowedRecipients: []string{"evil-value@ "}}},
		"empty sender":        {KeyLimits: auth.KeyLimits{AllowedSenders: []string{""}}},
		"empty stream":        {KeyLimits: auth.KeyLimits{AllowedStreams: []string{""}}},
		"long stream":         {KeyLimits: auth.KeyLimits{AllowedStreams: []string{strings.Repeat("x", queue.MaxStream+1)}}},
		"many senders":        {KeyLimits: auth.KeyLimits{AllowedSenders: many}},
		"a large record":      {KeyLimits: auth.KeyLimits{AllowedSenders: long, AllowedRecipients: long, AllowedStreams: odd}},
		"negative rate":       {KeyLimits: auth.KeyLimits{RatePerMinute: -1}},
		"an invalid network":  {KeyLimits: auth.KeyLimits{Networks: []netip.Prefix{{}}}},
		"a v4 network in v6":  {KeyLimits: auth.KeyLimits{Networks: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}}},
		"it has expired long": {KeyLimits: auth.KeyLimits{ExpiresAt: time.Unix(1, 0)}},
	} {
		n.Account = "shop"
		if n.Scopes == nil && name != "no scope" {
			n.Scopes = []auth.Scope{auth.ScopeSend}
		}
		_, _, err := f.CreateKey(t.Context(), n)
		if err == nil || strings.Contains(err.Error(), "evil-value") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if keys, err := f.Keys(t.Context(), ""); err != nil || len(keys) != 0 {
		t.Errorf("%d keys were made, %v", len(keys), err)
	}
}

func TestUpdateKeyKeepsWhoseItIsAndLosesNoChange(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	f.shop(t, auth.Account{})
	secret, k := f.key(t, auth.KeyLimits{})
	want(t, f.login(t, "", secret), nil, "before")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := f.UpdateKey(t.Context(), k.ID, func(k *auth.Key) { k.RatePerMinute++ }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := f.UpdateKey(t.Context(), k.ID, func(k *auth.Key) {
		k.ID, k.Account, k.Digest, k.Created = "key_other", "other", nil, time.Time{}
		k.Scopes, k.Label = []auth.Scope{auth.ScopeRead}, "reader"
	})
	if err != nil || got.ID != k.ID || got.Account != "shop" || !got.Created.Equal(k.Created) || got.RatePerMinute != 20 || got.Label != "reader" {
		t.Errorf("%+v %v", got, err)
	}
	if kept, err := f.Key(t.Context(), k.ID); err != nil || kept.Label != "reader" || kept.RatePerMinute != 20 {
		t.Errorf("%+v %v", kept, err)
	}
	want(t, f.login(t, "", secret), auth.ErrScope, "after")
	if _, err := f.UpdateKey(t.Context(), k.ID, func(k *auth.Key) { k.Scopes = nil }); err == nil {
		t.Error("took all scopes away")
	}
	for _, id := range []string{"", "key_none", "shop", strings.Repeat("key_", 500)} {
		_, err := f.UpdateKey(t.Context(), id, func(*auth.Key) { t.Error("called") })
		want(t, err, queue.ErrNotFound, id)
		_, err = f.Key(t.Context(), id)
		want(t, err, queue.ErrNotFound, id)
	}
}

func TestRecordsOfFormerKeysStillWork(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	f.shop(t, auth.Account{})
	secret, k := f.key(t, auth.KeyLimits{})
	r, err := f.store.GetRecord(t.Context(), queue.RecordCredential, k.ID)
	want(t, err, nil, "get")
	fields := map[string]any{}
	want(t, json.Unmarshal(r.Value, &fields), nil, "decode")
	former, err := json.Marshal(map[string]any{
		"id": fields["id"], "account": fields["account"], "label": "wordpress", "scopes": fields["scopes"], "created": fields["created"], "digest": fields["digest"],
	})
	want(t, err, nil, "encode")
	r.Value = former
	_, err = f.store.PutRecord(t.Context(), r)
	want(t, err, nil, "put")
	want(t, f.login(t, "", secret), nil, "login")
	if p, err := f.Policy(t.Context(), "shop", k.ID); err != nil || !p.Senders.Any() || p.Sandbox || p.RatePerMinute != 0 {
		t.Errorf("%+v %v", p, err)
	}
	if strings.Contains(string(former), secret) {
		t.Error("the record holds the secret")
	}
}

func TestChangesOfKeysElsewhereAreNoticedSoon(t *testing.T) {
	t.Parallel()
	edit := func(o *auth.Options) { o.Freshness = time.Second }
	f := open(t, edit)
	o := auth.Options{Store: f.store, Now: f.clock.now}
	edit(&o)
	other, err := auth.New(o)
	want(t, err, nil, "another node")
	f.shop(t, auth.Account{})
	secret, k := f.key(t, auth.KeyLimits{})
	elsewhere := func() error {
		_, err := other.Verify(t.Context(), auth.Attempt{Password: secret, Remote: home, Scope: auth.ScopeSend})
		return err
	}
	want(t, elsewhere(), nil, "elsewhere")
	want(t, f.login(t, "", secret), nil, "here")
	want(t, f.DeleteKey(t.Context(), k.ID), nil, "delete")
	want(t, f.login(t, "", secret), auth.ErrCredentials, "here, at once")
	f.clock.add(time.Second)
	want(t, elsewhere(), auth.ErrCredentials, "elsewhere, a second later")
	if _, err := other.Policy(t.Context(), "shop", k.ID); !errors.Is(err, intake.ErrCredential) {
		t.Errorf("policy elsewhere: %v", err)
	}
}
