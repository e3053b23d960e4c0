package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
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
	tls     string
	tlsPeer string

	key        poolKey
	messages   int    // transactions begun
	needsReset bool   // a transaction was left open
	dead       bool   // not to be used again
	hurried    bool   // the connection is failing: do not wait long for last words
	tlsSkipped string // why STARTTLS was not tried
	idleSince  time.Time

	mu       sync.Mutex
	broken   bool // by cut: deadlines stay in the past
	shielded bool // between the final dot and its reply
	lease    int  // counts its users, so that a late cut hits nobody else
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

// open makes a session that is ready for MAIL.
func (p *Pool) open(ctx context.Context, d *delivery, host string, addr netip.AddrPort, plaintext bool) (*session, *failure) {
	t := d.target
	began := time.Now()
	dctx, cancel := context.WithTimeout(ctx, p.o.Timeouts.Connect)
	nc, err := p.o.Dial(dctx, t.LocalAddr, addr)
	cancel()
	if err != nil {
		return nil, &failure{stage: queue.StageConnect, text: "connect: " + explainDial(err, p.o.Timeouts.Connect)}
	}
	p.observe(queue.StageConnect, began)
	s := &session{raw: nc, conn: nc, host: host, addr: addr, key: d.key, r: newReplyReader(nc)}
	if !p.use(d, s) {
		_ = nc.Close()
		return nil, &failure{stage: queue.StageConnect, text: "the relay is shutting down", ours: ErrClosed}
	}
	detach := s.attach(ctx)
	defer detach()
	if f := s.begin(ctx, p, t, plaintext); f != nil {
		p.drop(d, s, f.reply.Code != 0 && f.reply.Code != 421)
		return nil, f
	}
	return s, nil
}

func (s *session) begin(ctx context.Context, p *Pool, t *Target, plaintext bool) *failure {
	if t.TLS.Mode == TLSImplicit {
		if f := s.handshake(p, t); f != nil {
			return f
		}
	}
	began := time.Now()
	raw, f := s.expect(queue.StageGreeting, "", p.o.Timeouts.Greeting)
	if f != nil {
		return f
	}
	if raw.code/100 != 2 {
		return &failure{stage: queue.StageGreeting, reply: raw.reply("")}
	}
	if s.r.buffered() {
		s.dead = true
		return &failure{stage: queue.StageGreeting, text: "protocol error: the server says more than its greeting"}
	}
	p.observe(queue.StageGreeting, began)
	began = time.Now()
	if f := s.hello(p, t); f != nil {
		return f
	}
	p.observe(queue.StageEhlo, began)
	if !plaintext && s.tls == "" {
		if f := s.startTLS(ctx, p, t); f != nil {
			return f
		}
	}
	if t.Auth.Username != "" {
		return s.login(p, t.Auth)
	}
	return nil
}

// hello says EHLO, or HELO to a server that does not know it.
func (s *session) hello(p *Pool, t *Target) *failure {
	name := t.HELO
	if name == "" {
		name = "localhost"
	}
	raw, f := s.ask(queue.StageEhlo, "EHLO", "EHLO "+name, p.o.Timeouts.Ehlo)
	if f != nil {
		return f
	}
	switch raw.code {
	case 500, 501, 502, 503, 504:
		s.caps = capabilities{}
		if raw, f = s.ask(queue.StageEhlo, "HELO", "HELO "+name, p.o.Timeouts.Ehlo); f != nil {
			return f
		}
		if raw.code/100 != 2 {
			return &failure{stage: queue.StageEhlo, reply: raw.reply("HELO")}
		}
		return nil
	}
	if raw.code/100 != 2 {
		return &failure{stage: queue.StageEhlo, reply: raw.reply("EHLO")}
	}
	s.caps = parseCapabilities(raw.text)
	return nil
}

// startTLS does what the policy asks. Failures of opportunistic TLS have
// StageTLS; the caller comes again without.
func (s *session) startTLS(ctx context.Context, p *Pool, t *Target) *failure {
	must := t.TLS.Mode == TLSRequired
	switch {
	case t.TLS.Mode == TLSNone:
		return nil
	case !s.caps.startTLS && must:
		return &failure{stage: queue.StageTLS, text: "TLS is required and the server does not offer STARTTLS"}
	case !s.caps.startTLS:
		return nil
	case !must && p.o.TLSMemory.TLSBroken(ctx, tlsMemoryKey(s.host, s.addr), p.o.Now()):
		s.tlsSkipped = "its STARTTLS is remembered as broken"
		return nil
	}
	raw, f := s.ask(queue.StageTLS, "STARTTLS", "STARTTLS", p.o.Timeouts.StartTLS)
	switch {
	case f != nil:
		f.transient = true
		return f
	case raw.code != 220 && must || raw.code == 421:
		return &failure{stage: queue.StageTLS, reply: raw.reply("STARTTLS"), transient: true}
	case raw.code != 220:
		s.tlsSkipped = "STARTTLS was answered " + raw.reply("").String()
		return nil // RFC 3207 §4: the session goes on as it was
	case s.r.buffered():
		s.dead = true
		return &failure{stage: queue.StageTLS, text: "protocol error: the server says more than its reply to STARTTLS"}
	}
	if f := s.handshake(p, t); f != nil {
		return f
	}
	if f := s.hello(p, t); f != nil {
		// With TLS 1.3 the peer's refusal of the handshake is read here.
		if f.reply.Code == 0 {
			f.stage, f.transient = queue.StageTLS, true
		}
		return f
	}
	return nil
}

func tlsMemoryKey(host string, addr netip.AddrPort) string {
	if host == "" {
		return addr.String()
	}
	return strings.ToLower(host) + ":" + strconv.Itoa(int(addr.Port()))
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

func explainDial(err error, limit time.Duration) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Sprintf("no answer within %v", limit)
	}
	return clipText(withoutAddresses(err), maxError)
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
