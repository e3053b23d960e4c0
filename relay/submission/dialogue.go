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
	d.t.say(d.t.s.o.banner())
}

// maxBanner is what clients read of a line: PHPMailer stops after 511 octets.
const maxBanner = 500

// banner is the greeting of a connection.
func (o *Options) banner() string {
	line := "220 " + o.Hostname + " ESMTP Postrider"
	if o.Notice != "" {
		line += " - " + o.Notice
	}
	return line[:min(len(line), maxBanner)]
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
