package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
	"postrider/queue/rules"
)

// countedField of a partition says that all that waits in it is counted in its
// lane, as it is since format 2.
const countedField = "lc"

// startCounting lets partitions be counted that an older version has filled.
func (s *Store) startCounting(ctx context.Context) error {
	for _, part := range s.parts {
		cmds, err := s.sv.ask(ctx, s.o.Timeout, part, func(ctx context.Context, p redis.Pipeliner) {
			p.HExists(ctx, part, countedField)
			p.ZCard(ctx, part+"s")
		})
		switch {
		case err != nil:
			return fmt.Errorf("look at what is counted: %w", err)
		case cmds[0].(*redis.BoolCmd).Val():
		case cmds[1].(*redis.IntCmd).Val() == 0:
			if err := s.noteCounted(ctx, part); err != nil {
				return err
			}
		default:
			s.tasks.Go(func() { s.countPart(part) })
		}
	}
	return nil
}

func (s *Store) noteCounted(ctx context.Context, part string) error {
	_, err := s.sv.ask(ctx, s.o.Timeout, part, func(ctx context.Context, p redis.Pipeliner) { p.HSet(ctx, part, countedField, 1) })
	if err != nil {
		return fmt.Errorf("note what is counted: %w", err)
	}
	return nil
}

// countAgain is how long a node waits before it counts again after trouble.
const countAgain = 10 * time.Second

// countPart counts what waits in a partition. Several nodes may do it at once,
// and again: each record is counted once.
func (s *Store) countPart(part string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		err := s.weighAll(ctx, part)
		if err == nil {
			err = s.noteCounted(ctx, part)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		s.o.Logger.Warn("what waits is not counted by lane yet; it is tried again", "error", err)
		select {
		case <-time.After(countAgain):
		case <-ctx.Done():
			return
		}
	}
}

// weighAll goes through the segments that have something that waits.
func (s *Store) weighAll(ctx context.Context, part string) error {
	states := rules.Concerns(queue.ActionHold) // all that wait
	for from := "-inf"; ; {
		seg, ok, err := s.firstSegment(ctx, part, states, from)
		if err != nil || !ok {
			return err
		}
		ids, err := s.segment(ctx, part, seg)
		if err != nil {
			return err
		}
		for page := range slices.Chunk(ids, readPage) {
			args := []any{s.touch()}
			for _, id := range page {
				args = append(args, shortID(id))
			}
			if _, err := s.sv.run(ctx, s.o.Patience, &call{script: scripts.weigh, key: part, args: args}); err != nil {
				return err
			}
		}
		from = "(" + strconv.FormatInt(seg, 10)
	}
}
