package outbound

import (
	"context"
	"fmt"
	"io"
	"time"

	"postrider/queue"
)

func (x *exchange) decideAccepted(stage queue.Stage, reply queue.Reply) {
	for _, i := range x.accepted {
		r := x.d.decideByReply(i, x.s, stage, reply)
		r.DSNPassed = r.Outcome == Accepted && x.s.caps.dsn
		r.Attempt.Reports = r.DSNPassed
	}
}

// lastWords ends the session before the dot. If the peer has said why, that is
// the answer; otherwise text is.
func (x *exchange) lastWords(stage queue.Stage, text string) *failure {
	x.s.dead, x.s.hurried = true, true
	raw, f := x.s.expect(stage, "", time.Second)
	if f == nil && raw.code != 421 && raw.code/100 >= 4 {
		x.decideAccepted(stage, raw.reply("DATA"))
		return nil
	}
	if f == nil && raw.code == 421 {
		return &failure{stage: stage, reply: raw.reply("DATA"), lost: true}
	}
	return &failure{stage: stage, text: text, lost: true}
}

// send sends the content, has it marked, and sends the dot.
func (x *exchange) send(ctx context.Context, content io.Reader, out []byte) *failure {
	d, s, t := x.d, x.s, &x.d.p.o.Timeouts
	block := d.p.reads.Get().(*[]byte)
	defer d.p.reads.Put(block)
	write := func(b []byte) error {
		s.arm(t.BodyBlock)
		_, err := s.conn.Write(b)
		return err
	}
	last, err := stuff(x.form.Prefix, content, out, *block, write)
	if err != nil {
		return x.broken(err)
	}
	if d.tx.BeforeDot != nil {
		ids := make([]queue.RecipientID, len(x.accepted))
		for k, i := range x.accepted {
			ids[k] = d.tx.Recipients[i].ID
		}
		if err := d.tx.BeforeDot(ctx, ids); err != nil {
			s.dead = true
			return &failure{stage: queue.StageBody, ours: fmt.Errorf("mark before the final dot: %w", err)}
		}
	}
	if !s.shield() {
		s.dead = true
		return &failure{stage: queue.StageBody, lost: true, text: "interrupted before the final dot"}
	}
	defer s.unshield()
	if err := write(last); err != nil {
		// The dot is at the end of what was not sent.
		s.unshield()
		return x.broken(flushError{err})
	}
	x.lap(queue.StageBody)
	x.dot()
	return nil
}

// broken ends a session before the dot.
func (x *exchange) broken(err error) *failure {
	x.s.dead = true
	if fe, ok := err.(flushError); ok {
		return x.lastWords(queue.StageBody, x.s.explain(fe.error, "sending the content"))
	}
	return &failure{stage: queue.StageBody, ours: err}
}

// dot reads the reply that decides.
func (x *exchange) dot() {
	d, s := x.d, x.s
	raw, f := s.expect(queue.StageDot, ".", d.p.o.Timeouts.Dot)
	s.needsReset = false
	if f == nil && raw.code/100 == 3 {
		s.dead = true
		f = &failure{reply: raw.reply("."), text: "protocol error: a reply that does not fit"}
	}
	if f != nil {
		d.decided = true
		for _, i := range x.accepted {
			r := d.decide(i, s.facts(), Temporary, queue.StageDot, f.reply, f.text)
			r.Attempt.InDoubt = true
		}
		return
	}
	x.lap(queue.StageDot)
	x.decideAccepted(queue.StageDot, raw.reply("."))
}
