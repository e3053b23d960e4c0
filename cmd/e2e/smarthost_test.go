package e2e_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// smartHost starts a relay host that wants TLS and a login.
func smartHost(t *testing.T, world *e2etest.Internet, mode smtpsim.TLSMode) *smtpsim.Server {
	t.Helper()
	s := world.Domain(t, "upstream.test", smtpsim.Options{
		TLS: mode, Users: map[string]string{"customer": "p@ss:word"}, RequireAuth: true, RequireTLS: true,
	})
	return s
}

// trust writes the authority of a server to a file.
func trust(ctx context.Context, t *testing.T, s *smtpsim.Server) string {
	t.Helper()
	d := tls.Dialer{Config: s.ClientTLS()}
	conn, err := d.DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	chain := conn.(*tls.Conn).ConnectionState().PeerCertificates
	file := filepath.Join(e2etest.Dir(t), "roots.pem")
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[len(chain)-1].Raw})
	if err := os.WriteFile(file, root, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSmartHostTakesAllDomainsOverSharedConnections(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	upstream := smartHost(t, world, smtpsim.ImplicitTLS)
	relay := e2etest.Start(t, world.Env(), e2etest.Env{
		"POSTRIDER_SMARTHOST":            fmt.Sprintf("smtps://customer:p@ss:word@mx.upstream.test:%d", upstream.Port()),
		"SSL_CERT_FILE":                  trust(ctx, t, upstream),
		"POSTRIDER_CONNECTIONS_PER_SITE": "2",
	})
	relay.CLI(ctx, t, "domain", "records", "shop.test")

	c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, e2etest.Password)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const domains = 40
	ids := make([]string, domains)
	for i := range ids {
		rcpt := fmt.Sprintf("b@domain%d.test", i)
		if ids[i], err = c.Send("a@shop.test", []string{rcpt}, e2etest.Mail("a@shop.test", rcpt, fmt.Sprint("mail ", i))); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range e2etest.Receive(ctx, t, upstream, domains) {
		if m.TLS == nil || m.User != "customer" {
			t.Errorf("%v came as user %q over TLS %v", m.Rcpts, m.User, m.TLS != nil)
		}
	}
	for _, id := range ids {
		relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("relayed") && l.Attr("id") == id })
	}
	// One was made to learn the certificate.
	if n := upstream.Counters().Connections - 1; n > 4 {
		t.Errorf("%d domains took %d connections", domains, n)
	}
	if n := world.DNS.Count("domain0.test", "MX"); n > 0 {
		t.Error("mail for a smart host was looked up by MX")
	}
}

func TestSmartHostByStartTLS(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	upstream := smartHost(t, world, smtpsim.StartTLS)
	relay := e2etest.Start(t, world.Env(), e2etest.Env{
		// Its authority is nobody's.
		"POSTRIDER_SMARTHOST": fmt.Sprintf("smtp://customer:p@ss:word@mx.upstream.test:%d?tls=opportunistic", upstream.Port()),
	})
	id := relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "hello"))
	m := e2etest.Receive(ctx, t, upstream, 1)[0]
	if m.TLS == nil || m.User != "customer" {
		t.Errorf("it came as user %q over TLS %v", m.User, m.TLS != nil)
	}
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("relayed") && l.Attr("id") == id })
}

// A smart host that cannot prove who it is learns no password and gets no mail;
// the mail waits.
func TestSmartHostWithoutAValidCertificateLearnsNothing(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	upstream := smartHost(t, world, smtpsim.StartTLS)
	relay := e2etest.Start(t, world.Env(), e2etest.Env{
		"POSTRIDER_SMARTHOST": "smtp://customer:p@ss:word@" + net.JoinHostPort("mx.upstream.test", fmt.Sprint(upstream.Port())),
	})
	relay.CLI(ctx, t, "domain", "records", "shop.test")
	id := relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "hello"))
	line := relay.Out.Expect(ctx, t, func(l e2etest.Line) bool {
		return l.Attr("id") == id && l.Attr("rcpt") != "" && l.Attr("stage") != ""
	})
	if !line.Is("deferred") || line.Attr("stage") != "tls" {
		t.Errorf("the log says: %s", line.Text)
	}
	if c := upstream.Counters(); c.Logins+c.LoginFailures+c.Transactions > 0 {
		t.Errorf("it saw %d logins and %d transactions", c.Logins+c.LoginFailures, c.Transactions)
	}
}
