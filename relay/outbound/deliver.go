package outbound

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"postrider/queue"
)

// delivery is one call of Deliver.
type delivery struct {
	p      *Pool
	target *Target
	limits Limits
	tx     *Transaction
	key    poolKey
	cancel context.CancelCauseFunc
	start  time.Time

	// Guarded by the pool's lock.
	session   *session
	abandoned bool

	res     Result
	open    []int // recipients of whom nothing is decided
	decided bool  // a next hop has decided about some
	served  bool  // a session ended as it should
	header  headerKind

	last     *failure // what open recipients get if nothing better comes
	lastFrom facts
}

// facts are what an attempt records of its next hop.
type facts struct {
	host         string
	addr         netip.AddrPort
	local        netip.Addr
	tls, tlsPeer string
	policy       string
	fault        string // of TLS, as in RFC 8460 §4.3
}

// Deliver sends the transaction's content to its recipients, over a connection
// of the pool if one is fit, and says what became of each. It waits while the
// target has as many connections as it may. A context that ends interrupts it
// at once, but between the final dot and its reply; recipients that were not
// decided by then are NotAttempted.
//
// The order of RFC 5321 §5.1 is kept: what a host says to MAIL, RCPT, DATA and
// the content is taken as the answer of all; trouble before, and a connection
// that is lost or ends with 421 before the dot, lead to the next address.
// More recipients than the peer takes at once are sent in further transactions.
func (p *Pool) Deliver(ctx context.Context, t Target, tx *Transaction) Result {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &delivery{
		p: p, target: &t, limits: t.Limits, tx: tx, cancel: cancel, start: p.o.Now(),
	}
	if t.TLS.RequireTLS && !t.TLS.required() {
		t.TLS.Mode = TLSRequired
	}
	d.key = keyOf(&t)
	d.limits.setDefaults()
	d.prepare()
	if len(d.open) == 0 {
		return d.res
	}
	if !p.enter(d) {
		d.finish(&failure{ours: ErrClosed})
		return d.res
	}
	defer p.leave(d)
	s, err := p.acquire(ctx, d)
	if err != nil {
		d.finish(&failure{stage: queue.StageConnect, ours: err})
		return d.res
	}
	d.walk(ctx, s)
	return d.res
}

// prepare refuses what could not be put into a command.
func (d *delivery) prepare() {
	d.res.Recipients = make([]RecipientResult, len(d.tx.Recipients))
	d.open = make([]int, 0, len(d.tx.Recipients))
	from := checkAddress(d.tx.Envelope.ReversePath)
	for i := range d.tx.Recipients {
		r := &d.tx.Recipients[i]
		d.res.Recipients[i].ID = r.ID
		d.open = append(d.open, i)
		err := checkAddress(r.Address)
		switch {
		case from != nil:
			d.decideOurselves(i, facts{}, queue.StageMail, queue.Enhanced{5, 1, 7}, from.Error())
		case err != nil:
			d.decideOurselves(i, facts{}, queue.StageRcpt, queue.Enhanced{5, 1, 3}, err.Error())
		case r.Address.IsNull():
			d.decideOurselves(i, facts{}, queue.StageRcpt, queue.Enhanced{5, 1, 3}, "the address is empty")
		}
	}
}

// walk uses s, a warm connection or nil, and then the target's addresses in
// order until nobody is left.
func (d *delivery) walk(ctx context.Context, s *session) {
	sessions := 0
	if s != nil {
		d.res.Reused = true
		f := d.run(ctx, s)
		if d.over(ctx, f) {
			d.end(ctx, s, f)
			return
		}
		d.p.drop(d, s, true)
		if f.unacked { // it died while it was idle: no answer, whatever it said last
			if f.reply.Temporary() {
				d.setBack(f, s.facts())
			}
		} else {
			if !f.refusal {
				sessions++
			}
			d.note(f, s.facts())
		}
	}
	tried := 0
	for i := range d.target.Hosts {
		h := &d.target.Hosts[i]
		for _, addr := range h.Addrs {
			if tried == d.p.o.AddressesPerAttempt || sessions == d.p.o.SessionsPerAttempt {
				break
			}
			if _, ok := d.target.localFor(addr); !ok {
				d.note(&failure{stage: queue.StageConnect, text: "the source address is of the other family"}, facts{host: h.Name})
				continue
			}
			tried++
			s, f := d.connect(ctx, h.Name, netip.AddrPortFrom(addr, h.port()))
			if f != nil {
				if d.over(ctx, f) {
					d.end(ctx, nil, f)
					return
				}
				d.note(f, s.facts())
				continue
			}
			f = d.run(ctx, s)
			if d.over(ctx, f) {
				d.end(ctx, s, f)
				return
			}
			if !f.refusal {
				sessions++
			}
			d.note(f, s.facts())
			d.p.drop(d, s, true)
		}
	}
	d.p.release(d, nil)
	if d.last == nil {
		d.last = &failure{stage: queue.StageConnect, text: "there is no address to connect to"}
	}
	d.finish(nil)
}

// end ends the walk with the session that served it, or with what kept it from
// going on.
func (d *delivery) end(ctx context.Context, s *session, f *failure) {
	if f == nil {
		s = d.overOther(ctx, s)
	}
	d.p.release(d, s)
	d.finish(f)
}

// over reports whether the walk ends here, and says so in f if it ends because
// the context did.
func (d *delivery) over(ctx context.Context, f *failure) bool {
	if f == nil {
		d.served = true
		return true
	}
	if f.ours == nil && ctx.Err() != nil {
		f.ours = context.Cause(ctx)
	}
	return f.ours != nil
}

// connect opens a session, without TLS where opportunistic TLS failed. With a
// failure the session is over, and good for its facts.
func (d *delivery) connect(ctx context.Context, host string, addr netip.AddrPort) (*session, *failure) {
	s, f := d.p.open(ctx, d, host, addr, false)
	if f != nil && f.stage == queue.StageTLS && d.target.TLS.Mode == TLSOpportunistic && !d.over(ctx, f) {
		ttl := d.p.o.BrokenTLSFor
		if f.transient {
			ttl = min(ttl, transientTLSMemory)
		}
		why := f.text
		if f.reply.Code != 0 {
			why = "STARTTLS was answered " + f.reply.String()
		}
		d.res.TLSFailure = why
		d.p.o.TLSMemory.RememberTLSBroken(ctx, tlsMemoryKey(host, addr), d.p.o.Now(), ttl)
		d.p.o.Logger.Info("next hop has broken TLS, going on without", "hop", host, "addr", addr.String(), "site", d.target.Site, "error", why)
		fault := s.fault
		s, f = d.p.open(ctx, d, host, addr, true)
		s.fault = fault
	}
	if f != nil {
		return s, f
	}
	d.res.Connections++
	if s.tlsSkipped != "" {
		d.res.TLSFailure = s.tlsSkipped
	}
	return s, nil
}

// note keeps what open recipients would be told: the last trouble, and only if
// there was none our own refusal of a host.
func (d *delivery) note(f *failure, from facts) {
	d.setBack(f, from)
	if d.last == nil || d.last.refusal || !f.refusal {
		d.last, d.lastFrom = f, from
	}
}

// setBack keeps a temporary reply that ended a session, and what failed of TLS.
func (d *delivery) setBack(f *failure, from facts) {
	if f.reply.Temporary() || f.stage == queue.StageTLS || from.fault != "" {
		d.res.Setbacks = append(d.res.Setbacks, Setback{Attempt: d.record(from, f.stage, f.reply, f.text), Enough: f.enough})
	}
}

// finish ends the call for those still open: f nil means that nothing stands in
// their way, or that d.last does.
func (d *delivery) finish(f *failure) {
	if f == nil && d.served {
		d.last = nil // trouble on the way there is none of theirs
	}
	if f != nil && f.ours != nil {
		d.res.Err = f.ours
		d.last = f
	}
	for _, i := range d.open {
		r := &d.res.Recipients[i]
		r.Outcome = NotAttempted
		f := d.last
		if f == nil {
			d.attempt(i, facts{}, "", queue.Reply{}, "left for another connection")
			continue
		}
		d.attempt(i, d.lastFrom, f.stage, f.reply, f.text)
		switch {
		case f.ours != nil:
			if errors.Is(f.ours, ErrContent) {
				r.Outcome = Temporary // it would be the same at once
			}
			if r.Attempt.Error == "" {
				r.Attempt.Error = clipText(f.ours.Error(), maxError)
			}
		case f.refusal:
			r.Outcome = Permanent
		case f.lost && d.decided:
			// Others went before; this one was not answered.
		default:
			r.Outcome = Temporary
		}
	}
	d.open = nil
}

// decide records what became of one recipient.
func (d *delivery) decide(i int, from facts, o Outcome, stage queue.Stage, reply queue.Reply, text string) *RecipientResult {
	d.attempt(i, from, stage, reply, text)
	r := &d.res.Recipients[i]
	r.Outcome = o
	for k, n := range d.open {
		if n == i {
			d.open = append(d.open[:k], d.open[k+1:]...)
			break
		}
	}
	return r
}

func (d *delivery) attempt(i int, from facts, stage queue.Stage, reply queue.Reply, text string) {
	d.res.Recipients[i].Attempt = d.record(from, stage, reply, text)
}

// record is what is known of the attempt with one session.
func (d *delivery) record(from facts, stage queue.Stage, reply queue.Reply, text string) queue.Attempt {
	a := queue.Attempt{
		Start: d.start, Took: d.p.o.Now().Sub(d.start), Site: d.target.Site,
		Host: from.host, Addr: from.addr, Local: from.local, TLS: from.tls, TLSPeer: from.tlsPeer,
		TLSPolicy: from.policy, TLSFault: from.fault,
		Stage: stage, Reply: reply, Error: clipText(text, maxError),
	}
	if from.policy != "" && from.fault == "" {
		a.TLSFault = d.target.TLS.Fault
	}
	return a
}

func (d *delivery) decideOurselves(i int, from facts, stage queue.Stage, e queue.Enhanced, text string) {
	d.decide(i, from, Permanent, stage, queue.Reply{Enhanced: e}, text)
}

// decideByReply records a refusal, or the acceptance of the content.
func (d *delivery) decideByReply(i int, s *session, stage queue.Stage, reply queue.Reply) *RecipientResult {
	d.decided = true
	o := Temporary
	switch {
	case reply.OK():
		o = Accepted
	case reply.Permanent():
		o = Permanent
	}
	return d.decide(i, s.facts(), o, stage, reply, "")
}
