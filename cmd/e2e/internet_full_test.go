//go:build full && linux

package e2e_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/configs"
)

var updateInternet = flag.Bool("update-internet", false, "write the tables of configs/docs/internet.md anew")

const insideRealm = "POSTRIDER_TEST_REALM"

// TestInternet sends mail through the whole program into an internet of its own:
// a network namespace with public addresses, mail servers at port 25, policy
// hosts at port 443, and an unbound that validates zones signed here. What was
// tried is read from the wire, and the verdicts from the API. It needs root and
// Debian's unbound. It is not run beside others, for a busy machine's timeouts would
// be other verdicts.
func TestInternet(t *testing.T) {
	if os.Getenv(insideRealm) == "" {
		enterRealm(t)
		return
	}
	ctx := within(t, 3*time.Minute)
	places := places()
	w := &traveller{realm: newRealm(t, places), dir: e2etest.Dir(t)}
	w.start(ctx, t)
	w.round(ctx, t, places, atFirst)
	w.round(ctx, t, places, atRetry)
	// Everything is started again, with other news: policy hosts are down, some
	// servers have another certificate, and the relay has lost its IPv6.
	w.relay.Kill()
	w.policies.down.Store(true)
	for _, p := range places {
		p.breaks.Store(p.breaksLater)
	}
	w.renew(t, places)
	w.ipv6 = "off"
	w.start(ctx, t)
	w.round(ctx, t, places, afterRestart)
	checkInternetPage(t, places)
}

// enterRealm runs the test once more in a network of its own.
func enterRealm(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("needs root, for a network of its own")
	}
	const script = `ip link set lo up &&
ip route add local 8.8.0.0/16 dev lo &&
ip -6 addr add 2a00:1450:4000::ffff/128 dev lo &&
echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind &&
ip -6 route add local 2a00:1450:4000::/48 dev lo &&
exec "$0" "$@"`
	args := []string{"-mn", "sh", "-c", script, os.Args[0], "-test.run=^TestInternet$", "-test.v"}
	if *updateInternet {
		args = append(args, "-update-internet")
	}
	cmd := exec.CommandContext(within(t, 4*time.Minute), "unshare", args...)
	cmd.Env = append(os.Environ(), insideRealm+"=yes")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if testing.Verbose() || err != nil {
		t.Log(out.String())
	}
	if err != nil {
		t.Error(err)
	}
}

// traveller is the relay and what it meets.
type traveller struct {
	*realm
	dir, ipv6 string
	relay     *e2etest.Relay
	resolver  string
}

func (w *traveller) start(ctx context.Context, t *testing.T) {
	t.Helper()
	roots := filepath.Join(w.dir, "roots.pem")
	c := certificate{cert: filepath.Join(w.dir, "cert.pem"), key: filepath.Join(w.dir, "key.pem")}
	if w.relay == nil {
		w.roots(t, roots)
		c.renew(t, 1)
		w.resolver, w.ipv6 = w.startUnbound(ctx, t), "on"
	}
	w.relay = e2etest.StartIn(t, w.dir, e2etest.Env{
		"SSL_CERT_FILE": roots, "SSL_CERT_DIR": filepath.Join(w.dir, "none"),
		"POSTRIDER_DNS_SERVERS":       w.resolver,
		"POSTRIDER_SUBMISSION_LISTEN": "starttls://127.0.0.1:0",
		"POSTRIDER_TLS_CERT":          c.cert, "POSTRIDER_TLS_KEY": c.key,
		"POSTRIDER_DELIVERY_IPV6":     w.ipv6,
		"POSTRIDER_RETRY":             "", // the schedules that users have
		"POSTRIDER_TIMEOUT_CONNECT":   "1s",
		"POSTRIDER_PUBLIC_ADDRESSES":  ownAddr,
		"POSTRIDER_PORT25_PROBE":      "off",
		"POSTRIDER_DSN_MODE":          "none",
		"POSTRIDER_DKIM_AUTOGENERATE": "false",
	})
}

// startUnbound runs a resolver that trusts the signed zone.
func (w *traveller) startUnbound(ctx context.Context, t *testing.T) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(w.names.Addr())
	const addr = "127.0.0.1:53"
	text := fmt.Sprintf(`server:
  interface: 127.0.0.1@53
  directory: %q
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  do-not-query-localhost: no
  num-threads: 1
  ede: yes
  local-zone: "test." nodefault
  trust-anchor: %q
  domain-insecure: "test."
remote-control:
  control-enable: no
`, w.dir, strings.ReplaceAll(w.key.ToDS(dns.SHA256).String(), "\t", " "))
	for _, zone := range []string{signedTop, plainTop} {
		text += fmt.Sprintf("stub-zone:\n  name: %q\n  stub-addr: %s@%s\n", zone, host, port)
	}
	conf := filepath.Join(w.dir, "unbound.conf")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unbound", "-d", "-c", conf)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("unbound (Debian package unbound): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("unbound said:\n%s", said.String())
		}
	})
	e2etest.Poll(ctx, t, func() error {
		q := new(dns.Msg).SetQuestion("localhost.", dns.TypeA)
		_, _, err := (&dns.Client{Timeout: time.Second}).Exchange(q, addr)
		return err
	})
	return addr
}

// renew publishes that all MTA-STS policies are new ones.
func (w *traveller) renew(t *testing.T, places []*place) {
	t.Helper()
	text := w.zones[plainTop].String()
	w.zones[plainTop] = &strings.Builder{}
	w.zones[plainTop].WriteString(strings.ReplaceAll(text, `v=STSv1; id=1"`, `v=STSv1; id=2"`))
	w.names.Replace(w.zone(t, plainTop))
}

// round sends what is sent at one time, all at once, and looks what became of it.
func (w *traveller) round(ctx context.Context, t *testing.T, places []*place, when string) {
	t.Helper()
	for _, p := range places {
		for i := range p.visits {
			if v := &p.visits[i]; v.when == when {
				w.send(ctx, t, p, v)
			}
		}
	}
	for _, p := range places {
		for i := range p.visits {
			if v := &p.visits[i]; v.when == when {
				v.got = w.outcome(ctx, t, p, v)
			}
		}
	}
}

func (w *traveller) send(ctx context.Context, t *testing.T, p *place, v *visit) {
	t.Helper()
	rcpt := "b@" + p.domain
	if v.when == atRetry { // of what was sent before
		w.relay.CLI(ctx, t, "queue", "retry", p.id)
		return
	}
	c, err := e2etest.Dial(ctx, w.relay.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Authenticate(e2etest.User, e2etest.Password); err != nil {
		t.Fatal(err)
	}
	parameter, content := "", e2etest.Mail("a@shop.test", rcpt, "to "+p.domain)
	switch v.how {
	case "REQUIRETLS":
		parameter = " REQUIRETLS"
	case "TLS-Required: No":
		content = append([]byte("TLS-Required: No\r\n"), content...)
	}
	if _, err := c.Do(250, "MAIL FROM:<a@shop.test>%s", parameter); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(250, "RCPT TO:<%s>", rcpt); err != nil {
		t.Fatal(err)
	}
	if p.id, err = c.Data(content); err != nil {
		t.Fatal(err)
	}
}

// outcome waits for the attempt and describes it.
func (w *traveller) outcome(ctx context.Context, t *testing.T, p *place, v *visit) row {
	t.Helper()
	attempts := 1
	if v.when == atRetry {
		attempts = 2
	}
	var m v1.Message
	e2etest.Poll(ctx, t, func() error {
		var err error
		if m, err = w.relay.Admin().Message(ctx, p.id); err != nil {
			return err
		}
		if r := m.Recipients[0]; r.Attempts < attempts || r.State == "queued" || r.State == "active" {
			return fmt.Errorf("mail to %s is %s", p.domain, r.State)
		}
		return nil
	})
	r := m.Recipients[0]
	i := slices.IndexFunc(m.Events, func(e v1.Event) bool { return e.Attempt != nil && e.Attempt.Number == attempts })
	if i < 0 {
		t.Fatalf("%s: no attempt %d in %+v", p.domain, attempts, m.Events)
	}
	a := m.Events[i].Attempt
	var addrs []netip.Addr
	for _, h := range p.hosts {
		addrs = append(addrs, netip.MustParseAddr(h.at))
	}
	got := row{
		domain: p.domain, when: v.when,
		state: r.State, class: r.Class, tried: strings.Join(w.wire.take(addrs), ", "), host: strings.TrimSuffix(a.Host, "."+p.domain),
		policy: a.TLSPolicy, fault: a.TLSFault, peer: timeless(a.TLSPeer), stage: a.Stage, says: timeless(says(a)),
	}
	if r.NextTry != nil {
		wait := r.NextTry.Sub(a.At.Add(time.Duration(a.TookMS) * time.Millisecond))
		if got.next = spell(wait); got.class == "domain.bad" && wait > 5*time.Minute-time.Second && wait < 10*time.Minute+time.Second {
			got.next = soon
		}
	}
	return got
}

// soon is when a domain that seems to be gone is looked for once more.
const soon = "5m to 10m"

// says is what decided: the reply, or our own words.
func says(a *v1.Attempt) string {
	text := a.Error
	if a.Code != 0 {
		text = a.Reply
	}
	if a.Code/100 == 2 {
		text = ""
	}
	code := ""
	if a.Code != 0 {
		code = fmt.Sprint(a.Code)
	}
	return strings.Join(strings.Fields(code+" "+a.Enhanced+" "+text), " ")
}

// spell writes how long the next attempt waits in the steps of the schedules,
// which are varied by 15 %.
func spell(d time.Duration) string {
	for _, step := range []time.Duration{5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour} {
		if d > step*84/100 && d < step*116/100 {
			return configs.FormatDuration(step)
		}
	}
	return d.Round(time.Second).String()
}
