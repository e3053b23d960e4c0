package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestThePackagesInstallRunAndLeave takes a new Debian through the life of the
// packages: installed, used, upgraded, removed, purged.
func TestThePackagesInstallRunAndLeave(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run as root: it installs packages below a root of their own")
	}
	out := t.TempDir()
	made, err := build{top: "../../..", version: "1.2.3", arch: runtime.GOARCH, out: out}.packages()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%q", made)
	if text := run(t, "lintian", append([]string{"--allow-root", "--fail-on", "error", "--tag-display-limit", "0"}, made...)...); text != "" {
		t.Log(text) // what is worth a thought, and no error
	}
	s := newSystem(t)
	var inside []string
	for _, path := range made {
		run(t, "cp", path, s.root+"/tmp/")
		inside = append(inside, "/tmp/"+filepath.Base(path))
	}

	s.run("dpkg", append([]string{"-i"}, inside...)...)
	s.checkInstalled()
	s.checkMail()

	s.write("/etc/default/postrider", "POSTRIDER_CONFIG=/etc/postrider/postrider.yaml\nPOSTRIDER_LOG_LEVEL=warn\n")
	s.run("dpkg", append([]string{"-i"}, inside...)...)
	if !strings.Contains(s.read("/etc/default/postrider"), "LOG_LEVEL") {
		t.Error("a changed file of settings did not outlive an upgrade")
	}

	s.run("dpkg", "-r", "postrider-mta", "postrider")
	s.want(false, "/usr/bin/postrider", "/usr/sbin/sendmail", "/usr/bin/mailq")
	s.want(true, "/etc/postrider/postrider.yaml", "/etc/default/postrider", "/var/lib/postrider")
	s.run("dpkg", "-P", "postrider-mta", "postrider")
	s.want(false, "/etc/postrider", "/etc/default/postrider", "/var/lib/postrider", "/usr/share/doc/postrider", "/lib/systemd/system/postrider.service",
		"/etc/systemd/system/multi-user.target.wants/postrider.service", "/etc/systemd/system/postrider.service")
	s.run("getent", "passwd", "postrider") // its number is not given to anybody else
}

// run runs a command, which must succeed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, text)
	}
	return string(text)
}

// system is a Debian of its own, below a directory.
type system struct {
	t    *testing.T
	root string
}

// newSystem installs the release of Debian that this is.
func newSystem(t *testing.T) system {
	t.Helper()
	root, err := os.MkdirTemp("", "postrider-debian-test-")
	if err != nil {
		t.Fatal(err)
	}
	s := system{t, root}
	// In memory: dpkg syncs every file, and there are thousands.
	run(t, "mount", "-t", "tmpfs", "-o", "size=2g,mode=0755", "postrider-debian-test", root)
	t.Cleanup(func() {
		run(t, "umount", "--recursive", root)
		if err := os.Remove(root); err != nil {
			t.Error(err)
		}
	})
	release := strings.TrimSpace(run(t, "sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME"))
	run(t, "debootstrap", "--variant=minbase", "--include=adduser,ca-certificates", release, s.root)
	if err := os.MkdirAll(s.root+"/proc", 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", "-t", "proc", "proc", s.root+"/proc")
	// Maintainers' scripts start no service here: there is no systemd to start it.
	s.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
	if err := os.Chmod(s.root+"/usr/sbin/policy-rc.d", 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

// command is one inside, as the user, with the environment that the service has.
func (s system) command(user, name string, args ...string) *exec.Cmd {
	cmd := exec.Command("chroot", append([]string{"--userspec=" + user + ":" + user, s.root, name}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

func (s system) run(name string, args ...string) string {
	s.t.Helper()
	text, err := s.command("root", name, args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("inside, %s %q: %v\n%s", name, args, err, text)
	}
	return string(text)
}

func (s system) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.root+path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s system) read(path string) string {
	s.t.Helper()
	text, err := os.ReadFile(s.root + path)
	if err != nil {
		s.t.Error(err)
	}
	return string(text)
}

func (s system) want(there bool, paths ...string) {
	s.t.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(s.root + path); (err == nil) != there {
			s.t.Errorf("%s: there %t, want %t (%v)", path, err == nil, there, err)
		}
	}
}

// checkInstalled looks at files, owners and the service.
func (s system) checkInstalled() {
	t := s.t
	t.Helper()
	s.want(true, "/etc/postrider/postrider.yaml", "/lib/systemd/system/postrider.service", "/usr/share/doc/postrider/copyright",
		"/usr/share/doc/postrider/operating.md", "/usr/share/doc/postrider/examples/full.yaml",
		"/etc/systemd/system/multi-user.target.wants/postrider.service")
	for path, want := range map[string]string{
		"/var/lib/postrider":            "711 postrider:postrider",
		"/etc/postrider/postrider.yaml": "640 root:postrider",
		"/usr/bin/postrider":            "755 root:root",
		"/usr/sbin/sendmail":            "777 root:root",
	} {
		if got := strings.TrimSpace(s.run("stat", "-c", "%a %U:%G", path)); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	for _, link := range []string{"/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases"} {
		if got := strings.TrimSpace(s.run("readlink", "-f", link)); got != "/usr/bin/postrider" {
			t.Errorf("%s leads to %s", link, got)
		}
	}
	if conffiles := s.run("dpkg-query", "-W", "-f", "${Conffiles}", "postrider"); !strings.Contains(conffiles, "/etc/postrider/postrider.yaml") || !strings.Contains(conffiles, "/etc/default/postrider") {
		t.Errorf("conffiles: %s", conffiles)
	}
	if account := s.run("getent", "passwd", "postrider"); !strings.Contains(account, "/nologin") {
		t.Errorf("the user can log in: %s", account)
	}
	if text := s.run("dpkg", "--audit"); text != "" {
		t.Error(text)
	}
}

// checkMail starts the service's command as the service's user and hands mail in as
// the user of a web server does.
func (s system) checkMail() {
	t := s.t
	t.Helper()
	serve := s.command("postrider", "/usr/bin/postrider", "serve")
	serve.Env = append(serve.Env, "POSTRIDER_DATA_DIR=/var/lib/postrider", "POSTRIDER_SUBMISSION_LISTEN=127.88.0.3:2588",
		"POSTRIDER_HTTP_LISTEN=127.88.0.3:8088", "POSTRIDER_IMAP_LISTEN=off", "POSTRIDER_POP3_LISTEN=off", "POSTRIDER_DNS_SERVERS=127.88.0.3:53")
	for line := range strings.Lines(s.read("/etc/default/postrider")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			serve.Env = append(serve.Env, line)
		}
	}
	var log bytes.Buffer
	serve.Stdout, serve.Stderr = &log, &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		err := serve.Process.Signal(syscall.SIGTERM)
		if err := serve.Wait(); err != nil || t.Failed() {
			t.Errorf("serve: %v\n%s", err, log.String())
		}
		if err != nil {
			t.Error(err)
		}
	}()
	ready := func() error { return s.command("root", "postrider", "health").Run() }
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for err := ready(); err != nil; err = ready() {
		if time.Now().After(deadline) {
			t.Errorf("postrider health: %v", err)
			return
		}
		<-tick.C
	}
	send := s.command("www-data", "/usr/sbin/sendmail", "-t", "-i", "-fwww@shop.test")
	send.Stdin = strings.NewReader("From: www@shop.test\nTo: b@customer.test\nSubject: from the package\n\nHello\n")
	if text, err := send.CombinedOutput(); err != nil {
		t.Errorf("sendmail: %v\n%s", err, text)
	}
	if queue := s.run("mailq"); !strings.Contains(queue, "b@customer.test") {
		t.Errorf("mailq: %s", queue)
	}
	if text := s.run("newaliases"); text != "" {
		t.Errorf("newaliases: %s", text)
	}
	if text, err := s.command("www-data", "postrider", "queue", "list").CombinedOutput(); err == nil {
		t.Errorf("anybody sees the queue: %s", text)
	}
	if got := s.mode("/var/lib/postrider"); got.Perm() != 0o711 {
		t.Errorf("/var/lib/postrider is %v", got)
	}
}

func (s system) mode(path string) fs.FileMode {
	s.t.Helper()
	info, err := os.Stat(s.root + path)
	if err != nil {
		s.t.Error(err)
		return 0
	}
	return info.Mode()
}

func TestABuildCommandIsTakenFromTheDockerfileOrRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, c := range []struct {
		text string
		good bool
	}{
		{"RUN --mount=type=cache \\\n    [\"go\", \"build\", \"-o\", \"/out/x\", \".\"]\n", true},
		{"RUN go build -o /out/x .\n", false},
		{"    [\"go\", \"build\", \".\"]\n", false},
		{"    [\"go\", \"build\", \"-o\"]\n", false},
		{"    [\"go\", \"build\",\n", false},
		{"", false},
	} {
		file := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if args, err := buildCommand(file); (err == nil) != c.good {
			t.Errorf("%q: %q, %v", c.text, args, err)
		}
	}
}
