//go:build full

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
)

// wordpress is an installation of Debian's package with a database of its own.
type wordpress struct {
	scripts string
	flags   []string // of php
	env     []string
}

// sending is what a script says of one wp_mail().
type sending struct {
	Name      string
	OK        bool
	Failure   string
	Took      time.Duration // ns
	ID        string        // as PHPMailer found it in the reply to the final dot
	Sent      []byte        // what PHPMailer built
	Mailer    string
	PHPMailer string
	Fired     string // the actions of WordPress that say what became of it
}

// installWordPress installs a site that sends through smtp to the given
// recipient, with more variables for all its scripts.
func installWordPress(ctx context.Context, t *testing.T, smtp, to string, env ...string) *wordpress {
	t.Helper()
	scripts, err := filepath.Abs("testdata/wordpress")
	if err != nil {
		t.Fatal(err)
	}
	dir := e2etest.Dir(t)
	content, temp := filepath.Join(dir, "content"), filepath.Join(dir, "temp")
	for _, d := range []string{content, temp} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	host, port, err := net.SplitHostPort(smtp)
	if err != nil {
		t.Fatal(err)
	}
	w := &wordpress{scripts: scripts, env: append([]string{
		"PATH=" + os.Getenv("PATH"), "WP_DB_SOCKET=" + startMariaDB(ctx, t), "WP_CONTENT=" + content, "WP_TEMP=" + temp,
		"WP_SMTP_HOST=" + host, "WP_SMTP_PORT=" + port, "WP_SMTP_USER=" + e2etest.User, "WP_SMTP_PASSWORD=" + e2etest.Password,
		"WP_TO=" + to,
	}, env...)}
	w.run(ctx, t, "install.php")
	return w
}

// run runs a script and returns the lines it printed.
func (w *wordpress) run(ctx context.Context, t *testing.T, script string, env ...string) []sending {
	t.Helper()
	var all []sending
	text := w.php(ctx, t, script, env...)
	for line := range strings.Lines(text) {
		var s sending
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%s printed %q: %v", script, line, err)
		}
		all = append(all, s)
	}
	return all
}

// php runs a script and returns what it printed.
func (w *wordpress) php(ctx context.Context, t *testing.T, script string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, "php", append(slices.Clone(w.flags), filepath.Join(w.scripts, script))...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = append(slices.Clone(w.env), env...), &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s\n%s", script, err, out.String(), errs.String())
	}
	if errs.Len() > 0 {
		t.Logf("%s says: %s", script, errs.String())
	}
	return out.String()
}

// startMariaDB runs a database server on a socket of its own and returns the
// socket's path.
func startMariaDB(ctx context.Context, t *testing.T) string {
	t.Helper()
	dir := e2etest.Dir(t)
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "db.sock")
	install := exec.CommandContext(ctx, "mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+data,
		"--auth-root-authentication-method=normal", "--skip-test-db")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	ready := make(chan struct{})
	startDaemon(t, func(line string) {
		if strings.Contains(line, "ready for connections") {
			close(ready)
		}
	}, "mariadbd", "--no-defaults", "--user=root", "--datadir="+data, "--socket="+socket,
		"--pid-file="+filepath.Join(dir, "db.pid"), "--skip-networking", "--skip-grant-tables",
		"--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0")
	select {
	case <-ready:
	case <-ctx.Done():
		t.Fatal("mariadbd does not get ready")
	}
	create := exec.CommandContext(ctx, "mariadb", "--no-defaults", "--socket="+socket, "-e", "CREATE DATABASE wordpress")
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("create the database: %v\n%s", err, out)
	}
	return socket
}

// startDaemon runs a command in a process group of its own until the test has
// ended; hear is called for each line of its output.
func startDaemon(t *testing.T, hear func(line string), name string, args ...string) *exec.Cmd {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		sc := bufio.NewScanner(r)
		for sc.Scan() {
			fmt.Fprintln(&said, sc.Text())
			hear(sc.Text())
		}
		r.Close()
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		late := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer late.Stop()
		_ = cmd.Wait()
		<-read
		if t.Failed() {
			t.Logf("%s said:\n%s", name, endOf(said.String()))
		}
	})
	return cmd
}
