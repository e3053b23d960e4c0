package smtpsim

import (
	"bytes"
	"strings"
)

// check records what is wrong with a command line as such.
func (c *conn) check(v verb, line []byte) {
	limit := 510 // RFC 5321 §4.5.3.1.4, without CRLF
	switch v {
	case verbMail, verbRcpt:
		limit += 1024 // room for the parameters of all extensions
	case verbAuth:
		limit = 12288 // RFC 4954 §4
	}
	if len(line) > limit {
		c.violate(LongCommand, 0, shorten(line))
	}
	if bytes.IndexByte(line, '\r') >= 0 {
		c.violate(BareCR, 0, shorten(line))
	}
	if bytes.IndexByte(line, 0) >= 0 {
		c.violate(NUL, 0, shorten(line))
	}
	if c.br.Buffered() == 0 {
		return
	}
	switch {
	case c.s.o.Capabilities.NoPipelining && c.s.o.Capabilities.Verbatim == nil && v != verbBdat:
		c.violate(Pipelined, 0, shorten(line))
	case v == verbEhlo || v == verbHelo || v == verbQuit || v == verbNoop || v == verbVrfy:
		c.violate(PipelinedPast, 0, shorten(line))
	}
}

// checkParams records parameters whose extension was not offered.
func (c *conn) checkParams(p Path, line []byte) {
	caps := c.s.o.Capabilities
	if caps.Verbatim != nil {
		return
	}
	utf8 := false
	for _, param := range p.Params {
		key, _, _ := strings.Cut(param, "=")
		offered := true
		switch strings.ToUpper(key) {
		case "SIZE":
			offered = !caps.NoSize
		case "BODY":
			offered = !caps.No8BitMIME
		case "SMTPUTF8":
			offered, utf8 = !caps.NoSMTPUTF8, true
		case "RET", "ENVID", "NOTIFY", "ORCPT":
			offered = !caps.NoDSN
		case "REQUIRETLS":
			offered = caps.RequireTLS && c.tlsState != nil
		}
		if !offered || !c.esmtp {
			c.violate(UnofferedParam, 0, param)
		}
	}
	if !isASCII(line) && !utf8 && !c.utf8Given() {
		c.violate(EightBitCommand, 0, shorten(line))
	}
}

// utf8Given says whether this transaction's MAIL had SMTPUTF8.
func (c *conn) utf8Given() bool {
	for _, param := range c.from.Params {
		if strings.EqualFold(param, "SMTPUTF8") {
			return true
		}
	}
	return false
}

// transcribeCommand records a command, without what is secret in it.
func (c *conn) transcribeCommand(v verb, line []byte) {
	if c.s.o.Keep != KeepBodies {
		return
	}
	s := string(line)
	if v == verbAuth {
		if f := strings.Fields(s); len(f) > 2 {
			s = f[0] + " " + f[1] + " *"
		}
	}
	if len(c.commands) < maxTranscript {
		c.commands = append(c.commands, s)
	}
	c.addLine(Line{Client: true, Text: s})
}

// transcribe records what the Server wrote, line by line.
func (c *conn) transcribe(client bool, b []byte) {
	if c.s.o.Keep != KeepBodies {
		return
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(b), "\r\n"), "\r\n") {
		c.addLine(Line{Client: client, Text: line})
	}
}

func (c *conn) addLine(l Line) {
	c.note(func(e *Session) {
		if len(e.Transcript) < maxTranscript {
			e.Transcript = append(e.Transcript, l)
		}
	})
}
