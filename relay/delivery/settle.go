package delivery

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"postrider/queue"
)

// settle records outcomes, for the recipients in the same order, and tells of
// them. It tries again until the store answers: an outcome that is not recorded
// is a second copy.
func (d *Dispatcher) settle(ctx context.Context, r *run, rs []*queue.Recipient, ss []queue.Settlement) {
	r.settled = true
	pause := time.Duration(0)
	for {
		err := d.o.Store.Settle(ctx, r.lease, ss)
		switch {
		case err == nil:
			for i := range ss {
				d.tell(ctx, r, rs[i], &ss[i])
			}
			return
		case errors.Is(err, queue.ErrLeaseLost):
			d.unrecorded(ctx, slog.LevelWarn, "lease lost; the outcome is not recorded", r, rs, ss, err)
			return
		case ctx.Err() != nil:
			d.unrecorded(ctx, slog.LevelError, "the outcome could not be recorded", r, rs, ss, err)
			return
		case pause == 0:
			d.o.Logger.Warn("cannot record an outcome; trying again", "id", r.lease.Message.ID, "error", err)
		}
		pause = min(max(2*pause, firstPause), lastPause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

func (d *Dispatcher) unrecorded(ctx context.Context, level slog.Level, text string, r *run, rs []*queue.Recipient, ss []queue.Settlement, err error) {
	for i := range ss {
		d.o.Logger.Log(ctx, level, text, "id", r.lease.Message.ID, "rcpt", d.o.MaskAddress(rs[i].Address),
			"lease", uint64(r.lease.Token), "outcome", ss[i].Outcome.String(), "class", string(ss[i].Class), "error", err)
	}
}

// tell logs and counts an outcome that was recorded.
func (d *Dispatcher) tell(ctx context.Context, r *run, rc *queue.Recipient, s *queue.Settlement) {
	if d.o.Hooks.Outcome != nil {
		d.o.Hooks.Outcome(s.Outcome, s.Class)
	}
	took := s.Outcome == queue.StateDelivered || s.Outcome == queue.StateRelayed
	doubt := s.Attempt != nil && s.Attempt.InDoubt
	if doubt && d.o.Hooks.InDoubt != nil {
		d.o.Hooks.InDoubt(false)
	}
	if rc.InDoubt && (took || doubt) {
		if d.o.Hooks.InDoubt != nil {
			d.o.Hooks.InDoubt(true)
		}
		d.o.Logger.Warn("possibly a second copy: an earlier final dot got no reply that was recorded",
			"id", r.lease.Message.ID, "rcpt", d.o.MaskAddress(rc.Address), "in_doubt", true)
	}
	if !d.o.Logger.Enabled(ctx, slog.LevelInfo) {
		return
	}
	m := &r.lease.Message
	attrs := make([]slog.Attr, 0, 20)
	attrs = append(attrs,
		slog.String("id", m.ID.String()),
		slog.String("message_id", m.Header.MessageID),
		slog.String("from", d.o.MaskAddress(m.Envelope.ReversePath)),
		slog.String("rcpt", d.o.MaskAddress(rc.Address)),
		slog.String("domain", strings.ToLower(rc.Address.Domain)),
		slog.Duration("delay", d.o.Now().Sub(m.AcceptedAt)))
	if a := s.Attempt; a != nil {
		attrs = append(attrs, slog.String("site", a.Site), slog.String("hop", a.Host), slog.Int("attempt", a.Number),
			slog.String("stage", string(a.Stage)), slog.Duration("took", a.Took))
		if a.Reply.Code != 0 {
			attrs = append(attrs, slog.Int("code", a.Reply.Code), slog.String("status", statusOf(a)))
		}
		if !took && a.Reply.Code != 0 {
			attrs = append(attrs, slog.String("reply", a.Reply.String()))
		}
		if !took && a.Error != "" {
			attrs = append(attrs, slog.String("error", a.Error))
		}
		if doubt {
			attrs = append(attrs, slog.Bool("in_doubt", true))
		}
	}
	if !took {
		attrs = append(attrs, slog.String("class", string(s.Class)))
	}
	if s.Outcome == queue.StateDeferred {
		attrs = append(attrs, slog.Time("next", s.Due))
	}
	if s.Reason != "" {
		attrs = append(attrs, slog.String("reason", s.Reason))
	}
	d.o.Logger.LogAttrs(ctx, slog.LevelInfo, s.Outcome.String(), attrs...)
}

func statusOf(a *queue.Attempt) string {
	if a.Reply.Enhanced.IsZero() {
		return ""
	}
	return a.Reply.Enhanced.String()
}

// clip makes text fit into n bytes of valid UTF-8.
func clip(text string, n int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
