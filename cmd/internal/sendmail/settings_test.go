package sendmail

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsFile(t *testing.T) {
	t.Parallel()
	relay := &scriptedRelay{extensions: []string{"AUTH LOGIN"}, answer: func(line string) string {
		switch line {
		case "AUTH LOGIN":
			return "334 VXNlcm5hbWU6"
		case "c2hvcA==": // shop
			return "334 UGFzc3dvcmQ6"
		case "c2VjcmV0": // secret
			return "235 2.7.0 Ok"
		}
		return ""
	}}
	relay.serve(t, "tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(relay.listener.Addr().String())
	password := writeFile(t, "secret\n")
	inv := call("/nonexistent/s", "-t")
	inv.Paths.Settings = writeFile(t, "# ours\n\nsubmit = localhost:"+port+"\nuser=shop\npassword_file="+password+
		"\ndefault_from = noreply@shop.example\nroot_address=ops@x.example\nalias.ops=nobody@x.example\nalias.team=root, alice, team\ndomain=shop.example\n")
	inv.run(t, "To: root, team\n\nx\n").must(t, 0)
	m := relay.one(t)
	if m.from() != "noreply@shop.example" || m.to() != "ops@x.example alice@shop.example team@shop.example" {
		t.Errorf("got %+v", m)
	}
	if !strings.HasPrefix(m.data, "From: <noreply@shop.example>\r\nTo: root@shop.example, team@shop.example\r\n") {
		t.Errorf("header %q", m.data)
	}
	if said := relay.said(); said[3] != "c2VjcmV0" || said[0] != "EHLO shop.example" {
		t.Errorf("commands %q", said)
	}
}

func TestDefaultFromReplacesOnlyLocalSenders(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"root": "d@x.example", "www-data@3f2a9c1b": "d@x.example", "a@localhost": "d@x.example",
		"site@y.example": "site@y.example", "<>": "",
	} {
		relay := &scriptedRelay{}
		inv := call(relay.start(t), "-f", given, "a@x.example")
		inv.Environ = []string{"POSTRIDER_DEFAULT_FROM=d@x.example"}
		inv.run(t, "\nx\n").must(t, 0)
		if got := relay.one(t).from(); got != want {
			t.Errorf("-f %s became %q, want %q", given, got, want)
		}
	}
}

func TestWrongSettingsEndWith78(t *testing.T) {
	t.Parallel()
	for text, reason := range map[string]string{
		"colour=red":                `unknown setting "colour"`,
		"submit":                    "unknown setting",
		"submit=ftp://x":            `scheme "ftp"`,
		"submit=smtp://u:pw@h:bad":  "not a valid address",
		"default_from=a b":          "not an address",
		"password_file=/nonexist/x": "password_file",
	} {
		inv := call("/nonexistent/s", "a@x.example")
		inv.Paths.Settings = writeFile(t, text)
		r := inv.run(t, "\nx\n")
		if text == "submit" {
			// A key without "=" is a mistake even if the key is known.
			reason = "line 1"
		}
		r.must(t, 78)
		if !strings.Contains(r.stderr, reason) || strings.Contains(r.stderr, "pw") {
			t.Errorf("%q: stderr %q", text, r.stderr)
		}
	}
	inv := call("/nonexistent/s", "a@x.example")
	inv.Environ = []string{"POSTRIDER_SUBMIT_FILE=/nonexistent/x"}
	inv.run(t, "\nx\n").must(t, 78)
	// A login is set, but the relay has none to offer.
	relay := &scriptedRelay{}
	inv = call("", "a@x.example")
	inv.Environ = []string{"POSTRIDER_SUBMIT=unix:" + relay.start(t), "POSTRIDER_SUBMIT_USER=shop"}
	inv.run(t, "\nx\n").must(t, 78)
}

func TestWhereTheRelayIsFound(t *testing.T) {
	t.Parallel()
	relay := &scriptedRelay{}
	path := relay.start(t)
	stale := filepath.Join(t.TempDir(), "s")
	if l, err := net.Listen("unix", stale); err == nil {
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
	} else {
		t.Fatal(err)
	}
	for name, set := range map[string]func(*Invocation){
		"socket in the environment":  func(inv *Invocation) { inv.Environ = []string{"POSTRIDER_SUBMIT=" + path} },
		"by file":                    func(inv *Invocation) { inv.Environ = []string{"POSTRIDER_SUBMIT_FILE=" + writeFile(t, path+"\n")} },
		"data directory":             func(inv *Invocation) { inv.Environ = []string{"POSTRIDER_DATA_DIR=" + filepath.Dir(path)} },
		"behind a stale socket":      func(inv *Invocation) { inv.Paths.Sockets = []string{stale, path} },
		"our own in the working dir": func(inv *Invocation) { inv.Paths.OwnSocket = path },
	} {
		inv := call(stale, "a@x.example")
		set(&inv)
		if r := inv.run(t, "\nx\n"); r.code != 0 {
			t.Errorf("%s: %d %s", name, r.code, r.stderr)
		}
	}
	inv := call(path, "a@x.example")
	inv.Environ = []string{"POSTRIDER_SUBMIT=" + stale}
	inv.run(t, "\nx\n").must(t, 69) // what is set decides alone
}

func TestFallbackToLocalhost(t *testing.T) {
	t.Parallel()
	relay := &scriptedRelay{}
	relay.serve(t, "tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(relay.listener.Addr().String())
	inv := call("/nonexistent/s", "a@x.example")
	inv.Paths.Address = "localhost:" + port
	inv.run(t, "\nx\n").must(t, 0)
}

func TestParseEndpoint(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]endpoint{
		"/run/s":                  {network: "unix", address: "/run/s"},
		"unix:///run/s":           {network: "unix", address: "/run/s"},
		"relay":                   {network: "tcp", address: "relay:2525"},
		"relay:25":                {network: "tcp", address: "relay:25"},
		"[::1]":                   {network: "tcp", address: "[::1]:2525"},
		"smtps://h":               {network: "tcp", address: "h:465", implicitTLS: true},
		"starttls://u:p%40@h:588": {network: "tcp", address: "h:588", requireTLS: true, user: "u", password: "p@"},
	} {
		if got, err := parseEndpoint(text); err != nil || got != want {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
}

func TestLocalDomain(t *testing.T) {
	t.Parallel()
	inv := call("")
	inv.Paths.MailName = "/nonexistent"
	if got := inv.localDomain(""); got != "web1" {
		t.Errorf("host name: %q", got)
	}
	inv.Hostname = func() (string, error) { return "not a name", nil }
	if got := inv.localDomain(""); got != "localhost" {
		t.Errorf("bad host name: %q", got)
	}
	inv.Paths.MailName = writeFile(t, "mail.x.example\n")
	if got := inv.localDomain(""); got != "mail.x.example" {
		t.Errorf("mailname: %q", got)
	}
	if got := inv.localDomain("set.example"); got != "set.example" {
		t.Errorf("set: %q", got)
	}
}
