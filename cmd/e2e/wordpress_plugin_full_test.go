//go:build full

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// blog is a WordPress with the mu-plugin.
type blog struct{ *wordpress }

// blogTold is what plugin.php prints.
type blogTold struct {
	Events    []string
	OK        bool
	Mailer    string
	Class     string
	From      string
	AutoTLS   bool
	PHPMailer string
	Kept      int
	Next      bool
	Log       []struct {
		To                       []string
		Code, Message, Hint, Ref string
	}
}

// installSite installs a WordPress whose one mu-plugin is ours, as it lies in
// configs/wordpress, and which is not set up yet.
func installSite(ctx context.Context, t *testing.T, env ...string) *blog {
	t.Helper()
	// What the installer sends goes nowhere.
	w := installWordPress(ctx, t, "127.0.0.1:1", "kunde@customer.example", env...)
	s := &blog{&wordpress{scripts: w.scripts, env: slices.DeleteFunc(slices.Clone(w.env), func(v string) bool { return strings.HasPrefix(v, "WP_SMTP_") })}}
	s.env = append(s.env, "WP_MU_PLUGINS="+pluginDir(t))
	// PHP's own way out is shut: mail that does not go through the plugin fails.
	s.flags = []string{"-d", "sendmail_path=/bin/false"}
	return s
}

func pluginDir(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../configs/wordpress/postrider.php")
	if err != nil {
		t.Fatal(err)
	}
	dir := e2etest.Dir(t)
	if err := os.WriteFile(filepath.Join(dir, "postrider.php"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// do runs one thing of plugin.php.
func (s *blog) do(ctx context.Context, t *testing.T, what string, env ...string) (v blogTold) {
	t.Helper()
	s.into(ctx, t, &v, what, env...)
	return v
}

func (s *blog) into(ctx context.Context, t *testing.T, v any, what string, env ...string) {
	t.Helper()
	text := s.php(ctx, t, "plugin.php", append(env, "WP_DO="+what)...)
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%s printed %q: %v", what, text, err)
	}
}

func (v blogTold) text() string { return strings.Join(v.Events, "\n") }

// sendKeyOf makes the key that the guide tells site owners to make.
func sendKeyOf(ctx context.Context, t *testing.T, relay *e2etest.Relay) string {
	t.Helper()
	k, err := relay.Admin().CreateKey(ctx, v1.NewKey{Account: e2etest.User, Label: "blog", Scopes: []string{"send"}})
	if err != nil {
		t.Fatal(err)
	}
	return k.Secret
}

// ways are the plugin's settings for both ways to a relay.
func ways(ctx context.Context, t *testing.T, relay *e2etest.Relay) map[string][]string {
	t.Helper()
	key := sendKeyOf(ctx, t, relay)
	host, port, _ := strings.Cut(relay.SMTP, ":")
	return map[string][]string{
		"http": {"POSTRIDER_WP_URL=http://" + relay.HTTP, "POSTRIDER_WP_KEY=" + key},
		"smtp": {"POSTRIDER_WP_HOST=" + host, "POSTRIDER_WP_PORT=" + port, "POSTRIDER_WP_USER=" + e2etest.User, "POSTRIDER_WP_PASSWORD=" + key},
	}
}

// The mu-plugin on Debian's WordPress. All share one site: to install one takes
// longer than most of them.
func TestWordPressPlugin(t *testing.T) {
	ctx := within(t, 8*time.Minute)
	s := installSite(ctx, t)
	for name, test := range map[string]func(context.Context, *testing.T, *blog){
		"hands mail to a Postfix": handsMailToAPostfix, "shows why mail is refused": showsWhyMailIsRefused, "shows each refusal by policy": showsEachPolicyRefusal,
		"asks again without a second copy": asksAgainWithoutASecondCopy, "stands down": standsDown, "is set up in many ways": isSetUpInManyWays,
		"repairs the sender": repairsTheSender, "keeps mail for a relay that is down": keepsMailForARelayThatIsDown, "takes what is for Postmark": takesWhatIsForPostmark,
		"shows its health": showsItsHealth, "costs a page nothing": costsAPageNothing, "verifies the certificate": verifiesTheCertificate,
	} {
		t.Run(name, func(t *testing.T) {
			s.do(ctx, t, "forget")
			test(ctx, t, s)
		})
	}
	t.Run("serves a network", func(t *testing.T) { servesANetwork(ctx, t, s) })
}

// The real plugin on Debian's WordPress: what PHPMailer built is what a Postfix
// stores, over HTTP as over SMTP, and WordPress says so to other plugins.
func handsMailToAPostfix(ctx context.Context, t *testing.T, s *blog) {
	t.Helper()
	world, p := mxByPostfix(ctx, t)
	relay := e2etest.Start(t, world.Env())
	publishKeys(ctx, t, world, relay, "blog.example")
	stored := 0
	for way, env := range ways(ctx, t, relay) {
		all := s.run(ctx, t, "send.php", env...)
		stored += len(all)
		byID := make(map[string][]byte)
		for _, m := range p.read(ctx, t, stored) {
			byID[queueID(m)] = m.Content
		}
		for _, m := range all {
			t.Run(way+"/"+m.Name, func(t *testing.T) {
				checkHandedOver(t, way, m, byID[m.ID])
			})
		}
		stored += s.checkLetters(ctx, t, p, stored, env)
	}
}

// checkHandedOver compares what PHPMailer built with what is stored.
func checkHandedOver(t *testing.T, way string, m sending, got []byte) {
	t.Helper()
	mailer := map[string]string{"http": "postrider", "smtp": "smtp"}[way]
	if !m.OK || m.Mailer != mailer || m.Fired != "succeeded" {
		t.Fatalf("wp_mail() by %s returned %v, and %q fired: %s", m.Mailer, m.OK, m.Fired, m.Failure)
	}
	sent := bytes.ReplaceAll(bytes.ReplaceAll(m.Sent, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	if way == "smtp" { // PHPMailer ends the data with an empty line of its own
		sent = append(sent, "\r\n"...)
	} else if !bytes.HasSuffix(sent, []byte("\r\n")) { // the relay ends the last line
		sent = append(sent, "\r\n"...)
	}
	if m.ID == "" || !bytes.Equal(got, sent) {
		t.Errorf("PHPMailer %s built %d octets:\n%.2000q\nstored as %s are %d:\n%.2000q", m.PHPMailer, len(sent), sent, m.ID, len(got), got)
	}
}

// checkLetters has WordPress write what it writes by itself, and returns how many
// were stored.
func (s *blog) checkLetters(ctx context.Context, t *testing.T, p *postfix, before int, env []string) (n int) {
	t.Helper()
	reset := s.do(ctx, t, "password reset", env...)
	if !reset.OK || reset.text() != "succeeded: admin@customer.example" {
		t.Errorf("the password reset says %v: %v", reset.OK, reset.Events)
	}
	// Four comments, five administrators.
	burst := s.do(ctx, t, "comments", env...)
	sent := 0
	for _, e := range burst.Events {
		if !strings.HasPrefix(e, "succeeded: admin") {
			t.Errorf("a notification: %s", e)
		}
		sent++
	}
	if sent < 20 {
		t.Errorf("%d notifications for 4 comments and 5 administrators: %v", sent, burst.Events)
	}
	n = 1 + sent
	resets, comments := 0, 0
	for _, m := range p.read(ctx, t, before+n) {
		if bytes.Contains(m.Content, []byte("Password Reset")) {
			resets++
		}
		if bytes.Contains(m.Content, []byte("Please moderate")) {
			comments++
		}
	}
	if resets == 0 || comments < sent {
		t.Errorf("stored are %d password resets and %d notifications", resets, comments)
	}
	return n
}

// Whatever the relay refuses, the text in wp_mail_failed says what is wrong and
// what to do; where the relay itself refused, its log knows it by the reference.
func showsWhyMailIsRefused(ctx context.Context, t *testing.T, s *blog) {
	t.Helper()
	strict := e2etest.Start(t, e2etest.Env{"POSTRIDER_ALLOWED_SENDERS": "other.example", "POSTRIDER_FROM_POLICY": "reject"})
	way := ways(ctx, t, strict)
	with := func(way []string, more ...string) []string { return append(slices.Clone(way), more...) }
	for name, c := range map[string]struct {
		env  []string
		says []string
		code string
		ref  bool
	}{
		"http, unknown sender": {way["http"], []string{"sender_not_allowed", "sender is not allowed", "allowed senders", "wordpress@blog.example", "POSTRIDER_WP_FROM"}, "", true},
		"smtp, unknown sender": {way["smtp"], []string{"wordpress@blog.example is not allowed", "allowed senders", "5.7.1"}, "refused", true},
		"http, wrong key":      {with(way["http"], "POSTRIDER_WP_KEY=pr_wrong"), []string{"POSTRIDER_WP_KEY", "key create"}, "unauthorized", true},
		"smtp, wrong password": {with(way["smtp"], "POSTRIDER_WP_PASSWORD=wrong"), []string{"Could not authenticate", "POSTRIDER_WP_PASSWORD"}, "login", false},
		"smtp, no login":       {with(way["smtp"], "POSTRIDER_WP_AUTH=false"), []string{"Unauthenticated senders not allowed", "POSTRIDER_WP_USER"}, "login", true},
		"http, relay down":     {with(way["http"], "POSTRIDER_WP_URL=http://127.0.0.1:1"), []string{"unreachable", "POSTRIDER_WP_URL (http://127.0.0.1:1)"}, "unreachable", false},
		"smtp, relay down":     {with(way["smtp"], "POSTRIDER_WP_PORT=1"), []string{"See that the relay runs", "127.0.0.1"}, "unreachable", false},
		"http, no way out":     {with(way["http"], "WP_ACCESSIBLE=elsewhere.example"), []string{"WP_ACCESSIBLE_HOSTS", "add 127.0.0.1"}, "blocked", false},
		"smtp, underscore":     {with(way["smtp"], "POSTRIDER_WP_HOST=mail_relay"), []string{"underscore", "hyphen"}, "unreachable", false},
		"http, another server": {with(way["http"], "POSTRIDER_WP_URL=http://"+strict.HTTP+"/elsewhere"), []string{"POSTRIDER_WP_URL"}, "not_found", true},
	} {
		t.Run(name, func(t *testing.T) {
			v := s.do(ctx, t, "mail", append(c.env, "WP_TO=a-person@customer.example")...)
			if v.OK || len(v.Events) != 1 || !strings.HasPrefix(v.Events[0], "failed: ") {
				t.Fatalf("wp_mail() returned %v: %v", v.OK, v.Events)
			}
			for _, want := range c.says {
				if !strings.Contains(v.text(), want) {
					t.Errorf("%q is not in %q", want, v.text())
				}
			}
			f := v.Log[0]
			if c.code != "" && f.Code != c.code || f.Code == "" || f.Message == "" || c.ref != (f.Ref != "") || c.ref && !strings.Contains(v.text(), "ref="+f.Ref) {
				t.Errorf("kept is %+v of %q", f, v.text())
			}
			if len(f.To) != 1 || f.To[0] != "a***@customer.example" || strings.Contains(fmt.Sprint(v.Log), "a-person") {
				t.Errorf("addresses are kept as %v", v.Log)
			}
			if strings.Contains(name, "sender") && !strings.Contains(strict.Out.Text(), f.Ref) {
				t.Errorf("the relay's log does not know %s", f.Ref)
			}
		})
	}
	if v := s.do(ctx, t, "mail", append(with(way["http"]), "POSTRIDER_WP_KEY=pr_wrong", "WP_COUNT=25")...); len(v.Log) != 20 {
		t.Errorf("%d failures are kept", len(v.Log))
	}
}

// Property 5: refusals that a person can act on speak at MAIL FROM and RCPT, where
// every plugin shows them.
func showsEachPolicyRefusal(ctx context.Context, t *testing.T, s *blog) {
	t.Helper()
	relay := e2etest.Start(t, e2etest.Env{"POSTRIDER_ALLOWED_SENDERS": "blog.example", "POSTRIDER_FROM_POLICY": "reject"})
	out := relay.CLI(ctx, t, "account", "create", "blog")
	_, rest, _ := strings.Cut(out, "Password:")
	password := strings.Fields(rest)[0]
	relay.CLI(ctx, t, "account", "disable", "blog", "--reason", "the invoice of May is open")
	limits := v1.KeyLimits{RatePerMinute: 1}
	limited, err := relay.Admin().CreateKey(ctx, v1.NewKey{Account: e2etest.User, Label: "slow", Scopes: []string{"send"}, KeyLimits: limits})
	if err != nil {
		t.Fatal(err)
	}
	way := ways(ctx, t, relay)["smtp"]
	for name, c := range map[string]struct {
		env  []string
		what string
		fix  string
	}{
		"an unknown sender":   {[]string{"POSTRIDER_WP_FROM=a@elsewhere.example"}, "a@elsewhere.example is not allowed", "allowed senders"},
		"a disabled account":  {[]string{"POSTRIDER_WP_USER=blog", "POSTRIDER_WP_PASSWORD=" + password}, "the invoice of May is open", "operator"},
		"no login":            {[]string{"POSTRIDER_WP_AUTH=false"}, "Unauthenticated senders not allowed", "turn on Authentication"},
		"more than its quota": {[]string{"POSTRIDER_WP_PASSWORD=" + limited.Secret, "WP_COUNT=3"}, "may send to 1 recipients a minute", "Try again in a minute"},
	} {
		t.Run(name, func(t *testing.T) {
			v := s.do(ctx, t, "mail", append(slices.Clone(way), c.env...)...)
			if v.OK || !strings.Contains(v.text(), c.what) || !strings.Contains(v.text(), c.fix) || !strings.Contains(v.text(), "ref=") {
				t.Errorf("PHPMailer %s shows %q", v.PHPMailer, v.text())
			}
		})
	}
}

// Property 3: a plugin's stock settings (encryption none, Auto TLS on, a host
// without a certificate) deliver.
func TestStockPluginSettingsDeliver(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.example", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	w := installWordPress(ctx, t, relay.SMTP, "kunde@customer.example")
	s := &blog{w}
	v := s.do(ctx, t, "mail")
	if !v.OK || v.Mailer != "smtp" || !v.AutoTLS {
		t.Fatalf("wp_mail() by %s, Auto TLS %v, returned %v: %v", v.Mailer, v.AutoTLS, v.OK, v.Events)
	}
	e2etest.Receive(ctx, t, mx, 2) // the installer has sent one
}
