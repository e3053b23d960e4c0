package sendmail

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// pipelineWindow is how many commands go out before their replies are read.
// It keeps both sides' buffers from filling at once.
const pipelineWindow = 100

// refused is a recipient that the relay did not take.
type refused struct {
	path  string
	reply reply
}

// deliver gives the message to the relay for every recipient, in as many
// transactions as the relay's limits ask for, and decides the exit code.
func (inv Invocation) deliver(s *session, env envelope, m *message) error {
	pending := env.recipients
	var never, later []refused
	taken := 0
	for len(pending) > 0 {
		batch := pending
		if limit := s.recipientLimit(); limit > 0 && len(batch) > limit {
			batch = batch[:limit]
		}
		pending = pending[len(batch):]
		answer, err := s.openTransaction(env, batch)
		if err != nil {
			return afterSome(taken, err)
		}
		never = append(never, answer.never...)
		if answer.taken == 0 {
			later = append(later, answer.later...)
			if len(pending) > 0 {
				if _, err := s.command("RSET", "RSET"); err != nil {
					return afterSome(taken, err)
				}
			}
			continue
		}
		// RFC 5321 §4.5.3.1.10: who did not fit gets a transaction of its own.
		for _, r := range answer.later {
			pending = append(pending[:len(pending):len(pending)], r.path)
		}
		if len(pending) > 0 {
			if err := m.spool(); err != nil {
				return afterSome(taken, err)
			}
		}
		if err := s.data(m); err != nil {
			return afterSome(taken, err)
		}
		taken += answer.taken
	}
	return inv.conclude(taken, never, later)
}

// conclude names the recipients that were left out and says what that means.
func (inv Invocation) conclude(taken int, never, later []refused) error {
	left := slices.Concat(later, never)
	if taken == 0 && len(left) == 1 || len(left) == 0 {
		if len(left) == 0 {
			return nil
		}
		return fail(refusedCode(later), "the relay refused the recipient <%s>: %s", left[0].path, left[0].reply)
	}
	for _, r := range left {
		inv.note("recipient <%s> refused: %s", r.path, r.reply)
	}
	switch {
	case taken == 0:
		return fail(refusedCode(later), "the relay refused all %d recipients", len(left))
	case len(later) > 0:
		return afterSome(taken, fail(exitTemporary, "%d recipients were refused for now", len(later)))
	default:
		return nil
	}
}

func refusedCode(later []refused) int {
	if len(later) > 0 {
		return exitTemporary
	}
	return exitNoUser
}

// afterSome adds to err that trying again makes second copies.
func afterSome(taken int, err error) error {
	if taken == 0 {
		return err
	}
	return fail(exitCode(err), "%d recipients have the message, but: %w", taken, err)
}

// answers is what the relay said about the recipients of one transaction.
type answers struct {
	taken        int
	never, later []refused
}

// openTransaction sends MAIL and the RCPTs. It returns an error if the sender
// was refused or the relay lost, not for refused recipients.
func (s *session) openTransaction(env envelope, to []string) (answers, error) {
	if env.utf8 && !s.offers("SMTPUTF8") {
		return answers{}, fail(exitData, "an address is not ASCII, and the relay at %s has no SMTPUTF8", s.at)
	}
	lines := make([]string, 0, 1+len(to))
	lines = append(lines, s.mailCommand(env))
	for _, path := range to {
		lines = append(lines, s.rcptCommand(env, path))
	}
	replies, err := s.exchange(lines)
	if err != nil {
		return answers{}, err
	}
	if !replies[0].positive() {
		return answers{}, refusal(fmt.Sprintf("the sender <%s>", env.sender), exitNoPermission, replies[0])
	}
	var a answers
	for i, r := range replies[1:] {
		switch {
		case r.positive():
			a.taken++
		// RFC 5321 §4.5.3.1.10: 552 once meant too many recipients.
		case r.temporary() || r.code == 552 && a.taken > 0:
			a.later = append(a.later, refused{to[i], r})
		default:
			a.never = append(a.never, refused{to[i], r})
		}
	}
	return a, nil
}

func (s *session) mailCommand(env envelope) string {
	var line strings.Builder
	fmt.Fprintf(&line, "MAIL FROM:<%s>", env.sender)
	if env.eightBit && s.offers("8BITMIME") {
		line.WriteString(" BODY=8BITMIME")
	}
	if env.utf8 {
		line.WriteString(" SMTPUTF8")
	}
	if s.offers("DSN") {
		if env.ret != "" {
			line.WriteString(" RET=" + env.ret)
		}
		if env.envelopeID != "" {
			line.WriteString(" ENVID=" + xtext(env.envelopeID))
		}
	}
	return line.String()
}

func (s *session) rcptCommand(env envelope, path string) string {
	line := "RCPT TO:<" + path + ">"
	if env.notify != "" && s.offers("DSN") {
		line += " NOTIFY=" + env.notify
	}
	return line
}

// xtext encodes printable ASCII for a parameter (RFC 3461 §4).
func xtext(text string) string {
	var out strings.Builder
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' || c == '+' || c == '=' {
			fmt.Fprintf(&out, "+%02X", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

// exchange sends commands, several at a time if the relay takes them so, and
// returns their replies. It stops after a window in which the first command,
// on which the others depend, was refused.
func (s *session) exchange(lines []string) ([]reply, error) {
	window := 1
	if s.offers("PIPELINING") {
		window = pipelineWindow
	}
	replies := make([]reply, 0, len(lines))
	for chunk := range slices.Chunk(lines, window) {
		for _, line := range chunk {
			if err := s.send(line); err != nil {
				return nil, s.lost("the envelope", err)
			}
		}
		if err := s.w.Flush(); err != nil {
			return nil, s.lastWords("the envelope", err)
		}
		for range chunk {
			r, err := s.read("the envelope", s.timeouts.Reply)
			if err != nil {
				return nil, err
			}
			if r.code == 421 {
				return nil, refusal("the envelope", exitTemporary, r)
			}
			replies = append(replies, r)
		}
		if !replies[0].positive() {
			break
		}
	}
	return replies, nil
}

// data sends the message and waits for the relay to take it.
func (s *session) data(m *message) error {
	r, err := s.command("DATA", "DATA")
	if err != nil {
		return err
	}
	if r.code != 354 {
		return refusal("DATA", exitData, r)
	}
	if err := m.writeTo(s.w); err != nil {
		// No final dot was sent: the relay forgets what it has so far.
		s.conn.Close()
		if exitCode(err) != exitTemporary {
			return err
		}
		return s.lastWords("the message", err)
	}
	// From here on nothing is cancelled: the relay may have the message.
	if !s.release() {
		return s.lost("the message", errCancelled)
	}
	if _, err = s.w.WriteString(".\r\n"); err == nil {
		err = s.w.Flush()
	}
	if err != nil {
		return s.lastWords("the end of the message", err)
	}
	if r, err = s.read("the final dot, so that it may have the message", s.timeouts.Final); err != nil {
		return err
	}
	if !r.positive() {
		return refusal("the message", exitData, r)
	}
	return nil
}

// lastWords looks for what the relay said before it hung up, which explains a
// failed write better than the failure does.
func (s *session) lastWords(during string, err error) error {
	if r, readErr := s.read(during, min(time.Second, s.timeouts.Reply)); readErr == nil && !r.positive() {
		return refusal(during, exitUnavailable, r)
	}
	return s.lost(during, err)
}
