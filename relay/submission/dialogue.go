package submission

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// dialogue is the connection that go-smtp sees: one SMTP session, from the
// banner or from the end of the TLS handshake on. A Read returns octets of one
// command line at most, and only once the reply to the one before is complete.
type dialogue struct {
	t       *transport
	session *session // from EHLO on

	resumed bool // after STARTTLS: no banner
	greeted bool // go-smtp has written its banner
	first   bool // the first command was read
	helo    string

	cmd     command
	spoke   bool // the reply under way is the session's, not go-smtp's
	sasl    bool // the next line is a SASL response
	reply   []byte
	pending []byte // of the line that go-smtp is reading
	errors  int
	over    bool // no more commands
	closed  atomic.Bool
	handed  bool // the transport has gone on to another dialogue
}

// Read implements net.Conn for go-smtp. All endings are io.EOF: what is to be
// said about them was said here.
func (d *dialogue) Read(b []byte) (int, error) {
	if d.closed.Load() {
		return 0, net.ErrClosed
	}
	if len(d.pending) == 0 {
		d.endReply()
		if d.over {
			return 0, io.EOF
		}
		if err := d.next(); err != nil {
			d.over = true
			return 0, io.EOF
		}
	}
	n := copy(b, d.pending)
	d.pending = d.pending[n:]
	return n, nil
}

// Write catches a reply, line by line.
func (d *dialogue) Write(b []byte) (int, error) {
	if d.closed.Load() {
		return 0, net.ErrClosed
	}
	d.reply = append(d.reply, b...)
	return len(b), nil
}

// endReply passes the reply on, as it should be.
func (d *dialogue) endReply() {
	if !d.greeted {
		d.greeted = true
		d.reply = d.reply[:0]
		d.begin()
		return
	}
	b := d.reply
	d.reply = d.reply[:0]
	if len(b) == 0 {
		return
	}
	d.sasl = lastLine(b) == "334"
	if d.cmd.verb == verbBDAT && string(b[:3]) == "354" {
		return
	}
	if d.cmd.verb == verbDATA && !d.spoke && d.session != nil && !d.session.ready() {
		// PHPMailer goes on with MAIL, without RSET, after a refused DATA.
		d.session.Reset()
	}
	d.countError(b)
	d.t.out = append(d.t.out, d.reword(b)...)
	d.spoke = false
}

func lastLine(b []byte) string {
	s := strings.TrimSuffix(string(b), "\r\n")
	s = s[strings.LastIndexByte(s, '\n')+1:]
	return s[:min(3, len(s))]
}

// begin starts TLS if it is due and greets. It runs in the connection's own
// goroutine, so that a slow handshake stops nobody else.
func (d *dialogue) begin() {
	if d.resumed {
		return
	}
	if d.t.from == ImplicitTLS {
		if err := d.t.handshake(); err != nil {
			d.over = true
			d.t.trouble("TLS handshake failed", err)
			return
		}
	}
	d.t.say("220 " + d.t.s.o.Hostname + " ESMTP Postrider")
}

// countError cuts strangers off who only make errors.
func (d *dialogue) countError(b []byte) {
	if b[0] != '4' && b[0] != '5' || d.session != nil && d.session.known() {
		return
	}
	if d.errors++; d.errors >= d.t.s.o.MaxErrors {
		d.hangUp("421 4.7.0 Too many errors, closing connection")
	}
}

// hangUp ends the dialogue with a last line, after the reply under way.
func (d *dialogue) hangUp(line string) {
	d.over = true
	d.t.linger = true
	if line != "" {
		d.t.final = line
	}
}

// next reads command lines until there is one that go-smtp must answer.
func (d *dialogue) next() error {
	for len(d.pending) == 0 {
		if d.over {
			return io.EOF
		}
		line, err := d.t.line(d.t.commandDeadline(d.session != nil && d.session.known()))
		if err != nil {
			d.farewell(err)
			return err
		}
		if err := d.take(line); err != nil {
			return err
		}
	}
	return nil
}

func (d *dialogue) farewell(err error) {
	switch {
	case errors.Is(err, errDraining):
		d.hangUp("421 4.3.2 " + d.t.s.o.Hostname + " is shutting down, try again in a moment")
		d.t.linger = false
	case errors.Is(err, errTooLong):
		d.hangUp("500 5.5.2 Line too long, closing connection")
	case errors.Is(err, os.ErrDeadlineExceeded):
		d.t.s.stats.timeouts.Add(1)
		d.hangUp("421 4.4.2 Timeout, closing connection")
		d.t.linger = false
	case !errors.Is(err, io.EOF):
		d.t.trouble("connection failed", err)
	}
}

// take looks at one line: it is done here, or becomes what go-smtp reads.
func (d *dialogue) take(line []byte) error {
	if d.sasl {
		d.pending = line
		return nil
	}
	if !d.first && speaksHTTP(line) {
		d.t.trouble("not SMTP but HTTP", nil)
		d.t.linger = true
		return io.EOF
	}
	d.first = true
	d.cmd = parseCommand(line)
	if d.cmd.unsafe {
		d.refuse("501 5.5.2 Control characters and invalid UTF-8 are not allowed in commands")
		return nil
	}
	switch d.cmd.verb {
	case verbSTARTTLS:
		return d.startTLS()
	case verbBDAT:
		return d.takeChunk()
	}
	d.pending = d.forEngine(line)
	return nil
}

// refuse answers a line that go-smtp must not see.
func (d *dialogue) refuse(line string) {
	d.countError([]byte(line))
	d.t.say(line)
}

// placeholder is what go-smtp knows of an address. Its parser unquotes
// local-parts, and lets pass what should not.
const placeholder = "<x@invalid>"

// forEngine writes the line that go-smtp reads instead of the client's.
func (d *dialogue) forEngine(line []byte) []byte {
	switch d.cmd.verb {
	case verbEHLO, verbHELO:
		// Whatever a client calls itself is fine: container ids, bare
		// addresses, underscores, nothing at all.
		d.helo = d.cmd.arg[:min(len(d.cmd.arg), 255)]
		return []byte(string(d.cmd.verb) + " client\r\n")
	case verbMAIL, verbRCPT:
		return d.forPath()
	case verbDATA, verbAUTH:
		return line
	case verbUnknown:
		return []byte("XXXX\r\n")
	}
	return []byte(string(d.cmd.verb) + "\r\n")
}

func (d *dialogue) forPath() []byte {
	if d.cmd.path.text == "" && !d.cmd.path.ok {
		return []byte(string(d.cmd.verb) + "\r\n") // no FROM: or TO: at all
	}
	s := "MAIL FROM:"
	if d.cmd.verb == verbRCPT {
		s = "RCPT TO:"
	}
	s += placeholder
	if d.cmd.params != "" {
		s += " " + d.cmd.params
	}
	return []byte(s + "\r\n")
}

// takeChunk lets BDAT begin a content as DATA does. Without a transaction, its
// octets are read and thrown away: they are no commands.
func (d *dialogue) takeChunk() error {
	size, _, ok := parseChunk(d.cmd.arg)
	if !ok {
		d.hangUp("501 5.5.4 Syntax: BDAT size [LAST]; closing connection, as nobody knows what follows")
		return io.EOF
	}
	if d.session == nil || !d.session.ready() {
		c := newChunkContent(d.t, size, true)
		d.t.beginContent()
		defer d.t.endContent()
		if err := c.discard(); err != nil {
			d.farewell(err)
			return err
		}
		if d.session != nil {
			d.session.Reset()
		}
		d.refuse("503 5.5.1 There is no recipient yet: send MAIL and RCPT first")
		return nil
	}
	d.pending = []byte("DATA\r\n")
	return nil
}

// mayStartTLS reports whether STARTTLS is to be had here and now.
func (d *dialogue) mayStartTLS() bool {
	return d.t.s.o.TLS != nil && d.t.tls == nil && !d.t.local
}

// startTLS ends this dialogue. All it knew is forgotten with it (RFC 3207 §4.2).
func (d *dialogue) startTLS() error {
	switch {
	case d.t.tls != nil:
		d.refuse("503 5.5.1 TLS is already active")
		return nil
	case !d.mayStartTLS():
		d.refuse("502 5.5.1 TLS is not available")
		return nil
	case d.cmd.arg != "":
		d.refuse("501 5.5.4 Syntax: STARTTLS has no parameter")
		return nil
	case d.t.r != d.t.w:
		// Commands sent ahead of the handshake would be an attacker's.
		d.t.trouble("commands sent ahead after STARTTLS", nil)
		d.hangUp("554 5.5.1 Nothing may follow STARTTLS before the handshake, closing connection")
		return io.EOF
	}
	d.t.say("220 2.0.0 Ready to start TLS")
	err := d.t.flush()
	if err == nil {
		err = d.t.handshake()
	}
	if err != nil {
		d.t.trouble("TLS handshake failed", err)
		return err
	}
	next := &dialogue{t: d.t, resumed: true}
	d.handed = d.t.s.engine.offer(next)
	return io.EOF
}

// content returns the reader of what follows the 354 that go-smtp just wrote.
func (d *dialogue) content() content {
	d.endReply()
	d.t.beginContent()
	if d.cmd.verb == verbBDAT {
		size, last, _ := parseChunk(d.cmd.arg)
		return newChunkContent(d.t, size, last)
	}
	return newDotContent(d.t)
}

// contentDone gives go-smtp the end of data that it is waiting for.
func (d *dialogue) contentDone() {
	d.t.endContent()
	d.pending = []byte(".\r\n")
}

// Close ends the dialogue, and the connection unless STARTTLS goes on with it.
func (d *dialogue) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	if d.handed {
		return nil
	}
	d.endReply()
	d.t.end()
	return nil
}

// LocalAddr implements net.Conn.
func (d *dialogue) LocalAddr() net.Addr { return d.t.socket.LocalAddr() }

// RemoteAddr implements net.Conn.
func (d *dialogue) RemoteAddr() net.Addr { return d.t.socket.RemoteAddr() }

// SetDeadline implements net.Conn: deadlines are the transport's.
func (d *dialogue) SetDeadline(time.Time) error { return d.SetReadDeadline(time.Time{}) }

// SetReadDeadline implements net.Conn. That it fails once closed keeps go-smtp
// from running what it has buffered after QUIT.
func (d *dialogue) SetReadDeadline(time.Time) error {
	if d.closed.Load() {
		return net.ErrClosed
	}
	return nil
}

// SetWriteDeadline implements net.Conn.
func (d *dialogue) SetWriteDeadline(time.Time) error { return d.SetReadDeadline(time.Time{}) }
