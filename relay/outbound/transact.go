package outbound

import (
	"context"
	"fmt"
	"io"
	"time"

	"postrider/queue"
)

// exchange is one transaction of a session: RSET if need be, MAIL, RCPT, DATA,
// content.
type exchange struct {
	d *delivery
	s *session

	form     Form
	commands []byte
	ends     []int // of each command in commands
	said     int   // commands sent, if one at a time
	rcpts    []int // the recipients that got a RCPT
	reset    bool  // the first command is RSET

	accepted []int
	written  chan struct{} // closed when the writer of a long group is done
	began    time.Time     // the stage
}

// Longer groups of commands are written while replies are read, since a peer
// may stop reading until its replies are taken (RFC 2920 §3.1).
const longGroup = 8 << 10

// transact sends the content to the recipients of chunk. Whoever it does not
// decide about stays open.
func (d *delivery) transact(ctx context.Context, s *session, chunk []int) *failure {
	form, err := d.form(ctx, s)
	if err != nil {
		return &failure{stage: queue.StageMail, ours: err}
	}
	content, err := form.Open()
	if err != nil {
		return &failure{stage: queue.StageMail, ours: fmt.Errorf("open content: %w", err)}
	}
	defer content.Close()
	out := d.p.outs.Get().(*[]byte)
	defer d.p.outs.Put(out)
	x := exchange{d: d, s: s, form: form, reset: s.needsReset}
	x.compose((*out)[:0], chunk)
	if len(x.rcpts) == 0 {
		return nil
	}
	s.messages++
	s.meet(d, x.rcpts)
	d.res.Transactions++
	ready, f := x.converse()
	if f != nil || !ready {
		return f
	}
	return x.send(ctx, content, *out)
}

// compose writes the commands. Addresses that have no form the peer understands
// are refused here.
func (x *exchange) compose(b []byte, chunk []int) {
	d, s := x.d, x.s
	x.ends = make([]int, 0, len(chunk)+3)
	utf8 := s.caps.smtputf8 && d.needsUTF8(chunk)
	end := func() { x.ends = append(x.ends, len(b)) }
	if x.reset {
		b = append(b, "RSET\r\n"...)
		end()
	}
	b, err := appendMail(b, &d.tx.Envelope, x.form.Size, &s.caps, utf8, d.target.TLS.RequireTLS)
	if err != nil {
		for len(d.open) > 0 {
			d.decideOurselves(d.open[0], s.facts(), queue.StageMail, queue.Enhanced{5, 1, 7}, err.Error())
		}
		return
	}
	end()
	x.rcpts = make([]int, 0, 2*len(chunk))
	var bad []int
	for _, i := range chunk {
		n := len(b)
		if b, err = appendRcpt(b, &d.tx.Recipients[i], &s.caps, utf8); err != nil {
			b = b[:n]
			bad = append(bad, i)
			d.attempt(i, s.facts(), queue.StageRcpt, queue.Reply{}, err.Error())
			continue
		}
		end()
		x.rcpts = append(x.rcpts, i)
	}
	for _, i := range bad { // after the loop: chunk may be a part of d.open
		d.decideOurselves(i, s.facts(), queue.StageRcpt, queue.Enhanced{5, 1, 3}, d.res.Recipients[i].Attempt.Error)
	}
	x.accepted = x.rcpts[len(x.rcpts):len(x.rcpts):cap(x.rcpts)]
	b = append(b, "DATA\r\n"...)
	end()
	x.commands = b
}

// converse sends the commands and reads their replies. ready means that the
// peer waits for content.
func (x *exchange) converse() (ready bool, f *failure) {
	x.began = time.Now()
	x.start()
	defer x.join()
	if x.reset {
		raw, f := x.reply(queue.StageMail, "RSET", x.d.p.o.Timeouts.Reset)
		if f == nil && raw.code/100 != 2 {
			x.s.dead = true
			f = &failure{stage: queue.StageMail, reply: raw.reply("RSET"), lost: true}
		}
		if f != nil {
			f.unacked = true
			return false, f
		}
		x.s.needsReset = false
	}
	mailed, f := x.mail()
	if f != nil {
		return false, f
	}
	if !mailed && !x.s.caps.pipelining {
		return false, nil
	}
	if f := x.rcpt(mailed); f != nil {
		return false, f
	}
	if x.s.dead || len(x.accepted) == 0 && !x.s.caps.pipelining {
		return false, nil
	}
	return x.data()
}

// start sends all commands to a peer that takes them so.
func (x *exchange) start() {
	if !x.s.caps.pipelining {
		return
	}
	x.s.arm(x.d.p.o.Timeouts.Mail)
	if len(x.commands) <= longGroup {
		if _, err := x.s.conn.Write(x.commands); err != nil {
			x.s.dead, x.s.hurried = true, true // a last word may be there to read
		}
		return
	}
	x.written = make(chan struct{})
	go func() {
		defer close(x.written)
		// An error shows in the replies that do not come.
		_, _ = x.s.conn.Write(x.commands)
	}()
}

// join waits for the writer, which a dead connection does not hold up.
func (x *exchange) join() {
	if x.written == nil {
		return
	}
	if x.s.dead {
		_ = x.s.raw.Close()
	}
	<-x.written
}

// reply reads the reply to the next command, and says that command first to a
// peer that takes one at a time.
func (x *exchange) reply(stage queue.Stage, command string, d time.Duration) (rawReply, *failure) {
	s := x.s
	if !s.caps.pipelining {
		from := 0
		if x.said > 0 {
			from = x.ends[x.said-1]
		}
		s.arm(d)
		if _, err := s.conn.Write(x.commands[from:x.ends[x.said]]); err != nil {
			s.dead, s.hurried = true, true
		}
	}
	x.said++
	return s.expect(stage, command, d)
}

// unfit is the failure of a reply that ends the session rather than answering:
// 421, and codes that have no meaning here.
func (x *exchange) unfit(stage queue.Stage, raw rawReply, command string) *failure {
	switch {
	case raw.code == 421:
		return &failure{stage: stage, reply: raw.reply(command), lost: true}
	case raw.code/100 == 3 && (raw.code != 354 || stage != queue.StageData), raw.code/100 == 2 && stage == queue.StageData:
		x.s.dead = true
		return &failure{stage: stage, reply: raw.reply(command), lost: true, text: "protocol error: a reply that does not fit"}
	}
	return nil
}

func (x *exchange) mail() (ok bool, f *failure) {
	raw, f := x.reply(queue.StageMail, "MAIL", x.d.p.o.Timeouts.Mail)
	if f == nil {
		f = x.unfit(queue.StageMail, raw, "MAIL")
	}
	if f = x.heedEnough(raw, f); f != nil {
		f.unacked = true
		return false, f
	}
	x.lap(queue.StageMail)
	if raw.code/100 == 2 {
		x.s.needsReset = true
		return true, nil
	}
	// It is about sender and message, so for all, also if the connection is
	// lost before the replies that follow.
	reply := raw.reply("MAIL")
	for len(x.d.open) > 0 {
		x.d.decideByReply(x.d.open[0], x.s, queue.StageMail, reply)
	}
	return false, nil
}

func (x *exchange) rcpt(mailed bool) *failure {
	for _, i := range x.rcpts {
		raw, f := x.reply(queue.StageRcpt, "RCPT", x.d.p.o.Timeouts.Rcpt)
		if !mailed {
			if f != nil || x.s.dead {
				return nil // decided already
			}
			continue
		}
		if f == nil {
			f = x.unfit(queue.StageRcpt, raw, "RCPT")
		}
		if f != nil {
			return f
		}
		if raw.code/100 == 2 {
			x.accepted = append(x.accepted, i)
			continue
		}
		reply := raw.reply("RCPT")
		if len(x.accepted) > 0 && (tooMany(reply) || x.tooManyDomains(i, reply)) {
			continue // RFC 5321 §4.5.3.1.10: stays open for the next transaction
		}
		x.d.decideByReply(i, x.s, queue.StageRcpt, reply)
	}
	x.lap(queue.StageRcpt)
	return nil
}

// tooMany reports a refusal that is about the number of recipients, and not
// about the mailbox or policy. A mistake costs one more transaction.
func tooMany(r queue.Reply) bool {
	if r.Code != 452 && r.Code != 552 {
		return false
	}
	e := r.Enhanced
	return e.IsZero() || e[1] == 0 || e[1] == 3 || e[1] == 5
}

func (x *exchange) data() (ready bool, f *failure) {
	s, t := x.s, &x.d.p.o.Timeouts
	raw, f := x.reply(queue.StageData, "DATA", t.Data)
	if len(x.accepted) == 0 {
		if f == nil && raw.code == 354 && !s.dead {
			// RFC 2920 §3.1: nobody is to get it, so it is ended at once.
			s.arm(t.Data)
			_, err := io.WriteString(s.conn, ".\r\n")
			if _, f := s.expect(queue.StageDot, ".", t.Data); f != nil || err != nil {
				s.dead = true
			}
			s.needsReset = false
		}
		return false, nil
	}
	if f == nil {
		f = x.unfit(queue.StageData, raw, "DATA")
	}
	if f != nil {
		return false, f
	}
	x.lap(queue.StageData)
	if raw.code != 354 {
		x.decideAccepted(queue.StageData, raw.reply("DATA"))
		return false, nil
	}
	if s.r.buffered() {
		return false, x.lastWords(queue.StageData, "protocol error: the server answers content that it has not seen")
	}
	return true, nil
}

// lap ends the timing of a stage.
func (x *exchange) lap(stage queue.Stage) {
	if x.d.p.o.Observe != nil {
		now := time.Now()
		x.d.p.o.Observe(stage, now.Sub(x.began))
		x.began = now
	}
}
