//go:build full

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
)

// run runs a program of the system to its end in a directory, which is its home,
// too. One that is missing is a failure.
func run(ctx context.Context, t *testing.T, dir, name string, args ...string) e2etest.Result {
	t.Helper()
	return e2etest.Run(ctx, t, e2etest.Command{Path: name, Args: args, Dir: dir, Env: e2etest.Env{"HOME": dir}})
}

// runs demands an exit status and returns all that was printed.
func runs(ctx context.Context, t *testing.T, status int, dir, name string, args ...string) string {
	t.Helper()
	res := run(ctx, t, dir, name, args...)
	text := res.Stdout + res.Stderr
	if res.Status != status {
		t.Fatalf("%s %q exits %d, want %d:\n%s", name, args, res.Status, status, endOf([]byte(text)))
	}
	return text
}

// background is a program that waits for mail.
type background struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

// Write takes what the program prints.
func (b *background) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

func (b *background) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String()
}

// start runs a program in the background; it is killed with the test.
func start(t *testing.T, dir string, env e2etest.Env, name string, args ...string) *background {
	t.Helper()
	b := &background{name: name, cmd: exec.Command(name, args...), done: make(chan struct{})}
	b.cmd.Dir, b.cmd.Stdout, b.cmd.Stderr = dir, b, b
	b.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	for key, value := range env {
		b.cmd.Env = append(b.cmd.Env, key+"="+value)
	}
	b.cmd.WaitDelay = 5 * time.Second // a child of its own may have the output
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(b.done)
		_ = b.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill() // it may have ended
		<-b.done
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, endOf([]byte(b.text())))
		}
	})
	return b
}

// await waits until the program has printed a text.
func (b *background) await(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		if strings.Contains(b.text(), text) {
			return nil
		}
		select {
		case <-b.done:
			t.Fatalf("%s ended before it said %q:\n%s", b.name, text, endOf([]byte(b.text())))
		default:
		}
		return fmt.Errorf("%s has not said %q", b.name, text)
	})
}

// end waits for the end, after a signal unless that is 0, and returns the exit
// status, -1 if the signal was it.
func (b *background) end(ctx context.Context, t *testing.T, s syscall.Signal) int {
	t.Helper()
	if s != 0 {
		if err := b.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		t.Fatalf("%s does not end:\n%s", b.name, endOf([]byte(b.text())))
	}
	return b.cmd.ProcessState.ExitCode()
}

// told are the steps that a script tells of, each in a line of words.
type told map[string]string

func tellings(text string) told {
	steps := told{}
	for line := range strings.Lines(text) {
		if step, words, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "\t"); ok {
			steps[step] = words
		}
	}
	return steps
}

// want compares steps with pairs of what they should tell.
func (s told) want(t *testing.T, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got, ok := s[pairs[i]]; !ok || !strings.Contains(got, pairs[i+1]) {
			t.Errorf("step %q tells %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
}

// script is where a file of these tests lies.
func script(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", "clients", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// write makes a file in a directory, which others may not read: it holds a
// password.
func write(t *testing.T, dir, name, format string, args ...any) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// subdir makes a directory in another one.
func subdir(t *testing.T, dir string, names ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{dir}, names...)...)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
