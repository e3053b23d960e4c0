package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"postrider/queue"
)

// open makes a session that is ready for MAIL. With a failure it is closed, and
// good for its facts.
func (p *Pool) open(ctx context.Context, d *delivery, host string, addr netip.AddrPort, plaintext bool) (*session, *failure) {
	t := d.target
	s := &session{host: host, addr: addr, policy: t.TLS.word(), key: d.key}
	s.local, _ = t.localFor(addr.Addr()) // walk passes over those without
	if f := p.dial(ctx, s); f != nil {
		return s, f
	}
	if !p.use(d, s) {
		_ = s.raw.Close()
		return s, &failure{stage: queue.StageConnect, text: "the relay is shutting down", ours: ErrClosed}
	}
	detach := s.attach(ctx)
	defer detach()
	if f := s.begin(ctx, p, t, plaintext); f != nil {
		p.drop(d, s, f.reply.Code != 0 && f.reply.Code != 421)
		return s, f
	}
	return s, nil
}

// dial connects the session, and tells who wants to know.
func (p *Pool) dial(ctx context.Context, s *session) *failure {
	began := time.Now()
	dctx, cancel := context.WithTimeout(ctx, p.o.Timeouts.Connect)
	nc, err := p.o.Dial(dctx, s.local, s.addr)
	cancel()
	if p.o.Connected != nil && ctx.Err() == nil && !errors.As(err, new(refusedDial)) {
		p.o.Connected(s.host, s.addr, err)
	}
	if err != nil {
		return &failure{stage: queue.StageConnect, text: explainDial(err, p.o.Timeouts.Connect)}
	}
	p.observe(queue.StageConnect, began)
	s.raw, s.conn, s.r = nc, nc, newReplyReader(nc)
	if local, err := netip.ParseAddrPort(nc.LocalAddr().String()); err == nil {
		s.local = local.Addr().Unmap()
	}
	return nil
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
	case !s.caps.startTLS:
		s.fault = FaultNoStartTLS
		if must {
			return &failure{stage: queue.StageTLS, text: "TLS is required and the server does not offer STARTTLS"}
		}
		return nil
	case !must && p.o.TLSMemory.TLSBroken(ctx, tlsMemoryKey(s.host, s.addr), p.o.Now()):
		s.tlsSkipped, s.fault = "its STARTTLS is remembered as broken", FaultValidation
		return nil
	}
	raw, f := s.ask(queue.StageTLS, "STARTTLS", "STARTTLS", p.o.Timeouts.StartTLS)
	switch {
	case f != nil:
		s.fault = FaultValidation
		f.transient = true
		return f
	case raw.code != 220 && must || raw.code == 421:
		s.fault = FaultNoStartTLS
		return &failure{stage: queue.StageTLS, reply: raw.reply("STARTTLS"), transient: true}
	case raw.code != 220:
		s.fault = FaultNoStartTLS
		s.tlsSkipped = "STARTTLS was answered " + raw.reply("").String()
		return nil // RFC 3207 §4: the session goes on as it was
	case s.r.buffered():
		s.dead, s.fault = true, FaultValidation
		return &failure{stage: queue.StageTLS, text: "protocol error: the server says more than its reply to STARTTLS"}
	}
	if f := s.handshake(p, t); f != nil {
		return f
	}
	if f := s.hello(p, t); f != nil {
		// With TLS 1.3 the peer's refusal of the handshake is read here.
		if f.reply.Code == 0 {
			f.stage, f.transient, s.fault = queue.StageTLS, true, FaultValidation
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

func explainDial(err error, limit time.Duration) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Sprintf("no answer within %v", limit)
	}
	return clipText(withoutAddresses(err), maxError)
}
