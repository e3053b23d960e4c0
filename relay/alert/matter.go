package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"postrider/queue"
	"postrider/relay/report/status"
)

// matter is a cause that goes on, in a record that all nodes share.
type matter struct {
	Alert   Alert     `json:"alert"`
	Born    time.Time `json:"born"`
	First   time.Time `json:"first"`            // what happened since the last message, or at all
	Last    time.Time `json:"last"`             // the newest
	Told    time.Time `json:"told,omitzero"`    // when the last message was begun
	Times   int       `json:"times,omitempty"`  // how often
	Pending bool      `json:"pending,omitzero"` // it is not known to have been told

	version uint64
	dirty   bool
	seen    map[queue.RecipientID]struct{} // that this node counted
}

// maxSeen is how many recipients are counted of one cause.
const maxSeen = 1000

// concern counts a recipient, once.
func (m *matter) concern(id queue.RecipientID) {
	if _, known := m.seen[id]; known {
		return
	}
	if len(m.seen) >= maxSeen {
		m.Alert.More = true
		return
	}
	if m.seen == nil {
		m.seen = make(map[queue.RecipientID]struct{})
	}
	m.seen[id] = struct{}{}
	m.Alert.Recipients++
}

// happen notes that the cause showed itself once more.
func (m *matter) happen(at time.Time) {
	if !m.news() {
		m.First, m.dirty = at, true
	}
	if at.After(m.Last) {
		m.Last = at
	}
}

// news reports whether anything happened since the last message.
func (m *matter) news() bool { return m.Last.After(m.Told) }

// stuck is how long telling may take, before it is taken for broken off and done
// again.
const stuck = 2 * time.Minute

// due says when to tell.
func (w *Watch) due(m *matter) (at time.Time, ok bool) {
	switch {
	case m.Pending:
		return m.Told.Add(stuck), true
	case !m.news(), m.Alert.Cause.Kind == Failing && w.o.Now().Sub(m.Last) >= 2*lookEvery:
		return at, false // in the second case it is over
	case m.Told.IsZero():
		return m.First.Add(w.gather(m)), true
	}
	return m.Told.Add(w.o.Every), true
}

// gather is how long a first message waits: what was counted over an hour has
// waited enough.
func (w *Watch) gather(m *matter) time.Duration {
	if m.Alert.Cause.Kind == Refused {
		return w.o.Gather
	}
	return 0
}

func (w *Watch) tellIfDue(ctx context.Context, m *matter) error {
	if at, ok := w.due(m); !ok || w.o.Now().Before(at) {
		return nil
	}
	if err := w.still(ctx); err != nil {
		return err
	}
	err := w.tell(ctx, m)
	if errors.Is(err, queue.ErrVersion) {
		// Another node went on with it while this one stood still.
		return fmt.Errorf("tell an alert: %w", queue.ErrClaimed)
	}
	return err
}

// tell tells. That it does is written before, so that no other node does, and
// that it did afterwards: in between, whoever finds it does it again, which for a
// mail makes no second one. queue.ErrVersion says that another node was quicker.
func (w *Watch) tell(ctx context.Context, m *matter) error {
	if !m.Pending {
		m.Told, m.Times, m.Pending = w.o.Now(), m.Times+1, true
		if err := m.put(ctx, w.o.Store); err != nil {
			return err
		}
	}
	if err := w.send(ctx, &m.Alert, fmt.Sprintf("alert/%s/%d/%d", m.Alert.Cause.ID(), m.Born.Unix(), m.Times)); err != nil {
		return err
	}
	m.Pending = false
	return m.put(ctx, w.o.Store)
}

// put writes the record, if nobody else did.
func (m *matter) put(ctx context.Context, s queue.Registry) error {
	b, err := json.Marshal(m)
	if err == nil {
		var version uint64
		version, err = s.PutRecord(ctx, queue.Record{Kind: queue.RecordAlert, Name: m.Alert.Cause.ID(), Version: m.version, Value: b})
		if err == nil {
			m.version, m.dirty = version, false
		}
	}
	if err != nil {
		return fmt.Errorf("keep what was told of alerts: %w", err)
	}
	return nil
}

func decode(rec queue.Record) (*matter, error) {
	m := &matter{version: rec.Version}
	if err := json.Unmarshal(rec.Value, m); err != nil {
		return nil, fmt.Errorf("read what was told of alerts, %q: %w", rec.Name, err)
	}
	return m, nil
}

// readMatters reads what events led to; conditions are their finders' own.
// A record that cannot be read is taken away: what it told of may be told again.
func readMatters(ctx context.Context, s queue.Registry, log *slog.Logger) (map[string]*matter, error) {
	all := make(map[string]*matter)
	for rec, err := range queue.Records(ctx, s, queue.RecordAlert, "") {
		if err != nil {
			return nil, fmt.Errorf("read what was told of alerts: %w", err)
		}
		m, err := decode(rec)
		if err != nil {
			log.Warn("record of an alert cannot be read and is removed", "record", rec.Name, "error", err)
			if err := s.DeleteRecord(ctx, rec); err != nil && !errors.Is(err, queue.ErrVersion) {
				return nil, fmt.Errorf("remove the record of an alert: %w", err)
			}
			continue
		}
		if m.Alert.Cause.Kind != Condition {
			all[rec.Name] = m
		}
	}
	return all, nil
}

const (
	sweepEvery = time.Hour
	quiet      = 24 * time.Hour // after which a cause is over
)

// sweep forgets causes that are over, now and then.
func (w *Watch) sweep(ctx context.Context) error {
	now := w.o.Now()
	if now.Sub(w.sweptAt) < sweepEvery {
		return nil
	}
	for rec, err := range queue.Records(ctx, w.o.Store, queue.RecordAlert, "") {
		if err != nil {
			return fmt.Errorf("look for alerts that are over: %w", err)
		}
		m, err := decode(rec)
		if err != nil {
			continue // the next one who takes over removes it
		}
		if known := w.matters[rec.Name]; known != nil {
			m = known
		}
		if now.Sub(m.Last) < max(quiet, 2*w.o.Every) || m.Pending {
			continue
		}
		if err := w.o.Store.DeleteRecord(ctx, rec); err != nil && !errors.Is(err, queue.ErrVersion) {
			return fmt.Errorf("forget an alert that is over: %w", err)
		}
		delete(w.matters, rec.Name)
	}
	w.sweptAt = now
	return nil
}

// tellRaised tells of the conditions that were raised on this node, unless that
// was done within the hour. It needs no claim: the record decides.
func (w *Watch) tellRaised(ctx context.Context) error {
	w.mu.Lock()
	todo := make(map[string]Raised, len(w.raised))
	for id, r := range w.raised {
		todo[id] = r
	}
	w.mu.Unlock()
	for id, r := range todo {
		told, err := w.tellCondition(ctx, r)
		if err != nil && !errors.Is(err, queue.ErrVersion) {
			return err
		}
		if !told {
			continue
		}
		w.mu.Lock()
		if w.raised[id] == r { // else it was raised anew, with other words
			delete(w.raised, id)
		}
		w.mu.Unlock()
	}
	return nil
}

// tellCondition reports whether there is nothing left to tell.
func (w *Watch) tellCondition(ctx context.Context, r Raised) (told bool, err error) {
	c, now := r.cause(), w.o.Now()
	m := &matter{Alert: Alert{Cause: c, Since: now}, Born: now, First: now}
	rec, err := w.o.Store.GetRecord(ctx, queue.RecordAlert, c.ID())
	if err == nil {
		m, err = decode(rec)
	}
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return false, fmt.Errorf("read what was told of an alert: %w", err)
	}
	lately := !m.Told.IsZero() && now.Sub(m.Told) < w.o.Every
	switch {
	case m.Pending && now.Sub(m.Told) < stuck:
		return false, nil // another node is at it, or this one was just in vain
	case lately && !m.Pending:
		return true, nil
	case now.Sub(m.Last) >= max(quiet, 2*w.o.Every):
		m.Alert.Since = now
	}
	m.Alert.Title, m.Alert.Advice, m.Alert.At = status.Plain(r.Title), r.Advice, now
	m.Alert.Reply = status.Clip(status.Plain(r.Detail), maxReply)
	m.Last = now
	err = w.tell(ctx, m)
	return err == nil || errors.Is(err, queue.ErrVersion), err
}
