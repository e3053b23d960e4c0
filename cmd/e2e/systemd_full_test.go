//go:build full

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// mostExposed is how much of the machine the unit may leave open, in tenths, as
// `systemd-analyze security` counts: 0 is nothing, 100 is everything.
const mostExposed = 16

func TestSystemdFindsNothingWrongWithTheUnits(t *testing.T) {
	t.Parallel()
	dir := e2etest.Dir(t)
	units, err := filepath.Glob(filepath.Join(moduleRoot, "configs/systemd/*"))
	if err != nil || len(units) < 5 {
		t.Fatalf("units: %q, %v", units, err)
	}
	var copies []string
	for _, unit := range units {
		// It looks for the program, which is not installed here.
		text := strings.Replace(string(readFile(t, unit)), "ExecStart=postrider ", "ExecStart="+e2etest.Program(t)+" ", 1)
		if strings.HasSuffix(unit, ".service") && !strings.Contains(text, "ExecStart=/") {
			t.Errorf("%s starts something else than postrider", unit)
		}
		file := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, file)
	}
	if out := command(t, "systemd-analyze", append([]string{"verify", "--man=no"}, copies...)...); out != "" {
		t.Error(out)
	}
	command(t, "systemd-analyze", "security", "--offline=true", fmt.Sprintf("--threshold=%d", mostExposed), filepath.Join(dir, "postrider.service"))
}

// What the unit forbids must not be what the program does.
func TestTheUnitsFilterLetsAllSystemCallsOfTheProgramPass(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	dir := e2etest.Dir(t)
	trace := filepath.Join(dir, "trace")
	env := world.Env()
	maps.Copy(env, e2etest.Env{
		"POSTRIDER_DATA_DIR": filepath.Join(dir, "data"), "POSTRIDER_ACCOUNTS": e2etest.User + ":" + e2etest.Password, "POSTRIDER_DELIVERY_IPV6": "off",
		"POSTRIDER_SUBMISSION_LISTEN": "127.0.0.1:0", "POSTRIDER_HTTP_LISTEN": "127.0.0.1:0", "POSTRIDER_IMAP_LISTEN": "127.0.0.1:0", "POSTRIDER_POP3_LISTEN": "127.0.0.1:0",
	})
	relay := e2etest.LaunchBy(t, dir, env, func(cmd *exec.Cmd) {
		byWayOf(t, cmd, "strace", "--daemonize", "--follow-forks", "--quiet=all", "--output="+trace)
	})
	relay.AwaitReady(t)
	relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, []byte("Subject: traced\r\n\r\nHello\r\n"))
	e2etest.Receive(ctx, t, mx, 1)
	relay.Signal(t, syscall.SIGTERM)
	if status := relay.Wait(ctx, t); status != 0 {
		t.Errorf("after SIGTERM the exit status is %d", status)
	}
	allowed := allowedCalls(t)
	made := map[string]bool{}
	for _, call := range systemCall.FindAllStringSubmatch(string(readFile(t, trace)), -1) {
		made[call[1]] = true
	}
	if len(made) < 20 {
		t.Errorf("only these calls were seen: %q", slices.Sorted(maps.Keys(made)))
	}
	for _, call := range slices.Sorted(maps.Keys(made)) {
		if !allowed[call] {
			t.Errorf("the program calls %s, which the unit forbids", call)
		}
	}
}

// systemCall is a line of strace's: a process, a name, arguments.
var systemCall = regexp.MustCompile(`(?m)^\d+ +([a-z0-9_]+)\(`)

// allowedCalls are those that the unit's filter leaves.
func allowedCalls(t *testing.T) map[string]bool {
	t.Helper()
	allowed := map[string]bool{}
	for _, filter := range filters.FindAllStringSubmatch(string(readFile(t, filepath.Join(moduleRoot, "configs/systemd/postrider.service"))), -1) {
		for _, set := range strings.Fields(filter[2]) {
			for _, call := range callsOf(t, set) {
				allowed[call] = filter[1] == ""
			}
		}
	}
	return allowed
}

var filters = regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.+)$`)

// callsOf lists the calls of a set of systemd's, with those of sets within it.
func callsOf(t *testing.T, set string) []string {
	t.Helper()
	var calls []string
	for line := range strings.Lines(command(t, "systemd-analyze", "syscall-filter", set)) {
		switch word := strings.TrimSpace(line); {
		case word == set || word == "" || strings.HasPrefix(word, "#"):
		case strings.HasPrefix(word, "@"):
			calls = append(calls, callsOf(t, word)...)
		default:
			calls = append(calls, word)
		}
	}
	return calls
}

func TestSystemdHandsSocketsOverAndHearsThatTheRelayIsReady(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	dir := e2etest.Dir(t)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	deadline, _ := ctx.Deadline()
	if err := manager.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	// The program that stands in for systemd wants ports; this address is nobody else's.
	names := map[string]string{"submission": "127.88.0.1:2577", "http": "127.88.0.1:8077", "imap": "127.88.0.1:1177", "pop3": "127.88.0.1:1178"}
	env := e2etest.Env{
		"POSTRIDER_DATA_DIR": filepath.Join(dir, "data"), "POSTRIDER_ACCOUNTS": e2etest.User + ":" + e2etest.Password,
		"NOTIFY_SOCKET": filepath.Join(dir, "notify"),
		// Replaced by what is handed over: nothing may listen there.
		"POSTRIDER_SUBMISSION_LISTEN": "127.88.0.2:2577", "POSTRIDER_HTTP_LISTEN": "127.88.0.2:8077",
	}
	relay := e2etest.LaunchBy(t, dir, env, func(cmd *exec.Cmd) {
		args := []string{"--fdname=" + strings.Join(slices.Sorted(maps.Keys(names)), ":")}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			args = append(args, "--listen="+names[name])
		}
		for name, value := range env {
			args = append(args, "--setenv="+name+"="+value)
		}
		byWayOf(t, cmd, "systemd-socket-activate", args...)
	})
	// It starts the relay when the first client comes, who is served all the same.
	var c *e2etest.Client
	e2etest.Poll(ctx, t, func() error {
		var err error
		c, err = e2etest.Login(ctx, names["submission"], e2etest.User, e2etest.Password)
		return err
	})
	defer c.Close()
	if _, err := c.Send("a@shop.test", []string{"b@customer.test"}, []byte("Subject: activated\r\n\r\nHello\r\n")); err != nil {
		t.Error(err)
	}
	started := relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("relay started") })
	for name, address := range names {
		if got := started.Attr(name); !strings.Contains(got, address) {
			t.Errorf("%s listens on %s, want %s", name, got, address)
		}
	}
	if conn, err := net.Dial("tcp", "127.88.0.2:2577"); err == nil {
		conn.Close()
		t.Error("it listens where the configuration says, beside the socket that was handed over")
	}
	if _, err := e2etest.Fetch(ctx, "http://"+names["http"]+"/readyz"); err != nil {
		t.Error(err)
	}
	expectState(t, manager, "READY=1")
	relay.Signal(t, syscall.SIGTERM)
	expectState(t, manager, "STOPPING=1")
	if status := relay.Wait(ctx, t); status != 0 {
		t.Errorf("after SIGTERM the exit status is %d", status)
	}
}

// byWayOf has another program start the command, and become it.
func byWayOf(t *testing.T, cmd *exec.Cmd, program string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args = slices.Concat([]string{program}, args, []string{cmd.Path}, cmd.Args[1:])
	cmd.Path = path
}

func expectState(t *testing.T, manager *net.UnixConn, want string) {
	t.Helper()
	b := make([]byte, 256)
	n, err := manager.Read(b)
	if err != nil || string(b[:n]) != want {
		t.Errorf("systemd hears %q (%v), want %q", b[:n], err, want)
	}
}

func TestSocketsThatMeanNothingEndTheStartWithWhatToDo(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	dir := e2etest.Dir(t)
	for name, c := range map[string]struct{ fdname, want string }{
		"an unknown name":        {"smtp", "set FileDescriptorName to submission"},
		"TLS and no certificate": {"submission-tls", "submission.listen (a socket that was handed over)"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		relay := e2etest.LaunchBy(t, dir, e2etest.Env{"POSTRIDER_DATA_DIR": filepath.Join(dir, "data")}, handOver(t, l, c.fdname))
		if status := relay.Wait(ctx, t); status != 78 || !strings.Contains(relay.Err.Text(), c.want) {
			t.Errorf("%s: it exits %d, want 78 and a word of %q: %s", name, status, c.want, relay.Err.Text())
		}
		l.Close()
	}
}

// handOver gives a listening socket to a process, as systemd does.
func handOver(t *testing.T, l net.Listener, name string) func(*exec.Cmd) {
	t.Helper()
	return func(cmd *exec.Cmd) {
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		cmd.ExtraFiles = []*os.File{f}
		cmd.Env = append(cmd.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES="+name)
		// Only the process itself knows its number before it runs.
		byWayOf(t, cmd, "sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh")
	}
}

// tally is what many clients met.
type tally struct {
	mu      sync.Mutex
	sent    int
	put     int // 421: come again
	refused []error
}

func (c *tally) count(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var reply *textproto.Error
	switch {
	case err == nil:
		c.sent++
	case errors.As(err, &reply) && reply.Code == 421:
		c.put++
	default:
		c.refused = append(c.refused, err)
	}
}

func (c *tally) sofar() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent
}

func TestNoClientIsRefusedWhileTheRelayRestarts(t *testing.T) {
	t.Parallel()
	const clients, restarts, between = 16, 4, 100
	ctx := within(t, 5*time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	dir := e2etest.Dir(t)
	env := e2etest.Env{
		"POSTRIDER_DATA_DIR": filepath.Join(dir, "data"), "POSTRIDER_HTTP_LISTEN": "127.0.0.1:0", "POSTRIDER_IMAP_LISTEN": "off", "POSTRIDER_POP3_LISTEN": "off",
		"POSTRIDER_ACCOUNTS": e2etest.User + ":" + e2etest.Password, "POSTRIDER_RETRY": "1s", "POSTRIDER_RATE_PER_HOUR": "0", "POSTRIDER_DELIVERY_IPV6": "off",
		"POSTRIDER_STORAGE_MIN_FREE": "1MiB", "POSTRIDER_STORAGE_RESERVE": "1MiB", "POSTRIDER_DOCTOR_EVERY": "off",
	}
	maps.Copy(env, world.Env())

	var met tally
	clientsCtx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for clientsCtx.Err() == nil {
				met.count(sendOnce(ctx, socket.Addr().String()))
			}
		})
	}
	for n := range restarts + 1 {
		relay := e2etest.LaunchBy(t, dir, env, handOver(t, socket, "submission"))
		relay.AwaitReady(t)
		seen := met.sofar()
		e2etest.Poll(ctx, t, func() error {
			if met.sofar() < seen+between {
				return errors.New("too few mails so far")
			}
			return nil
		})
		if n == restarts {
			stop()
			wg.Wait()
			e2etest.Receive(ctx, t, mx, met.sofar())
		}
		relay.Signal(t, syscall.SIGTERM)
		if status := relay.Wait(ctx, t); status != 0 {
			t.Errorf("after SIGTERM the exit status is %d", status)
		}
	}
	t.Logf("%d mails sent over %d restarts, %d clients asked to come again", met.sent, restarts, met.put)
	if len(met.refused) > 0 {
		t.Errorf("%d clients were refused or cut off; the first: %v", len(met.refused), met.refused[0])
	}
}

// sendOnce is a whole session of a client that makes a new connection for each
// mail.
func sendOnce(ctx context.Context, addr string) error {
	c, err := e2etest.Login(ctx, addr, e2etest.User, e2etest.Password)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Send("a@shop.test", []string{"b@customer.test"}, []byte("Subject: restart\r\n\r\nHello\r\n")); err != nil {
		return err
	}
	if err := c.Quit(); err != nil && !errors.As(err, new(*textproto.Error)) {
		return err
	}
	return nil
}
