package redistest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// waitTime bounds every wait for a server; machines that run tests are busy.
	waitTime = 30 * time.Second
	// pollTime lies between two looks at one that is not as it should be yet.
	pollTime = 3 * time.Millisecond

	configFile = "redis.conf"
	outputFile = "output"
)

// durable is what every data server is set to. A test that kills servers wants
// to connect again at once, hence the short waits of replication.
const durable = `
appendonly yes
appendfsync always
maxmemory-policy noeviction
save ""
hash-max-listpack-value 1024
io-threads 1
repl-diskless-sync-delay 0
repl-ping-replica-period 1
enable-debug-command yes
`

// Server is a process of Redis with a port and a directory of its own, which
// outlive the process.
type Server struct {
	path     string
	mode     []string // arguments after the configuration file
	settings string   // without the port
	dir      string
	port     int
	bus      int // port between nodes of a Cluster; otherwise 0
	secure   int // port that speaks TLS; 0: none

	client *redis.Client

	mu   sync.Mutex
	run  *process
	used time.Duration // processor time of earlier runs
}

// StartServer runs a server and waits until it answers. Settings are lines of
// redis.conf that come after those of the package.
func StartServer(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := newServer(t, durable+strings.Join(settings, "\n"))
	s.start(t)
	return s
}

func newServer(t testing.TB, settings string, mode ...string) *Server {
	t.Helper()
	return &Server{path: program(t), dir: t.TempDir(), settings: settings, mode: mode}
}

// startTries is how often another port is tried when one was taken since it was
// found free.
const startTries = 5

// start runs the server for the first time and cleans up after it.
func (s *Server) start(t testing.TB) {
	t.Helper()
	t.Cleanup(func() { s.end(t) })
	for try := 1; ; try++ {
		s.port = newPort(t)
		if err := s.configure(t); err != nil {
			t.Fatal(err)
		}
		err := s.launch()
		if err == nil {
			break
		}
		if try == startTries || !strings.Contains(s.Output(), "Address already in use") {
			t.Fatalf("start a server: %v", err)
		}
	}
	s.client = redis.NewClient(&redis.Options{
		Addr: s.Addr(), Password: s.setting("requirepass"), DisableIdentity: true, PoolSize: 4, DialerRetries: 1, ContextTimeoutEnabled: true,
	})
}

// configure writes the configuration file, into which the server itself writes
// what others make of it (CONFIG REWRITE).
func (s *Server) configure(t testing.TB) error {
	text := fmt.Sprintf("bind %s\nport %d\ndir %q\n", loopback, s.port, s.dir)
	if s.bus != 0 {
		s.bus = newPort(t)
		text += fmt.Sprintf("cluster-port %d\n", s.bus)
	}
	return os.WriteFile(filepath.Join(s.dir, configFile), []byte(text+s.settings+"\n"), 0o600)
}

// launch runs the server on its port and waits until it serves.
func (s *Server) launch() error {
	run, err := launch(s.path, append([]string{configFile}, s.mode...), s.dir, filepath.Join(s.dir, outputFile))
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.run != nil {
		used, _ := s.run.cpu() // it has ended, then this cannot fail
		s.used += used
	}
	s.run = run
	s.mu.Unlock()
	if err := s.awaitAnswer(run); err != nil {
		run.kill()
		return err
	}
	return nil
}

// latest is the process that runs, or ran last; nil before the first.
func (s *Server) latest() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

// awaitAnswer waits until the process itself, and not another on its port, has
// loaded its data.
func (s *Server) awaitAnswer(run *process) error {
	for deadline := time.Now().Add(waitTime); ; time.Sleep(pollTime) {
		err := probe(s.Addr(), run.cmd.Process.Pid)
		switch {
		case err == nil:
			return nil
		case run.ended():
			return fmt.Errorf("the server at %s ended: %v; it said:\n%s", s.Addr(), run.cmd.ProcessState, s.Output())
		case time.Now().After(deadline):
			return fmt.Errorf("the server at %s does not answer: %w; it said:\n%s", s.Addr(), err, s.Output())
		}
	}
}

// outputShown is how much of its output is shown of a server of a failed test.
const outputShown = 2000

func (s *Server) end(t testing.TB) {
	if s.client != nil {
		s.client.Close()
	}
	s.Kill()
	if t.Failed() {
		out := s.Output()
		t.Logf("the server at %s said:\n%s", s.Addr(), out[max(0, len(out)-outputShown):])
	}
}

// Addr is host:port.
func (s *Server) Addr() string { return address(s.port) }

// Port is the port of Addr.
func (s *Server) Port() int { return s.port }

// Dir is where its configuration and data lie.
func (s *Server) Dir() string { return s.dir }

// PID is that of the process that runs, or ran last.
func (s *Server) PID() int { return s.latest().cmd.Process.Pid }

// Client is a client for the test's own looks, closed in the end. With one
// connection refused after another it waits for up to a second.
func (s *Server) Client() *redis.Client { return s.client }

// Output is what the server printed, in all of its runs.
func (s *Server) Output() string {
	text, err := os.ReadFile(filepath.Join(s.dir, outputFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(text)
}

// setting is the last value that the test gave for a setting.
func (s *Server) setting(name string) string {
	value := ""
	for line := range strings.Lines(s.settings) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			value = strings.Trim(strings.TrimSpace(rest), `"`)
		}
	}
	return value
}

// Running says whether there is a process, be it paused.
func (s *Server) Running() bool {
	run := s.latest()
	return run != nil && !run.ended()
}

// Kill ends the process by SIGKILL, also a paused one, and waits for its end.
// Nothing happens if it has ended.
func (s *Server) Kill() {
	if run := s.latest(); run != nil {
		run.kill()
	}
}

// Restart runs the server again, on the same port and data, after killing it if
// it still runs, and waits until it has loaded them.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Kill()
	if err := s.launch(); err != nil {
		t.Fatalf("restart a server: %v", err)
	}
}

// Pause halts the process by SIGSTOP. The system goes on accepting connections
// for it, which then hang.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	if err := s.latest().stop(); err != nil {
		t.Fatalf("pause the server at %s: %v", s.Addr(), err)
	}
}

// Resume continues a paused process.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	if err := s.latest().cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatalf("resume the server at %s: %v", s.Addr(), err)
	}
}

// CPU is the processor time, user and system, that the server has used in all of
// its runs, in steps of 10 ms.
func (s *Server) CPU(t testing.TB) time.Duration {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	used, err := s.run.cpu()
	if err != nil {
		t.Fatalf("processor time of the server at %s: %v", s.Addr(), err)
	}
	return s.used + used
}

// AOFSize is the size of its append-only files.
func (s *Server) AOFSize(t testing.TB) int64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "appendonlydir", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	return size
}
