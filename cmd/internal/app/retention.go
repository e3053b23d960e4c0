package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"postrider/configs"
	"postrider/queue"
	"postrider/queue/claim"
)

// sweeper forgets what retention allows, on one node at a time.
type sweeper struct {
	store queue.Store
	keep  configs.Retention
	now   func() time.Time
	log   *slog.Logger
	claim *claim.Held

	background
}

const (
	sweepEvery = time.Minute
	sweepBatch = 500
	sweepClaim = "retention"
	sweepTTL   = 2 * sweepEvery
)

func newSweeper(store queue.Store, keep configs.Retention, holder string, now func() time.Time, log *slog.Logger) *sweeper {
	return &sweeper{
		store: store, keep: keep, now: now, log: log,
		claim: claim.New(claim.Options{Store: store, Name: sweepClaim, Holder: holder, TTL: sweepTTL, Now: now, Logger: log}),
	}
}

func (s *sweeper) start(ctx context.Context) {
	s.background.start(ctx, s.run)
}

func (s *sweeper) run(ctx context.Context) {
	defer s.claim.Leave(ctx)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		more, err := s.sweep(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, queue.ErrClaimed) {
			s.log.Warn("retention failed; it is tried again", "error", err)
		}
		if more && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *sweeper) sweep(ctx context.Context) (more bool, err error) {
	now := s.now()
	if _, err := s.claim.Keep(ctx); err != nil {
		return false, err
	}
	before := func(keep time.Duration) time.Time {
		if keep <= 0 {
			return time.Time{}
		}
		return now.Add(-keep)
	}
	swept, err := s.store.Sweep(ctx, queue.Retention{
		Now: now, Sent: before(s.keep.Sent), Bounced: before(s.keep.Bounced), Content: before(s.keep.Content), Max: sweepBatch,
	})
	if err != nil {
		return false, err
	}
	if swept.Entries+swept.Contents+swept.Orphans > 0 {
		s.log.Debug("retention", "entries", swept.Entries, "contents", swept.Contents, "orphans", swept.Orphans, "bytes", swept.Bytes)
	}
	return swept.More, nil
}
