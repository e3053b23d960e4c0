//go:build full

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
)

// unpackDebian makes a directory with what Debian packages install, without
// installing them: mail servers exclude each other. Libraries that they need
// and that the machine lacks are in it too. It is kept for the next run.
func unpackDebian(ctx context.Context, t *testing.T, packages ...string) (root string) {
	t.Helper()
	cache := filepath.Join(os.TempDir(), "postrider-e2e-debian")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	// Its programs are run as root, so nobody else may have put them there; the
	// servers' users must get at them, so it is not in a home directory.
	if info, err := os.Lstat(cache); err != nil || !info.IsDir() || info.Mode().Perm()&0o022 != 0 || int(info.Sys().(*syscall.Stat_t).Uid) != os.Getuid() {
		t.Fatalf("%s is not a directory of this user alone: %v, %v", cache, info, err)
	}
	root = filepath.Join(cache, strings.Join(packages, "+"))
	if _, err := os.Stat(root); err == nil {
		return root
	}
	work, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	if err := os.Mkdir(filepath.Join(work, "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for len(packages) > 0 {
		next := packages[0]
		packages = packages[1:]
		if seen[next] {
			continue
		}
		seen[next] = true
		packages = append(packages, unpackOne(ctx, t, work, next)...)
	}
	if err := os.Rename(filepath.Join(work, "root"), root); err != nil {
		if _, there := os.Stat(root); there != nil { // another run was quicker
			t.Fatal(err)
		}
	}
	return root
}

// unpackOne adds a package and names the libraries that it wants besides.
func unpackOne(ctx context.Context, t *testing.T, work, name string) (libraries []string) {
	t.Helper()
	run := func(program string, args ...string) string {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Dir = work
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s\nthe packages of Debian must be at hand: apt-get update", program, args, err, out)
		}
		return string(out)
	}
	run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name)
	files, err := filepath.Glob(filepath.Join(work, name+"_*.deb"))
	if err != nil || len(files) != 1 {
		t.Fatalf("apt-get download %s left %q, %v", name, files, err)
	}
	run("dpkg-deb", "-x", files[0], filepath.Join(work, "root"))
	for dep := range strings.SplitSeq(run("dpkg-deb", "-f", files[0], "Depends"), ",") {
		words := strings.Fields(dep)
		if len(words) == 0 || !strings.HasPrefix(words[0], "lib") {
			continue
		}
		lib, _, _ := strings.Cut(words[0], ":")
		if out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${db:Status-Status}", lib).Output(); err != nil || string(out) != "installed" {
			libraries = append(libraries, lib)
		}
	}
	return libraries
}

// unpackedServer is a mail server of Debian that runs in namespaces of its own,
// in which its users exist and its directories are where it looks for them.
type unpackedServer struct {
	dir, root string
	log       string
}

const unpackedUID = 64601 // and the next ones: nobody has them

// newUnpacked unpacks packages and makes a directory for their server, with a
// certificate and an empty mail directory.
func newUnpacked(ctx context.Context, t *testing.T, host string, packages ...string) *unpackedServer {
	t.Helper()
	u := &unpackedServer{dir: e2etest.Dir(t), root: unpackDebian(ctx, t, packages...)}
	u.log = filepath.Join(u.dir, "output")
	for _, sub := range []string{"mail", "spool", "log"} {
		path := filepath.Join(u.dir, sub)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, unpackedUID, unpackedUID); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(ctx, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN="+host,
		"-days", "2", "-keyout", filepath.Join(u.dir, "key.pem"), "-out", filepath.Join(u.dir, "cert.pem")).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	if err := os.Chmod(filepath.Join(u.dir, "key.pem"), 0o644); err != nil { // Exim reads it as its user
		t.Fatal(err)
	}
	return u
}

// write puts a file into the server's directory.
func (u *unpackedServer) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// start runs a script in the namespaces, with these users besides those of the
// machine, and waits until somebody listens at addr.
func (u *unpackedServer) start(ctx context.Context, t *testing.T, addr, script string, users ...string) {
	t.Helper()
	passwd, group := "", ""
	for i, user := range users {
		passwd += fmt.Sprintf("%s:x:%d:%d::/nonexistent:/bin/false\n", user, unpackedUID+i, unpackedUID+i)
		group += fmt.Sprintf("%s:x:%d:\n", user, unpackedUID+i)
	}
	for name, more := range map[string]string{"passwd": passwd, "group": group} {
		old, err := os.ReadFile("/etc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		u.write(t, name, string(bytes.TrimRight(old, "\n"))+"\n"+more)
	}
	prepare := fmt.Sprintf("mount --bind %[1]s/passwd /etc/passwd\nmount --bind %[1]s/group /etc/group\n", u.dir)
	for _, dir := range []string{"/run", "/var/lib", "/var/spool"} {
		prepare += "mount -t tmpfs none " + dir + "\n"
	}
	out, err := os.Create(u.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", prepare+script)
	libs, _ := filepath.Glob(filepath.Join(u.root, "usr", "lib", "*-linux-gnu")) // its pattern is good
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libs, ":"))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // by the signal
		if t.Failed() {
			text, _ := os.ReadFile(u.log)
			t.Logf("the server at %s said:\n%s", addr, endOf(text))
		}
	})
	e2etest.Poll(ctx, t, func() error {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// startExim runs Exim at an address. Like the others it refuses a sender, has
// unknown mailboxes and some that take nothing yet, and a limit of 6 MiB.
func startExim(ctx context.Context, t *testing.T, addr string) (maildir string) {
	t.Helper()
	u := newUnpacked(ctx, t, "mx.exim.test", "exim4-daemon-light", "exim4-base")
	host, port, _ := net.SplitHostPort(addr)
	u.write(t, "exim.conf", fmt.Sprintf(`exim_path = %[2]s/usr/sbin/exim4
primary_hostname = mx.exim.test
spool_directory = %[1]s/spool
log_file_path = %[1]s/log/%%slog
keep_environment =
local_interfaces = <; %[3]s
daemon_smtp_ports = %[4]s
message_size_limit = 6M
smtputf8_advertise_hosts = *
tls_advertise_hosts = *
tls_certificate = %[1]s/cert.pem
tls_privatekey = %[1]s/key.pem
smtp_accept_queue_per_connection = 0
smtp_accept_max = 100
host_lookup =
rfc1413_query_timeout = 0s
acl_smtp_mail = check_mail
acl_smtp_rcpt = check_rcpt
acl_smtp_data = accept
begin acl
check_mail:
  deny senders = refused@shop.test
       message = 5.7.1 Sender refused here
  accept
check_rcpt:
  defer local_parts = ^later
       message = 4.7.1 Greylisted, please try again later
  deny local_parts = ^unknown
       message = 5.1.1 User unknown
  accept
begin routers
all:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = %[1]s/mail
  maildir_format
  create_directory
  user = vmail
  group = vmail
begin retry
* * F,1h,1m
`, u.dir, u.root, host, port))
	// Root's privileges are kept for the configuration at its own place alone.
	u.start(ctx, t, addr, fmt.Sprintf(`mkdir /var/lib/exim4
cp %[1]s/exim.conf /var/lib/exim4/config.autogenerated
exec %[2]s/usr/sbin/exim4 -bdf -q1m
`, u.dir, u.root), "Debian-exim", "vmail")
	if err := os.Chown(filepath.Join(u.dir, "mail"), unpackedUID+1, unpackedUID+1); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(u.dir, "mail")
}

// startOpenSMTPD runs OpenSMTPD at an address.
func startOpenSMTPD(ctx context.Context, t *testing.T, addr string) (maildir string) {
	t.Helper()
	u := newUnpacked(ctx, t, "mx.opensmtpd.test", "opensmtpd")
	host, port, _ := net.SplitHostPort(addr)
	if err := os.Chmod(filepath.Join(u.dir, "key.pem"), 0o600); err != nil { // it insists
		t.Fatal(err)
	}
	u.write(t, "smtpd.conf", fmt.Sprintf(`smtp max-message-size 6M
pki peer cert "%[1]s/cert.pem"
pki peer key "%[1]s/key.pem"
table people { "@" = "vmail" }
filter refused phase mail-from match mail-from { "refused@shop.test" } reject "550 5.7.1 Sender refused here"
filter later phase rcpt-to match rcpt-to regex { "^later.*" } reject "451 4.7.1 Greylisted, please try again later"
filter unknown phase rcpt-to match rcpt-to regex { "^unknown.*" } reject "550 5.1.1 User unknown"
filter checks chain { refused, later, unknown }
listen on %[2]s port %[3]s hostname mx.opensmtpd.test tls pki peer filter checks
action keep maildir "%[1]s/mail" virtual <people>
match from any for any action keep
`, u.dir, host, port))
	u.start(ctx, t, addr, fmt.Sprintf(`mkdir -p /var/lib/opensmtpd/empty
mkdir -m 711 /var/spool/smtpd
mount --bind %[2]s/usr/libexec /usr/libexec
exec %[2]s/usr/sbin/smtpd -d -f %[1]s/smtpd.conf
`, u.dir, u.root), "vmail", "opensmtpd", "opensmtpq")
	return filepath.Join(u.dir, "mail")
}
