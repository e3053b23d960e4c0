package app_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/api/client"
	v1 "postrider/api/v1"
	"postrider/cmd/internal/app"
	"postrider/configs"
	"postrider/relay/smtpsim"
)

// start runs a relay on free ports that sends everything to a simulated smart
// host; settings come on top.
func start(t testing.TB, o smtpsim.Options, settings map[string]string) (*app.App, *smtpsim.Server, string) {
	t.Helper()
	sim, err := smtpsim.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	dir := t.TempDir()
	flags := map[string]string{
		"data_dir": dir, "hostname": "relay.example.com", "submission.listen": "127.0.0.1:0", "http.listen": "127.0.0.1:0", "imap.listen": "127.0.0.1:0", "pop3.listen": "127.0.0.1:0",
		"submission.trusted_networks": "127.0.0.0/8", configs.SmartHostKey: "smtp://" + sim.Addr() + "?tls=none",
		"submission.rate.per_hour": "0", "submission.rate.hold_factor": "0", "storage.min_free": "0", "storage.reserve": "0",
		"dkim.autogenerate": "false",
	}
	for k, v := range settings {
		flags[k] = v
	}
	cfg, problems := configs.Load(configs.LoadOptions{Flags: flags})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), app.Options{Config: cfg, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := a.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return a, sim, dir
}

// session is a lock-step SMTP client, as PHPMailer is one.
type session struct {
	c net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr net.Addr) *session {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	s := &session{c: c, r: bufio.NewReader(c)}
	if _, err := s.reply("220"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.cmd("EHLO bench", "250"); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *session) cmd(line, want string) (string, error) {
	if _, err := s.c.Write([]byte(line + "\r\n")); err != nil {
		return "", err
	}
	return s.reply(want)
}

func (s *session) reply(want string) (string, error) {
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(line, want) {
			return "", fmt.Errorf("got %q, want %s", line, want)
		}
		if len(line) > 3 && line[3] == ' ' {
			return strings.TrimSpace(line), nil
		}
	}
}

func (s *session) send(from, to, content string) (string, error) {
	for _, step := range [][2]string{{"MAIL FROM:<" + from + ">", "250"}, {"RCPT TO:<" + to + ">", "250"}, {"DATA", "354"}} {
		if _, err := s.cmd(step[0], step[1]); err != nil {
			return "", err
		}
	}
	return s.cmd(content+".", "250")
}

func content(size int) string {
	head := "From: shop@example.com\r\nSubject: Order\r\nDate: Mon, 23 Nov 2026 05:00:00 +0000\r\nMessage-ID: <1@web1>\r\n\r\n"
	line := strings.Repeat("x", 70) + "\r\n"
	return head + strings.Repeat(line, max(1, (size-len(head))/len(line)))
}

func TestMailGoesThroughTheWholeRelay(t *testing.T) {
	t.Parallel()
	a, sim, dir := start(t, smtpsim.Options{}, nil)
	s := dial(t, a.SubmissionAddrs()[0])
	line, err := s.send("shop@example.com", "bob@example.org", content(500))
	if err != nil {
		t.Fatal(err)
	}
	id, ok := strings.CutPrefix(line, "250 2.0.0 Ok: queued as ")
	if !ok {
		t.Fatal(line)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	msgs, err := sim.Wait(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, rest, ok := strings.Cut(string(msgs[0].Raw), "From: "); !ok || "From: "+rest != content(500) {
		t.Errorf("arrived as %q", msgs[0].Raw)
	}
	cl := client.NewSocket(filepath.Join(dir, "admin.sock"))
	m := settled(ctx, t, cl, id)
	if m.Recipients[0].State != "relayed" || m.Recipients[0].Class != "" {
		t.Errorf("%+v", m.Recipients[0])
	}
	if err := cl.Ready(ctx); err != nil {
		t.Error(err)
	}
}

// settled asks until the message's recipients are final.
func settled(ctx context.Context, t *testing.T, cl *client.Client, id string) v1.Message {
	t.Helper()
	for {
		m, err := cl.Message(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if s := m.Recipients[0].State; s != "queued" && s != "active" {
			return m
		}
	}
}

func TestMetricsAndProbesAreServed(t *testing.T) {
	t.Parallel()
	a, _, _ := start(t, smtpsim.Options{}, nil)
	for path, want := range map[string]string{"/livez": "alive", "/readyz": "ready", "/metrics": "postrider_queue_recipients{state=\"queued\"} 0"} {
		res, err := http.Get("http://" + a.HTTPAddrs()[0].String() + path)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if _, err := bufio.NewReader(res.Body).WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK || !strings.Contains(b.String(), want) {
			t.Errorf("%s: %s, lacks %q", path, res.Status, want)
		}
	}
	res, err := http.Get("http://" + a.HTTPAddrs()[0].String() + "/v1/queue")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("administration without a key: %s", res.Status)
	}
}

func TestAdministrationOverTheNetworkNeedsAKey(t *testing.T) {
	t.Parallel()
	a, _, _ := start(t, smtpsim.Options{}, map[string]string{"submission.trusted_networks": "", "api.admin_key": "a-key-that-was-configured"})
	_, password, key, made := a.FirstAccount()
	if !made {
		t.Fatal("no first account was made")
	}
	for k, want := range map[string]bool{key: true, "a-key-that-was-configured": true, password: false, "prk_wrong": false, "": false} {
		cl, err := client.New("http://"+a.HTTPAddrs()[0].String(), k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cl.Queue(t.Context()); (err == nil) != want {
			t.Errorf("key %.6s…: %v", k, err)
		}
	}
}

// BenchmarkEndToEnd takes messages of 4 KB in over 20 connections and waits
// until the smart host has them all: both ends in this process.
func BenchmarkEndToEnd(b *testing.B) {
	for _, sign := range []bool{false, true} {
		b.Run(fmt.Sprintf("dkim=%v", sign), func(b *testing.B) { benchmarkEndToEnd(b, sign) })
	}
}

func benchmarkEndToEnd(b *testing.B, sign bool) {
	var arrived atomic.Int64
	done := make(chan struct{}, 1)
	want := int64(b.N)
	o := smtpsim.Options{Keep: smtpsim.KeepCounters, OnMessage: func(*smtpsim.Message) {
		if arrived.Add(1) == want {
			done <- struct{}{}
		}
	}}
	a, _, _ := start(b, o, map[string]string{"dkim.autogenerate": fmt.Sprint(sign)})
	text := content(4096)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 20 {
		wg.Go(func() {
			s := dial(b, a.SubmissionAddrs()[0])
			defer s.c.Close()
			for next.Add(1) <= want {
				if _, err := s.send("shop@example.com", "bob@example.org", text); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	accepted := b.Elapsed()
	<-done
	b.ReportMetric(float64(want)/accepted.Seconds(), "accepted/s")
	b.ReportMetric(float64(want)/b.Elapsed().Seconds(), "delivered/s")
}
