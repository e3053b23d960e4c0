package main

import "time"

// fate is what became of one attempt to submit a message.
type fate uint8

const (
	accepted fate = iota // by a 2xx to the dot
	refused              // by a 5xx
	deferred             // by a 4xx, the connection still good
	unsent               // the connection failed before the dot was sent
	unknown              // the connection failed after it: nobody can tell
)

// transact submits the message of recipients first… on w.
func (s *source) transact(w *wire, first int64) fate {
	now := time.Now()
	if w.deadline(s.Timeout) != nil {
		return unsent
	}
	took, f := s.envelope(w, first)
	if f != accepted {
		return f
	}
	w.buf = s.content.appendTo(w.buf[:0], first, string(s.address(nil, first)), now)
	if s.sendContent(w) != nil {
		return unknown
	}
	code, err := w.reply()
	if err != nil || code/100 == 3 {
		return unknown
	}
	if f := fateOf(code); f != accepted {
		return f
	}
	s.rcptRefused.Add(int64(s.Recipients - len(took)))
	for _, n := range took {
		s.acked.add(n)
	}
	return accepted
}

func (s *source) sendContent(w *wire) error {
	if s.PHPMailer {
		return w.writeLines(w.buf)
	}
	_, err := w.conn.Write(w.buf)
	return err
}

func fateOf(code int) fate {
	switch {
	case code/100 == 2:
		return accepted
	case code == 421:
		return unsent
	case code/100 == 5:
		return refused
	default:
		return deferred
	}
}

// envelope goes up to the 354 and returns the recipients that were taken.
// When it does not get there, the transaction is reset.
func (s *source) envelope(w *wire, first int64) ([]int64, fate) {
	c := s.commands(w, first)
	data := len(c.ends) - 1
	var took []int64
	worst := accepted
	for i := range c.ends {
		if s.sendCommand(w, c, i) != nil {
			return nil, unsent
		}
		code, err := w.reply()
		if err != nil || code == 421 {
			return nil, unsent
		}
		f := fateOf(code)
		switch {
		case i == data && code == 354:
			if len(took) > 0 {
				return took, accepted
			}
			// RFC 2920 §3.1: no recipient, yet content is wanted; it gets none.
			if code, err := w.ask("."); err != nil || code == 421 {
				return nil, unsent
			}
		case f == accepted && i > 0 && i < data:
			took = append(took, first+int64(i-1))
		case f != accepted && worst != deferred: // a deferral is worth another try
			worst = f
		}
		hopeless := i == 0 && f != accepted || i == data-1 && len(took) == 0
		if hopeless && !s.Pipeline {
			break
		}
	}
	if code, err := w.ask("RSET"); err != nil || code/100 != 2 {
		return nil, unsent
	}
	if worst == accepted {
		worst = deferred // a reply that makes no sense
	}
	return nil, worst
}

// commands are MAIL, each RCPT and DATA, one after the other in the wire's
// buffer, with where each ends.
type commands struct {
	text []byte
	ends []int
}

func (s *source) commands(w *wire, first int64) commands {
	b := append(w.buf[:0], "MAIL FROM:<"...)
	b = append(b, s.From...)
	b = append(b, ">\r\n"...)
	ends := append(make([]int, 0, 8), len(b))
	for n := first; n < first+int64(s.Recipients); n++ {
		b = s.address(append(b, "RCPT TO:<"...), n)
		b = append(b, ">\r\n"...)
		ends = append(ends, len(b))
	}
	b = append(b, "DATA\r\n"...)
	w.buf = b
	return commands{b, append(ends, len(b))}
}

// sendCommand sends command i, or with pipelining all of them at the first.
func (s *source) sendCommand(w *wire, c commands, i int) error {
	from, to := 0, c.ends[i]
	switch {
	case s.Pipeline && i > 0:
		return nil
	case s.Pipeline:
		to = len(c.text)
	case i > 0:
		from = c.ends[i-1]
	}
	_, err := w.conn.Write(c.text[from:to])
	return err
}
