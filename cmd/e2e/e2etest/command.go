package e2etest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"syscall"
	"testing"
)

// Result is how a command ended.
type Result struct {
	Status         int
	Stdout, Stderr string
}

// Command is one run of the program or of another.
type Command struct {
	Path  string // empty: the program under test
	Args  []string
	Dir   string
	Env   Env
	Stdin io.Reader
	UID   uint32 // with GID: run as another user; 0 is as this one
	GID   uint32
}

// Run runs a command to its end, which must come before ctx's.
func Run(ctx context.Context, t testing.TB, c Command) Result {
	t.Helper()
	if c.Path == "" {
		c.Path = Program(t)
	}
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Dir, environ(c.Env), c.Stdin, &out, &errs
	if c.UID != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.UID, Gid: c.GID}}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("run %s %q: %v\n%s", c.Path, c.Args, err, errs.String())
	}
	return Result{Status: cmd.ProcessState.ExitCode(), Stdout: out.String(), Stderr: errs.String()}
}

// CLI runs a subcommand that administers the relay, which must succeed, and
// returns what it printed.
func (r *Relay) CLI(ctx context.Context, t testing.TB, args ...string) string {
	t.Helper()
	res := Run(ctx, t, Command{Args: args, Dir: r.Dir, Env: Env{"POSTRIDER_DATA_DIR": r.DataDir}})
	if res.Status != 0 {
		t.Fatalf("postrider %q exits %d: %s", args, res.Status, res.Stderr)
	}
	return res.Stdout
}
