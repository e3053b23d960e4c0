//go:build full

package mx_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/mx"
	"postrider/mx/dane"
	"postrider/mx/dnssim/authority"
)

// startUnbound runs Debian's unbound with these lines in its configuration and
// returns its address.
func startUnbound(t *testing.T, server, rest string) string {
	t.Helper()
	// An address of its own: on 127.0.0.1 somebody's connection may take the port
	// before it does.
	ip := fmt.Sprintf("127.%d.%d.%d", 100+rand.IntN(100), rand.IntN(256), 1+rand.IntN(254))
	pc, err := net.ListenPacket("udp", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	addr := pc.LocalAddr().String()
	if err := pc.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "unbound.conf")
	_, port, _ := net.SplitHostPort(addr)
	text := fmt.Sprintf(`server:
  interface: %s@%s
  directory: %q
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  do-ip6: no
  do-not-query-localhost: no
  num-threads: 1
  ede: yes
  local-zone: "test." nodefault
  %s
remote-control:
  control-enable: no
%s
`, ip, port, dir, strings.ReplaceAll(server, "\n", "\n  "), rest)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unbound", "-d", "-c", conf)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatalf("unbound (Debian package unbound): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("unbound said:\n%s", said)
		}
		_ = log.Close()
	})
	eventually(t, "unbound answers", func() bool {
		q := new(dns.Msg).SetQuestion("localhost.", dns.TypeA)
		_, _, err := (&dns.Client{Timeout: 100 * time.Millisecond}).Exchange(q, addr)
		return err == nil
	})
	return addr
}

const signedText = `
$TTL 300
@           MX 10 mx
mx          A 8.8.1.1
_25._tcp.mx TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
ee          MX 10 alias
alias       CNAME host.plain.example.
_25._tcp.alias TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
www         CNAME @
implicit    A 8.8.1.2
none        MX 10 mx.none
mx.none     A 8.8.1.3
null        MX 0 .
stale       A 8.8.1.4
toldstale   MX 10 stale
forged      A 8.8.1.5
toldforged  MX 10 forged
text        TXT "no mail"
`

const plainText = `
$TTL 300
@           MX 10 mx.signed.example.
host        A 8.8.3.1
_25._tcp.host TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
`

func newZone(t *testing.T, apex, text string) *authority.Zone {
	t.Helper()
	z, err := authority.Parse(apex, text)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestWithUnbound needs Debian's unbound, and fails without. The zones it
// validates are signed here.
func TestWithUnbound(t *testing.T) {
	t.Parallel()
	big := ""
	for i := range 30 {
		big += fmt.Sprintf("big 300 TXT \"%d%s\"\n", i, strings.Repeat("x", 100))
	}
	signed, plain := newZone(t, "signed.example.", signedText+big), newZone(t, "plain.example.", plainText)
	key, err := signed.Sign(authority.Damage{Expired: []string{"stale.signed.example."}, Forged: []string{"forged.signed.example."}})
	if err != nil {
		t.Fatal(err)
	}
	auth, err := authority.Start(signed, plain)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { auth.Close() })
	host, port, _ := net.SplitHostPort(auth.Addr())
	stub := func(zone string) string {
		return fmt.Sprintf("stub-zone:\n  name: %q\n  stub-addr: %s@%s\n", zone, host, port)
	}
	server := fmt.Sprintf("trust-anchor: %q\ndomain-insecure: \"plain.example.\"", strings.ReplaceAll(key.ToDS(dns.SHA256).String(), "\t", " "))
	addr := startUnbound(t, server, stub("signed.example.")+stub("plain.example."))
	r := newResolver(t, mx.Options{Servers: []string{addr}, OwnAddrs: []netip.Addr{}})

	t.Run("DANE", func(t *testing.T) {
		for _, c := range []struct {
			domain   string
			ad, host bool
			mode     dane.Mode
			base     string
		}{
			{"signed.example", true, true, dane.Secure, "mx.signed.example"},
			{"www.signed.example", true, true, dane.Secure, "mx.signed.example"},
			{"implicit.signed.example", true, true, dane.NotUsed, ""},
			{"none.signed.example", true, true, dane.NotUsed, ""},
			{"ee.signed.example", true, false, dane.Secure, "alias.signed.example"},
			{"plain.example", false, true, dane.NotUsed, ""},
		} {
			p, err := r.Plan(ctx(t), c.domain)
			if err != nil {
				t.Errorf("%s: %v", c.domain, err)
				continue
			}
			if p.AD != c.ad || p.Hosts[0].AD != c.host {
				t.Errorf("%s: AD of plan and host %v, %v; want %v, %v", c.domain, p.AD, p.Hosts[0].AD, c.ad, c.host)
			}
			policy, err := dane.Find(ctx(t), r, &p, &p.Hosts[0], 25)
			if err != nil || policy.Mode != c.mode || policy.Base != c.base {
				t.Errorf("%s: policy %+v, %v; want %v, %s", c.domain, policy, err, c.mode, c.base)
			}
		}
	})
	t.Run("failures", func(t *testing.T) {
		for domain, kind := range map[string]mx.Kind{
			"nothing.signed.example": mx.KindNXDomain, "text.signed.example": mx.KindNoData, "null.signed.example": mx.KindNullMX,
			"toldstale.signed.example": mx.KindBogus, "toldforged.signed.example": mx.KindBogus,
		} {
			p, err := r.Plan(ctx(t), domain)
			if e := wantError(t, p, err); e.Kind != kind {
				t.Errorf("%s: %v (%s); want %s", domain, e, e.Kind, kind)
			} else {
				t.Logf("%s: %d %s %s", domain, e.Code, e.Enhanced, e.Detail)
			}
		}
	})
	t.Run("a large answer", func(t *testing.T) {
		a, err := r.TXT(ctx(t), "big.signed.example")
		if err != nil || len(a.Values) != 30 || !a.AD || r.Stats().OverTCP == 0 {
			t.Errorf("%d texts, AD %v, %v, %d questions over TCP", len(a.Values), a.AD, err, r.Stats().OverTCP)
		}
	})
}

// TestRowsWithUnbound runs the rows of the tables through unbound, but for those
// where a server keeps silent. What DNS itself does not say, such as why an answer
// failed, may differ.
func TestRowsWithUnbound(t *testing.T) {
	t.Parallel()
	for _, c := range append(routeRows(), statusRows()...) {
		silent := false
		for _, b := range c.set {
			silent = silent || b.Rcode == "" || b.ExtendedError != 0
		}
		if silent {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim := c.zoneServer(t)
			host, port, _ := net.SplitHostPort(sim.Addr())
			addr := startUnbound(t, `module-config: "iterator"`, fmt.Sprintf("forward-zone:\n  name: \".\"\n  forward-addr: %s@%s\n", host, port))
			p, err := newResolver(t, c.options(addr, 30*time.Second)).Plan(ctx(t), c.asked())
			var e *mx.Error
			switch {
			case c.hosts != "":
				if got := describe(p); err != nil || got != c.hosts {
					t.Errorf("%q, %v; want %q", got, err, c.hosts)
				}
			case !errors.As(err, &e):
				t.Errorf("%q, %v; want an error", describe(p), err)
			case !strings.HasSuffix(c.fails, fmt.Sprintf(" %d %s", e.Code, e.Enhanced)):
				t.Errorf("%s %d %s (%s); want %s", e.Kind, e.Code, e.Enhanced, e.Detail, c.fails)
			}
		})
	}
}
