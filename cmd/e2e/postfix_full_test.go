//go:build full

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
)

// postfix is a running Postfix with a configuration and queue of its own. It
// offers STARTTLS, takes mail for any domain from this machine, and stores it
// all in one maildir.
type postfix struct {
	addr    string // host:port
	maildir string
	log     string
}

// startPostfix runs Postfix at ip and any free port, or at addr if it names a
// port. Lines of main.cf may be added, which go before those above them.
func startPostfix(ctx context.Context, t *testing.T, addr string, lines ...string) *postfix {
	t.Helper()
	dir := e2etest.Dir(t)
	host, port := freePort(t, addr)
	p := &postfix{addr: net.JoinHostPort(host, port), maildir: filepath.Join(dir, "mail", "inbox"), log: filepath.Join(dir, "maillog")}
	uid, gid := ids(t, "postfix")
	for _, sub := range []string{"etc", "spool", "lib", "mail"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"lib", "mail"} {
		if err := os.Chown(filepath.Join(dir, sub), uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := filepath.Join(dir, "etc", "cert.pem"), filepath.Join(dir, "etc", "key.pem")
	out, err := exec.CommandContext(ctx, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-subj", "/CN=mx.customer.example", "-days", "2", "-keyout", key, "-out", cert).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	main := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/lib
maillog_file_prefixes = %[1]s
maillog_file = %[1]s/maillog
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.customer.example
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:inbox/
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_limit = 0
virtual_minimum_uid = 1
virtual_uid_maps = static:%[2]d
virtual_gid_maps = static:%[3]d
message_size_limit = 50000000
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = may
smtpd_tls_cert_file = %[4]s
smtpd_tls_key_file = %[5]s
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
`, dir, uid, gid, cert, key) + strings.Join(lines, "\n") + "\n"
	master := p.addr + ` inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`
	for name, text := range map[string]string{"main.cf": main, "master.cf": master} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	etc := filepath.Join(dir, "etc")
	if out, err := exec.CommandContext(ctx, "postfix", "-c", etc, "start").CombinedOutput(); err != nil {
		t.Fatalf("postfix start: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("postfix", "-c", etc, "stop").CombinedOutput(); err != nil {
			t.Errorf("postfix stop: %v\n%s", err, out)
		}
		if t.Failed() {
			log, _ := os.ReadFile(p.log)
			t.Logf("Postfix logged:\n%s", endOf(log))
		}
	})
	e2etest.Poll(ctx, t, func() error {
		c, err := net.DialTimeout("tcp", p.addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
	return p
}

// freePort splits addr and finds a free port if it names none. It lies below
// those that the system gives to outgoing connections, so that none of them
// takes it before it is used.
func freePort(t *testing.T, addr string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	if port != "0" {
		return host, port
	}
	for n := 20000 + os.Getpid()%10000; n < 32000; n++ {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(n))); err == nil {
			l.Close()
			return host, strconv.Itoa(n)
		}
	}
	t.Fatal("no port is free")
	return "", ""
}

func ids(t *testing.T, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		t.Fatalf("user %s has the ids %s and %s", name, u.Uid, u.Gid)
	}
	return uid, gid
}

// stored is one message in a maildir, with CRLF line ends: what Postfix and the
// relay put in front of it, and what the client sent.
type stored struct {
	Traces  [][]byte // fields, each with its continuation lines
	Content []byte
}

// Field returns the traces with this name.
func (s *stored) Field(name string) []string {
	var some []string
	for _, f := range s.Traces {
		if key, value, _ := strings.Cut(string(f), ":"); strings.EqualFold(key, name) {
			some = append(some, strings.TrimSpace(value))
		}
	}
	return some
}

// signed is the message as the next hop got it: without what Postfix added.
func (s *stored) signed() []byte {
	var b bytes.Buffer
	for i, f := range s.Traces {
		if bytes.HasPrefix(f, []byte("DKIM-Signature:")) {
			for _, rest := range s.Traces[i:] {
				b.Write(rest)
			}
			break
		}
	}
	b.Write(s.Content)
	return b.Bytes()
}

// read waits until n messages are stored and returns them.
func (p *postfix) read(ctx context.Context, t *testing.T, n int) []*stored {
	t.Helper()
	var names []string
	e2etest.Poll(ctx, t, func() (err error) {
		if names, err = filepath.Glob(filepath.Join(p.maildir, "new", "*")); err == nil && len(names) < n {
			err = fmt.Errorf("%d of %d messages are stored", len(names), n)
		}
		return err
	})
	var all []*stored
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, takeApart(bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))))
	}
	return all
}

// takeApart splits off the trace fields at the top.
func takeApart(raw []byte) *stored {
	s := &stored{}
	for {
		name, _, ok := bytes.Cut(raw, []byte(":"))
		switch strings.ToLower(string(name)) {
		case "return-path", "x-original-to", "delivered-to", "received", "dkim-signature":
		default:
			ok = false
		}
		if !ok {
			s.Content = raw
			return s
		}
		end := 0
		for {
			end += bytes.Index(raw[end:], []byte("\r\n")) + 2
			if end >= len(raw) || raw[end] != ' ' && raw[end] != '\t' {
				break
			}
		}
		s.Traces, raw = append(s.Traces, raw[:end]), raw[end:]
	}
}
