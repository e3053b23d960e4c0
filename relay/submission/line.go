package submission

import (
	"io"
	"strings"
)

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
		d.helo = strings.ToValidUTF8(d.cmd.arg[:min(len(d.cmd.arg), 255)], "")
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
	return d.t.s.o.TLS != nil && d.t.tls == nil && !d.t.local && d.t.s.o.TLSReady()
}

// startTLS ends this dialogue. All it knew is forgotten with it (RFC 3207 §4.2).
func (d *dialogue) startTLS() error {
	switch {
	case d.t.tls != nil:
		d.refuse("503 5.5.1 TLS is already active")
		return nil
	case !d.t.s.o.TLSReady():
		d.refuse("454 4.7.0 TLS is not available yet") // RFC 3207 §4
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
