package logstore

import (
	"context"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/rules"
)

// candidates calls fn with pages of recipients, each in order of id, among
// which are all that the filter may select and that are in one of the states,
// or leased from one of them. It takes the narrowest way there is, through what
// is in r.
func (s *Store) candidates(ctx context.Context, r pebble.Reader, f *queue.Filter, states []queue.State, fn func([]queue.RecipientID) error) error {
	switch {
	case len(f.Recipients) > 0:
		ids := slices.Clone(f.Recipients)
		slices.SortFunc(ids, compareIDs)
		return pages(ctx, slices.Compact(ids), fn)
	case len(f.Messages) > 0:
		return s.candidatesOf(ctx, f.Messages, fn)
	}
	for _, st := range states {
		if f.Lane != "" && rules.Waits(st) {
			continue
		}
		if err := s.candidatesIn(ctx, r, []byte{keyState, byte(st)}, fn); err != nil {
			return err
		}
	}
	if f.Lane != "" && slices.ContainsFunc(states, rules.Waits) {
		return s.candidatesIn(ctx, r, laneKey(nil, f.Lane), fn)
	}
	return nil
}

func pages(ctx context.Context, ids []queue.RecipientID, fn func([]queue.RecipientID) error) error {
	for page := range slices.Chunk(ids, operatePage) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(page); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) candidatesOf(ctx context.Context, messages []queue.MessageID, fn func([]queue.RecipientID) error) error {
	messages = slices.Clone(messages)
	slices.SortFunc(messages, func(a, b queue.MessageID) int {
		return compareIDs(queue.RecipientID(a), queue.RecipientID(b))
	})
	for _, id := range slices.Compact(messages) {
		m, err := s.readMessage(s.db, id)
		if errors.Is(err, queue.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		ids := make([]queue.RecipientID, m.recipients)
		for i := range ids {
			ids[i] = id.Recipient(i)
		}
		if err := pages(ctx, ids, fn); err != nil {
			return err
		}
	}
	return nil
}

// candidatesIn reads keys that end with a recipient's id, page by page: what fn
// changes must be behind the next page, or stay where it is, unless r is a
// snapshot.
func (s *Store) candidatesIn(ctx context.Context, r pebble.Reader, prefix []byte, fn func([]queue.RecipientID) error) error {
	next, end := prefix, after(prefix)
	for next != nil {
		var ids []queue.RecipientID
		lower := next
		next = nil
		err := each(r, lower, end, func(it *pebble.Iterator) (bool, error) {
			if len(ids) == operatePage {
				next = slices.Clone(it.Key())
				return false, nil
			}
			ids = append(ids, queue.RecipientID(it.Key()[len(it.Key())-16:]))
			return true, nil
		})
		if err != nil {
			return err
		}
		slices.SortFunc(ids, compareIDs)
		if err := pages(ctx, ids, fn); err != nil {
			return err
		}
	}
	return nil
}
