package demo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/cmd/internal/demo"
	"postrider/configs"
	"postrider/mx"
	"postrider/queue"
	"postrider/relay/outbound"
)

const testGreylist = 50 * time.Millisecond

func start(t *testing.T, o demo.Options) *demo.Demo {
	t.Helper()
	d, err := demo.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// relay routes and delivers as Postrider does.
type relay struct {
	t        *testing.T
	demo     *demo.Demo
	resolver *mx.Resolver
	pool     *outbound.Pool
}

func newRelay(t *testing.T, d *demo.Demo) *relay {
	t.Helper()
	r, err := mx.New(mx.Options{Servers: []string{d.DNSServer()}, AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	p := outbound.New(outbound.Options{Control: mx.DialControl(true)})
	t.Cleanup(func() { p.Close(); r.Close() })
	return &relay{t: t, demo: d, resolver: r, pool: p}
}

// send makes one attempt and returns what became of it, with the time that it took.
func (r *relay) send(domain string) (outbound.RecipientResult, outbound.Result, time.Duration) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	plan, err := r.resolver.Plan(ctx, domain)
	if err != nil {
		r.t.Fatalf("plan for %s: %v", domain, err)
	}
	target := outbound.Target{Site: plan.Site, HELO: "relay.test"}
	for _, h := range plan.Hosts {
		target.Hosts = append(target.Hosts, outbound.Host{
			Name: h.Name, Addrs: h.Addrs, Port: uint16(r.demo.MXPort()), Preference: h.Preference,
		})
	}
	const content = "Subject: hello\r\n\r\nHow are you?\r\n"
	began := time.Now()
	res := r.pool.Deliver(ctx, target, &outbound.Transaction{
		Envelope:   queue.Envelope{ReversePath: address(r.t, "you@"+demo.Sender)},
		Recipients: []outbound.Recipient{{Address: address(r.t, "me@"+domain)}},
		Size:       int64(len(content)),
		Open:       func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	})
	if res.Err != nil {
		r.t.Fatalf("deliver to %s: %v", domain, res.Err)
	}
	return res.Recipients[0], res, time.Since(began)
}

func address(t *testing.T, s string) queue.Address {
	t.Helper()
	a, err := queue.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDomainsBehaveAtTheFirstAttempt(t *testing.T) {
	t.Parallel()
	const pause = 30 * time.Millisecond
	r := newRelay(t, start(t, demo.Options{Greylist: time.Hour, Pause: pause}))
	type want struct {
		outcome outbound.Outcome
		stage   queue.Stage
		code    int
		status  string
	}
	accepted := want{outbound.Accepted, queue.StageDot, 250, "2.0.0"}
	for domain, w := range map[string]want{
		"delivers.test":  accepted,
		"slow.test":      accepted,
		"brokentls.test": accepted,
		"backup.test":    accepted,
		demo.Sender:      accepted,
		"greylists.test": {outbound.Temporary, queue.StageRcpt, 451, "4.7.1"},
		"full.test":      {outbound.Temporary, queue.StageRcpt, 452, "4.2.2"},
		"unknown.test":   {outbound.Permanent, queue.StageRcpt, 550, "5.1.1"},
		"blocks.test":    {outbound.Permanent, queue.StageDot, 554, "5.7.1"},
		"down.test":      {outbound.Temporary, queue.StageConnect, 0, ""},
	} {
		got, res, took := r.send(domain)
		a := got.Attempt
		if got.Outcome != w.outcome || a.Stage != w.stage || a.Reply.Code != w.code || w.status != "" && a.Reply.Enhanced.String() != w.status {
			t.Errorf("%s: %v at %v: %d %v %s", domain, got.Outcome, a.Stage, a.Reply.Code, a.Reply.Enhanced, a.Error)
		}
		if !strings.HasSuffix(a.Host, "."+domain) {
			t.Errorf("%s: attempted at %q", domain, a.Host)
		}
		switch domain {
		case "delivers.test":
			if a.TLS == "" {
				t.Errorf("%s took the mail without TLS", domain)
			}
		case "brokentls.test":
			if a.TLS != "" || res.TLSFailure == "" {
				t.Errorf("%s: TLS %q, failure %q", domain, a.TLS, res.TLSFailure)
			}
		case "backup.test":
			if a.Host != "mx2."+domain {
				t.Errorf("%s took the mail at %s", domain, a.Host)
			}
		case "slow.test":
			if took < 3*pause {
				t.Errorf("%s took %v", domain, took)
			}
		case "down.test":
			if !strings.Contains(a.Error, "refused") {
				t.Errorf("%s: %s", domain, a.Error)
			}
		}
	}
}

func TestGreylistingEnds(t *testing.T) {
	t.Parallel()
	r := newRelay(t, start(t, demo.Options{Greylist: testGreylist}))
	first := time.Now()
	for attempt := 1; ; attempt++ {
		got, _, _ := r.send("greylists.test")
		if got.Outcome == outbound.Accepted {
			if attempt == 1 || time.Since(first) < testGreylist {
				t.Errorf("accepted at attempt %d after %v", attempt, time.Since(first))
			}
			return
		}
		if time.Since(first) > 10*time.Second {
			t.Fatalf("attempt %d: %v", attempt, got.Attempt.Reply)
		}
	}
}

func TestLostReplyIsInDoubtOnce(t *testing.T) {
	t.Parallel()
	d := start(t, demo.Options{})
	r := newRelay(t, d)
	if got, _, _ := r.send("forgets.test"); got.Outcome != outbound.Temporary || !got.Attempt.InDoubt {
		t.Errorf("first attempt: %v, in doubt %v", got.Outcome, got.Attempt.InDoubt)
	}
	if got, _, _ := r.send("forgets.test"); got.Outcome != outbound.Accepted || got.Attempt.InDoubt {
		t.Errorf("second attempt: %v, in doubt %v", got.Outcome, got.Attempt.InDoubt)
	}
	if n := len(d.Inbox()); n != 2 {
		t.Errorf("%d copies arrived, want 2", n)
	}
}

func TestDomainsThatCannotBeRouted(t *testing.T) {
	t.Parallel()
	r := newRelay(t, start(t, demo.Options{}))
	for domain, want := range map[string]struct {
		kind      mx.Kind
		temporary bool
	}{
		"nomail.test":  {mx.KindNullMX, false},
		"missing.test": {mx.KindNXDomain, false},
		"nodns.test":   {mx.KindTrouble, true},
		"example.com":  {mx.KindNXDomain, false}, // there is nothing else
	} {
		_, err := r.resolver.Plan(t.Context(), domain)
		var e *mx.Error
		if !errors.As(err, &e) || e.Kind != want.kind || e.Temporary != want.temporary {
			t.Errorf("%s: %v", domain, err)
		}
	}
}

func TestSitesAreDistinct(t *testing.T) {
	t.Parallel()
	r := newRelay(t, start(t, demo.Options{}))
	domainOf := map[string]string{}
	for _, d := range demo.Domains() {
		plan, err := r.resolver.Plan(t.Context(), d.Name)
		if err != nil {
			continue // tested above
		}
		if other := domainOf[plan.Site]; other != "" {
			t.Errorf("%s and %s share the site %s, and so its troubles", d.Name, other, plan.Site)
		}
		domainOf[plan.Site] = d.Name
	}
	if len(domainOf) < 10 {
		t.Errorf("only %d domains have a route", len(domainOf))
	}
}

func TestInboxHoldsAndFilesWhatArrived(t *testing.T) {
	t.Parallel()
	dir := demo.InboxDir(t.TempDir())
	d := start(t, demo.Options{InboxDir: dir})
	r := newRelay(t, d)
	r.send("delivers.test")
	r.send("unknown.test")
	r.send(demo.Sender)
	var got []string
	for _, l := range d.Inbox() {
		got = append(got, fmt.Sprintf("%s %s %v tls=%v", l.Domain, l.From, l.To, l.TLS))
	}
	want := []string{
		"delivers.test you@sender.test [me@delivers.test] tls=true",
		"sender.test you@sender.test [me@sender.test] tls=false",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("inbox:\n%s", strings.Join(got, "\n"))
	}
	content, err := os.ReadFile(filepath.Join(dir, "0001-delivers.test.eml"))
	if err != nil {
		t.Fatal(err)
	}
	const file = "Return-Path: <you@sender.test>\r\nDelivered-To: me@delivers.test\r\nSubject: hello\r\n\r\nHow are you?\r\n"
	if string(content) != file {
		t.Errorf("the file holds %q", content)
	}
}

func TestSettingsAreAGoodConfiguration(t *testing.T) {
	t.Parallel()
	d := start(t, demo.Options{})
	settings := d.Settings()
	settings["data_dir"] = t.TempDir()
	c, problems := configs.Load(configs.LoadOptions{Flags: settings, Hostname: "laptop"})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if len(problems) != 1 || problems[0].Key != "delivery.allow_private_destinations" {
		t.Errorf("warnings: %v", problems)
	}
	if len(c.DNS.Servers) != 1 || c.DNS.Servers[0].String() != d.DNSServer() || c.Delivery.MXPort != d.MXPort() ||
		!c.Delivery.AllowPrivateDestinations || c.Delivery.Retry[0] != 10*time.Second {
		t.Errorf("dns %v, delivery %+v", c.DNS, c.Delivery)
	}
}

func TestSeveralDemosRunSideBySide(t *testing.T) {
	t.Parallel()
	a, b := start(t, demo.Options{}), start(t, demo.Options{})
	if a.MXPort() == b.MXPort() || a.DNSServer() == b.DNSServer() {
		t.Fatalf("both have port %d and DNS %s", a.MXPort(), a.DNSServer())
	}
	newRelay(t, a).send("delivers.test")
	if len(a.Inbox()) != 1 || len(b.Inbox()) != 0 {
		t.Errorf("inboxes of %d and %d", len(a.Inbox()), len(b.Inbox()))
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d, err := demo.Start(ctx, demo.Options{}); err == nil {
		t.Errorf("started %v", d.Close())
	}
}

func TestTourNamesEveryDomainAndCommand(t *testing.T) {
	t.Parallel()
	d := start(t, demo.Options{InboxDir: demo.InboxDir(t.TempDir())})
	var out bytes.Buffer
	err := d.Tour(&out, demo.Tour{
		Submission: "127.0.0.1:2525", HTTP: "127.0.0.1:8025", IMAP: "127.0.0.1:1143", Account: "first", Password: "it's secret", Key: "prk_key",
		DataDir: "/tmp/a demo", Program: "/tmp/go build/postrider",
	})
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{
		"POSTRIDER_DATA_DIR='/tmp/a demo'\n", "'/tmp/go build/postrider' sendmail -f you@sender.test ",
		"swaks --server 127.0.0.1:2525 --auth-user first --auth-password 'it'\\''s secret'",
		"smtp://127.0.0.1:2525 --user 'first:it'\\''s secret'", "queue list\n", "queue show ID\n", "http://127.0.0.1:8025/metrics",
		"/inbox\n", "IMAP at 127.0.0.1:1143", "  prk_key\n",
	}
	for _, dom := range demo.Domains() {
		wanted = append(wanted, "  "+dom.Name+" ")
		if dom.Name != demo.Sender {
			wanted = append(wanted, " me@"+dom.Name)
		}
	}
	for _, w := range wanted {
		if !strings.Contains(out.String(), w) {
			t.Errorf("the tour lacks %q", w)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestTourLeavesOutWhatIsOff(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := start(t, demo.Options{}).Tour(&out, demo.Tour{DataDir: "/tmp/x"}); err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"swaks", "curl", "inbox", "IMAP"} {
		if strings.Contains(out.String(), w) {
			t.Errorf("the tour has %q:\n%s", w, out.String())
		}
	}
	if !strings.Contains(out.String(), "postrider sendmail") {
		t.Errorf("the tour:\n%s", out.String())
	}
}
