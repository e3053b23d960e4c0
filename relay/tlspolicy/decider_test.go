package tlspolicy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"postrider/mx"
	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/tlspolicy"
)

// RFC 7672 §2.2.2: servers of zones without signatures stumble over the question.
func TestTLSARecordsAreAskedForOnlyWhereTheyCount(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]setup{
		"unsigned MX":       {signed: true, unsigned: []string{"@ MX"}, tlsa: bothEE},
		"unsigned address":  {signed: true, unsigned: []string{"mx1 A", "mx2 A"}, tlsa: bothEE},
		"AD not trusted":    {signed: true, untrusty: true, tlsa: bothEE},
		"nothing is signed": {tlsa: bothEE},
	} {
		w := newWorld(t, s)
		w.send(tlspolicy.Want{})
		if n := w.dns.Count("*", "TLSA"); n != 0 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}
}

func TestAPolicyWithoutHostsOfItsOwnIsFetchedOnceMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{sts: sts("enforce", "old.test")})
	if out, a := w.send(tlspolicy.Want{}); out != outbound.Temporary {
		t.Fatalf("%v: %+v", out, a)
	}
	// The servers were replaced, and the policy with them.
	text := sts("enforce", ownHosts...)
	w.policy.Store(&text)
	later := time.Now().Add(10 * time.Minute)
	w.now.Store(&later)
	fetched := w.fetches.Load()
	if out, a := w.send(tlspolicy.Want{}); out != outbound.Accepted || a.TLSPolicy != "mta-sts" {
		t.Errorf("%v: %+v", out, a)
	}
	if n := w.fetches.Load() - fetched; n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

func TestTheHeaderIsAskedOnlyIfItMatters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		setup setup
		want  tlspolicy.Want
		asked int
	}{
		{"no policy", setup{}, tlspolicy.Want{}, 0},
		{"a policy in mode testing", setup{sts: sts("testing", ownHosts...)}, tlspolicy.Want{}, 0},
		{"MTA-STS", setup{sts: sts("enforce", ownHosts...)}, tlspolicy.Want{}, 1},
		{"DANE", setup{signed: true, tlsa: bothEE}, tlspolicy.Want{}, 1},
		{"REQUIRETLS", setup{signed: true, tlsa: bothEE}, tlspolicy.Want{RequireTLS: true}, 0},
		{"a route without TLS", setup{signed: true, tlsa: bothEE}, tlspolicy.Want{Override: tlspolicy.None}, 0},
	} {
		w := newWorld(t, tt.setup)
		asked := 0
		tt.want.Optional = func(context.Context) (bool, error) { asked++; return false, nil }
		w.decide(tt.want)
		if asked != tt.asked {
			t.Errorf("%s: asked %d times", tt.name, asked)
		}
	}
}

func TestAHeaderThatCannotBeReadDecidesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{sts: sts("enforce", ownHosts...)})
	plan := w.plan()
	broken := errors.New("disk on fire")
	_, err := w.decider.Decide(t.Context(), &plan, tlspolicy.Want{Optional: func(context.Context) (bool, error) { return false, broken }})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestAnEndedContextDecidesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{signed: true, tlsa: bothEE, sts: sts("enforce", ownHosts...)})
	plan := w.plan()
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := errors.New("we drain")
	cancel(ended)
	if _, err := w.decider.Decide(ctx, &plan, tlspolicy.Want{}); !errors.Is(err, ended) {
		t.Errorf("error %v", err)
	}
}

// An equal policy is one for the pool, though each decision has its own.
func TestConnectionsAreReusedUnderOnePolicy(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]setup{
		"dane":    {signed: true, tlsa: bothEE},
		"mta-sts": {sts: sts("enforce", ownHosts...)},
	} {
		w := newWorld(t, s)
		for range 3 {
			if out, a := w.send(tlspolicy.Want{}); out != outbound.Accepted || a.TLSPolicy != name {
				t.Fatalf("%v: %+v", out, a)
			}
		}
		if n := w.mx1.Counters().Connections; n != 1 {
			t.Errorf("%s: %d connections for 3 messages", name, n)
		}
		// Whoever asks for less gets a connection of its own, and the other way round.
		w.send(tlspolicy.Want{Override: tlspolicy.Opportunistic})
		if n := w.mx1.Counters().Connections; n != 2 {
			t.Errorf("%s: a connection of one policy was used for another", name)
		}
	}
}

func TestDANEThatCannotBeUsedIsLoggedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{signed: true, tlsa: bothEE})
	for _, tt := range []struct {
		dns       tlspolicyDNS
		available bool
		lines     int
	}{{w.resolver, true, 0}, {untrusted{w.resolver}, false, 1}} {
		var out bytes.Buffer
		d := tlspolicy.New(tlspolicy.Options{DNS: tt.dns, Logger: slog.New(slog.NewTextHandler(&out, nil))})
		plan := w.plan()
		for range 3 {
			if _, err := d.Decide(t.Context(), &plan, tlspolicy.Want{}); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(out.String(), "dane is not used"); n != tt.lines || d.DANEAvailable() != tt.available {
			t.Errorf("available %t, log %q", d.DANEAvailable(), out.String())
		}
	}
	if tlspolicy.New(tlspolicy.Options{}).DANEAvailable() {
		t.Error("DANE without DNS")
	}
}

type tlspolicyDNS = interface {
	TLSA(ctx context.Context, name string) (mx.Answer[mx.TLSA], error)
	CNAME(ctx context.Context, name string) (mx.Answer[string], error)
	TrustsAD() bool
}

func TestSmartHostsKeepTheirTLS(t *testing.T) {
	t.Parallel()
	d := tlspolicy.New(tlspolicy.Options{})
	for _, tt := range []struct {
		url     string
		want    tlspolicy.Want
		tls     outbound.TLS
		refused bool
	}{
		{"smtp://hub.test:25", tlspolicy.Want{}, outbound.TLS{}, false},
		{"smtp://hub.test:25", tlspolicy.Want{Override: tlspolicy.Verify}, outbound.TLS{}, false},
		{"smtp://hub.test:25?tls=none", tlspolicy.Want{}, outbound.TLS{Mode: outbound.TLSNone}, false},
		{"smtp://hub.test:25?tls=none", tlspolicy.Want{Encrypted: true}, outbound.TLS{Mode: outbound.TLSRequired}, false},
		{"smtp://hub.test:25?tls=required", tlspolicy.Want{}, outbound.TLS{Mode: outbound.TLSRequired, Verify: true}, false},
		{"smtps://hub.test", tlspolicy.Want{Optional: yes}, outbound.TLS{Mode: outbound.TLSImplicit, Verify: true}, false},
		{"smtps://hub.test", tlspolicy.Want{RequireTLS: true}, outbound.TLS{Mode: outbound.TLSImplicit, Verify: true, RequireTLS: true, Policy: "verify+requiretls"}, false},
		{"smtp://hub.test:25", tlspolicy.Want{RequireTLS: true}, outbound.TLS{}, true},
	} {
		via, err := mx.ParseSmartHost(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		plan := mx.Plan{Domain: "hub", Route: "hub", Hosts: []mx.Host{{Name: via.Host, Via: &via}}}
		got, err := d.Decide(t.Context(), &plan, tt.want)
		if err != nil || got.Hosts[0].TLS != tt.tls || got.Usable() == tt.refused {
			t.Errorf("%s with %+v: %+v, %v", tt.url, tt.want, got.Hosts[0], err)
		}
		if r := got.Refusal(); tt.refused && (r == nil || !r.Permanent || r.Enhanced != queue.Enhanced{5, 7, 30}) {
			t.Errorf("refusal %+v", r)
		}
	}
}

func TestRefusalIsTemporaryAsLongAsOneHostMayDo(t *testing.T) {
	t.Parallel()
	final, now := &tlspolicy.Refusal{Host: "a", Permanent: true}, &tlspolicy.Refusal{Host: "b"}
	for _, tt := range []struct {
		hosts []tlspolicy.Host
		want  *tlspolicy.Refusal
	}{
		{[]tlspolicy.Host{{Refused: final}, {Refused: now}}, now},
		{[]tlspolicy.Host{{Refused: now}, {Refused: final}}, now},
		{[]tlspolicy.Host{{Refused: final}}, final},
		{[]tlspolicy.Host{{Refused: final}, {}}, nil},
	} {
		d := tlspolicy.Decision{Hosts: tt.hosts}
		if got := d.Refusal(); got != tt.want || d.Usable() != (tt.want == nil) {
			t.Errorf("refusal %+v", got)
		}
	}
}

func TestParseOverride(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]tlspolicy.Mode{"": tlspolicy.Default, " Verify": tlspolicy.Verify, "dane": tlspolicy.DANE, "none": tlspolicy.None} {
		if got, err := tlspolicy.ParseOverride(text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"mta-sts", "dane-unusable", "required"} {
		if _, err := tlspolicy.ParseOverride(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestSaysOptional(t *testing.T) {
	t.Parallel()
	long := "X: " + strings.Repeat("x", 10_000) + "\r\n"
	for header, want := range map[string]bool{
		"TLS-Required: No\r\n\r\n":                                                         true,
		"From: a\r\ntls-required:no":                                                       true,
		"TLS-Required:\r\n No \r\nFrom: a\r\n\r\n":                                         true,
		long + "TLS-Required: no\r\n\r\n":                                                  true,
		long + "\tTLS-Required: no\r\n\r\n":                                                false,
		"TLS-Required : no\n\n":                                                            true,
		"TLS-Required: yes\r\n\r\n":                                                        false,
		"TLS-Required: yes\r\nTLS-Required: no\r\n\r\n":                                    false,
		"TLS-Required: no\r\nTLS-Required: yes\r\n\r\n":                                    true,
		"TLS-Required: no\r\n way\r\n\r\n":                                                 false,
		"TLS-Required: x\r\n " + strings.Repeat("x", 200) + "\r\nTLS-Required: no\r\n\r\n": false,
		"TLS-Required: no" + strings.Repeat("x", 5000) + "\r\n":                            false,
		"From: a\r\n\r\nTLS-Required: no\r\n":                                              false,
		"X: TLS-Required: no\r\n\r\n":                                                      false,
		"X-TLS-Required: no\r\n\r\n":                                                       false,
		"\r\n TLS-Required: no":                                                            false,
		"":                                                                                 false,
	} {
		if got, err := tlspolicy.SaysOptional(strings.NewReader(header)); err != nil || got != want {
			t.Errorf("%.60q: %t, %v", header, got, err)
		}
	}
	if _, err := tlspolicy.SaysOptional(failing{}); err == nil {
		t.Error("no error")
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, fmt.Errorf("read: %w", context.DeadlineExceeded) }

func FuzzSaysOptional(f *testing.F) {
	for _, seed := range []string{"TLS-Required: No\r\n\r\n", "A: b\n c\nTLS-Required:\n no\n\n", "\r\n", "TLS-Required"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		says, err := tlspolicy.SaysOptional(strings.NewReader(header))
		if err != nil {
			t.Fatal(err)
		}
		if says && !strings.Contains(strings.ToLower(header), "tls-required") {
			t.Errorf("%q says so", header)
		}
		// What follows the header changes nothing.
		end := strings.TrimRight(header, "\r\n") + "\r\n\r\n"
		a, _ := tlspolicy.SaysOptional(strings.NewReader(end))
		b, _ := tlspolicy.SaysOptional(strings.NewReader(end + "TLS-Required: No\r\n\r\n"))
		if a != b {
			t.Errorf("%q: %t, and with a body %t", header, a, b)
		}
	})
}
