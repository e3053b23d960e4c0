package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"postrider/queue"
	"postrider/queue/claim"
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
	o     Options
	claim *claim.Held
	done  chan struct{}
	stop  context.CancelFunc
}

const (
	claimName  = "dsn"
	readerName = "dsn"
	claimTTL   = 30 * time.Second
	batch      = 500
	maxFull    = 50_000 // octets of a message that is returned whole
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
	return &Maker{
		o: o, done: make(chan struct{}),
		claim: claim.New(claim.Options{Store: o.Store, Name: claimName, Holder: o.Holder, TTL: claimTTL, Now: o.Now, Logger: o.Logger}),
	}
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
	defer m.claim.Leave(ctx)
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
	if _, err := m.claim.Keep(ctx); err != nil {
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
		if err := m.keep(ctx); err != nil {
			return false, err
		}
		if err := m.report(ctx, g); err != nil {
			return false, err
		}
	}
	if next == after {
		return false, nil
	}
	if err := m.keep(ctx); err != nil {
		return false, err
	}
	if err := m.o.Store.Acknowledge(ctx, readerName, next); err != nil {
		return false, fmt.Errorf("keep position of reports: %w", err)
	}
	return len(events) == batch, nil
}

// keep renews the claim in time. A node that stood still may find that another
// one went on in its place: its own round is then out of date, and must not write
// reports nor move the position back.
func (m *Maker) keep(ctx context.Context) error {
	if err := m.claim.Still(ctx); err != nil {
		return fmt.Errorf("keep the claim on reports: %w", err)
	}
	return nil
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
	if reported(&entry.Message) {
		return nil
	}
	for _, kind := range []status.Action{status.Failed, status.Delayed, status.Relayed} {
		ns := m.notices(entry, g, kind)
		if len(ns) == 0 {
			continue
		}
		if err := m.submit(ctx, entry.Message, ns); err != nil {
			return err
		}
	}
	return nil
}

// reported says of a message that it is itself a report, or must not be answered:
// by its null reverse-path (RFC 5321 §4.5.5), or because we made it.
func reported(m *queue.Message) bool {
	return m.Envelope.ReversePath.IsNull() || m.Source.Kind == "internal"
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

func (m *Maker) notices(entry queue.Entry, g group, kind status.Action) []notice {
	var ns []notice
	for _, e := range g {
		i := e.Recipient.Index()
		if e.Recipient.IsZero() || i >= len(entry.Recipients) {
			continue
		}
		r := entry.Recipients[i]
		if strings.EqualFold(r.Address.String(), m.o.From.String()) {
			continue // an answer to a report of ours: another one would be answered too
		}
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
