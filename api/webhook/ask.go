package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"postrider/api/feed"
	"postrider/queue"
)

// Replay asks for past events again. Those that come have the ids that they had.
type Replay struct {
	ID         string      `json:"id"`
	Since      time.Time   `json:"since"`
	Until      time.Time   `json:"until"` // zero: now
	Types      []feed.Type `json:"types,omitempty"`
	OnlyFailed bool        `json:"only_failed,omitempty"` // only those that were given up

	CreatedAt  time.Time      `json:"created_at"`
	FinishedAt time.Time      `json:"finished_at,omitzero"`
	Sent       int            `json:"sent"`
	Failed     int            `json:"failed"` // and parked, to be tried again
	Cursor     queue.Position `json:"cursor,omitempty"`
}

func replayName(id string) string { return id + "/replay" }

// Replay begins a replay; the endpoint's own position stays where it is. One at a
// time is under way.
func (b *Book) Replay(ctx context.Context, account, id string, p Replay) (Replay, error) {
	if _, err := b.get(ctx, account, id); err != nil {
		return Replay{}, err
	}
	now := b.o.Now().UTC()
	if p.Until.IsZero() || p.Until.After(now) {
		p.Until = now
	}
	if !p.Since.Before(p.Until) {
		return Replay{}, invalid("#/since", "out_of_range", "since must be before until, and in the past.")
	}
	if i := slices.IndexFunc(p.Types, func(t feed.Type) bool { return !t.Valid() }); i >= 0 {
		return Replay{}, invalid(fmt.Sprintf("#/types/%d", i), "unknown_type", "There is no such type of event.")
	}
	old, r, err := b.replay(ctx, id)
	if err != nil {
		return Replay{}, err
	}
	if r.Version > 0 && old.FinishedAt.IsZero() {
		return Replay{}, &Error{Status: 409, Code: "conflict", Detail: "A replay is under way. Wait until it is finished."}
	}
	p = Replay{ID: queue.NewID(replayPrefix), Since: p.Since.UTC(), Until: p.Until.UTC(), Types: p.Types, OnlyFailed: p.OnlyFailed, CreatedAt: now}
	if r.Value, err = json.Marshal(p); err != nil {
		return Replay{}, fmt.Errorf("encode a replay: %w", err)
	}
	if _, err := b.o.Store.PutRecord(ctx, r); err != nil {
		return Replay{}, fmt.Errorf("keep a replay for webhook %s: %w", id, err)
	}
	b.tell()
	return p, nil
}

// LastReplay returns the replay that was asked for last: queue.ErrNotFound if
// there was none.
func (b *Book) LastReplay(ctx context.Context, account, id string) (Replay, error) {
	if _, err := b.get(ctx, account, id); err != nil {
		return Replay{}, err
	}
	p, r, err := b.replay(ctx, id)
	if err == nil && r.Version == 0 {
		err = fmt.Errorf("read the replay of webhook %s: %w", id, queue.ErrNotFound)
	}
	return p, err
}

// replay reads the record of a replay; its version is 0 if there is none.
func (b *Book) replay(ctx context.Context, id string) (p Replay, r queue.Record, err error) {
	r, err = b.o.Store.GetRecord(ctx, queue.RecordDelivery, replayName(id))
	if errors.Is(err, queue.ErrNotFound) {
		return p, queue.Record{Kind: queue.RecordDelivery, Name: replayName(id)}, nil
	}
	if err != nil {
		return p, r, fmt.Errorf("read the replay of webhook %s: %w", id, err)
	}
	if err := json.Unmarshal(r.Value, &p); err != nil {
		return p, r, fmt.Errorf("decode record %q: %w", r.Name, err)
	}
	return p, r, nil
}
