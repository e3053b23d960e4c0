package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/dkim"
	"postrider/relay/smtpsim"
)

// Where a provider blocks the usual ports others are open: the relay listens at
// all of them at once, each with the TLS that its clients expect, and takes mail
// over HTTPS too. The ports' numbers are those of the machine; what is behind each
// is what counts here.
func TestListenersOfAllKindsRunTogether(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	dir := e2etest.Dir(t)
	c := certificate{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	c.renew(t, 1)
	kinds := []string{"587 starttls", "465 tls", "2525 plain", "2465 tls", "2587 starttls"}
	relay := e2etest.StartIn(t, dir, world.Env(), e2etest.Env{
		"POSTRIDER_SUBMISSION_LISTEN": "starttls://127.0.0.1:0,tls://127.0.0.1:0,127.0.0.1:0,tls://127.0.0.1:0,starttls://127.0.0.1:0",
		"POSTRIDER_HTTP_LISTEN":       "127.0.0.1:0,tls://127.0.0.1:0",
		"POSTRIDER_TLS_CERT":          c.cert, "POSTRIDER_TLS_KEY": c.key, "POSTRIDER_DKIM_AUTOGENERATE": "false",
	})
	for i, kind := range kinds {
		addr, subject := relay.Listeners[i], "through "+strings.ReplaceAll(kind, " ", " as ")
		if err := submitOver(ctx, addr, strings.Fields(kind)[1], subject); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	web := relay.Out.Lines()
	i := slices.IndexFunc(web, func(l e2etest.Line) bool { return l.Is("relay started") })
	addrs, _ := web[i].Attrs["http"].([]any)
	if len(addrs) != 2 {
		t.Fatalf("HTTP listens at %v", addrs)
	}
	if err := submitOverHTTPS(ctx, fmt.Sprint(addrs[1])); err != nil {
		t.Error(err)
	}
	e2etest.Receive(ctx, t, mx, len(kinds)+1)
}

// submitOver sends one message over a listener of this kind. Where STARTTLS is
// wanted, nothing else is taken before.
func submitOver(ctx context.Context, addr, kind, subject string) error {
	var s *e2etest.Client
	var err error
	if kind == "tls" {
		s, err = e2etest.DialTLS(ctx, addr)
	} else {
		s, err = e2etest.Dial(ctx, addr)
	}
	if err != nil {
		return err
	}
	defer s.Close()
	if kind == "starttls" {
		if !slices.Contains(s.Offers, "STARTTLS") || slices.ContainsFunc(s.Offers, func(o string) bool { return strings.HasPrefix(o, "AUTH") }) {
			return fmt.Errorf("before TLS it offers %q", s.Offers)
		}
		if _, err := s.Do(530, "MAIL FROM:<a@shop.test>"); err != nil {
			return err
		}
		if err := s.StartTLS(ctx); err != nil {
			return err
		}
	}
	if !slices.Contains(s.Offers, "AUTH PLAIN LOGIN") {
		return fmt.Errorf("it offers %q", s.Offers)
	}
	if err := s.Authenticate(e2etest.User, e2etest.Password); err != nil {
		return err
	}
	if _, err := s.Send("a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", subject)); err != nil {
		return err
	}
	return s.Quit()
}

func submitOverHTTPS(ctx context.Context, addr string) error {
	body, err := json.Marshal(map[string]any{"from": "a@shop.test", "to": []string{"b@customer.test"}, "subject": "over HTTPS", "text": "Hello."})
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://127.0.0.1:"+port+"/v1/messages", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(e2etest.User, e2etest.Password)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted || res.TLS == nil {
		return fmt.Errorf("HTTPS answers %s", res.Status)
	}
	return nil
}

// A key from a mounted secret, readable to all and writable to none, signs; the
// log of the start has the record that makes its signatures verify.
func TestKeysThatAreGivenSignAndTellTheirRecord(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	secrets := e2etest.Dir(t)
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(filepath.Join(secrets, "shop.test.private"), text, 0o444); err != nil {
		t.Fatal(err)
	}
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_DKIM_KEYS_DIR": secrets})
	line := relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("dkim key imported, its record must be published") })
	if line.Attr("key") != "mail._domainkey.shop.test" || strings.Contains(relay.Out.Text(), "PRIVATE KEY") {
		t.Errorf("the line is %s", line.Text)
	}
	if printed := relay.CLI(ctx, t, "domain", "records", "shop.test"); !strings.Contains(strings.Join(strings.Fields(printed), ""), strings.Join(strings.Fields(line.Attr("record")), "")) {
		t.Errorf("the command prints another record than the log:\n%s\n%s", printed, line.Attr("record"))
	}
	relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "signed"))
	got := e2etest.Receive(ctx, t, mx, 1)[0]
	verdicts, err := dkim.Verify(ctx, bytes.NewReader(got.Raw), func(_ context.Context, name string) ([]string, error) {
		if name != "mail._domainkey.shop.test" {
			return nil, fmt.Errorf("%s is asked for", name)
		}
		return []string{line.Attr("record")}, nil
	})
	if err != nil || len(verdicts) != 1 || verdicts[0].Err != nil || verdicts[0].Domain != "shop.test" {
		t.Errorf("the signatures: %+v, %v", verdicts, err)
	}
}
