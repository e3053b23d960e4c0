package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"postrider/queue"
	"postrider/relay/report/status"
)

// Store is what the Maker needs of the queue's store.
type Store interface {
	queue.Events
	queue.Claims
	Message(ctx context.Context, id queue.MessageID) (queue.Entry, error)
	OpenContent(ctx context.Context, ref queue.ContentRef) (queue.Content, error)
}

// Mode says who gets reports.
type Mode string

// The modes.
const (
	ToSender Mode = "sender" // the reverse-path, as RFC 3461 says
	ToAdmin  Mode = "admin"  // one address, whatever the reverse-path
	ToNobody Mode = "none"   // events and folders only
)

// Options of a Maker. Store, Submitter and Hostname are required.
type Options struct {
	Store     Store
	Submitter queue.Submitter
	Hostname  string        // Reporting-MTA
	From      queue.Address // of reports; null: MAILER-DAEMON@Hostname
	Mode      Mode          // empty: ToSender
	Admin     queue.Address // for ToAdmin
	Full      bool          // return whole messages of up to 50 KB also when RET does not ask
	Holder    string        // this node, for the claim

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discard
	Retry  time.Duration    // pause after the store's trouble; 0: 5 s
	Pause  time.Duration    // between rounds, so that busy times are read in batches; 0: 250 ms
}

// Maker writes reports. Start it once.
type Maker struct {
	o    Options
	done chan struct{}
	stop context.CancelFunc
}

const (
	claimName  = "dsn"
	readerName = "dsn"
	claimTTL   = 30 * time.Second
	batch      = 500
	maxFull    = 50_000 // octets of a message that is returned whole

	unclaimTime = time.Second // the claim ends by itself
)

// New returns a Maker.
func New(o Options) *Maker {
	if o.Mode == "" {
		o.Mode = ToSender
	}
	if o.From.IsNull() {
		o.From = queue.Address{Local: "MAILER-DAEMON", Domain: o.Hostname}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Retry <= 0 {
		o.Retry = 5 * time.Second
	}
	if o.Pause <= 0 {
		o.Pause = 250 * time.Millisecond
	}
	return &Maker{o: o, done: make(chan struct{})}
}

// Start begins to read events, from where the last Maker of any node left off.
func (m *Maker) Start(ctx context.Context) {
	ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx))
	go m.run(ctx)
}

// Drain stops after the report under way. It must follow Start.
func (m *Maker) Drain(ctx context.Context) error {
	m.stop()
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *Maker) run(ctx context.Context) {
	defer close(m.done)
	news, stop := m.o.Store.Notify()
	defer stop()
	defer m.unclaim(ctx)
	for {
		more, err := m.Round(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, queue.ErrClaimed) {
			m.o.Logger.Error("reports are not written", "error", err)
		}
		if more && err == nil {
			continue
		}
		wait := claimTTL / 3
		if err != nil {
			wait = m.o.Retry
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		case <-time.After(wait):
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(m.o.Pause):
		}
	}
}

// Round reads one batch of events and submits what they call for. more says
// that there are others to read at once. It returns queue.ErrClaimed
// while another node writes the reports.
func (m *Maker) Round(ctx context.Context) (more bool, err error) {
	c, err := m.claim(ctx)
	if err != nil {
		return false, err
	}
	after, err := m.o.Store.Acknowledged(ctx, readerName)
	if err != nil {
		return false, fmt.Errorf("read position of reports: %w", err)
	}
	events, next, err := m.o.Store.ReadEvents(ctx, after, batch)
	if errors.Is(err, queue.ErrPosition) {
		m.o.Logger.Warn("reports start over: their position is no longer kept")
		events, next, err = m.o.Store.ReadEvents(ctx, "", batch)
	}
	if err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	groups := groupEvents(events)
	if held := len(groups) - 1; len(events) == batch && held > 0 {
		// The last group may go on in the next batch.
		next = groups[held-1].last().Position
		groups = groups[:held]
	}
	for _, g := range groups {
		if c, err = m.keep(ctx, c); err != nil {
			return false, err
		}
		if err := m.report(ctx, g); err != nil {
			return false, err
		}
	}
	if next == after {
		return false, nil
	}
	if _, err := m.keep(ctx, c); err != nil {
		return false, err
	}
	if err := m.o.Store.Acknowledge(ctx, readerName, next); err != nil {
		return false, fmt.Errorf("keep position of reports: %w", err)
	}
	return len(events) == batch, nil
}

// claim is the right to write reports, as it was when it was last renewed.
type claim struct {
	fence uint64
	at    time.Time
}

func (m *Maker) claim(ctx context.Context) (claim, error) {
	now := m.o.Now()
	fence, err := m.o.Store.Claim(ctx, claimName, m.o.Holder, now, claimTTL)
	return claim{fence: fence, at: now}, err
}

// unclaim lets the next node begin at once. ctx is over by then.
func (m *Maker) unclaim(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unclaimTime)
	defer cancel()
	if err := m.o.Store.Unclaim(ctx, claimName, m.o.Holder); err != nil {
		m.o.Logger.Debug("claim not given back", "claim", claimName, "error", err)
	}
}

// keep renews the claim in time. A node that stood still may find that another
// one went on in its place, and has ended since: its own round is then out of
// date, and must not write reports nor move the position back.
func (m *Maker) keep(ctx context.Context, c claim) (claim, error) {
	if m.o.Now().Sub(c.at) < claimTTL/3 {
		return c, nil
	}
	renewed, err := m.claim(ctx)
	if err == nil && renewed.fence != c.fence {
		err = queue.ErrClaimed
	}
	if err != nil {
		return c, fmt.Errorf("keep the claim on reports: %w", err)
	}
	return renewed, nil
}

// group is what befell one message, without anything else between.
type group []queue.Event

func (g group) last() queue.Event { return g[len(g)-1] }

// groupEvents joins neighbours of one message, so that the recipients that one
// transaction refused are told of in one report. Their times are no guide: each
// has its own.
func groupEvents(events []queue.Event) []group {
	var groups []group
	for _, e := range events {
		if n := len(groups); n > 0 {
			if groups[n-1].last().Message == e.Message {
				groups[n-1] = append(groups[n-1], e)
				continue
			}
		}
		groups = append(groups, group{e})
	}
	return groups
}

// report submits what a group calls for: one report for failures, one for
// delays, one for successes.
func (m *Maker) report(ctx context.Context, g group) error {
	if m.o.Mode == ToNobody || !calls(g) {
		return nil
	}
	entry, err := m.o.Store.Message(ctx, g[0].Message)
	if errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read message %s: %w", g[0].Message, err)
	}
	for _, kind := range []status.Action{status.Failed, status.Delayed, status.Relayed} {
		ns := notices(entry, g, kind)
		if len(ns) == 0 || entry.Message.Envelope.ReversePath.IsNull() {
			continue
		}
		if err := m.submit(ctx, entry.Message, ns); err != nil {
			return err
		}
	}
	return nil
}

// calls looks at the kinds alone, to spare reading messages that were
// delivered.
func calls(g group) bool {
	for _, e := range g {
		switch e.Kind {
		case queue.EventBounced, queue.EventExpired, queue.EventSuppressed:
			return true
		case queue.EventDeferred, queue.EventDelivered, queue.EventRelayed:
			if e.Delayed {
				return true
			}
		}
	}
	return false
}

func notices(entry queue.Entry, g group, kind status.Action) []notice {
	var ns []notice
	for _, e := range g {
		i := e.Recipient.Index()
		if e.Recipient.IsZero() || i >= len(entry.Recipients) {
			continue
		}
		r := entry.Recipients[i]
		if a, ok := wanted(r, e); ok && a == kind {
			ns = append(ns, notice{rcpt: r, event: e, action: a})
		}
	}
	return ns
}

// wanted says which action an event calls for, by what the sender asked
// (RFC 3461 §5.2): failures and delays unless it said otherwise, successes only
// if it said so and the next hop did not take over the duty.
func wanted(r queue.Recipient, e queue.Event) (status.Action, bool) {
	unset := r.Notify == 0
	switch e.Kind {
	case queue.EventBounced, queue.EventExpired, queue.EventSuppressed:
		return status.Failed, unset || r.Notify&queue.NotifyFailure != 0
	case queue.EventDeferred:
		return status.Delayed, e.Delayed && (unset || r.Notify&queue.NotifyDelay != 0)
	case queue.EventDelivered, queue.EventRelayed:
		taken := e.Attempt != nil && e.Attempt.Reports
		return status.Relayed, e.Delayed && !taken && r.Notify&queue.NotifySuccess != 0
	}
	return "", false
}

func (m *Maker) submit(ctx context.Context, msg queue.Message, ns []notice) error {
	d := &dsn{
		hostname: m.o.Hostname, from: m.o.From, to: msg.Envelope.ReversePath,
		message: msg, notices: ns, at: ns[0].event.At,
	}
	if m.o.Mode == ToAdmin {
		d.to = m.o.Admin
	}
	var err error
	if d.original, d.full, err = m.original(ctx, msg, ns[0].action); err != nil {
		return err
	}
	done, err := m.o.Submitter.Submit(ctx, queue.Submission{
		Account:    msg.Account,
		Source:     queue.Source{Kind: "internal"},
		Envelope:   queue.Envelope{SMTPUTF8: !d.to.ASCII()},
		Recipients: []queue.SubmittedRecipient{{Address: d.to, Notify: queue.NotifyNever}},
		Priority:   queue.PriorityNormal,
		// The last one, since events may have joined the group when it is read
		// again: they must not pass for reported.
		IdempotencyKey: "dsn/" + ns[len(ns)-1].event.ID.String(),
		Content:        bytes.NewReader(d.render()),
	})
	var refusal *queue.Refusal
	switch {
	case errors.Is(err, queue.ErrIdempotencyConflict):
		// Another node has written it, under its own name.
		m.o.Logger.Debug("report was written by another node", "id", msg.ID)
		return nil
	case errors.As(err, &refusal) && !refusal.Temporary():
		m.o.Logger.Warn("report refused", "id", msg.ID, "error", err)
		return nil
	case err != nil:
		return fmt.Errorf("submit report about %s: %w", msg.ID, err)
	}
	m.o.Logger.Info("report written", "id", msg.ID, "report", done.ID, "action", string(ns[0].action), "rcpts", len(ns), "repeated", done.Duplicate)
	return nil
}

// original reads what the report returns of the message (RFC 3461 §4.3): its
// header, or all of a small one that failed if RET=FULL. A content that is gone
// leaves its place empty.
func (m *Maker) original(ctx context.Context, msg queue.Message, a status.Action) (text []byte, full bool, err error) {
	full = a == status.Failed && msg.Content.Size <= maxFull &&
		(msg.Envelope.Ret == queue.RetFull || m.o.Full && msg.Envelope.Ret == queue.RetUnset)
	size := min(msg.Content.HeaderSize, maxOriginalHeader)
	if full {
		size = msg.Content.Size
	}
	c, err := m.o.Store.OpenContent(ctx, msg.Content)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("open content of %s: %w", msg.ID, err)
	}
	defer c.Close()
	text = make([]byte, size)
	n, err := io.ReadFull(c, text)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, false, fmt.Errorf("read content of %s: %w", msg.ID, err)
	}
	return text[:n], full, nil
}
