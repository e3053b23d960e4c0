package e2etest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"postrider/api/client"
)

// The account that every Relay has unless the test sets others.
const (
	User     = "shop"
	Password = "open-sesame"
)

// startTime bounds how long the program may take until it is ready; machines
// that run tests are busy.
const startTime = 20 * time.Second

// Env holds environment variables of the program by name. An empty value takes a
// default of Relay away.
type Env map[string]string

// Relay is a running program.
type Relay struct {
	Dir       string // its working directory
	DataDir   string
	SMTP      string   // address of the first submission listener, once ready
	HTTP      string   // address of the first HTTP listener, once ready
	IMAP      string   // address of the first IMAP listener, once ready
	POP3      string   // address of the first POP3 listener, once ready
	Listeners []string // addresses of all submission listeners, once ready
	Out       *Log     // standard output: the log
	Err       *Log     // standard error: what people read

	env  Env
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended and its output is read
}

// defaults make the program small, quick to retry and free of limits. It does not
// examine itself, and one address may bounce again and again.
func defaults(dir string) Env {
	return Env{
		"POSTRIDER_DATA_DIR":          filepath.Join(dir, "data"),
		"POSTRIDER_HOSTNAME":          "relay.test",
		"POSTRIDER_SUBMISSION_LISTEN": "127.0.0.1:0",
		"POSTRIDER_HTTP_LISTEN":       "127.0.0.1:0",
		"POSTRIDER_IMAP_LISTEN":       "127.0.0.1:0",
		"POSTRIDER_POP3_LISTEN":       "127.0.0.1:0",
		"POSTRIDER_ACCOUNTS":          User + ":" + Password,
		"POSTRIDER_DELIVERY_IPV6":     "off",
		"POSTRIDER_RETRY":             "1s",
		"POSTRIDER_RATE_PER_HOUR":     "0",
		"POSTRIDER_RATE_HOLD_FACTOR":  "0",
		"POSTRIDER_STORAGE_MIN_FREE":  "1MiB",
		"POSTRIDER_STORAGE_RESERVE":   "1MiB",

		"POSTRIDER_SUPPRESSION_BOUNCES": "false",
		"POSTRIDER_DOCTOR_EVERY":        "off",
	}
}

// Start runs the program in a new directory with the given environment over
// the defaults, and waits until it is ready.
func Start(t testing.TB, envs ...Env) *Relay {
	t.Helper()
	return StartIn(t, Dir(t), envs...)
}

// StartIn is Start in a directory that exists.
func StartIn(t testing.TB, dir string, envs ...Env) *Relay {
	t.Helper()
	env := defaults(dir)
	for _, e := range envs {
		maps.Copy(env, e)
	}
	r := Launch(t, dir, env)
	r.AwaitReady(t)
	return r
}

// Launch runs `postrider serve` with exactly this environment, and does not
// wait.
func Launch(t testing.TB, dir string, env Env) *Relay {
	t.Helper()
	return LaunchBy(t, dir, env, func(*exec.Cmd) {})
}

// LaunchBy is Launch by way of another program, or with files that are open
// already: change is called before the process starts. Whatever it starts must
// become the program.
func LaunchBy(t testing.TB, dir string, env Env, change func(*exec.Cmd)) *Relay {
	t.Helper()
	r := &Relay{
		Dir: dir, DataDir: env["POSTRIDER_DATA_DIR"], env: env,
		Out: newLog(), Err: newLog(), done: make(chan struct{}),
		cmd: exec.Command(Program(t), "serve"),
	}
	if r.DataDir == "" {
		r.DataDir = filepath.Join(dir, "postrider-data")
	}
	r.cmd.Dir, r.cmd.Env = dir, environ(env)
	change(r.cmd)
	if err := r.run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Kill()
		if t.Failed() {
			t.Logf("standard error of %s:\n%s\nits log, without what went well:\n%s", dir, r.Err.Text(), excerpt(r.Out))
		}
	})
	return r
}

func environ(env Env) []string {
	list := []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if env[name] != "" {
			list = append(list, name+"="+env[name])
		}
	}
	return list
}

// excerptLines is how much of a log is shown of a failed test.
const excerptLines = 25

// excerpt is the end of a log without the lines that every message makes.
func excerpt(l *Log) string {
	lines := l.All(func(line Line) bool { return !line.Is("message accepted") && !line.Is("delivered") })
	text := ""
	for _, line := range lines[max(0, len(lines)-excerptLines):] {
		text += line.Text + "\n"
	}
	return text
}

func (r *Relay) run() error {
	// Pipes of our own: Wait must not take the output away from its readers.
	outR, outW, err := os.Pipe()
	if err != nil {
		return err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return errors.Join(err, outR.Close(), outW.Close())
	}
	r.cmd.Stdout, r.cmd.Stderr = outW, errW
	err = r.cmd.Start()
	outW.Close()
	errW.Close()
	if err != nil {
		outR.Close()
		errR.Close()
		return fmt.Errorf("start the program: %w", err)
	}
	read := make(chan struct{}, 2)
	go func() { r.Out.follow(outR); outR.Close(); read <- struct{}{} }()
	go func() { r.Err.follow(errR); errR.Close(); read <- struct{}{} }()
	go func() {
		_ = r.cmd.Wait() // how it ended is in ProcessState
		<-read
		<-read
		close(r.done)
	}()
	return nil
}

// PID of the process that was started.
func (r *Relay) PID() int { return r.cmd.Process.Pid }

// AwaitReady waits until the program has said where it listens and takes mail.
func (r *Relay) AwaitReady(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	if err := r.Ready(ctx); err != nil {
		t.Fatalf("the program is not ready: %v\nstandard error:\n%s", err, r.Err.Text())
	}
}

// Ready is AwaitReady with an error.
func (r *Relay) Ready(ctx context.Context) error {
	line, err := r.Out.Await(ctx, func(line Line) bool { return line.Is("relay started") })
	if err != nil {
		return err
	}
	r.Listeners = list(line, "submission")
	r.SMTP, r.HTTP = first(r.Listeners), first(list(line, "http"))
	r.IMAP, r.POP3 = first(list(line, "imap")), first(list(line, "pop3"))
	return poll(ctx, func() error {
		_, err := Fetch(ctx, "http://"+r.HTTP+"/readyz")
		return err
	})
}

// list is an attribute that is a list of texts.
func list(line Line, key string) []string {
	var texts []string
	all, _ := line.Attrs[key].([]any)
	for _, v := range all {
		texts = append(texts, fmt.Sprint(v))
	}
	return texts
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// Fetch returns what is served at an URL, which must answer 200.
func Fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return string(body), err
}

// poll calls try until it returns nil or ctx ends.
func poll(ctx context.Context, try func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", ctx.Err(), err)
		}
	}
}

// Poll calls try until it returns nil, and fails the test when ctx ends before.
func Poll(ctx context.Context, t testing.TB, try func() error) {
	t.Helper()
	if err := poll(ctx, try); err != nil {
		t.Fatal(err)
	}
}

// Admin speaks to the admin socket.
func (r *Relay) Admin() *client.Client { return client.NewSocket(r.AdminSocket()) }

// AdminSocket is its path.
func (r *Relay) AdminSocket() string { return filepath.Join(r.DataDir, "admin.sock") }

// SubmitSocket is the path of the socket for local programs.
func (r *Relay) SubmitSocket() string { return filepath.Join(r.DataDir, "submit.sock") }

// Signal sends a signal to the process.
func (r *Relay) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the process by SIGKILL and waits for its end.
func (r *Relay) Kill() {
	_ = r.cmd.Process.Kill() // it may have ended
	<-r.done
}

// Done is closed when the process has ended and all of its output was read.
func (r *Relay) Done() <-chan struct{} { return r.done }

// Wait waits for the end and returns the exit status, -1 after a signal.
func (r *Relay) Wait(ctx context.Context, t testing.TB) int {
	t.Helper()
	select {
	case <-r.done:
		return r.cmd.ProcessState.ExitCode()
	case <-ctx.Done():
		t.Fatalf("the program has not ended: %v", ctx.Err())
		return 0
	}
}

// Restart runs the program again as it was started, after it has ended, and
// waits until it is ready. Its listeners may get other ports.
func (r *Relay) Restart(t testing.TB) *Relay {
	t.Helper()
	again := Launch(t, r.Dir, r.env)
	again.AwaitReady(t)
	return again
}

// MemoryMiB is the resident set of the process.
func (r *Relay) MemoryMiB(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", r.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var total, resident int
	if _, err := fmt.Sscan(string(text), &total, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize() >> 20
}
