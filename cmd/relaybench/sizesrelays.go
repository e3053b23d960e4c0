package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// buildProgram builds the static program as it is released.
func buildProgram(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "postrider/cmd/postrider")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return nil
}

// program is our own relay, in one file.
type program string

func (program) name() string { return "Postrider" }

func (p program) footprint(context.Context) (installed, packed int64, err error) {
	info, err := os.Stat(string(p))
	if err != nil {
		return 0, 0, err
	}
	packed, err = compressed(string(p))
	return info.Size(), packed, err
}

func (p program) start(_ context.Context, dir, addr string) (*launched, error) {
	cmd := exec.Command(string(p), "serve")
	// Everything that it listens on by default, at ports of our own.
	cmd.Env = []string{
		"POSTRIDER_DATA_DIR=" + filepath.Join(dir, "data"), "POSTRIDER_HOSTNAME=relay.example.com",
		"POSTRIDER_SUBMISSION_LISTEN=" + addr, "POSTRIDER_HTTP_LISTEN=127.0.0.1:0", "POSTRIDER_IMAP_LISTEN=127.0.0.1:0", "POSTRIDER_POP3_LISTEN=127.0.0.1:0",
		"POSTRIDER_SMARTHOST=smtp://" + nobody + "?tls=none", "POSTRIDER_TRUSTED_NETWORKS=127.0.0.0/8",
		"POSTRIDER_RATE_PER_HOUR=0", "POSTRIDER_RATE_HOLD_FACTOR=0", "POSTRIDER_DNS_SERVERS=" + nobody,
	}
	log := filepath.Join(dir, "log")
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &launched{pid: cmd.Process.Pid, began: began, stop: func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		if err := cmd.Wait(); err != nil {
			text, _ := os.ReadFile(log)
			return fmt.Errorf("%w\n%s", err, text)
		}
		return nil
	}}, nil
}

// nobody is where nothing listens.
const nobody = "127.0.0.1:1"

// debianPostfix is the Postfix of this machine's package, with a configuration
// and a queue of its own.
type debianPostfix struct{}

func (debianPostfix) name() string { return "Postfix" }

func (debianPostfix) footprint(ctx context.Context) (installed, packed int64, err error) {
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Installed-Size}", "postfix").Output()
	if err != nil {
		return 0, 0, fmt.Errorf("the package postfix is not installed: %w", err)
	}
	kb, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return 0, 0, err
	}
	// Only where the lists of packages are there.
	if out, err := exec.CommandContext(ctx, "apt-cache", "show", "postfix").Output(); err == nil {
		for line := range bytes.Lines(out) {
			if size, found := bytes.CutPrefix(line, []byte("Size: ")); found {
				packed, _ = strconv.ParseInt(string(bytes.TrimSpace(size)), 10, 64)
				break
			}
		}
	}
	return kb << 10, packed, nil
}

const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/lib
maillog_file_prefixes = %[1]s
maillog_file = %[1]s/maillog
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example.com
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
relayhost = [%[2]s]:%[3]s
`

// postfixMaster has the services of Debian's master.cf, without chroot.
const postfixMaster = `%s inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// start prepares what "postfix start" prepares, and starts the master process
// alone: the script in front of it is not counted.
func (debianPostfix) start(ctx context.Context, dir, addr string) (*launched, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("its master process needs root: run as root, or with --no-postfix")
	}
	etc := filepath.Join(dir, "etc")
	for _, sub := range []string{"etc", "spool", "lib"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	if out, err := exec.CommandContext(ctx, "chown", "postfix", filepath.Join(dir, "lib")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("chown: %w: %s", err, out)
	}
	host, port, _ := strings.Cut(nobody, ":")
	for name, text := range map[string]string{"main.cf": fmt.Sprintf(postfixMain, dir, host, port), "master.cf": fmt.Sprintf(postfixMaster, addr)} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if out, err := exec.CommandContext(ctx, "postfix", "-c", etc, "check").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("postfix check: %w\n%s", err, out)
	}
	daemons, err := exec.CommandContext(ctx, "postconf", "-c", etc, "-h", "daemon_directory").Output()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(strings.TrimSpace(string(daemons)), "master"), "-c", etc, "-d")
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &launched{pid: cmd.Process.Pid, began: began, stop: func() error { return stopMaster(cmd) }}, nil
}

// stopMaster ends the process, and with it those that it started.
func stopMaster(cmd *exec.Cmd) error {
	children := childrenOf(cmd.Process.Pid)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_ = cmd.Wait() // it ends by the signal
	deadline := time.Now().Add(10 * time.Second)
	for _, pid := range children {
		for syscall.Kill(pid, 0) == nil && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}
