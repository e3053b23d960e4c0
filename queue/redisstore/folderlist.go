package redisstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// FolderAccounts lists accounts by name. A name is listed before its shelf is
// begun, and stays when that is dropped: so each is asked whether it has one.
func (s *Store) FolderAccounts(ctx context.Context, after string, limit int) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var all []string
	for len(all) < limit {
		names, err := s.folderNames(ctx, after, limit-len(all))
		if err != nil {
			return nil, fmt.Errorf("list accounts that have folders: %w", err)
		}
		if len(names) == 0 {
			break
		}
		after = names[len(names)-1]
		has, err := s.haveShelves(ctx, names)
		if err != nil {
			return nil, fmt.Errorf("list accounts that have folders: %w", err)
		}
		for i, name := range names {
			if has[i] {
				all = append(all, name)
			}
		}
	}
	return all, nil
}

func (s *Store) folderNames(ctx context.Context, after string, limit int) ([]string, error) {
	key, from := s.keys.folderNames(), "-"
	if after != "" {
		from = "(" + after
	}
	cmds, err := s.sv.ask(ctx, s.o.Patience, key, func(ctx context.Context, p redis.Pipeliner) {
		p.ZRangeArgs(ctx, redis.ZRangeArgs{Key: key, Start: from, Stop: "+", ByLex: true, Count: int64(min(limit, namesAtOnce))})
	})
	if err != nil {
		return nil, err
	}
	return cmds[0].(*redis.StringSliceCmd).Val(), nil
}

const (
	namesAtOnce = 1000
	asking      = 16 // questions to a Cluster at a time
)

// haveShelves asks one server in one round trip, a Cluster for each.
func (s *Store) haveShelves(ctx context.Context, names []string) ([]bool, error) {
	size := len(names)
	if s.sv.cluster != nil {
		size = 1
	}
	pieces := slices.Collect(slices.Chunk(names, size))
	answers, errs := make([][]bool, len(pieces)), make([]error, asking)
	inParallel(asking, func(first int) {
		for i := first; i < len(pieces) && errs[first] == nil; i += asking {
			answers[i], errs[first] = s.haveShelf(ctx, pieces[i])
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(answers...), nil
}

func (s *Store) haveShelf(ctx context.Context, names []string) ([]bool, error) {
	cmds, err := s.sv.ask(ctx, s.o.Patience, s.keys.folder(names[0]), func(ctx context.Context, p redis.Pipeliner) {
		for _, name := range names {
			p.HExists(ctx, s.keys.folder(name), versionField)
		}
	})
	if err != nil {
		return nil, err
	}
	has := make([]bool, len(cmds))
	for i, cmd := range cmds {
		has[i] = cmd.(*redis.BoolCmd).Val()
	}
	return has, nil
}
