package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
)

// Condition asks each master how it is; it takes as long as the slowest answer,
// and Options.Timeout at most.
func (s *Store) Condition(ctx context.Context) queue.Condition {
	c := queue.Condition{Free: -1, Used: -1}
	if err := s.enter(ctx); err != nil {
		c.Reason = err.Error()
		return c
	}
	defer s.leave()
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	if why := s.unsafe.Load(); why != nil {
		c.Reason = "accepted mail could be lost: " + *why
		return c
	}
	used, free, masters := int64(0), int64(-1), 0
	err := s.sv.masters(ctx, func(ctx context.Context, m *redis.Client) error {
		masters++
		text, err := m.Info(ctx, "memory", "replication", "persistence").Result()
		if err != nil {
			return fmt.Errorf("the Redis %s does not answer: %w", s.nameOf(m), err)
		}
		info := parseInfo(text)
		if info["loading"] == "1" {
			return fmt.Errorf("the Redis %s is loading its data; wait until it has", s.nameOf(m))
		}
		if info["aof_last_write_status"] == "err" {
			return fmt.Errorf("the Redis %s cannot write its log; look at its disk", s.nameOf(m))
		}
		if s.sv.wait && info["connected_slaves"] == "0" {
			return fmt.Errorf("the Redis %s has no replica connected, and mail is taken only with one; start it again", s.nameOf(m))
		}
		now, limit := number(info["used_memory"])-number(info["mem_not_counted_for_evict"]), number(info["maxmemory"])
		used += number(info["used_memory"])
		if limit == 0 {
			return nil
		}
		room := max(limit-now, 0)
		if free < 0 || room < free {
			free = room
		}
		if room == 0 {
			return fmt.Errorf("the Redis %s has used all of its maxmemory; raise it, or let the queue drain", s.nameOf(m))
		}
		return nil
	})
	if err == nil && masters == 0 {
		err = errors.New("no Redis master is known")
	}
	c.Used, c.Free = used, free
	if err != nil {
		c.Reason = err.Error()
		return c
	}
	c.Accepting = true
	return c
}

// nameOf is a server as operators know it.
func (s *Store) nameOf(c *redis.Client) string {
	if s.o.Topology == Sentinel {
		return "master " + s.o.Master
	}
	return c.Options().Addr
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}
