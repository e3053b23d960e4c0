package e2e_test

import (
	"bytes"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// stranger is another user than the relay's, if this one may become one.
func stranger(t *testing.T) (uid, gid uint32) {
	t.Helper()
	if os.Getuid() != 0 {
		return 0, 0
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	group, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(id), uint32(group)
}

func TestSendmailWorksForEveryUser(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	uid, gid := stranger(t)

	link := filepath.Join(relay.Dir, "sendmail")
	if err := os.Symlink(e2etest.Program(t), link); err != nil {
		t.Fatal(err)
	}
	env := e2etest.Env{"POSTRIDER_DATA_DIR": relay.DataDir}
	for _, c := range []struct {
		name, path string
		args       []string
	}{
		{"as a subcommand", "", []string{"sendmail", "-t", "-i", "-fa@shop.test"}},
		{"called by that name", link, []string{"-t", "-i", "-f", "a@shop.test"}},
	} {
		before := len(mx.Messages())
		// Mixed line ends, as PHP's mail() makes them.
		text := "To: b@customer.test\r\nBcc: c@customer.test\r\nFrom: A Shop <a@shop.test>\r\nSubject: " + c.name + "\r\n\r\nHello,\n.\nBye.\n"
		res := e2etest.Run(ctx, t, e2etest.Command{Path: c.path, Args: c.args, Dir: "/", Env: env, Stdin: strings.NewReader(text), UID: uid, GID: gid})
		if res.Status != 0 {
			t.Fatalf("%s: exit status %d: %s", c.name, res.Status, res.Stderr)
		}
		m := e2etest.Receive(ctx, t, mx, before+1)[before]
		if m.From.Address != "a@shop.test" || len(m.Rcpts) != 2 {
			t.Errorf("%s: the envelope is %v %v", c.name, m.From, m.Rcpts)
		}
		if bytes.Contains(m.Raw, []byte("Bcc:")) || !bytes.HasSuffix(m.Raw, []byte("\r\n\r\nHello,\r\n.\r\nBye.\r\n")) {
			t.Errorf("%s: this arrived:\n%s", c.name, m.Raw)
		}
		for _, field := range []string{"\r\nDate: ", "\r\nMessage-ID: "} {
			if !bytes.Contains(m.Raw, []byte(field)) {
				t.Errorf("%s: %q is missing", c.name, field)
			}
		}
	}
	if line := relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("message accepted") }); line.Attr("account") != "local" {
		t.Errorf("the account is %q, want local", line.Attr("account"))
	}
}

func TestSendmailSaysThatThereIsNoRelay(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	dir := e2etest.Dir(t)
	res := e2etest.Run(ctx, t, e2etest.Command{
		Args: []string{"sendmail", "b@customer.test"}, Dir: dir,
		Env:   e2etest.Env{"POSTRIDER_SUBMIT": filepath.Join(dir, "none.sock")},
		Stdin: strings.NewReader("Subject: lost\n\nHello.\n"),
	})
	if res.Status != 69 || !strings.Contains(res.Stderr, "none.sock") {
		t.Errorf("exit status %d, saying %q; want 69 and the socket", res.Status, res.Stderr)
	}
}
