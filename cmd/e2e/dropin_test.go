package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// service is what a compose file says of one container.
type service struct {
	Image       string    `yaml:"image"`
	Says        string    `yaml:"x-says"`
	Environment variables `yaml:"environment"`
}

// variables are a mapping or a list of NAME=value.
type variables e2etest.Env

func (v *variables) UnmarshalYAML(n *yaml.Node) error {
	*v = variables{}
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			(*v)[n.Content[i].Value] = n.Content[i+1].Value
		}
		return nil
	}
	for _, line := range n.Content {
		name, value, _ := strings.Cut(line.Value, "=")
		(*v)[name] = value
	}
	return nil
}

// composed reads the services of a compose file, also of one of the first form.
func composed(t *testing.T, file string) map[string]service {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "dropin", file))
	if err != nil {
		t.Fatal(err)
	}
	var whole struct {
		Services map[string]service `yaml:"services"`
	}
	if err := yaml.Unmarshal(text, &whole); err == nil && len(whole.Services) > 0 {
		return whole.Services
	}
	var old map[string]service
	if err := yaml.Unmarshal(text, &old); err != nil {
		t.Fatal(err)
	}
	return old
}

// dropped starts the program with the environment of a compose file as it is, but
// for what two programs on one machine cannot share, and for the secrets' files.
func dropped(t *testing.T, world *e2etest.Internet, file, name string, more e2etest.Env) *e2etest.Relay {
	t.Helper()
	dir := e2etest.Dir(t)
	env := e2etest.Env{
		"POSTRIDER_DATA_DIR": filepath.Join(dir, "data"), "POSTRIDER_DNS_SERVERS": world.DNS.Addr(), "POSTRIDER_DOCTOR_EVERY": "off", "POSTRIDER_DELIVERY_IPV6": "off",
		"POSTRIDER_SUBMISSION_LISTEN": "127.0.0.1:0", "POSTRIDER_HTTP_LISTEN": "127.0.0.1:0", "POSTRIDER_IMAP_LISTEN": "127.0.0.1:0", "POSTRIDER_POP3_LISTEN": "off",
		"POSTRIDER_STORAGE_MIN_FREE": "1MiB", "POSTRIDER_STORAGE_RESERVE": "1MiB",
	}
	maps.Copy(env, e2etest.Env(composed(t, file)[name].Environment))
	maps.Copy(env, more)
	for variable, value := range env {
		if strings.HasPrefix(value, "/run/secrets/") {
			env[variable] = filepath.Join(dir, filepath.Base(value))
			if err := os.WriteFile(env[variable], []byte("p@ss:word\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	relay := e2etest.Launch(t, dir, env)
	relay.AwaitReady(t)
	return relay
}

// trustLater is trust for a server that begins without TLS.
func trustLater(ctx context.Context, t *testing.T, s *smtpsim.Server) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text := textproto.NewConn(conn)
	for i, command := range []string{"", "EHLO client.test", "STARTTLS"} {
		if command != "" {
			if err := text.PrintfLine("%s", command); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := text.ReadResponse(2); err != nil {
			t.Fatal(i, err)
		}
	}
	secure := tls.Client(conn, s.ClientTLS())
	if err := secure.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	chain := secure.ConnectionState().PeerCertificates
	file := filepath.Join(e2etest.Dir(t), "roots.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[len(chain)-1].Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// The environment of other images starts the program unchanged, and mail goes the
// way they say.
func TestOtherImagesEnvironmentStartsItUnchanged(t *testing.T) {
	t.Parallel()
	keys := e2etest.Dir(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(filepath.Join(keys, "example.com.private"), private, 0o444); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		file, service string
		more          e2etest.Env
		user          string // empty: it is trusted
		hostname      string
		stranger      string // From of mail in the name of another domain
		signed        string
		lines         int // names that are told
	}{
		{"boky.yaml", "mail", e2etest.Env{"POSTRIDER_DKIM_KEYS_DIR": keys}, "", "relay.example.com", "noreply@example.com", "d=example.com; s=shop;", 12},
		{"boky-list.yaml", "mail", nil, "shop@example.com", "", "a@elsewhere.test", "d=example.com;", 6},
		{"juanluisbaptiste.yaml", "postfix", nil, "", "helpdesk.example.com", "shop@example.com", "d=example.com;", 7},
		{"namshi.yaml", "smtp", nil, "", "mail.example.com", "a@elsewhere.test", "d=example.com;", 6},
		{"docker-mailserver.yaml", "mailserver", nil, "", "mail.example.com", "a@elsewhere.test", "d=example.com;", 5},
		{"mailpit.yaml", "mailpit", nil, "shop", "", "a@elsewhere.test", "d=example.com;", 8},
	} {
		t.Run(strings.TrimSuffix(c.file, ".yaml"), func(t *testing.T) {
			t.Parallel()
			ctx := within(t, time.Minute)
			world := e2etest.NewInternet(t)
			at := fmt.Sprintf("127.78.%d.1", i)
			hop, err := smtpsim.Start(smtpsim.Options{
				Addr: at + ":2587", Hostname: "smtp.example.net", TLS: smtpsim.StartTLS,
				Users: map[string]string{"mailer@example.net": "p@ss:word"}, RequireAuth: true, RequireTLS: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { hop.Close() })
			world.Publish(t, "example.net", "smtp A "+at+"\n")
			more := e2etest.Env{"SSL_CERT_FILE": trustLater(ctx, t, hop)}
			maps.Copy(more, c.more)
			relay := dropped(t, world, c.file, c.service, more)

			client, err := e2etest.Dial(ctx, relay.SMTP)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if c.user != "" {
				if err := client.Authenticate(c.user, "open-sesame"); err != nil {
					t.Fatal(err)
				}
			}
			for _, from := range []string{"a@example.com", "a@elsewhere.test"} {
				if _, err := client.Send(from, []string{"b@customer.test"}, e2etest.Mail(from, "b@customer.test", "drop in")); err != nil {
					t.Fatal(err)
				}
			}
			froms := map[string]bool{}
			for _, m := range e2etest.Receive(ctx, t, hop, 2) {
				if m.User != "mailer@example.net" || m.TLS == nil {
					t.Errorf("it came as user %q over TLS %v", m.User, m.TLS != nil)
				}
				read, err := mail.ReadMessage(bytes.NewReader(m.Raw))
				if err != nil {
					t.Fatal(err)
				}
				from, err := mail.ParseAddress(read.Header.Get("From"))
				if err != nil {
					t.Fatal(err)
				}
				froms[from.Address] = true
				if sig := read.Header.Get("DKIM-Signature"); strings.HasSuffix(from.Address, "@example.com") && !strings.Contains(sig, c.signed) {
					t.Errorf("mail from %s is signed %q", from.Address, sig)
				}
				if c.hostname != "" && !strings.Contains(read.Header.Get("Received"), "by "+c.hostname+" ") {
					t.Errorf("it came through %s", read.Header.Get("Received"))
				}
			}
			if !froms[c.stranger] {
				t.Errorf("mail in the name of another domain is from none but %v, want %s", froms, c.stranger)
			}
			told := relay.Out.All(func(l e2etest.Line) bool { return l.Is("setting taken from another image's name") })
			if len(told) != c.lines {
				t.Errorf("%d lines of names, want %d: %v", len(told), c.lines, told)
			}
			if text := relay.Out.Text() + relay.Err.Text(); strings.Contains(text, "p@ss:word") || strings.Contains(text, "open-sesame") {
				t.Error("a secret is in the log")
			}
		})
	}
}

// Who replaces a program that catches mail must not send it to people.
func TestWhatWasCaughtDoesNotLeave(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	relay := dropped(t, world, "mailpit-catches.yaml", "mailpit", nil)
	client, err := e2etest.Dial(ctx, relay.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	id, err := client.Send("a@example.com", []string{"b@customer.test"}, e2etest.Mail("a@example.com", "b@customer.test", "a test"))
	if err != nil {
		t.Fatal(err)
	}
	if text := relay.CLI(ctx, t, "queue", "show", id); !strings.Contains(text, "b@customer.test  (SUPPRESSED)") && !strings.Contains(text, "SUPPRESSED") || !strings.Contains(text, "local.staging") {
		t.Errorf("it became:\n%s", text)
	}
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Attr("mode") == "discard" && l.Attr("level") == "WARN" })
}

// What is wrong with the environment of another image is said in its own words,
// by serve as by check, and no secret with it.
func TestWrongEnvironmentOfOtherImagesIsExplained(t *testing.T) {
	t.Parallel()
	for name, s := range composed(t, "wrong.yaml") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, time.Minute)
			for _, command := range []string{"check", "serve"} {
				r := e2etest.Run(ctx, t, e2etest.Command{Args: []string{command}, Env: e2etest.Env(s.Environment)})
				if r.Status != 78 || !strings.Contains(r.Stderr, s.Says) || strings.Contains(r.Stderr+r.Stdout, "hunter2") {
					t.Errorf("%s ends with %d and says:\n%s", command, r.Status, r.Stderr)
				}
			}
		})
	}
}
