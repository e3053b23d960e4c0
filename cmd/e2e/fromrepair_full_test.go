//go:build full

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/mx/dnssim"
	"postrider/relay/smtpsim"
)

// judged is what testdata/dmarc/judge.py says of a message.
type judged struct {
	SPF  struct{ Result, Domain, Text string }
	DKIM []struct {
		Domain, Algorithm string
		Pass              bool
	}
	DMARC struct{ Result, Policy, From string }
	End   string // what opendmarc tells the mail server to do
	Said  string
}

// receiver is a mail server's judgement by other people's implementations: pyspf,
// dkimpy and opendmarc. They ask a DNS at the port that all DNS has.
type receiver struct {
	world   *e2etest.Internet
	dns     *dnssim.Server
	resolve string // a resolv.conf
}

func newReceiver(t *testing.T, world *e2etest.Internet) *receiver {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("needs root, for port 53 and a resolv.conf of its own")
	}
	ip := world.Address()
	dns, err := dnssim.New(dnssim.Options{Addr: net.JoinHostPort(ip, "53")})
	if err != nil {
		t.Fatal(err)
	}
	if err := dns.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dns.Close() })
	r := &receiver{world: world, dns: dns, resolve: filepath.Join(t.TempDir(), "resolv.conf")}
	if err := os.WriteFile(r.resolve, []byte("nameserver "+ip+"\noptions timeout:2 attempts:2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return r
}

// publish puts the records of a domain where the receiver looks, and the relay.
func (r *receiver) publish(t *testing.T, domain, records string) {
	t.Helper()
	r.world.Publish(t, domain, records)
	if err := r.dns.Load(domain, records); err != nil {
		t.Fatal(err)
	}
}

// judge lets a receiver look at a message as it came.
func (r *receiver) judge(ctx context.Context, t *testing.T, m *smtpsim.Message) judged {
	t.Helper()
	ip, _, err := net.SplitHostPort(m.Client)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "sh", "-ec", `mount --bind "$0" /etc/resolv.conf; exec /usr/bin/python3 testdata/dmarc/judge.py "$@"`,
		r.resolve, ip, m.Hello, m.From.Address)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(m.Raw), &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("judge: %v\n%s", err, errs.String())
	}
	var j judged
	if err := json.Unmarshal(out, &j); err != nil {
		t.Fatalf("judge printed %q: %v", out, err)
	}
	return j
}

// strictly is a DMARC record that wants the very domain of From in the envelope
// and in the signature (RFC 7489 §3.1), and refuses all else.
const strictly = `v=DMARC1; p=reject; adkim=s; aspf=s`

// foreign are From lines that a site may not use, as programs write them.
func foreign() []struct{ name, from, address string } {
	return []struct{ name, from, address string }{
		{"a visitor of a contact form", "A Visitor <visitor@freemail.test>", "visitor@freemail.test"},
		{"the web server's user in a container", "www-data@3f2a9c1b7d4e", "www-data@3f2a9c1b7d4e"},
		{"WordPress without a domain", "WordPress <wordpress@localhost>", "wordpress@localhost"},
	}
}

// repairWorld is a site, a free-mail provider that both forbid others to send in
// their name, and a customer.
func repairWorld(ctx context.Context, t *testing.T, env e2etest.Env) (*receiver, *e2etest.Relay, *smtpsim.Server) {
	t.Helper()
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	r := newReceiver(t, world)
	relay := e2etest.Start(t, world.Env(), env)
	keys := relay.CLI(ctx, t, "domain", "records", "--zone", "shop.test")
	own := fmt.Sprintf("@ TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n_dmarc TXT %q\n", strictly)
	r.publish(t, "shop.test", keys+"\n"+own)
	r.publish(t, "freemail.test", fmt.Sprintf("@ TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc TXT %q\n", strictly))
	return r, relay, mx
}

// letterFrom is a message with a From line as it stands.
func letterFrom(from, subject string) []byte {
	content := e2etest.Mail("x@x.test", "kunde@customer.test", subject)
	return bytes.Replace(content, []byte("From: <x@x.test>"), []byte("From: "+from), 1)
}

// What an account with the policy rewrite sends passes DMARC in the strictest
// form, whoever it says it is from; the answer goes to the author.
func TestRepairedFromPassesDMARC(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	r, relay, mx := repairWorld(ctx, t, e2etest.Env{"POSTRIDER_ALLOWED_SENDERS": "shop.test", "POSTRIDER_FROM_POLICY": "rewrite"})
	for i, c := range foreign() {
		t.Run(c.name, func(t *testing.T) {
			relay.Submit(ctx, t, c.address, []string{"kunde@customer.test"}, letterFrom(c.from, fmt.Sprint("repaired ", i)))
			m := e2etest.Receive(ctx, t, mx, i+1)[i]
			j := r.judge(ctx, t, m)
			if j.DMARC.Result != "pass" || j.DMARC.From != "shop.test" || j.End != "SMFIS_ACCEPT" {
				t.Errorf("opendmarc says %+v, %s:\n%s", j.DMARC, j.End, j.Said)
			}
			if j.SPF.Result != "pass" || j.SPF.Domain != "shop.test" {
				t.Errorf("pyspf says %+v", j.SPF)
			}
			if len(j.DKIM) != 2 {
				t.Errorf("there are %d signatures, want RSA and Ed25519", len(j.DKIM))
			}
			for _, s := range j.DKIM {
				if !s.Pass || s.Domain != "shop.test" {
					t.Errorf("dkimpy says %+v", s)
				}
			}
			aligned(t, m, c.address)
		})
	}
	// An address that the account may use is left alone, and passes as well.
	relay.Submit(ctx, t, "verkauf@shop.test", []string{"kunde@customer.test"}, letterFrom("verkauf@shop.test", "own"))
	got := e2etest.Receive(ctx, t, mx, len(foreign())+1)[len(foreign())]
	if j := r.judge(ctx, t, got); j.DMARC.Result != "pass" || got.From.Address != "verkauf@shop.test" || bytes.Contains(got.Raw, []byte("\r\nReply-To:")) {
		t.Errorf("an address of its own: %+v\n%s", j, got.Raw)
	}
}

// aligned looks for itself: the one address of From, the envelope and the d= of
// each signature have one domain, and Reply-To has the author.
func aligned(t *testing.T, m *smtpsim.Message, author string) {
	t.Helper()
	read, err := mail.ReadMessage(bytes.NewReader(m.Raw))
	if err != nil {
		t.Fatal(err)
	}
	from, err := read.Header.AddressList("From")
	if err != nil || len(from) != 1 || !strings.HasSuffix(from[0].Address, "@shop.test") || m.From.Address != from[0].Address {
		t.Errorf("From is %v, %v, the envelope is from %s", from, err, m.From.Address)
	}
	if reply, err := read.Header.AddressList("Reply-To"); err != nil || len(reply) != 1 || reply[0].Address != author {
		t.Errorf("Reply-To is %v, %v; want %s", reply, err, author)
	}
	for _, sig := range read.Header["Dkim-Signature"] {
		if !slices.ContainsFunc(strings.Split(sig, ";"), func(tag string) bool { return strings.TrimSpace(tag) == "d=shop.test" }) {
			t.Errorf("the signature is %s", sig)
		}
	}
}

// The same mail, accepted as it is, passes at nobody's: a visitor's is refused by
// the policy of the visitor's domain, and the other two have no domain at all.
func TestAcceptedFromFailsDMARC(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	r, relay, mx := repairWorld(ctx, t, e2etest.Env{"POSTRIDER_FROM_POLICY": "accept"})
	for i, c := range foreign() {
		t.Run(c.name, func(t *testing.T) {
			relay.Submit(ctx, t, c.address, []string{"kunde@customer.test"}, letterFrom(c.from, fmt.Sprint("as it is ", i)))
			m := e2etest.Receive(ctx, t, mx, i+1)[i]
			j := r.judge(ctx, t, m)
			if j.DMARC.Result == "pass" || m.From.Address != c.address {
				t.Errorf("opendmarc says %+v of mail from %s:\n%s", j.DMARC, m.From.Address, j.Said)
			}
			if c.address != "visitor@freemail.test" {
				return
			}
			if !strings.Contains(j.Said, "rejected by DMARC policy for freemail.test") || j.End != "SMFIS_REJECT" || j.SPF.Result != "fail" {
				t.Errorf("opendmarc says %+v, %s, pyspf %+v:\n%s", j.DMARC, j.End, j.SPF, j.Said)
			}
		})
	}
}
