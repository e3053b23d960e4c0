package suspension

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postrider/queue"
)

// Book writes suspensions. It is safe for concurrent use, by several nodes too.
type Book struct {
	store queue.Registry
	now   func() time.Time
}

// NewBook returns the book that a registry keeps. now nil: time.Now.
func NewBook(store queue.Registry, now func() time.Time) *Book {
	if now == nil {
		now = time.Now
	}
	return &Book{store: store, now: now}
}

// Suspend keeps back what the selector of s selects. s needs a reason; its id
// and its time of creation are set here. Where the same was suspended already,
// that suspension gets the new reason and end. Errors that wrap ErrInvalid say
// what is wrong with s.
func (b *Book) Suspend(ctx context.Context, s Suspension) (Suspension, error) {
	now := b.now()
	if err := check(&s, now); err != nil {
		return Suspension{}, err
	}
	list, err := b.all(ctx)
	if err != nil {
		return Suspension{}, err
	}
	s.ID, s.CreatedAt = queue.NewID(idPrefix), now.UTC()
	r := queue.Record{Kind: queue.RecordSuspension, Name: s.ID}
	live := 0
	for _, k := range list {
		switch {
		case k.Ended(now):
			b.forget(ctx, k.record)
		case k.Selector == s.Selector:
			s.ID, s.CreatedAt, r = k.ID, k.CreatedAt, k.record
		default:
			live++
		}
	}
	if live >= Max {
		return Suspension{}, fmt.Errorf("%w: there are %d suspensions already; resume some first", ErrInvalid, live)
	}
	if r.Value, err = json.Marshal(s); err != nil {
		return Suspension{}, fmt.Errorf("write suspension: %w", err)
	}
	if _, err := b.store.PutRecord(ctx, r); err != nil {
		return Suspension{}, fmt.Errorf("keep suspension: %w", err)
	}
	return s, nil
}

func check(s *Suspension, now time.Time) (err error) {
	if s.Selector, err = s.Selector.normalize(); err != nil {
		return err
	}
	if s.Reason, err = oneLine("reason", s.Reason, MaxReason); err != nil {
		return err
	}
	if s.Reason == "" {
		return fmt.Errorf("%w: give a reason, for those who wonder why mail waits", ErrInvalid)
	}
	if s.Actor, err = oneLine("actor", s.Actor, MaxActor); err != nil {
		return err
	}
	if s.Ended(now) {
		return fmt.Errorf("%w: its end must be in the future", ErrInvalid)
	}
	if !s.ExpiresAt.IsZero() {
		s.ExpiresAt = s.ExpiresAt.UTC()
	}
	return nil
}

func oneLine(what, text string, most int) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case len(text) > most:
		return "", fmt.Errorf("%w: the %s may have at most %d octets", ErrInvalid, what, most)
	case !utf8.ValidString(text), strings.ContainsFunc(text, unicode.IsControl):
		return "", fmt.Errorf("%w: the %s must be text on one line", ErrInvalid, what)
	}
	return text, nil
}

// forget removes one that has ended. Nobody waits for it: what is left is
// removed the next time.
func (b *Book) forget(ctx context.Context, r queue.Record) { _ = b.store.DeleteRecord(ctx, r) }

// Resume ends a suspension and returns it; queue.ErrNotFound if there is none
// of that id.
func (b *Book) Resume(ctx context.Context, id string) (Suspension, error) {
	if !strings.HasPrefix(id, idPrefix) || len(id) > 64 {
		return Suspension{}, fmt.Errorf("suspension: %w", queue.ErrNotFound)
	}
	r, err := b.store.GetRecord(ctx, queue.RecordSuspension, id)
	if err != nil {
		return Suspension{}, fmt.Errorf("look up suspension: %w", err)
	}
	k, err := read(r)
	if err != nil {
		return Suspension{}, err
	}
	if err := b.store.DeleteRecord(ctx, r); err != nil {
		return Suspension{}, fmt.Errorf("end suspension: %w", err)
	}
	return k.Suspension, nil
}

// ResumeSelected ends the suspension of exactly that selector;
// queue.ErrNotFound if there is none.
func (b *Book) ResumeSelected(ctx context.Context, sel Selector) (Suspension, error) {
	sel, err := sel.normalize()
	if err != nil {
		return Suspension{}, err
	}
	list, err := b.all(ctx)
	if err != nil {
		return Suspension{}, err
	}
	i := slices.IndexFunc(list, func(k kept) bool { return k.Selector == sel && !k.Ended(b.now()) })
	if i < 0 {
		return Suspension{}, fmt.Errorf("suspension: %w", queue.ErrNotFound)
	}
	if err := b.store.DeleteRecord(ctx, list[i].record); err != nil {
		return Suspension{}, fmt.Errorf("end suspension: %w", err)
	}
	return list[i].Suspension, nil
}

// List returns the suspensions that have not ended, oldest first.
func (b *Book) List(ctx context.Context) ([]Suspension, error) {
	list, err := b.all(ctx)
	if err != nil {
		return nil, err
	}
	now := b.now()
	out := make([]Suspension, 0, len(list))
	for _, k := range list {
		if !k.Ended(now) {
			out = append(out, k.Suspension)
		}
	}
	return out, nil
}

// kept is a suspension with its record.
type kept struct {
	Suspension
	record queue.Record
}

func (b *Book) all(ctx context.Context) ([]kept, error) { return load(ctx, b.store) }

func load(ctx context.Context, store queue.Registry) ([]kept, error) {
	var list []kept
	var bad []error
	for r, err := range queue.Records(ctx, store, queue.RecordSuspension, "") {
		if err != nil {
			return nil, fmt.Errorf("list suspensions: %w", err)
		}
		k, err := read(r)
		bad = append(bad, err)
		list = append(list, k)
	}
	if err := errors.Join(bad...); err != nil {
		return nil, err
	}
	return list, nil
}

func read(r queue.Record) (kept, error) {
	k := kept{record: r}
	if err := json.Unmarshal(r.Value, &k.Suspension); err != nil {
		return k, fmt.Errorf("read suspension %s: %w", r.Name, err)
	}
	return k, nil
}
