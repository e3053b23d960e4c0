package sendmail

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// received is one message that the test relay took.
type received struct {
	mail  string
	rcpts []string
	data  string // dots undone, with CRLF
}

// scriptedRelay is an SMTP server with the replies of a test.
type scriptedRelay struct {
	banner     string
	extensions []string
	// answer gives the reply to a command line, or "" for the usual one.
	// "close" hangs up. The final dot is asked as ".".
	answer func(line string) string
	tls    *tls.Config // for STARTTLS

	mu       sync.Mutex
	commands []string
	messages []received

	listener net.Listener
	wg       sync.WaitGroup
}

var fullExtensions = []string{"PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"}

// start listens on a unix socket and returns its path.
func (s *scriptedRelay) start(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sm") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "submit.sock")
	s.serve(t, "unix", path)
	return path
}

func (s *scriptedRelay) serve(t *testing.T, network, address string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s.accept(t, l)
}

func (s *scriptedRelay) accept(t *testing.T, l net.Listener) {
	t.Helper()
	if s.banner == "" {
		s.banner = "220 relay.test ESMTP"
	}
	s.listener = l
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.session(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); s.wg.Wait() })
}

func (s *scriptedRelay) session(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	r := bufio.NewReader(conn)
	fmt.Fprintf(conn, "%s\r\n", s.banner)
	var m received
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		s.note(func() { s.commands = append(s.commands, line) })
		reply := s.reply(line)
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch {
		case reply == "close":
			return
		case verb == "MAIL" && reply[0] == '2':
			m = received{mail: line}
		case verb == "RCPT" && reply[0] == '2':
			m.rcpts = append(m.rcpts, line)
		case verb == "RSET":
			m = received{}
		case verb == "DATA" && reply[0] == '3':
			fmt.Fprintf(conn, "%s\r\n", reply)
			data, err := readData(r)
			if err != nil {
				return
			}
			m.data = data
			if reply = s.reply("."); reply == "close" {
				return
			}
			if reply[0] == '2' {
				s.note(func() { s.messages = append(s.messages, m) })
			}
			m = received{}
		}
		fmt.Fprintf(conn, "%s\r\n", reply)
		if verb == "STARTTLS" && reply[0] == '2' {
			conn = tls.Server(conn, s.tls)
			r = bufio.NewReader(conn)
		}
		if verb == "QUIT" {
			return
		}
	}
}

func readData(r *bufio.Reader) (string, error) {
	var data strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" {
			return data.String(), nil
		}
		data.WriteString(strings.TrimPrefix(line, "."))
	}
}

func (s *scriptedRelay) reply(line string) string {
	if s.answer != nil {
		if text := s.answer(line); text != "" {
			return text
		}
	}
	verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
	switch verb {
	case "EHLO":
		lines := append([]string{"relay.test"}, s.extensions...)
		return "250-" + strings.Join(lines[:len(lines)-1], "\r\n250-") + "\r\n250 " + lines[len(lines)-1]
	case "STARTTLS":
		return "220 2.0.0 Go ahead"
	case "DATA":
		return "354 go on"
	case ".":
		return "250 2.0.0 Ok: queued as msg_1"
	case "QUIT":
		return "221 2.0.0 Bye"
	case "AUTH":
		return "235 2.7.0 Ok"
	default:
		return "250 2.0.0 Ok"
	}
}

func (s *scriptedRelay) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *scriptedRelay) taken() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages
}

func (s *scriptedRelay) said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commands
}

// one returns the only message the relay took.
func (s *scriptedRelay) one(t *testing.T) received {
	t.Helper()
	got := s.taken()
	if len(got) != 1 {
		t.Fatalf("the relay took %d messages, want 1; commands %q", len(got), s.said())
	}
	return got[0]
}

func (m received) to() string {
	var list []string
	for _, line := range m.rcpts {
		path, _, _ := strings.Cut(strings.TrimPrefix(line, "RCPT TO:<"), ">")
		list = append(list, path)
	}
	return strings.Join(list, " ")
}

func (m received) from() string {
	path, _, _ := strings.Cut(strings.TrimPrefix(m.mail, "MAIL FROM:<"), ">")
	return path
}

// result is what a caller sees of one run.
type result struct {
	code           int
	stdout, stderr string
}

// call is a command line with its surroundings: user www-data on host web1,
// and nothing configured but the socket.
func call(socket string, args ...string) Invocation {
	return Invocation{
		Args:       append([]string{"/usr/sbin/sendmail"}, args...),
		LookupUser: func() (string, string, error) { return "www-data", "www-data", nil },
		Hostname:   func() (string, error) { return "web1", nil },
		Paths:      Paths{Sockets: []string{socket}},
	}
}

func (inv Invocation) run(t *testing.T, input string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	inv.Stdout, inv.Stderr = &stdout, &stderr
	if inv.Stdin == nil {
		inv.Stdin = strings.NewReader(input)
	}
	code := Run(t.Context(), inv)
	return result{code, stdout.String(), stderr.String()}
}

func (r result) must(t *testing.T, code int) {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d; stderr %q", r.code, code, r.stderr)
	}
	if code != 0 && (strings.Count(r.stderr, "\n") < 1 || !strings.HasPrefix(r.stderr, "sendmail: ")) {
		t.Fatalf("exit code %d without a reason on stderr: %q", code, r.stderr)
	}
}
