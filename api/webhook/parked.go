package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"postrider/queue"
)

// parked is an event that failed while the position went past it.
type parked struct {
	Event    string          `json:"event"`
	Type     string          `json:"type"`
	At       time.Time       `json:"at"` // of the event
	Body     json.RawMessage `json:"body"`
	Attempts int             `json:"attempts"`
	First    time.Time       `json:"first"` // attempt
	Next     time.Time       `json:"next"`
	Status   int             `json:"status,omitempty"`
	Error    string          `json:"error,omitempty"`
	GivenUp  bool            `json:"given_up,omitempty"`

	name    string
	version uint64
}

func (p *parked) message() *message {
	return &message{id: p.Event, kind: p.Type, body: p.Body}
}

// readParked returns what is parked for an endpoint, by id, which is by age.
func readParked(ctx context.Context, r queue.Registry, id string) (all []*parked, err error) {
	for r, err := range queue.Records(ctx, r, queue.RecordDelivery, id+"/") {
		if err != nil {
			return nil, fmt.Errorf("list what is parked for webhook %s: %w", id, err)
		}
		if !isParked(r.Name) {
			continue
		}
		p := &parked{name: r.Name, version: r.Version}
		if err := json.Unmarshal(r.Value, p); err != nil {
			return nil, fmt.Errorf("decode record %q: %w", r.Name, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// keep writes a parked event. One that another node has written before is the
// same event, and takes its place.
func (p *parked) keep(ctx context.Context, r queue.Registry) error {
	b, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode event %s to be parked: %w", p.Event, err)
	}
	for range 3 {
		var v uint64
		v, err = r.PutRecord(ctx, queue.Record{Kind: queue.RecordDelivery, Name: p.name, Version: p.version, Value: b})
		if err == nil {
			p.version = v
			return nil
		}
		if !errors.Is(err, queue.ErrVersion) {
			break
		}
		old, getErr := r.GetRecord(ctx, queue.RecordDelivery, p.name)
		if getErr != nil && !errors.Is(getErr, queue.ErrNotFound) {
			return fmt.Errorf("park event %s: %w", p.Event, getErr)
		}
		p.version = old.Version
	}
	return fmt.Errorf("park event %s: %w", p.Event, err)
}

func (p *parked) drop(ctx context.Context, r queue.Registry) error {
	err := r.DeleteRecord(ctx, queue.Record{Kind: queue.RecordDelivery, Name: p.name, Version: p.version})
	if err != nil && !errors.Is(err, queue.ErrNotFound) && !errors.Is(err, queue.ErrVersion) {
		return fmt.Errorf("forget parked event %s: %w", p.Event, err)
	}
	return nil
}

// lot is what is parked for an endpoint, as its worker knows it.
type lot struct {
	all []*parked // by age
}

func (l *lot) waiting() (n int) {
	for _, p := range l.all {
		if !p.GivenUp {
			n++
		}
	}
	return n
}

// due returns up to n whose time has come, the longest due first.
func (l *lot) due(now time.Time, n int) []*parked {
	var out []*parked
	for _, p := range l.all {
		if !p.GivenUp && !p.Next.After(now) {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b *parked) int { return a.Next.Compare(b.Next) })
	return out[:min(n, len(out))]
}

// next returns when the first of them is due.
func (l *lot) next() (at time.Time, ok bool) {
	for _, p := range l.all {
		if !p.GivenUp && (!ok || p.Next.Before(at)) {
			at, ok = p.Next, true
		}
	}
	return at, ok
}

// oldest returns the one that was tried the longest time ago.
func (l *lot) oldest() *parked {
	var first *parked
	for _, p := range l.all {
		if !p.GivenUp && (first == nil || p.Next.Before(first.Next)) {
			first = p
		}
	}
	return first
}

func (l *lot) find(event string) *parked {
	i := slices.IndexFunc(l.all, func(p *parked) bool { return p.Event == event })
	if i < 0 {
		return nil
	}
	return l.all[i]
}

func (l *lot) remove(p *parked) {
	l.all = slices.DeleteFunc(l.all, func(o *parked) bool { return o == p })
}

// surplus returns the oldest of those that were given up, beyond max.
func (l *lot) surplus(max int) (out []*parked) {
	n := len(l.all) - l.waiting() - max
	for _, p := range l.all {
		if p.GivenUp && n > 0 {
			out, n = append(out, p), n-1
		}
	}
	return out
}

func parkedName(endpoint, event string) string { return endpoint + "/" + event }

func stateName(endpoint string) string { return endpoint + "/state" }

// state is how an endpoint fares: kept only while it fails.
type state struct {
	FailingSince time.Time `json:"failing_since"`
	Open         bool      `json:"open"` // it is probed only
	Probes       int       `json:"probes"`
	NextProbe    time.Time `json:"next_probe"`
	LastError    string    `json:"last_error,omitempty"`

	version uint64
}

func readState(ctx context.Context, r queue.Registry, id string) (st state, err error) {
	rec, err := r.GetRecord(ctx, queue.RecordDelivery, stateName(id))
	if errors.Is(err, queue.ErrNotFound) {
		return state{}, nil
	}
	if err == nil {
		err = json.Unmarshal(rec.Value, &st)
	}
	if err != nil {
		return state{}, fmt.Errorf("read the state of webhook %s: %w", id, err)
	}
	st.version = rec.Version
	return st, nil
}

func (st *state) keep(ctx context.Context, r queue.Registry, id string) error {
	b, err := json.Marshal(st)
	if err == nil {
		st.version, err = r.PutRecord(ctx, queue.Record{Kind: queue.RecordDelivery, Name: stateName(id), Version: st.version, Value: b})
	}
	if err != nil {
		return fmt.Errorf("keep the state of webhook %s: %w", id, err)
	}
	return nil
}

// clear forgets the state, if it was kept.
func (st *state) clear(ctx context.Context, r queue.Registry, id string) error {
	if st.version > 0 {
		err := r.DeleteRecord(ctx, queue.Record{Kind: queue.RecordDelivery, Name: stateName(id), Version: st.version})
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return fmt.Errorf("forget the state of webhook %s: %w", id, err)
		}
	}
	*st = state{}
	return nil
}
