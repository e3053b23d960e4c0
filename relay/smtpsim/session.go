package smtpsim

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// session is the whole conversation; it returns errHangUp when the Server
// ends it.
func (c *conn) session(ctx context.Context) error {
	if c.s.o.TLS == ImplicitTLS {
		if err := c.implicitTLS(ctx); err != nil {
			return err
		}
	}
	if err := c.greet(ctx); err != nil {
		return err
	}
	for {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		if err := c.command(ctx, line); err != nil {
			return err
		}
		c.s.changed()
	}
}

func (c *conn) greet(ctx context.Context) error {
	_, err := c.stage(ctx, Connect, "", c.s.replies.banner)
	if len(c.out) > 0 && hasInput(c.raw) {
		c.violate(EarlyTalk, 0, "")
	}
	return err
}

// command runs one command line.
func (c *conn) command(ctx context.Context, line []byte) error {
	c.s.count.commands.Add(1)
	v, arg := parseCommand(line)
	c.check(v, line)
	c.transcribeCommand(v, line)
	rep := &c.s.replies
	switch v {
	case verbEhlo, verbHelo:
		return c.helo(ctx, v, line, arg)
	case verbStartTLS:
		return c.startTLS(ctx, line)
	case verbAuth:
		return c.auth(ctx, arg)
	case verbMail:
		return c.mail(ctx, line, arg)
	case verbRcpt:
		return c.rcpt(ctx, line, arg)
	case verbData:
		return c.data(ctx, line)
	case verbBdat:
		return c.bdat(ctx, line, arg)
	case verbRset:
		c.resetTransaction()
		_, err := c.stage(ctx, Rset, text(c, line), rep.rset)
		return err
	case verbNoop:
		_, err := c.stage(ctx, Noop, text(c, line), rep.ok)
		return err
	case verbQuit:
		c.note(func(e *Session) { e.Quit = true })
		if _, err := c.stage(ctx, Quit, "", rep.bye); err != nil {
			return err
		}
		return errHangUp
	case verbVrfy:
		return c.answer(rep.vrfy)
	default:
		c.violate(Malformed, 0, shorten(line))
		return c.answer(rep.unknown)
	}
}

// text is the line as a string where a rule may look at it.
func text(c *conn, line []byte) string {
	if len(c.s.rules.Load().all) == 0 {
		return ""
	}
	return string(line)
}

// answer gives a reply that no rule is asked about.
func (c *conn) answer(r reply) error {
	x := c.exchange(numStages, "")
	x.def = r
	return x.Accept()
}

// stage asks the rules and then gives the default reply if there was none. It
// returns the code of the last reply.
func (c *conn) stage(ctx context.Context, st Stage, line string, def reply) (int, error) {
	x := c.exchange(st, line)
	x.def = def
	if set := c.s.rules.Load(); len(set.byStage[st]) > 0 {
		if r := set.pick(x); r != nil {
			if err := c.act(ctx, x, r); err != nil {
				return x.code, err
			}
		}
	}
	if x.code == 0 {
		if err := x.Accept(); err != nil {
			return x.code, err
		}
	}
	return x.code, nil
}

func (c *conn) act(ctx context.Context, x *Exchange, r *liveRule) error {
	r.fired.Add(1)
	c.s.changed()
	for _, do := range r.Do {
		if err := do(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// exchange fills the session's one Exchange for a stage.
func (c *conn) exchange(st Stage, line string) *Exchange {
	rcpt := c.x.Rcpt
	c.x = Exchange{Stage: st, Conn: c.number, Client: c.client, Hello: c.hello, User: c.user,
		OverTLS: c.tlsState != nil, Line: line, From: c.from.Address, Rcpts: c.rcpts,
		Messages: c.accepted, Size: c.size, c: c}
	if st == Rcpt {
		c.x.Rcpt = rcpt
	}
	return &c.x
}

func (c *conn) helo(ctx context.Context, v verb, line, arg []byte) error {
	c.resetTransaction()
	c.hello, c.esmtp = string(arg), v == verbEhlo
	c.note(func(e *Session) { e.Hello, e.ESMTP = c.hello, c.esmtp })
	if v == verbHelo {
		_, err := c.stage(ctx, Helo, string(line), c.s.replies.helo)
		return err
	}
	lines := append([]string{c.s.o.Hostname + " at your service"}, c.s.o.ehloLines(c.tlsState != nil)...)
	_, err := c.stage(ctx, Ehlo, string(line), sayBare(250, lines...))
	return err
}

func (c *conn) mail(ctx context.Context, line, arg []byte) error {
	rep := &c.s.replies
	p, strict, err := parsePath("FROM:", arg)
	if err != nil || !strict {
		c.violate(Malformed, 0, shorten(line))
	}
	def := rep.mail
	switch {
	case err != nil:
		return c.answer(rep.syntax)
	case c.open || c.hello == "":
		c.violate(BadSequence, 0, shorten(line))
		def = rep.sequence
	case c.s.o.RequireTLS && c.tlsState == nil:
		def = rep.needTLS
	case c.s.o.RequireAuth && c.user == "":
		def = rep.needAuth
	case c.tooBigDeclared(p):
		def = rep.tooBig
	}
	c.checkParams(p, line)
	if !c.open {
		c.from = p
	}
	code, err := c.stage(ctx, Mail, text(c, line), def)
	if err != nil {
		return err
	}
	if code/100 == 2 {
		c.open = true
		c.s.count.transactions.Add(1)
	} else if !c.open {
		c.resetTransaction()
	}
	return nil
}

func (c *conn) rcpt(ctx context.Context, line, arg []byte) error {
	rep := &c.s.replies
	p, strict, err := parsePath("TO:", arg)
	if err != nil || !strict {
		c.violate(Malformed, 0, shorten(line))
	}
	def := rep.rcpt
	switch {
	case err != nil:
		return c.answer(rep.syntax)
	case !c.open:
		// After a refused MAIL a pipelining client sends these regardless.
		return c.answer(rep.sequence)
	case c.s.o.MaxRecipients > 0 && len(c.rcpts) >= c.s.o.MaxRecipients:
		def = rep.tooMany
	}
	c.checkParams(p, line)
	c.x.Rcpt = p.Address
	code, err := c.stage(ctx, Rcpt, text(c, line), def)
	if err != nil {
		return err
	}
	if code/100 == 2 {
		c.rcpts = append(c.rcpts, p)
	}
	return nil
}

func (c *conn) data(ctx context.Context, line []byte) error {
	if !c.open || len(c.rcpts) == 0 || c.chunked {
		return c.answer(c.s.replies.sequence)
	}
	code, err := c.stage(ctx, Data, text(c, line), c.s.replies.data)
	if err != nil {
		return err
	}
	if code != 354 {
		return nil // the transaction stays open: the client may RSET or give up
	}
	if c.br.Buffered() > 0 {
		c.violate(EarlyContent, 0, "")
	}
	c.beginContent()
	if err := c.readData(ctx); err != nil {
		return err
	}
	return c.dot(ctx)
}

func (c *conn) bdat(ctx context.Context, line, arg []byte) error {
	size, last, err := parseBdat(arg)
	if err != nil {
		c.violate(Malformed, 0, shorten(line))
		return c.answer(c.s.replies.syntax)
	}
	refuse := reply{}
	switch {
	case !c.s.o.Capabilities.Chunking:
		c.violate(UnofferedParam, 0, "BDAT")
		refuse = c.s.replies.unknown
	case !c.open || len(c.rcpts) == 0:
		refuse = c.s.replies.sequence
	}
	if refuse.code != 0 {
		// The chunk comes anyway (RFC 3030 §2) and is not to be run as commands.
		if err := c.skip(size); err != nil {
			return err
		}
		return c.answer(refuse)
	}
	if !c.chunked {
		code, err := c.stage(ctx, Data, text(c, line), reply{})
		if err != nil {
			return err
		}
		if code != 0 {
			c.resetTransaction()
			return c.skip(size)
		}
		c.chunked = true
		c.beginContent()
	}
	c.inContent = true
	if err := c.readChunkBytes(ctx, size); err != nil {
		return err
	}
	if !last {
		c.inContent = false
		return c.answer(c.s.replies.chunk)
	}
	if c.scan.prevCR {
		c.violateAt(BareCR)
	} else if c.scan.lineLen > 0 {
		c.violateAt(NoFinalCRLF)
	}
	return c.dot(ctx)
}

// beginContent readies the session for content.
func (c *conn) beginContent() {
	c.inContent = true
	c.body, c.size, c.scan, c.eightBitSeen, c.recorded = c.body[:0], 0, contentScan{}, false, false
	c.bodyRule = nil
	if set := c.s.rules.Load(); len(set.byStage[Body]) > 0 {
		c.bodyRule = set.pick(c.exchange(Body, ""))
	}
}

// dot answers the end of data and ends the transaction.
func (c *conn) dot(ctx context.Context) error {
	c.inContent = false
	def := c.s.replies.dot
	if c.size > c.s.o.MaxSize {
		def = c.s.replies.tooBig
	}
	_, err := c.stage(ctx, Dot, "", def)
	c.resetTransaction()
	return err
}

// record makes the message accepted. It does so once.
func (c *conn) record() {
	if c.recorded {
		return
	}
	c.recorded = true
	c.accepted++
	s := c.s
	m := &Message{Conn: c.number, Received: s.o.Now(), Client: c.client, Hello: c.hello, ESMTP: c.esmtp,
		User: c.user, TLS: c.tlsState, From: c.from, Rcpts: c.rcpts, Raw: c.body, Size: c.size, Chunked: c.chunked,
		Commands: c.commands, Violations: c.viols}
	if s.o.Keep != KeepCounters {
		m.Digest = sha256.Sum256(c.body)
		m.Rcpts = slices.Clone(c.rcpts)
		m.Violations = slices.Clone(c.viols)
	}
	if s.o.Keep == KeepBodies {
		m.Raw = slices.Clone(c.body)
		m.Commands = slices.Clone(c.commands)
	}
	if s.o.OnMessage != nil {
		s.o.OnMessage(m)
	}
	if s.o.Keep == KeepDigests {
		kept := *m
		kept.Raw = nil
		m = &kept
	}
	s.count.recipients.Add(int64(len(c.rcpts)))
	s.count.bytes.Add(c.size)
	s.keepMessage(m)
	c.note(func(e *Session) { e.Messages++ })
	s.changed()
}

func (c *conn) resetTransaction() {
	c.open, c.from, c.rcpts, c.chunked, c.recorded, c.bodyRule = false, Path{}, c.rcpts[:0], false, false, nil
	c.size, c.commands, c.viols, c.inContent = 0, c.commands[:0], c.viols[:0], false
	if cap(c.body) > 1<<20 {
		c.body = nil
	}
}

func (c *conn) tooBigDeclared(p Path) bool {
	for _, param := range p.Params {
		if key, value, _ := strings.Cut(param, "="); strings.EqualFold(key, "SIZE") {
			n, err := strconv.ParseInt(value, 10, 64)
			return err == nil && n > c.s.o.MaxSize
		}
	}
	return false
}

func (c *conn) startTLS(ctx context.Context, line []byte) error {
	rep := &c.s.replies
	def := rep.tls
	switch {
	case c.s.o.TLS != StartTLS:
		def = rep.noTLS
	case c.tlsState != nil:
		def = rep.noTLSNow
	}
	if c.br.Buffered() > 0 {
		c.violate(PipelinedPast, 0, "STARTTLS")
	}
	code, err := c.stage(ctx, StartTLSVerb, text(c, line), def)
	if err != nil || code != 220 || c.s.tls == nil {
		return err
	}
	return c.handshake(ctx)
}

func (c *conn) implicitTLS(ctx context.Context) error {
	if _, err := c.stage(ctx, StartTLSVerb, "", reply{}); err != nil {
		return err
	}
	return c.handshake(ctx)
}

// handshake starts TLS; the session begins anew then (RFC 3207 §4.2).
func (c *conn) handshake(ctx context.Context) error {
	if err := c.flush(); err != nil {
		return err
	}
	cfg := c.s.tls
	if c.nextTLS != nil {
		cfg, c.nextTLS = c.nextTLS, nil
	}
	c.br.Discard(c.br.Buffered()) // what came in plain must not count under TLS
	tc := tls.Server(c.slowly(), cfg)
	hctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := tc.HandshakeContext(hctx); err != nil {
		c.s.count.handshakeFailures.Add(1)
		c.note(func(e *Session) { e.TLSError = err.Error() })
		c.s.changed()
		return fmt.Errorf("tls handshake: %w", err)
	}
	state := tc.ConnectionState()
	c.nc, c.tlsState = tc, &state
	c.s.count.handshakes.Add(1)
	c.note(func(e *Session) { e.TLS = &state })
	c.hello, c.esmtp, c.user = "", false, ""
	c.resetTransaction()
	c.s.changed()
	return nil
}
