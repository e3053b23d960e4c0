//go:build full && linux

package tlspolicy_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/mx/dnssim"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
	"postrider/relay/tlspolicy"
)

const fingerInside = "POSTRIDER_TEST_FINGER"

// TestPostfixJudgesAlike compares what we make of hosts under DANE with what
// Postfix does. It needs root, posttls-finger and a network of its own, where our
// servers have the ports that Postfix goes to.
func TestPostfixJudgesAlike(t *testing.T) {
	if os.Getenv(fingerInside) == "" {
		runInside(t)
		return
	}
	servfail := func(w *world) { w.set(w.name("tlsa1"), "TLSA", dnssim.Behavior{Rcode: "SERVFAIL"}) }
	both := func(w *world) (a, b []string) {
		return []string{spki(3, w.mx2.Certificate()), spki(3, w.mx1.Certificate())}, nil
	}
	mixed := func(w *world) (a, b []string) {
		return []string{spki(1, w.mx1.Certificate()), whole(3, w.mx1.Certificate())}, nil
	}
	for _, tt := range []struct {
		name  string
		setup setup
		out   outbound.Outcome
		says  string // Postfix
	}{
		{"a key that matches", setup{signed: true, tlsa: bothEE}, outbound.Accepted, "matched"},
		{"one key of two that matches", setup{signed: true, tlsa: both}, outbound.Accepted, "matched"},
		{"a record beside one that cannot be used", setup{signed: true, tlsa: mixed}, outbound.Accepted, "matched"},
		{"a key that does not match", setup{signed: true, tlsa: wrongBoth}, outbound.Temporary, "not matched"},
		{"an authority that matches", setup{signed: true, tlsa: authorities}, outbound.Accepted, "matched"},
		{"an authority that matches, and the name of the domain", setup{signed: true, tlsa: authorities, mx1: shows(smtpsim.Certificate{Names: []string{"example.test"}})}, outbound.Accepted, "matched"},
		{"an authority that matches, and another name", setup{signed: true, tlsa: authorities, mx1: shows(smtpsim.Certificate{Names: []string{"other.test"}})}, outbound.Temporary, "not matched"},
		{"an authority that matches, and a certificate out of date", setup{signed: true, tlsa: authorities, mx1: expired()}, outbound.Temporary, "not matched"},
		{"records that cannot be used", setup{signed: true, tlsa: unusable}, outbound.Accepted, "any certificate"},
		{"records that cannot be used, and no STARTTLS", setup{signed: true, tlsa: unusable, mx1: stripped}, outbound.Temporary, "no TLS"},
		{"no STARTTLS", setup{signed: true, tlsa: bothEE, mx1: stripped}, outbound.Temporary, "no TLS"},
		{"records that cannot be looked up", setup{signed: true, tlsa: bothEE, dns: servfail}, outbound.Temporary, "not known"},
		{"no records", setup{signed: true}, outbound.Accepted, "no DANE"},
		{"no signatures", setup{tlsa: wrongBoth}, outbound.Accepted, "no DANE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.setup.alone, tt.setup.dnsAddr, tt.setup.mx1.Addr = true, "127.0.0.1:53", "127.0.0.1:25"
			w := newWorld(t, tt.setup)
			out, a := w.send(tlspolicy.Want{})
			if out != tt.out {
				t.Errorf("we: %v, %+v", out, a)
			}
			said := finger(t, w)
			if got := verdict(said); got != tt.says {
				t.Errorf("Postfix: %s, want %s:\n%s", got, tt.says, said)
			}
			t.Logf("we: %v, %s %s; Postfix: %s", out, a.TLSPolicy, a.TLSFault, verdict(said))
		})
	}
}

// verdict reads what posttls-finger made of the host.
func verdict(said string) string {
	has := func(text string) bool { return strings.Contains(said, text) }
	switch {
	case has("TLSA lookup error"):
		return "not known"
	case !has("TLS connection established"):
		return "no TLS"
	case has("all TLSA records unusable"):
		return "any certificate"
	case has("Verified TLS connection") && has("Matched DANE"):
		return "matched"
	case has("DNSSEC-signed TLSA record"):
		return "not matched"
	}
	return "no DANE"
}

func finger(t *testing.T, w *world) string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.mx1.Authority().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "posttls-finger", "-c", "-l", "dane", "-t", "10", "-F", ca, "-L", "summary,verbose", "example.test")
	cmd.Env = append(os.Environ(), "MAIL_CONFIG="+os.Getenv(fingerInside))
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("posttls-finger: %v\n%s", err, out)
	}
	return string(out)
}

// runInside runs the test once more in a network of its own.
func runInside(t *testing.T) {
	if _, err := exec.LookPath("posttls-finger"); err != nil || os.Getuid() != 0 {
		t.Fatal("needs posttls-finger (Debian: postfix) and root")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"resolv.conf": "nameserver 127.0.0.1\noptions edns0 trust-ad\n",
		"main.cf":     "compatibility_level = 3.6\nsmtp_dns_support_level = dnssec\nsmtp_host_lookup = dns\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const script = `ip link set lo up && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"`
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "-mn", "sh", "-c", script, dir, os.Args[0], "-test.run=^TestPostfixJudgesAlike$", "-test.v")
	cmd.Env = append(os.Environ(), fingerInside+"="+dir)
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
