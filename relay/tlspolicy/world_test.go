package tlspolicy_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/mx"
	"postrider/mx/dane"
	"postrider/mx/dnssim"
	"postrider/mx/mtasts"
	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
	"postrider/relay/tlspolicy"
)

// world is a domain example.test with the mail servers mx1, which is preferred,
// and mx2, a policy host, and a sender. All of it talks through real sockets.
type world struct {
	t        *testing.T
	dns      *dnssim.Server
	resolver *mx.Resolver
	mx1, mx2 *smtpsim.Server
	roots    *x509.CertPool
	sts      *mtasts.Cache
	policy   atomic.Pointer[string] // that the policy host serves; nil: 404
	fetches  atomic.Int64
	pool     *outbound.Pool
	decider  *tlspolicy.Decider
	now      atomic.Pointer[time.Time]
}

// setup says how a world differs from one without any policy, where both servers
// offer STARTTLS with good certificates.
type setup struct {
	mx1, mx2 smtpsim.Options
	alone    bool // there is no mx2
	signed   bool // DNS is, but for what unsigned names: "name type"
	unsigned []string
	tlsa     func(w *world) (mx1, mx2 []string) // records as zones have them
	sts      string                             // the policy
	dns      func(w *world)                     // what DNS does besides
	untrusty bool                               // the AD bit is not trusted
	dnsAddr  string                             // empty: a free port
}

func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{t: t, roots: x509.NewCertPool()}
	now := time.Now()
	w.now.Store(&now)
	w.startHops(s)
	for _, hop := range []*smtpsim.Server{w.mx1, w.mx2} {
		w.roots.AddCert(hop.Authority())
	}
	w.startDNS(s)
	w.startPolicyHost(s)
	w.pool = outbound.New(outbound.Options{RootCAs: w.roots})
	t.Cleanup(w.pool.Close)
	var names dane.Resolver = w.resolver
	if s.untrusty {
		names = untrusted{w.resolver}
	}
	w.decider = tlspolicy.New(tlspolicy.Options{DNS: names, STS: w.sts, Port: uint16(w.mx1.Port())})
	return w
}

// untrusted is a resolver whose AD bit counts for nothing.
type untrusted struct{ *mx.Resolver }

func (untrusted) TrustsAD() bool { return false }

// startHops starts both mail servers at one port.
func (w *world) startHops(s setup) {
	s.mx1.Hostname, s.mx2.Hostname = "mx1.example.test", "mx2.example.test"
	s.mx1.TLS, s.mx2.TLS = smtpsim.StartTLS, smtpsim.StartTLS
	for range 20 {
		first, err := smtpsim.Start(s.mx1)
		if err != nil {
			w.t.Fatal(err)
		}
		s.mx2.Addr = net.JoinHostPort("127.0.0.2", fmt.Sprint(first.Port()))
		second, err := smtpsim.Start(s.mx2)
		if err != nil {
			_ = first.Close()
			continue
		}
		w.mx1, w.mx2 = first, second
		w.t.Cleanup(func() { _ = first.Close(); _ = second.Close() })
		return
	}
	w.t.Fatal("no port is free on two addresses")
}

func (w *world) startDNS(s setup) {
	w.t.Helper()
	var err error
	if w.dns, err = dnssim.New(dnssim.Options{Addr: s.dnsAddr}); err != nil {
		w.t.Fatal(err)
	}
	zone := "@ 60 SOA ns h 1 2 3 4 60\n@ MX 10 mx1\nmx1 A 127.0.0.1\nmx2 A 127.0.0.2\nmta-sts A 127.0.0.1\n"
	if !s.alone {
		zone += "@ MX 20 mx2\n"
	}
	if s.sts != "" {
		zone += "_mta-sts TXT \"v=STSv1; id=1;\"\n"
	}
	if s.tlsa != nil {
		one, two := s.tlsa(w)
		for i, records := range [][]string{one, two} {
			for _, r := range records {
				zone += fmt.Sprintf("_%d._tcp.mx%d TLSA %s\n", w.mx1.Port(), i+1, r)
			}
		}
	}
	if err := w.dns.Load("example.test", zone); err != nil {
		w.t.Fatal(err)
	}
	if s.signed {
		w.set("*", "", dnssim.Behavior{Authenticated: true})
		for _, u := range s.unsigned {
			name, kind, _ := strings.Cut(u, " ")
			w.set(w.name(name), kind, dnssim.Behavior{})
		}
	}
	if s.dns != nil {
		s.dns(w)
	}
	if err := w.dns.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.dns.Close() })
	w.resolver, err = mx.New(mx.Options{
		Servers: []string{w.dns.Addr()}, AllowPrivate: true, OwnAddrs: []netip.Addr{}, Timeouts: []time.Duration{500 * time.Millisecond},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.resolver.Close() })
}

// name completes "mx1" to its name, and "tlsa1" to that of its TLSA records.
func (w *world) name(short string) string {
	if n, ok := strings.CutPrefix(short, "tlsa"); ok {
		return fmt.Sprintf("_%d._tcp.mx%s.example.test", w.mx1.Port(), n)
	}
	return strings.TrimPrefix(short+".example.test", "@.")
}

func (w *world) set(name, qtype string, b dnssim.Behavior) {
	w.t.Helper()
	if err := w.dns.Set(name, qtype, b); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) startPolicyHost(s setup) {
	w.t.Helper()
	cert, err := w.mx1.Issue(smtpsim.Certificate{Names: []string{"mta-sts.example.test"}})
	if err != nil {
		w.t.Fatal(err)
	}
	if s.sts != "" && s.sts != "404" {
		w.policy.Store(&s.sts)
	}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		w.fetches.Add(1)
		text := w.policy.Load()
		if text == nil {
			rw.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(rw, *text)
	}))
	web.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.StartTLS()
	w.t.Cleanup(web.Close)
	w.sts = mtasts.New(mtasts.Options{
		Resolver: w.resolver, RootCAs: w.roots, AllowPrivate: true, Port: web.Listener.Addr().(*net.TCPAddr).Port,
		FetchTimeout: 5 * time.Second, Now: func() time.Time { return *w.now.Load() },
	})
	w.t.Cleanup(func() { _ = w.sts.Drain(context.Background()) })
}

// sts writes a policy.
func sts(mode string, hosts ...string) string {
	text := "version: STSv1\nmode: " + mode + "\nmax_age: 604800\n"
	for _, h := range hosts {
		text += "mx: " + h + "\n"
	}
	return text
}

// spki is a TLSA record for a certificate's key.
func spki(usage int, cert *x509.Certificate) string {
	return fmt.Sprintf("%d 1 1 %x", usage, sha256.Sum256(cert.RawSubjectPublicKeyInfo))
}

func whole(usage int, cert *x509.Certificate) string {
	return fmt.Sprintf("%d 0 1 %x", usage, sha256.Sum256(cert.Raw))
}

func (w *world) plan() mx.Plan {
	w.t.Helper()
	plan, err := w.resolver.Plan(w.t.Context(), "example.test")
	if err != nil {
		w.t.Fatal(err)
	}
	return plan
}

func (w *world) decide(want tlspolicy.Want) (mx.Plan, tlspolicy.Decision) {
	w.t.Helper()
	plan := w.plan()
	d, err := w.decider.Decide(w.t.Context(), &plan, want)
	if err != nil {
		w.t.Fatal(err)
	}
	return plan, d
}

// send delivers as relay/delivery does: to the hosts in their order, as long as
// none could be spoken to.
func (w *world) send(want tlspolicy.Want) (outbound.Outcome, queue.Attempt) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	plan, d := w.decide(want)
	if r := d.Refusal(); r != nil {
		if r.Permanent {
			return outbound.Permanent, r.Attempt()
		}
		return outbound.Temporary, r.Attempt()
	}
	var last outbound.RecipientResult
	for i, h := range d.Hosts {
		if h.Refused != nil {
			continue
		}
		t := outbound.Target{Site: plan.Pool, HELO: "relay.test", TLS: h.TLS}
		t.Hosts = []outbound.Host{{Name: plan.Hosts[i].Name, Addrs: plan.Hosts[i].Addrs, Port: uint16(w.mx1.Port()), Preference: plan.Hosts[i].Preference}}
		last = w.pool.Deliver(ctx, t, w.message()).Recipients[0]
		if last.Outcome != outbound.Temporary || last.Attempt.Stage != queue.StageTLS && last.Attempt.Stage != queue.StageConnect {
			break
		}
	}
	return last.Outcome, last.Attempt
}

const content = "From: a@sender.test\r\nSubject: hello\r\n\r\nhello\r\n"

func (w *world) message() *outbound.Transaction {
	id := queue.NewMessageID()
	return &outbound.Transaction{
		Envelope:   queue.Envelope{ReversePath: queue.Address{Local: "a", Domain: "sender.test"}},
		Recipients: []outbound.Recipient{{ID: id.Recipient(0), Address: queue.Address{Local: "b", Domain: "example.test"}}},
		Open:       func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	}
}
