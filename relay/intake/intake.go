package intake

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"postrider/queue"
	"postrider/queue/suppression"
)

// Store is what intake needs of the queue's store.
type Store interface {
	queue.Contents
	queue.Enqueuer
	queue.Limits
}

// Handoff takes mail that was just accepted straight to a free worker.
type Handoff interface {
	// Reserve sets a worker aside, if one is free. The request is passed with
	// the enqueue; take must then be called exactly once, with the leases that
	// were granted or with none.
	Reserve() (r queue.LeaseRequest, take func([]queue.Lease), ok bool)
	// Urge tells of mail of high priority that was just queued in a lane.
	Urge(lane queue.Lane)
}

// Lane groups mail to a domain that would use the same next hops, by route or
// domain. sender is the domain that it is from, see queue.Message. It asks no DNS.
type Lane func(account, sender, domain string) queue.Lane

// Suppressions knows the addresses that are not sent to. It is implemented by
// suppression.Book.
type Suppressions interface {
	// Check returns, by their index, the addresses that mail of these scopes is
	// not sent to. It asks the store once.
	Check(ctx context.Context, account string, scopes []string, addrs []queue.Address, now time.Time) (map[int]suppression.Entry, error)
}

// Options are what a Door needs. Store, Policies, Lane and Hostname are required.
type Options struct {
	Store    Store
	Policies Policies
	Lane     Lane
	Hostname string  // for trace fields and message ids
	Handoff  Handoff // nil: all mail waits to be leased

	Suppressions Suppressions // nil: there are none
	Staging      Staging      // who may get mail at all
	Masquerade   []Masquerade // host names that are hidden in senders; the first that fits counts

	Lifetime       time.Duration // of a message that names none, and at most; 0: 72 h
	MaxSize        int64         // octets after normalising; 0: 25 MB
	MaxHops        int           // Received fields; 0: 50
	SurgeFactor    int           // times the usual hour beyond which an account's mail is held; 0: never
	IdempotencyTTL time.Duration // how long keys are known; 0: 24 h

	Now    func() time.Time       // nil: time.Now
	NewID  func() queue.MessageID // nil: queue.NewMessageID
	Logger *slog.Logger           // nil: discard
	// Accepted is told of every message that was made durable; nil: nobody.
	Accepted func(source string, recipients int, size int64, took time.Duration)
}

// Door is the one way in. It implements queue.Submitter and is safe for
// concurrent use.
type Door struct {
	o         Options
	surge     *surge
	allowance *allowance
}

var _ queue.Submitter = (*Door)(nil)

// New returns a Door.
func New(o Options) *Door {
	if o.Lifetime <= 0 {
		o.Lifetime = 72 * time.Hour
	}
	if o.MaxSize <= 0 {
		o.MaxSize = 25 << 20
	}
	if o.MaxHops <= 0 {
		o.MaxHops = maxHops
	}
	if o.IdempotencyTTL <= 0 {
		o.IdempotencyTTL = 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = queue.NewMessageID
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Door{o: o, surge: newSurge(o.SurgeFactor), allowance: newAllowance(o.Store, o.Logger)}
}

// CheckSender says at MAIL FROM whether the account may send with this
// reverse-path, and with the key of that id, so that the reason reaches a person:
// a *queue.Refusal, our own trouble, or nil.
func (d *Door) CheckSender(ctx context.Context, account, credential string, from queue.Address) error {
	p, err := d.policy(ctx, account, credential)
	if err != nil {
		return err
	}
	_, refusal := envelopeSender(account, p, d.masquerade(from))
	if refusal == nil {
		refusal = d.checkRateLeft(ctx, p)
	}
	return refusalError(refusal)
}

// refusalError keeps a nil *Refusal from becoming a non-nil error.
func refusalError(r *queue.Refusal) error {
	if r == nil {
		return nil
	}
	return r
}

// policyFor binds clients, not the reports we write ourselves: those must reach
// the owner of an account that was disabled too.
func (d *Door) policyFor(ctx context.Context, s *queue.Submission) (Policy, error) {
	if s.Source.Kind == internal {
		return Policy{}, nil
	}
	return d.policy(ctx, s.Account, s.Credential)
}

// internal is the Source.Kind of the relay's own mail.
const internal = "internal"

func (d *Door) policy(ctx context.Context, account, credential string) (Policy, error) {
	p, err := d.o.Policies.Policy(ctx, account, credential)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return p, refuseUnknownAccount(account)
	case errors.Is(err, ErrCredential):
		return p, refuseCredential()
	case err != nil:
		return p, err
	case p.Disabled != "":
		return p, refuseDisabled(account, p.Disabled)
	}
	return p, nil
}

// Submit implements queue.Submitter. The content is not read to its end if the
// message is refused earlier.
func (d *Door) Submit(ctx context.Context, s queue.Submission) (queue.Submitted, error) {
	e := &entering{door: d, s: &s, now: d.o.Now()}
	if err := e.admit(ctx); err != nil {
		return queue.Submitted{}, err
	}
	if s.ID.IsZero() {
		s.ID = d.o.NewID()
	}
	w, err := d.o.Store.CreateContent(ctx)
	if err != nil {
		return queue.Submitted{}, storeError(err)
	}
	defer w.Abort()
	e.w = w
	if err := e.read(); err != nil {
		return queue.Submitted{}, err
	}
	return d.enqueue(ctx, e)
}

func (d *Door) enqueue(ctx context.Context, e *entering) (queue.Submitted, error) {
	hold, first := d.held(ctx, e)
	req := e.request(hold)
	take := func([]queue.Lease) {}
	if d.o.Handoff != nil && slices.ContainsFunc(req.Recipients, isDue) {
		if r, t, ok := d.o.Handoff.Reserve(); ok {
			req.Lease, take = &r, t
		}
	}
	done, err := d.o.Store.Enqueue(ctx, req)
	take(done.Leases)
	if err != nil {
		return queue.Submitted{}, storeError(err)
	}
	if req.Message.Priority == queue.PriorityHigh && !done.Duplicate && len(done.Leases) == 0 {
		d.urge(req.Recipients)
	}
	if hold && first {
		d.o.Logger.Warn("account sends far more than usual; its mail is held until you release it",
			"account", e.s.Account, "id", done.ID, "release", "postrider queue release --account "+e.s.Account)
	}
	d.report(e, done, hold)
	out := queue.Submitted{ID: done.ID, Duplicate: done.Duplicate}
	if !done.Duplicate {
		out.Held, out.Suppressed, out.AcceptedAt = hold, suppressed(req.Recipients), req.Message.AcceptedAt
		out.MessageID = req.Message.Header.MessageID
	}
	return out, nil
}

// urge tells the hand-off of the lanes of mail that goes before other mail.
func (d *Door) urge(rs []queue.Recipient) {
	if d.o.Handoff == nil {
		return
	}
	last := queue.Lane("")
	for i := range rs {
		if isDue(rs[i]) && rs[i].Lane != last {
			last = rs[i].Lane
			d.o.Handoff.Urge(last)
		}
	}
}

func isDue(r queue.Recipient) bool { return r.State == queue.StateQueued }

// held says that a message waits for the account's owner to release it; first
// that this has just begun.
func (d *Door) held(ctx context.Context, e *entering) (hold, first bool) {
	account, limit := e.s.Account, e.policy.HourlyLimit
	if e.s.Source.Kind == internal || e.s.Sandbox {
		return false, false
	}
	hold, first = d.surge.admit(account, e.now, limit)
	if !hold && limit > 0 && !d.allowance.take(ctx, account, e.now, limit) {
		return true, d.surge.tell(account, e.now)
	}
	return hold, first
}

func (d *Door) report(e *entering, done queue.Enqueued, hold bool) {
	took := d.o.Now().Sub(e.now)
	if done.Duplicate {
		d.o.Logger.Info("message repeated", "id", done.ID, "account", e.s.Account)
		return
	}
	if d.o.Accepted != nil {
		d.o.Accepted(e.s.Source.Kind, len(e.s.Recipients), e.size, took)
	}
	facts := []any{
		"id", done.ID, "account", e.s.Account, "from", e.s.Envelope.ReversePath, "rcpts", len(e.s.Recipients), "size", e.size,
		"message_id", e.facts.MessageID, "source", e.s.Source.Kind, "peer", e.s.Source.Remote, "held", hold, "took", took,
	}
	if e.website != "" {
		facts = append(facts, "website", e.website)
	}
	if e.kept > 0 {
		facts = append(facts, "staging", d.o.Staging.Mode(), "kept", e.kept)
	}
	d.o.Logger.Info("message accepted", facts...)
}

// storeError tells the client of the store's trouble what it may know, and
// keeps the cause for the log.
func storeError(err error) error {
	if errors.Is(err, queue.ErrIdempotencyConflict) {
		r := refuse(queue.RefusedIdempotency, 554, queue.Enhanced{5, 5, 0}, "This idempotency key was used for another message.", "Use a new key for every message.")
		return &troubled{Refusal: r, cause: err}
	}
	if r := refuseStore(err); r != nil {
		return &troubled{Refusal: r, cause: err}
	}
	return err
}

// troubled is a refusal with the cause that only the log may see.
type troubled struct {
	*queue.Refusal
	cause error
}

func (t *troubled) Error() string   { return t.Refusal.Error() + ": " + t.cause.Error() }
func (t *troubled) Unwrap() []error { return []error{t.Refusal, t.cause} }

func isFull(err error) bool        { return errors.Is(err, queue.ErrFull) }
func isUnavailable(err error) bool { return errors.Is(err, queue.ErrUnavailable) }
