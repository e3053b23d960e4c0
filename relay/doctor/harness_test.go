package doctor_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/dkim"
	"postrider/mx"
	"postrider/mx/dnssim"
	"postrider/relay/doctor"
)

// good is a domain about which there is nothing to say, sent for from
// mail.example.com at 203.0.113.7.
const good = `
$ORIGIN example.com.
@         NS ns1
ns1       A 127.0.0.1
@         MX 10 mx
mx        A 203.0.113.20
@         TXT "v=spf1 ip4:203.0.113.7 -all"
@         TXT "something else"
_dmarc    TXT "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"
mail      A 203.0.113.7
mail      TXT "v=spf1 a -all"
`

const goodReverse = `
$ORIGIN 113.0.203.in-addr.arpa.
7 PTR mail.example.com.
`

// lists are block lists that answer, with nothing on them but what they must have.
const lists = `
$ORIGIN zen.spamhaus.org.
@ TXT "a list"
2.0.0.127 A 127.0.0.2
`

// keys are made once: RSA takes a while.
var keys = sync.OnceValues(func() (*rsa.PrivateKey, ed25519.PrivateKey) {
	r, err := rsa.GenerateKey(nil, 2048)
	if err != nil {
		panic(err)
	}
	_, e, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	return r, e
})

func keyOf(t *testing.T, domain string) dkim.Key {
	t.Helper()
	private, _ := keys()
	k, err := dkim.NewKey(domain, "s1", private, dkim.Active, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func edKeyOf(t *testing.T, domain string) dkim.Key {
	t.Helper()
	_, private := keys()
	k, err := dkim.NewKey(domain, "s2", private, dkim.Active, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// published is the zone line of a key.
func published(t *testing.T, k dkim.Key) string {
	t.Helper()
	r, err := dkim.RecordFor(k)
	if err != nil {
		t.Fatal(err)
	}
	return "\n" + r.ZoneFile()
}

// world is a small internet: here is the resolver's view of it, own what the name
// servers of zones say.
type world struct {
	here, own *dnssim.Server
	options   doctor.Options
	c         doctor.Case
}

func server(t *testing.T, zones ...string) *dnssim.Server {
	t.Helper()
	s, err := dnssim.New(dnssim.Options{Zones: zones})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// newWorld starts both views with the same zones, and a case that sends for
// example.com.
func newWorld(t *testing.T, zones ...string) *world {
	t.Helper()
	w := &world{here: server(t, zones...), own: server(t, zones...)}
	r, err := mx.New(mx.Options{Servers: []string{w.here.Addr()}, AllowPrivate: true, IPv6: true, OwnAddrs: []netip.Addr{}, Timeouts: []time.Duration{time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	_, port, err := net.SplitHostPort(w.own.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	w.options = doctor.Options{
		Resolver: r, Servers: []string{w.here.Addr()}, DNSPort: uint16(n), AllowPrivate: true, Probes: []string{}, Lists: []string{},
	}
	w.c = doctor.Case{
		Hostname: "mail.example.com", Sources: []doctor.Source{{Addr: netip.MustParseAddr("203.0.113.7")}},
		Domains: []doctor.Domain{{Name: "example.com"}},
	}
	return w
}

// sign gives the case keys, and a signer that uses them.
func (w *world) sign(t *testing.T, all ...dkim.Key) {
	t.Helper()
	ring, err := dkim.NewKeyring(dkim.KeyringOptions{Imported: all})
	if err != nil {
		t.Fatal(err)
	}
	w.options.Keys, w.options.Signer = ring, dkim.NewSigner(dkim.Options{Keyring: ring, Workers: 1})
}

func (w *world) examine(t *testing.T) *doctor.Report {
	t.Helper()
	return doctor.New(w.options).Examine(t.Context(), w.c)
}

// findings returns what a check says.
func findings(r *doctor.Report, id string) (found []doctor.Finding) {
	for _, f := range r.Findings {
		if f.ID == id {
			found = append(found, f)
		}
	}
	return found
}

// expectation is what a check must say.
type expectation struct {
	id    string
	level doctor.Level
	found string // a part of Found
	// publish is "name type value" of the one record that is offered; empty: none
	// is.
	publish string
	where   string // a part of Where, if not empty
}

func (e expectation) check(t *testing.T, r *doctor.Report) {
	t.Helper()
	found := findings(r, e.id)
	i := slices.IndexFunc(found, func(f doctor.Finding) bool { return f.Level == e.level && strings.Contains(f.Found, e.found) })
	if i < 0 {
		t.Fatalf("%s: want %s with %q, got %s", e.id, e.level, e.found, told(found))
	}
	f := found[i]
	var offers []string
	for _, p := range f.Publish {
		offers = append(offers, p.Name+" "+p.Type+" "+p.Value)
	}
	if got := strings.Join(offers, "\n"); got != e.publish {
		t.Errorf("%s offers\n%s\nwant\n%s", e.id, got, e.publish)
	}
	if !strings.Contains(f.Where, e.where) {
		t.Errorf("%s: where is %q, want %q in it", e.id, f.Where, e.where)
	}
	if f.Level != doctor.OK && f.Level != doctor.Unknown && f.Do == "" {
		t.Errorf("%s does not say what to do", e.id)
	}
	if f.Asked == "" || f.Again == "" || f.Subject == "" {
		t.Errorf("%s is not whole: %+v", e.id, f)
	}
}

func told(found []doctor.Finding) string {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "\n  %s %s: %s", f.Level, f.Subject, f.Found)
	}
	return b.String()
}

// keyFunc is a Keys that fails.
type keyFunc func(ctx context.Context, domain string) ([]dkim.Key, error)

func (f keyFunc) Keys(ctx context.Context, domain string) ([]dkim.Key, error) { return f(ctx, domain) }
