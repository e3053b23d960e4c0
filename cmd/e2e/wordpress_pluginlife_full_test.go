//go:build full

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// The relay dies after it has the message and before the plugin hears so; the
// plugin asks again, and the message is sent once.
func asksAgainWithoutASecondCopy(ctx context.Context, t *testing.T, s *blog) {
	t.Helper()
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.example", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	key := sendKeyOf(ctx, t, relay)
	var again *e2etest.Relay
	front := startFront(t, relay.HTTP, func() (string, error) {
		if again != nil {
			return "", errors.New("a third request")
		}
		relay.Kill()
		again = relay.Restart(t)
		return again.HTTP, nil
	})
	v := s.do(ctx, t, "mail", "POSTRIDER_WP_URL=http://"+front, "POSTRIDER_WP_KEY="+key, "POSTRIDER_WP_TIMEOUT=60")
	if !v.OK || v.text() != "succeeded: kunde@customer.example" {
		t.Fatalf("wp_mail() returned %v: %v", v.OK, v.Events)
	}
	if again == nil {
		t.Fatal("the relay was never killed")
	}
	again.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("message repeated") })
	if n := len(relay.Out.All(accepted)) + len(again.Out.All(accepted)); n != 1 {
		t.Errorf("it was accepted %d times", n)
	}
	got := e2etest.Receive(ctx, t, mx, 1)
	// One that comes after it has been sent after any second copy.
	if last := s.do(ctx, t, "mail", "POSTRIDER_WP_URL=http://"+again.HTTP, "POSTRIDER_WP_KEY="+key, "WP_HEADERS=X-Last: yes"); !last.OK {
		t.Fatal(last.Events)
	}
	e2etest.Poll(ctx, t, func() error {
		got = e2etest.Receive(ctx, t, mx, len(got))
		if !bytes.Contains(got[len(got)-1].Raw, []byte("X-Last: yes")) {
			got = append(got, nil)
			return errors.New("the last one is on its way")
		}
		return nil
	})
	// The next hop may have got a second copy if the relay died while sending; that
	// window is the relay's own, and told as in_doubt.
	doubt := len(again.Out.All(func(l e2etest.Line) bool { return strings.Contains(l.Text, `"in_doubt":true`) }))
	if n := len(got); n != 2 && doubt == 0 {
		t.Errorf("%d copies arrived", n-1)
	}
}

// startFront takes connections for a relay. Of the first one it swallows the
// answer, and asks where those after it go.
func startFront(t *testing.T, relay string, next func() (string, error)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for first := true; ; first = false {
			c, err := l.Accept()
			if err != nil {
				return
			}
			to := relay
			answer := io.Writer(c)
			if first {
				answer = io.Discard
			}
			if err := carry(c, to, answer); err != nil {
				t.Error(err)
			}
			c.Close()
			if first {
				if relay, err = next(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	return l.Addr().String()
}

// carry passes one request on, and the first octets of its answer.
func carry(c net.Conn, to string, answer io.Writer) error {
	up, err := net.Dial("tcp", to)
	if err != nil {
		return err
	}
	defer up.Close()
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(up, c) }()
	buf := make([]byte, 64<<10)
	n, err := up.Read(buf)
	if err == nil {
		_, err = answer.Write(buf[:n])
	}
	c.(*net.TCPConn).CloseRead()
	<-done
	return err
}

// Another mailer's plugin goes first; the site's owner is told.
func standsDown(ctx context.Context, t *testing.T, s *blog) {
	t.Helper()
	relay := e2etest.Start(t)
	way := ways(ctx, t, relay)["http"]
	for constant, who := range map[string]string{
		"WPMS_ON=1": "WP Mail SMTP", "WPMS_PLUGIN_VER=4.8.0": "WP Mail SMTP", "FLUENTMAIL_PLUGIN_FILE=x": "FluentSMTP", "POST_SMTP_VER=3.3.0": "Post SMTP", "POSTRIDER_WP_OFF=true": "",
	} {
		t.Run(constant, func(t *testing.T) {
			env := append(way, "WP_DEFINE="+constant)
			// PHP's mail() is what is left, and /bin/false is in its place.
			if v := s.do(ctx, t, "mail", env...); v.OK || v.Mailer != "mail" || v.Class == "Postrider_Mailer" || len(v.Log) > 0 {
				t.Errorf("mail went by %s of %s: %+v", v.Mailer, v.Class, v)
			}
			var seen map[string]any
			s.into(ctx, t, &seen, "notice", env...)
			text := fmt.Sprint(seen["dashboard"])
			if who != "" && !strings.Contains(text, "stands down: the mail of this site is sent by "+who) || who == "" && strings.Contains(text, "Postrider") || strings.Contains(fmt.Sprint(seen["edit-post"]), "Postrider") {
				t.Errorf("shown are %v", seen)
			}
		})
	}
	if n := len(relay.Out.All(accepted)); n != 0 {
		t.Errorf("%d messages were accepted", n)
	}
}

// A setting may come as a constant, as another image's variable and from a file.
func isSetUpInManyWays(ctx context.Context, t *testing.T, s *blog) {
	t.Helper()
	relay := e2etest.Start(t)
	key := sendKeyOf(ctx, t, relay)
	host, port, _ := strings.Cut(relay.SMTP, ":")
	file := filepath.Join(e2etest.Dir(t), "key")
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env    []string
		mailer string
		from   string
	}{
		"constants":      {[]string{"WP_DEFINE=POSTRIDER_WP_URL=http://" + relay.HTTP + " POSTRIDER_WP_KEY=" + key}, "postrider", "wordpress@blog.example"},
		"a file":         {[]string{"POSTRIDER_WP_URL=http://" + relay.HTTP, "POSTRIDER_WP_KEY_FILE=" + file}, "postrider", "wordpress@blog.example"},
		"bitnami":        {[]string{"WORDPRESS_SMTP_HOST=" + host, "WORDPRESS_SMTP_PORT_NUMBER=" + port, "WORDPRESS_SMTP_USER=shop", "WORDPRESS_SMTP_PASSWORD=" + e2etest.Password}, "smtp", "wordpress@blog.example"},
		"simple-smtp":    {[]string{"SMTP_HOST=" + host, "SMTP_PORT=" + port, "SMTP_USER=shop", "SMTP_PASS=" + e2etest.Password, "SMTP_AUTH=true"}, "smtp", "wordpress@blog.example"},
		"wp-smtp":        {[]string{"WP_SMTP_HOST=" + host, "WP_SMTP_PORT=" + port, "WP_SMTP_USERNAME=shop", "WP_SMTP_PASSWORD_FILE=" + file, "WP_SMTP_PROTOCOL=none"}, "smtp", "wordpress@blog.example"},
		"its account":    {[]string{"POSTRIDER_WP_URL=http://" + relay.HTTP, "POSTRIDER_WP_USER=shop", "POSTRIDER_WP_PASSWORD=" + e2etest.Password}, "postrider", "wordpress@blog.example"},
		"SMTP by choice": {[]string{"POSTRIDER_WP_MODE=smtp", "POSTRIDER_WP_URL=http://" + relay.HTTP, "POSTRIDER_WP_HOST=" + relay.SMTP, "POSTRIDER_WP_USER=shop", "POSTRIDER_WP_PASSWORD=" + key}, "smtp", "wordpress@blog.example"},
		"a sender":       {[]string{"POSTRIDER_WP_URL=http://" + relay.HTTP, "POSTRIDER_WP_KEY=" + key, "POSTRIDER_WP_FROM=shop@blog.example"}, "postrider", "shop@blog.example"},
		"chosen by code": {[]string{"POSTRIDER_WP_URL=http://" + relay.HTTP, "POSTRIDER_WP_KEY=" + key, "POSTRIDER_WP_FROM=shop@blog.example", "WP_HEADERS=From: form@blog.example"}, "postrider", "form@blog.example"},
		"forced":         {[]string{"POSTRIDER_WP_URL=http://" + relay.HTTP, "POSTRIDER_WP_KEY=" + key, "POSTRIDER_WP_FROM=shop@blog.example", "POSTRIDER_WP_FORCE_FROM=1", "WP_HEADERS=From: form@blog.example"}, "postrider", "shop@blog.example"},
		"on localhost":   {[]string{"WP_URL=http://localhost", "POSTRIDER_WP_URL=http://" + relay.HTTP, "POSTRIDER_WP_KEY=" + key, "POSTRIDER_WP_FROM=shop@blog.example"}, "postrider", "shop@blog.example"},
	} {
		t.Run(name, func(t *testing.T) {
			if v := s.do(ctx, t, "mail", c.env...); !v.OK || v.Mailer != c.mailer || v.From != c.from {
				t.Errorf("mail of %s went by %s: %v %v", v.From, v.Mailer, v.OK, v.Events)
			}
		})
	}
}

// What the relay has said of the account's senders serves the next mail that
// nobody chose a sender for.
func repairsTheSender(ctx context.Context, t *testing.T, s *blog) {
	t.Helper()
	relay := e2etest.Start(t, e2etest.Env{"POSTRIDER_ALLOWED_SENDERS": "shop.example", "POSTRIDER_DEFAULT_SENDER": "orders@shop.example", "POSTRIDER_FROM_POLICY": "reject"})
	way := ways(ctx, t, relay)["http"]
	if v := s.do(ctx, t, "mail", way...); v.OK || v.From != "wordpress@blog.example" {
		t.Errorf("before it was asked: %s, %v", v.From, v.OK)
	}
	s.do(ctx, t, "cli", append(way, "WP_COMMANDS=status")...)
	if v := s.do(ctx, t, "mail", way...); !v.OK || v.From != "orders@shop.example" {
		t.Errorf("after it was asked: %s, %v %v", v.From, v.OK, v.Events)
	}
}

// What waits for a relay that is down is sent by WP-Cron when it is up.
func keepsMailForARelayThatIsDown(ctx context.Context, t *testing.T, s *blog) {
	t.Helper()
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.example", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	key := sendKeyOf(ctx, t, relay)
	down := []string{"POSTRIDER_WP_KEEP=true", "POSTRIDER_WP_KEY=" + key, "POSTRIDER_WP_URL=http://127.0.0.1:1"}
	v := s.do(ctx, t, "mail", down...)
	if !v.OK || v.Kept != 1 || !v.Next {
		t.Fatalf("while it is down: %+v", v)
	}
	if v = s.do(ctx, t, "send kept", down...); v.Kept != 1 {
		t.Errorf("%d are kept after a vain try", v.Kept)
	}
	up := []string{"POSTRIDER_WP_KEEP=true", "POSTRIDER_WP_KEY=" + key, "POSTRIDER_WP_URL=http://" + relay.HTTP}
	if v = s.do(ctx, t, "send kept", up...); v.Kept != 0 || len(v.Log) != 0 {
		t.Errorf("%d are kept when it is up: %+v", v.Kept, v.Log)
	}
	if got := e2etest.Receive(ctx, t, mx, 1)[0]; !bytes.Contains(got.Raw, []byte("Subject: One mail")) {
		t.Errorf("got %s", got.Raw)
	}
	// What the relay refuses is not kept.
	if v = s.do(ctx, t, "mail", "POSTRIDER_WP_KEEP=true", "POSTRIDER_WP_KEY=pr_wrong", "POSTRIDER_WP_URL=http://"+relay.HTTP); v.OK || v.Kept != 0 {
		t.Errorf("refused mail: %+v", v)
	}
}

// The Postmark mailers of other plugins reach the relay's own door.
func takesWhatIsForPostmark(ctx context.Context, t *testing.T, s *blog) {
	t.Helper()
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.example", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	// They are active, so that the plugin stands down itself.
	env := append(ways(ctx, t, relay)["http"], "WP_DEFINE=WPMS_ON=1")
	var v struct{ Plain, URL, Safe string }
	s.into(ctx, t, &v, "postmark", env...)
	if strings.HasPrefix(v.Plain, "200") || v.URL != "https://api.postmarkapp.com/email" {
		t.Errorf("without being asked to: %+v", v)
	}
	s.into(ctx, t, &v, "postmark", append(env, "POSTRIDER_WP_POSTMARK=true")...)
	if !strings.HasPrefix(v.Plain, "200 ") || !strings.Contains(v.Plain, "MessageID") || v.URL != "http://"+relay.HTTP+"/email" || !strings.HasPrefix(v.Safe, "200 ") {
		t.Errorf("got %+v", v)
	}
	e2etest.Receive(ctx, t, mx, 2)
}

// Each site of a network is told apart in the relay's log, and nowhere else.
func servesANetwork(ctx context.Context, t *testing.T, s *blog) {
	t.Helper()
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.example", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	if made := s.run(ctx, t, "network.php")[0]; !made.OK {
		t.Fatal(made.Failure)
	}
	for way, env := range ways(ctx, t, relay) {
		var v struct {
			First, Second bool
			Events        []string
		}
		s.into(ctx, t, &v, "network", append(env, "WP_NETWORK=1")...)
		if !v.First || !v.Second {
			t.Fatalf("%s: %v", way, v.Events)
		}
	}
	sites := map[string]int{}
	for _, l := range relay.Out.All(accepted) {
		sites[l.Attr("website")]++
	}
	if sites["1 blog.example"] != 2 || sites["2 second.blog.example"] < 2 {
		t.Errorf("the log has %v", sites)
	}
	for _, m := range e2etest.Receive(ctx, t, mx, 4) {
		if bytes.Contains(m.Raw, []byte("X-Relay-Site")) {
			t.Errorf("it went out:\n%s", m.Raw)
		}
	}
}

// Site Health and WP-CLI show how the site's mail fares.
func showsItsHealth(ctx context.Context, t *testing.T, s *blog) {
	t.Helper()
	world := e2etest.NewInternet(t)
	world.Domain(t, "customer.example", smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, Rcpt: "gone@customer.example", Do: smtpsim.Do(smtpsim.Reply(550, "5.1.1", "No gone here"))}}})
	world.Domain(t, "blog.example", smtpsim.Options{}) // takes the report
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_ALLOWED_SENDERS": "blog.example", "POSTRIDER_FROM_POLICY": "reject", "POSTRIDER_PORT25_PROBE": "off"})
	way := ways(ctx, t, relay)
	if v := s.do(ctx, t, "mail", append(way["http"], "WP_TO=gone@customer.example")...); !v.OK {
		t.Fatal(v.Events)
	}
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("bounced") })
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("delivered") && l.Attr("domain") == "blog.example" })
	awaitDomain(ctx, t, relay, "blog.example")

	h := s.health(ctx, t, way["http"])
	h.want(t, "connection", "good", "Connected to http://", "account shop", "wordpress@blog.example is allowed", "It took ")
	h.want(t, "queue", "recommended", "Nothing waits", "g***@customer.example bounced")
	h.want(t, "domain", "critical", "SPF:", "DKIM: fail", "_domainkey.blog.example TXT v=DKIM1")
	if h.Stranger != 401 && h.Stranger != 403 {
		t.Errorf("anybody may look: %d", h.Stranger)
	}
	if text := fmt.Sprint(h.Information); !strings.Contains(text, "http://"+relay.HTTP) || strings.Contains(text, way["http"][1][len("POSTRIDER_WP_KEY="):]) {
		t.Errorf("the facts are %s", text)
	}
	h = s.health(ctx, t, way["smtp"])
	h.want(t, "connection", "good", "Connected to 127.0.0.1:", "EHLO blog.example", "Logged in as shop", "is allowed")
	if len(h.Tests) != 1 {
		t.Errorf("what SMTP cannot tell is tested: %v", h.Tests)
	}
	h = s.health(ctx, t, append(way["smtp"], "POSTRIDER_WP_PASSWORD=wrong"))
	h.want(t, "connection", "critical", "535", "Connected to", "POSTRIDER_WP_PASSWORD")
	h = s.health(ctx, t, append(way["smtp"], "POSTRIDER_WP_TLS=starttls"))
	h.want(t, "connection", "critical", "tls", "POSTRIDER_WP_TLS")
	h = s.health(ctx, t, append(way["http"], "POSTRIDER_WP_FROM=a@elsewhere.example"))
	h.want(t, "connection", "critical", "may not send as a@elsewhere.example")
	h.want(t, "domain", "recommended", "allow the domain at the relay")

	var cli map[string]any
	s.into(ctx, t, &cli, "cli", append(way["http"], "WP_COMMANDS=test kunde@customer.example|status|log")...)
	for command, want := range map[string]string{"test kunde@customer.example": "Success: The relay has the message: msg_", "status": "g***@customer.example bounced", "log": "Nothing failed."} {
		if text := fmt.Sprint(cli[command]); !strings.Contains(text, want) {
			t.Errorf("wp postrider %s: %s", command, text)
		}
	}
	clear(cli)
	s.into(ctx, t, &cli, "cli", append(way["smtp"], "POSTRIDER_WP_PASSWORD=wrong", "WP_COMMANDS=test kunde@customer.example|status")...)
	for command, text := range cli {
		if command != "events" && !strings.Contains(fmt.Sprint(text), "Error: ") {
			t.Errorf("wp postrider %s: %v", command, text)
		}
	}
}

// awaitDomain waits until the relay has looked at a domain's records.
func awaitDomain(ctx context.Context, t *testing.T, relay *e2etest.Relay, domain string) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		s, err := relay.Admin().Status(ctx, e2etest.User, domain)
		if err == nil && (s.Domain == nil || s.Domain.Checked == nil) {
			err = errors.New("its records were not looked at yet")
		}
		return err
	})
}

// health is what Site Health asks and shows.
type health struct {
	Tests, REST map[string]struct{ Status, Label, Description, Test string }
	Stranger    int
	Information map[string]any
}

func (s *blog) health(ctx context.Context, t *testing.T, env []string) (h health) {
	t.Helper()
	s.into(ctx, t, &h, "health", env...)
	return h
}

func (h health) want(t *testing.T, test, status string, words ...string) {
	t.Helper()
	r, ok := h.Tests["postrider_"+test]
	text := r.Label + "\n" + strings.ReplaceAll(r.Description, "&#039;", "'")
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s: %q is not in %s", test, w, text)
		}
	}
	if !ok || r.Status != status || r.Test != "postrider_"+test || h.REST["postrider_"+test].Status != status {
		t.Errorf("%s is %q, by REST %q, want %s:\n%s", test, r.Status, h.REST["postrider_"+test].Status, status, text)
	}
}

// A page that sends no mail asks the database for nothing on the plugin's account.
func costsAPageNothing(ctx context.Context, t *testing.T, s *blog) {
	t.Helper()
	relay := e2etest.Start(t)
	var with, without map[string]any
	s.into(ctx, t, &with, "cost", ways(ctx, t, relay)["http"]...) // what a first page is in for
	s.into(ctx, t, &with, "cost", ways(ctx, t, relay)["http"]...)
	s.into(ctx, t, &without, "cost", "WP_MU_PLUGINS="+e2etest.Dir(t))
	if with["settings read"] != false || with["queries"] != without["queries"] {
		t.Errorf("with %v, without %v", with, without)
	}
}

// Over TLS the certificate must be for the name that is dialled, from an issuer that
// is known; what is wrong is said.
func verifiesTheCertificate(ctx context.Context, t *testing.T, s *blog) {
	t.Helper()
	dir := e2etest.Dir(t)
	c := certificate{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	c.renew(t, 1)
	relay := e2etest.Start(t, e2etest.Env{
		"POSTRIDER_TLS_CERT": c.cert, "POSTRIDER_TLS_KEY": c.key,
		"POSTRIDER_SUBMISSION_LISTEN": "starttls://127.0.0.1:0,tls://127.0.0.1:0", "POSTRIDER_HTTP_LISTEN": "127.0.0.1:0,tls://127.0.0.1:0",
	})
	key := sendKeyOf(ctx, t, relay)
	port := func(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }
	started := relay.Out.All(func(l e2etest.Line) bool { return l.Is("relay started") })[0]
	https := port(fmt.Sprint(started.Attrs["http"].([]any)[1]))
	smtp := []string{"POSTRIDER_WP_USER=" + e2etest.User, "POSTRIDER_WP_PASSWORD=" + key}
	for name, v := range map[string]struct {
		env  []string
		says string // empty: it is sent
	}{
		"https":                    {[]string{"POSTRIDER_WP_URL=https://localhost:" + https, "POSTRIDER_WP_KEY=" + key, "POSTRIDER_WP_CA=" + c.cert}, ""},
		"https, issuer unknown":    {[]string{"POSTRIDER_WP_URL=https://localhost:" + https, "POSTRIDER_WP_KEY=" + key}, "POSTRIDER_WP_CA"},
		"https, another name":      {[]string{"POSTRIDER_WP_URL=https://127.0.0.1:" + https, "POSTRIDER_WP_KEY=" + key, "POSTRIDER_WP_CA=" + c.cert}, "POSTRIDER_WP_URL"},
		"starttls":                 {append(smtp, "POSTRIDER_WP_HOST=localhost", "POSTRIDER_WP_PORT="+port(relay.Listeners[0]), "POSTRIDER_WP_TLS=starttls", "POSTRIDER_WP_CA="+c.cert), ""},
		"starttls, another name":   {append(smtp, "POSTRIDER_WP_HOST=127.0.0.1", "POSTRIDER_WP_PORT="+port(relay.Listeners[0]), "POSTRIDER_WP_TLS=tls", "POSTRIDER_WP_CA="+c.cert), "POSTRIDER_WP_CA"},
		"implicit":                 {append(smtp, "POSTRIDER_WP_HOST=localhost", "POSTRIDER_WP_PORT="+port(relay.Listeners[1]), "POSTRIDER_WP_TLS=ssl", "POSTRIDER_WP_CA="+c.cert), ""},
		"implicit, issuer unknown": {append(smtp, "POSTRIDER_WP_HOST=localhost", "POSTRIDER_WP_PORT="+port(relay.Listeners[1]), "POSTRIDER_WP_TLS=ssl"), "See that the relay runs"},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.do(ctx, t, "mail", v.env...)
			if got.OK != (v.says == "") || !strings.Contains(got.text(), v.says) {
				t.Errorf("wp_mail() returned %v: %s", got.OK, got.text())
			}
		})
	}
}
