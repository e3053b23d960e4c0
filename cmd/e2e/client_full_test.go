//go:build full

package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// 200 sessions of one host are open at the same time, and each sends.
func TestTwoHundredConnectionsAtOnce(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	const sessions = 200
	clients := make([]*e2etest.Client, sessions)
	errs := make([]error, sessions)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { clients[i], errs[i] = e2etest.Login(ctx, relay.SMTP, e2etest.User, e2etest.Password) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("session %d: %v", i, err)
		}
		defer clients[i].Close()
	}
	began := time.Now()
	for i, c := range clients {
		wg.Go(func() {
			rcpt := fmt.Sprintf("r%d@customer.test", i)
			_, errs[i] = c.Send("a@shop.test", []string{rcpt}, e2etest.Mail("a@shop.test", rcpt, fmt.Sprint("mail ", i)))
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("session %d: %v", i, err)
		}
	}
	t.Logf("%d messages over as many open sessions were acknowledged in %v", sessions, time.Since(began))
	e2etest.Receive(ctx, t, mx, sessions)
	t.Logf("resident memory: %d MiB", relay.MemoryMiB(t))
}

func TestSwaks(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	attachment := filepath.Join(e2etest.Dir(t), "attachment")
	if err := os.WriteFile(attachment, bytes.Repeat([]byte{0, 1, 2, '.', '\r', '\n', 0xff}, 50_000), 0o644); err != nil {
		t.Fatal(err)
	}
	login := []string{"--server", relay.SMTP, "--auth-user", e2etest.User, "--auth-password", e2etest.Password}
	for i, c := range []struct {
		name string
		args []string
	}{
		{"AUTH PLAIN", append([]string{"--auth", "PLAIN"}, login...)},
		{"AUTH LOGIN", append([]string{"--auth", "LOGIN"}, login...)},
		{"pipelining", append([]string{"--auth", "PLAIN", "--pipeline"}, login...)},
		{"attachment", append([]string{"--auth", "LOGIN", "--attach-type", "application/octet-stream", "--attach", "@" + attachment}, login...)},
		{"Unix socket", []string{"--socket", relay.SubmitSocket()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"--from", "a@shop.test", "--to", "b@customer.test,c@customer.test", "--h-Subject", c.name}, c.args...)
			out, err := exec.CommandContext(ctx, "swaks", args...).CombinedOutput()
			if err != nil {
				t.Fatalf("swaks: %v\n%s", err, endOf(out))
			}
			if !strings.Contains(string(out), "250 2.0.0 Ok: queued as msg_") {
				t.Errorf("no id in:\n%s", endOf(out))
			}
			m := e2etest.Receive(ctx, t, mx, i+1)[i]
			if len(m.Rcpts) != 2 || !bytes.Contains(m.Raw, []byte("Subject: "+c.name+"\r\n")) {
				t.Errorf("this arrived for %v:\n%s", m.Rcpts, m.Raw[:min(len(m.Raw), 2000)])
			}
		})
	}
	out, err := exec.CommandContext(ctx, "swaks", "--server", relay.SMTP, "--from", "a@shop.test", "--to", "b@customer.test").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "530") {
		t.Errorf("without a login: %v\n%s", err, out)
	}
}

// Nothing is set at all: the defaults work as the first page says.
func TestServeWithoutAnyConfiguration(t *testing.T) {
	ctx := within(t, time.Minute)
	relay := e2etest.Launch(t, e2etest.Dir(t), nil)
	began := time.Now()
	relay.AwaitReady(t)
	t.Logf("ready after %v with %d MiB resident", time.Since(began), relay.MemoryMiB(t))
	if relay.SMTP != "127.0.0.1:2525" || relay.HTTP != "127.0.0.1:8025" {
		t.Errorf("it listens at %s and %s", relay.SMTP, relay.HTTP)
	}
	found := credentials.FindStringSubmatch(relay.Err.Text())
	if found == nil {
		t.Fatalf("no account and password in:\n%s", relay.Err.Text())
	}
	c, err := e2etest.Login(ctx, relay.SMTP, found[1], found[2])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Send("a@shop.invalid", []string{"b@nowhere.invalid"}, e2etest.Mail("a@shop.invalid", "b@nowhere.invalid", "first")); err != nil {
		t.Error(err)
	}
	if got := e2etest.Run(ctx, t, e2etest.Command{Args: []string{"queue", "list"}, Dir: relay.Dir}); !strings.Contains(got.Stdout, "b@nowhere.invalid") {
		t.Errorf("queue list prints %q, %q", got.Stdout, got.Stderr)
	}
}
