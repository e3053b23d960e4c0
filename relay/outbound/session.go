package outbound

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"postrider/queue"
)

// session is one connection to a next hop, from its greeting to its end. It is
// used by one goroutine at a time, but for cut.
type session struct {
	raw  net.Conn // the transport
	conn net.Conn // raw, or TLS on it
	r    replyReader
	caps capabilities

	host    string
	addr    netip.AddrPort
	local   netip.Addr
	tls     string
	tlsPeer string
	policy  string
	fault   string // of TLS

	key        poolKey
	messages   int      // transactions begun
	needsReset bool     // a transaction was left open
	dead       bool     // not to be used again
	hurried    bool     // the connection is failing: do not wait long for last words
	tlsSkipped string   // why STARTTLS was not tried
	domains    []string // of the recipients so far, where the peer limits them
	oneDomain  bool     // the peer takes one recipient domain in a transaction
	spent      bool     // the peer takes no further domain
	idleSince  time.Time

	mu       sync.Mutex
	broken   bool // by cut: deadlines stay in the past
	shielded bool // between the final dot and its reply
	lease    int  // counts its users, so that a late cut hits nobody else
}

func (s *session) facts() facts {
	return facts{
		host: s.host, addr: s.addr, local: s.local, tls: s.tls, tlsPeer: s.tlsPeer, policy: s.policy, fault: s.fault,
	}
}

// arm gives the next reads and writes d.
func (s *session) arm(d time.Duration) {
	if s.hurried {
		d = min(d, time.Second)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.broken {
		_ = s.raw.SetDeadline(time.Now().Add(d))
	}
}

// attach lets ctx interrupt the session until the returned function is called.
func (s *session) attach(ctx context.Context) (detach func()) {
	s.mu.Lock()
	s.lease++
	lease := s.lease
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { s.cut(lease, false) })
	return func() {
		stop()
		s.mu.Lock()
		s.lease++
		s.mu.Unlock()
	}
}

// cut makes all reads and writes of a user fail, those of a shielded session
// only by force.
func (s *session) cut(lease int, force bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if lease != s.lease || s.shielded && !force {
		return
	}
	s.broken = true
	_ = s.raw.SetDeadline(time.Unix(1, 0))
}

// abandon cuts whoever uses the session.
func (s *session) abandon() {
	s.mu.Lock()
	lease := s.lease
	s.mu.Unlock()
	s.cut(lease, true)
}

// shield keeps the session from being interrupted; it is too late if that has
// happened.
func (s *session) shield() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shielded = !s.broken
	return s.shielded
}

func (s *session) unshield() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shielded = false
}

// ask sends one command and reads its reply.
func (s *session) ask(stage queue.Stage, command, line string, d time.Duration) (rawReply, *failure) {
	if strings.ContainsAny(line, "\r\n\x00") {
		s.dead = true
		return rawReply{}, &failure{stage: stage, text: "a command would have a line end in it", ours: errors.New("outbound: line end in the argument of " + command)}
	}
	s.arm(d)
	if _, err := io.WriteString(s.conn, line+"\r\n"); err != nil {
		s.dead, s.hurried = true, true // a last word may be there to read
	}
	return s.expect(stage, command, d)
}

// expect reads a reply. Its failures are those of the connection, which is dead
// then; 421 is a reply, but the last one.
func (s *session) expect(stage queue.Stage, command string, d time.Duration) (rawReply, *failure) {
	s.arm(d)
	raw, err := s.r.read()
	if err != nil {
		s.dead = true
		return rawReply{}, &failure{stage: stage, lost: true, text: s.explain(err, waitingFor(command))}
	}
	if raw.code == 421 {
		s.dead = true
	}
	return raw, nil
}

func waitingFor(command string) string {
	switch command {
	case "":
		return "waiting for the greeting"
	case ".":
		return "waiting for the reply to the final dot"
	}
	return "waiting for the reply to " + command
}

// explain says in our words what became of the connection.
func (s *session) explain(err error, doing string) string {
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	var pe protocolError
	switch {
	case errors.As(err, &pe):
		return pe.Error() + " " + doing
	case broken:
		return "interrupted " + doing
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timed out " + doing
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the server closed the connection while " + doing
	}
	return clipText(withoutAddresses(err)+" while "+doing, maxError)
}

// withoutAddresses leaves out the "read tcp a->b" of net's errors.
func withoutAddresses(err error) string {
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Err != nil {
		return op.Err.Error()
	}
	return err.Error()
}

// end closes the connection, with QUIT if the peer is still listening. Its
// reply is not waited for.
func (s *session) end(politely bool, d time.Duration) {
	if politely {
		s.hurried = true
		s.arm(d)
		_, _ = s.conn.Write([]byte("QUIT\r\n"))
		_ = s.conn.Close()
		return
	}
	// Not the close of TLS, which would write and may wait.
	_ = s.raw.Close()
}

// idleAlive reports whether an idle connection still looks usable. It costs one
// system call.
func (s *session) idleAlive() bool {
	if s.dead || s.r.buffered() {
		return false
	}
	switch peek(s.raw) {
	case peekQuiet:
		return true
	case peekClosed:
		return false
	}
	if s.tls == "" {
		return false // an idle server has nothing to say but 421
	}
	// It may be a message of TLS itself.
	_ = s.raw.SetReadDeadline(time.Now().Add(time.Millisecond))
	n, err := s.conn.Read(s.r.buf)
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}
