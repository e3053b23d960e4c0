package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
)

// Destinations returns lanes in which something waits, of all partitions
// together. When something is due next is known once it is due.
func (s *Store) Destinations(ctx context.Context, after queue.Lane, limit int) ([]queue.Destination, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if limit <= 0 {
		return nil, fmt.Errorf("list destinations: a limit of %d: %w", limit, queue.ErrFilter)
	}
	pages := make([][]queue.Destination, len(s.parts))
	counted := make([]bool, len(s.parts))
	errs := make([]error, len(s.parts))
	inParallel(len(s.parts), func(i int) { pages[i], counted[i], errs[i] = s.destinationsOf(ctx, s.parts[i], after, limit) })
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("list destinations: %w", err)
	}
	all := addUp(pages)
	all = all[:min(len(all), limit)]
	for i := range all {
		all[i].AtLeast = slices.Contains(counted, false)
		all[i].Parked = s.parked.of(all[i].Lane)
	}
	return all, nil
}

// addUp merges pages of partitions. The first of the result, as many as a page
// has at most, are complete: a page that lacks one of them has no such lane.
func addUp(pages [][]queue.Destination) (all []queue.Destination) {
	for _, ds := range pages {
		all = append(all, ds...)
	}
	slices.SortStableFunc(all, func(a, b queue.Destination) int { return strings.Compare(string(a.Lane), string(b.Lane)) })
	n := 0
	for _, d := range all {
		if n == 0 || all[n-1].Lane != d.Lane {
			all[n] = d
			n++
			continue
		}
		sum := &all[n-1]
		sum.Waiting += d.Waiting
		if sum.NextDue.IsZero() || !d.NextDue.IsZero() && d.NextDue.Before(sum.NextDue) {
			sum.NextDue = d.NextDue
		}
	}
	return all[:n]
}

func (s *Store) destinationsOf(ctx context.Context, part string, after queue.Lane, limit int) (ds []queue.Destination, counted bool, err error) {
	from := "-"
	if after != "" {
		from = "(" + string(after)
	}
	cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) {
		p.HExists(ctx, part, countedField)
		p.ZRangeArgs(ctx, redis.ZRangeArgs{Key: part + "z", Start: from, Stop: "+", ByLex: true, Count: int64(limit)})
	})
	if err != nil {
		return nil, false, err
	}
	counted = cmds[0].(*redis.BoolCmd).Val()
	lanes := cmds[1].(*redis.StringSliceCmd).Val()
	if len(lanes) == 0 {
		return nil, counted, nil
	}
	cmds, err = s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) {
		p.HMGet(ctx, part+"y", lanes...)
		for _, lane := range lanes {
			p.ZRangeWithScores(ctx, part+"l"+lane, 0, 0)
		}
	})
	if err != nil {
		return nil, false, err
	}
	for i, v := range cmds[0].(*redis.SliceCmd).Val() {
		text, _ := v.(string)
		if number(text) == 0 {
			continue // it has ended meanwhile
		}
		d := queue.Destination{Lane: queue.Lane(lanes[i]), Waiting: number(text)}
		if due := cmds[1+i].(*redis.ZSliceCmd).Val(); len(due) > 0 {
			d.NextDue = time.UnixMilli(int64(due[0].Score)).Add(-s.skew()).UTC()
		}
		ds = append(ds, d)
	}
	return ds, counted, nil
}

// of returns until when a lane is parked by this node.
func (k *parking) of(lane queue.Lane) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.until[lane].UTC()
}
