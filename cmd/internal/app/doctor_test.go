package app_test

import (
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/api/client"
	v1 "postrider/api/v1"
	"postrider/mx/dnssim"
	"postrider/relay/smtpsim"
)

// examined starts a relay in an internet of its own.
func examined(t *testing.T, settings map[string]string) (*client.Client, string) {
	t.Helper()
	s, err := dnssim.New(dnssim.Options{Zones: []string{"$ORIGIN example.com.\n@ MX 10 mx\nmx A 203.0.113.20\n@ TXT \"v=spf1 -all\"\n_dmarc TXT \"v=DMARC1; p=none\"\nrelay A 127.0.0.1\n"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	all := map[string]string{
		"dns.servers": s.Addr(), "delivery.port25_probe": "off", "doctor.dnsbl": "off", "delivery.ipv6": "off", "dkim.autogenerate": "true",
		"submission.trusted_networks": "10.0.0.0/8", "accounts": "shop:a-long-enough-secret", "submission.allowed_senders": "example.com",
	}
	for k, v := range settings {
		all[k] = v
	}
	a, _, dir := start(t, smtpsim.Options{}, all)
	return client.NewSocket(filepath.Join(dir, "admin.sock")), a.HTTPAddrs()[0].String()
}

func one(t *testing.T, e v1.Examination, id string) v1.Finding {
	t.Helper()
	i := slices.IndexFunc(e.Findings, func(f v1.Finding) bool { return f.ID == id })
	if i < 0 {
		t.Fatalf("nothing was found about %s", id)
	}
	return e.Findings[i]
}

func TestARelayExaminesItself(t *testing.T) {
	t.Parallel()
	cl, addr := examined(t, nil)
	if _, err := cl.LastExamination(t.Context()); err == nil {
		t.Error("there is an examination before the first")
	}
	e, err := cl.Examine(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if e.Hostname != "relay.example.com" || !slices.Equal(e.Domains, []string{"example.com"}) || e.Level != "fail" {
		t.Errorf("got %s, %v, %s", e.Hostname, e.Domains, e.Level)
	}
	for id, want := range map[string]string{
		"dom.dkim": "fail", "dom.spf.syntax": "ok", "dom.dmarc": "ok", "sys.relay": "ok", "sys.store": "ok", "net.port25": "ok", "msg.lint": "unknown", "tls.server": "ok",
	} {
		if f := one(t, e, id); f.Level != want {
			t.Errorf("%s is %s: %s", id, f.Level, f.Found)
		}
	}
	if f := one(t, e, "dom.dkim"); len(f.Publish) != 1 || f.Publish[0].Purpose != "dkim" || !strings.Contains(f.Publish[0].Name, "._domainkey.example.com") {
		t.Errorf("the key to publish is %+v", f.Publish)
	}

	last, err := cl.LastExamination(t.Context())
	if err != nil || !last.At.Equal(e.At) || len(last.Findings) != len(e.Findings) {
		t.Errorf("the last is of %s with %d findings, %v; want %s with %d", last.At, len(last.Findings), err, e.At, len(e.Findings))
	}
	if text := metricsOf(t, addr); !strings.Contains(text, `postrider_doctor_findings{level="fail"} `) || strings.Contains(text, `postrider_doctor_findings{level="fail"} 0`) {
		t.Error("the metrics show no failures")
	}

	// What is asked of one domain is no picture of the whole.
	if e, err = cl.Examine(t.Context(), []string{"Example.NET"}); err != nil || !slices.Equal(e.Domains, []string{"example.net"}) {
		t.Errorf("got %v, %v", e.Domains, err)
	}
	if again, err := cl.LastExamination(t.Context()); err != nil || !again.At.Equal(last.At) {
		t.Errorf("the last is of %s now, %v", again.At, err)
	}
	if _, err := cl.Examine(t.Context(), []string{"no domain"}); err == nil || !strings.Contains(err.Error(), "example.com") {
		t.Errorf("a domain that is none: %v", err)
	}
}

func metricsOf(t *testing.T, addr string) string {
	t.Helper()
	r, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheMailOfADomainIsLookedAt(t *testing.T) {
	t.Parallel()
	cl, _ := examined(t, map[string]string{"dkim.autogenerate": "false"})
	m := v1.NewMessage{From: v1.ParseLater("a@example.com"), To: v1.Addresses{v1.ParseLater("b@example.net")}, Subject: "Hello", HTML: "<p>Hello</p>", Stream: "bulk",
		Unsubscribe: &v1.Unsubscribe{Mode: "custom", URL: "https://example.com/u"}}
	if _, _, err := cl.Send(t.Context(), m, client.SendOptions{Account: "shop"}); err != nil {
		t.Fatal(err)
	}
	e, err := cl.Examine(t.Context(), []string{"example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if f := one(t, e, "msg.lint"); f.Level == "unknown" {
		t.Errorf("msg.lint is unknown: %s", f.Found)
	}
	if f := one(t, e, "msg.unsub"); f.Level != "ok" {
		t.Errorf("msg.unsub is %s: %s", f.Level, f.Found)
	}
	if f := one(t, e, "dom.dkim"); f.Level != "fail" || !strings.Contains(f.Found, "unsigned") {
		t.Errorf("dom.dkim is %s: %s", f.Level, f.Found)
	}
	if time.Since(e.At) > time.Hour {
		t.Errorf("it was examined at %s", e.At)
	}
}
