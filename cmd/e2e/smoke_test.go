package e2e_test

import (
	"context"
	"errors"
	"io/fs"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

var credentials = regexp.MustCompile(`(?s)account: +(\S+)\s+password: +(\S+)`)

func TestFirstStartMakesAnAccountAndTellsItOnce(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	// Only the ports are set, since those by default may be taken here.
	env := e2etest.Env{
		"POSTRIDER_SUBMISSION_LISTEN": "127.0.0.1:0", "POSTRIDER_HTTP_LISTEN": "127.0.0.1:0",
		"POSTRIDER_IMAP_LISTEN": "127.0.0.1:0", "POSTRIDER_POP3_LISTEN": "127.0.0.1:0",
	}
	relay := e2etest.Launch(t, e2etest.Dir(t), env)
	relay.AwaitReady(t)
	if _, err := relay.Err.Await(ctx, func(l e2etest.Line) bool { return strings.Contains(l.Text, "password:") }); err != nil {
		t.Fatal(err)
	}
	found := credentials.FindStringSubmatch(relay.Err.Text())
	if found == nil {
		t.Fatalf("no account and password in:\n%s", relay.Err.Text())
	}
	user, password := found[1], found[2]
	if strings.Contains(relay.Out.Text(), password) {
		t.Error("the log holds the password")
	}
	if info, err := os.Stat(filepath.Join(relay.Dir, "postrider-data")); err != nil || !info.IsDir() {
		t.Errorf("./postrider-data: %v", err)
	}

	relay.Signal(t, syscall.SIGTERM)
	if status := relay.Wait(ctx, t); status != 0 {
		t.Errorf("after SIGTERM the exit status is %d", status)
	}
	again := relay.Restart(t)
	c, err := e2etest.Login(ctx, again.SMTP, user, password)
	if err != nil {
		t.Fatalf("the first account cannot log in after a restart: %v", err)
	}
	defer c.Close()
	again.Signal(t, syscall.SIGTERM)
	again.Wait(ctx, t)
	if text := again.Err.Text() + again.Out.Text(); strings.Contains(text, password) || strings.Contains(text, "password:") {
		t.Errorf("the second start speaks of a password again:\n%s", text)
	}
}

func TestSocketsAreOpenToThoseTheyAreFor(t *testing.T) {
	t.Parallel()
	relay := e2etest.Start(t)
	for path, want := range map[string]fs.FileMode{relay.AdminSocket(): 0o600, relay.SubmitSocket(): 0o666} {
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode().Perm() != want || info.Mode()&fs.ModeSocket == 0 {
			t.Errorf("%s is %v, want a socket with %v", path, info.Mode(), want)
		}
	}
}

// The submission socket is for everybody, so the data directory can be entered;
// nothing else in it can be read by others.
func TestDataDirectoryIsClosedToOthers(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t)
	relay.CLI(ctx, t, "domain", "records", "shop.test")
	relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.invalid"}, e2etest.Mail("a@shop.test", "b@customer.invalid", "secret"))
	const othersRead, othersEnter = 0o044, 0o011
	err := filepath.WalkDir(relay.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm()
		switch {
		case d.IsDir() && mode&othersRead != 0:
			t.Errorf("others can list %s: %v", path, mode)
		case d.IsDir() && mode&othersEnter == 0:
			return fs.SkipDir // nobody gets at what is below
		case d.Type().IsRegular() && info.Size() > 0 && mode&othersRead != 0 && d.Name() != "FORMAT" && d.Name() != "pid":
			t.Errorf("others can read %s: %v", path, mode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMailNeedsALoginAndIsDelivered(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	net := e2etest.NewInternet(t)
	mx := net.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, net.Env())

	c, err := e2etest.Dial(ctx, relay.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !slices.Contains(c.Offers, "AUTH PLAIN LOGIN") || slices.Contains(c.Offers, "STARTTLS") {
		t.Errorf("EHLO offers %q, want AUTH PLAIN LOGIN and no STARTTLS without a certificate", c.Offers)
	}
	_, err = c.Do(250, "MAIL FROM:<a@shop.test>")
	if refusal := new(textproto.Error); !errors.As(err, &refusal) || refusal.Code != 530 ||
		!strings.Contains(refusal.Msg, "Unauthenticated senders not allowed") {
		t.Errorf("MAIL without login is answered %v", err)
	}
	if _, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, "wrong"); err == nil || !strings.HasPrefix(err.Error(), "535") {
		t.Errorf("a wrong password is answered %v", err)
	}

	content := e2etest.Mail("a@shop.test", "b@customer.test", "first mail")
	id := relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, content)
	got := e2etest.Receive(ctx, t, mx, 1)[0]
	if got.From.Address != "a@shop.test" || len(got.Rcpts) != 1 || got.Rcpts[0].Address != "b@customer.test" {
		t.Errorf("the envelope is %v %v", got.From, got.Rcpts)
	}
	if !strings.HasSuffix(string(got.Raw), string(content)) || !strings.Contains(string(got.Raw), id) {
		t.Errorf("what arrives is not what was sent under a Received field with the id:\n%s", got.Raw)
	}
	line := relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("delivered") && l.Attr("id") == id })
	if line.Attr("rcpt") != "b@customer.test" || line.Attr("code") != "250" || line.Attr("hop") != "mx.customer.test" {
		t.Errorf("the log line is %s", line.Text)
	}
}

func TestConfigurationsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	openRelay := e2etest.Env{"POSTRIDER_SUBMISSION_LISTEN": "0.0.0.0:0", "POSTRIDER_TRUSTED_NETWORKS": "0.0.0.0/0"}
	wrong := e2etest.Env{
		"POSTRIDER_LIFETIME": "soon", "POSTRIDER_SUBMISION_LISTEN": ":25", "POSTRIDER_SMARTHOST": "http://user:hunter2@host",
		"POSTRIDER_IMAP_LISTEN": "1143",
	}
	for _, c := range []struct {
		name string
		args []string
		env  e2etest.Env
		says []string
	}{
		{"serve refuses to be an open relay", []string{"serve"}, openRelay,
			[]string{"open relay", "POSTRIDER_TRUSTED_NETWORKS", "POSTRIDER_ACCOUNTS"}},
		{"check finds the open relay too", []string{"check"}, openRelay, []string{"open relay"}},
		{"check reports every problem at once", []string{"check"}, wrong,
			[]string{"delivery.lifetime", "POSTRIDER_LIFETIME", "POSTRIDER_SUBMISION_LISTEN", "POSTRIDER_SUBMISSION_LISTEN", "POSTRIDER_SMARTHOST", "imap.listen"}},
		{"serve reports every problem at once", []string{"serve"}, wrong,
			[]string{"delivery.lifetime", "POSTRIDER_SUBMISION_LISTEN", "POSTRIDER_SMARTHOST", "imap.listen"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, time.Minute) // of its own: it waits for its turn
			dir := e2etest.Dir(t)
			res := e2etest.Run(ctx, t, e2etest.Command{Args: c.args, Dir: dir, Env: c.env})
			if res.Status != 78 {
				t.Errorf("the exit status is %d, want 78", res.Status)
			}
			for _, want := range c.says {
				if !strings.Contains(res.Stderr, want) {
					t.Errorf("%q is not in:\n%s", want, res.Stderr)
				}
			}
			if strings.Contains(res.Stderr+res.Stdout, "hunter2") {
				t.Error("the output holds a password")
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
				t.Errorf("it left %v behind, %v", entries, err)
			}
		})
	}
}

func TestSecondProcessOnADataDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t)
	res := e2etest.Run(ctx, t, e2etest.Command{Args: []string{"serve"}, Dir: relay.Dir, Env: e2etest.Env{
		"POSTRIDER_DATA_DIR": relay.DataDir, "POSTRIDER_SUBMISSION_LISTEN": "127.0.0.1:0", "POSTRIDER_HTTP_LISTEN": "127.0.0.1:0",
	}})
	if res.Status == 0 || !strings.Contains(res.Stderr, relay.DataDir) || !strings.Contains(res.Stderr, "another") {
		t.Errorf("exit status %d, saying:\n%s", res.Status, res.Stderr)
	}
	// The first one has not lost its sockets to it.
	if _, err := relay.Admin().Queue(ctx); err != nil {
		t.Error(err)
	}
	relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.invalid"}, e2etest.Mail("a@shop.test", "b@customer.invalid", "still there"))
}

func TestSIGTERMUnderLoadExitsZeroInTime(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	net := e2etest.NewInternet(t)
	mx := net.Domain(t, "customer.test", smtpsim.Options{Keep: smtpsim.KeepDigests})
	stuck := net.Domain(t, "stuck.test", smtpsim.Options{Rules: []smtpsim.Rule{{Name: "stuck", Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Stall())}}})
	relay := e2etest.Start(t, net.Env())
	relay.Submit(ctx, t, "a@shop.test", []string{"b@stuck.test"}, e2etest.Mail("a@shop.test", "b@stuck.test", "stuck"))

	loading, stop := context.WithCancel(ctx)
	load := startLoad(loading, relay.SMTP, 10, "customer.test", newLedger())
	if err := mx.WaitFor(ctx, func(c smtpsim.Counters) bool { return c.Messages > 50 }); err != nil {
		t.Fatal(err)
	}
	if err := stuck.WaitFor(ctx, func(c smtpsim.Counters) bool { return c.Transactions > 0 }); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	relay.Signal(t, syscall.SIGTERM)
	status := relay.Wait(ctx, t)
	took := time.Since(began)
	stop()
	load.wait()
	if status != 0 || took > 10*time.Second {
		t.Errorf("exit status %d after %v, want 0 within 10 s", status, took)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	net := e2etest.NewInternet(t)
	stuck := net.Domain(t, "stuck.test", smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Stall())}}})
	relay := e2etest.Start(t, net.Env())
	relay.Submit(ctx, t, "a@shop.test", []string{"b@stuck.test"}, e2etest.Mail("a@shop.test", "b@stuck.test", "stuck"))
	if err := stuck.WaitFor(ctx, func(c smtpsim.Counters) bool { return c.Transactions > 0 }); err != nil {
		t.Fatal(err)
	}
	relay.Signal(t, syscall.SIGTERM)
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("stopping") })
	began := time.Now()
	relay.Signal(t, syscall.SIGTERM)
	if status, took := relay.Wait(ctx, t), time.Since(began); status != 128+int(syscall.SIGTERM) || took > 3*time.Second {
		t.Errorf("exit status %d after %v, want 143 at once", status, took)
	}
}
