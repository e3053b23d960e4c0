package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
)

// format is how the store is laid out. A node refuses a newer one; an older one
// is migrated by the first node that can, when no node of the older version
// runs any more. With format 2 messages may have labels and the like, which
// older versions cannot read, and what waits is counted by lane.
const format = 2

// alive is how long a node is believed to run after its last sign of life.
const alive = 20 * time.Second

// register makes the store if there is none, checks its format, and enters this
// node among those that run.
func (s *Store) register(ctx context.Context) error {
	return s.registerAs(ctx, format)
}

func (s *Store) registerAs(ctx context.Context, mine int) error {
	v, err := s.change(ctx, scripts.adopt, s.keys.meta(), []any{mine, s.o.Partitions, alive.Milliseconds(), s.nodeLine(mine), hexNode(s.node), b01(s.o.Exclusive)}, nil)
	if err != nil {
		return err
	}
	list, _ := v.([]any)
	switch textOf(list, 0) {
	case "ok":
	case "newer":
		return fmt.Errorf("the store has format %s, made by a newer version of Postrider; this one knows formats up to %d: upgrade this node", textOf(list, 1), mine)
	case "wait":
		return fmt.Errorf("the store has format %s and cannot be brought to format %d while nodes of an older version run (%s): stop them first", textOf(list, 1), mine, textOf(list, 2))
	case "busy":
		if s.o.Exclusive {
			return fmt.Errorf("nodes run on the store (%s): stop them; one that was killed is forgotten after %v", textOf(list, 1), alive)
		}
		return fmt.Errorf("the store is being moved by %s: wait until that has ended", textOf(list, 1))
	default:
		return fmt.Errorf("adopt answered %v: %w", v, queue.ErrUnavailable)
	}
	n, err := strconv.Atoi(textOf(list, 1))
	if err != nil || n < 1 || n > maxPartitions {
		return fmt.Errorf("the store says that it has %q partitions", textOf(list, 1))
	}
	s.parts = make([]string, n)
	for i := range s.parts {
		s.parts[i] = s.keys.partition(i)
	}
	return nil
}

func hexNode(node string) string { return string(hexOf([]byte(node))) }

// nodeLine is what others see of this node: its format, whether it wants the
// store for itself, and its name.
func (s *Store) nodeLine(format int) string {
	name := s.o.Node
	if name == "" {
		name = "unnamed"
	}
	return strconv.Itoa(format) + " " + strconv.Itoa(b01(s.o.Exclusive)) + " " + strings.ReplaceAll(name, "\n", " ")
}

func (s *Store) deregister(ctx context.Context) {
	_, err := s.sv.ask(ctx, s.o.Timeout, s.keys.nodes(), func(ctx context.Context, p redis.Pipeliner) {
		p.HDel(ctx, s.keys.nodes(), hexNode(s.node))
	})
	if err != nil {
		s.o.Logger.Warn("this node did not sign off; it is taken for running for a while", "error", err)
	}
}

const (
	watchEvery = 250 * time.Millisecond
	beatEvery  = 5 * time.Second  // signs of life
	lookEvery  = 30 * time.Second // at how the servers are set
)

// watch tells of what other nodes do, gives signs of life, and keeps an eye on
// the servers.
func (s *Store) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	seen := make([]glance, len(s.parts))
	beat, look := time.Now(), time.Now()
	for {
		select {
		case <-s.done:
			return
		case now := <-tick.C:
			s.glanceAll(ctx, seen)
			s.sv.watchReplicas(ctx)
			if now.Sub(beat) >= beatEvery {
				beat = now
				s.beat(ctx)
			}
			if now.Sub(look) >= lookEvery {
				look = now
				s.watchServers(ctx)
			}
		}
	}
}

// glance is what shows that something happened in a partition.
type glance struct {
	woken, event string
	known        bool
}

func (s *Store) glanceAll(ctx context.Context, seen []glance) {
	inParallel(len(s.parts), func(i int) {
		part := s.parts[i]
		cmds, err := s.sv.ask(ctx, watchEvery, part, func(ctx context.Context, p redis.Pipeliner) {
			p.HMGet(ctx, part, "w")
			p.XRevRangeN(ctx, part+"e", "+", "-", 1)
		})
		if err != nil {
			return // those who ask for something are told
		}
		now := glance{known: true, woken: fmt.Sprint(cmds[0].(*redis.SliceCmd).Val())}
		if es := cmds[1].(*redis.XMessageSliceCmd).Val(); len(es) > 0 {
			now.event = es[0].ID
		}
		if seen[i].known && seen[i].woken != now.woken {
			s.wake.Send()
		}
		if seen[i].known && seen[i].event != now.event {
			s.notify.Send()
		}
		seen[i] = now
	})
}

// beat says that this node runs, and looks whether it still may.
func (s *Store) beat(ctx context.Context) { s.beatAs(ctx, format) }

func (s *Store) beatAs(ctx context.Context, mine int) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	v, err := s.sv.run(ctx, s.o.Timeout, &call{script: scripts.adopt, key: s.keys.meta(),
		args: []any{mine, len(s.parts), alive.Milliseconds(), s.nodeLine(mine), hexNode(s.node), b01(s.o.Exclusive)}})
	if err != nil {
		return
	}
	list, _ := v.([]any)
	why := ""
	switch textOf(list, 0) {
	case "newer":
		why = fmt.Sprintf("the store was brought to format %s by a newer version of Postrider: upgrade this node", textOf(list, 1))
	case "busy":
		why = fmt.Sprintf("the store is being moved by %s: start this node again when that has ended", textOf(list, 1))
	}
	if why != "" {
		if s.barred.Swap(&why) == nil {
			s.o.Logger.Error("this node stops working on the store", "why", why)
		}
		return
	}
	if err := s.measureClock(ctx); err != nil {
		s.o.Logger.Warn("the servers' clock cannot be read", "error", err)
	}
}

// smallSkew is what clocks may differ without our taking notice.
const smallSkew = 250 * time.Millisecond

// measureClock finds how far the servers' clock is ahead of this node's.
func (s *Store) measureClock(ctx context.Context) error {
	before := s.o.Now()
	start := time.Now()
	cmds, err := s.sv.ask(ctx, s.o.Timeout, s.keys.meta(), func(ctx context.Context, p redis.Pipeliner) { p.Time(ctx) })
	if err != nil {
		return err
	}
	skew := cmds[0].(*redis.TimeCmd).Val().Sub(before.Add(time.Since(start) / 2))
	if skew.Abs() < smallSkew {
		skew = 0
	}
	if old := s.skew(); (skew - old).Abs() >= smallSkew {
		s.offset.Store(int64(skew))
		if skew != 0 {
			s.o.Logger.Warn("this node's clock differs from the servers'; theirs counts", "by", -skew)
		}
	}
	return nil
}

// watchServers looks again whether the servers may be trusted: another one may
// have been made master.
func (s *Store) watchServers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Patience)
	defer cancel()
	losses, _, err := s.survey(ctx)
	if err == nil && len(losses) > 0 && !s.o.Relaxed {
		err = errors.New(strings.Join(losses, "; "))
	}
	if err != nil && troubleOf(err) != scriptError && len(losses) == 0 {
		return // they do not answer
	}
	was := s.unsafe.Load()
	if err == nil {
		if was != nil {
			s.unsafe.Store(nil)
			s.o.Logger.Info("the servers keep what they accept again")
		}
		return
	}
	why := err.Error()
	if was == nil || *was != why {
		s.unsafe.Store(&why)
		s.o.Logger.Error("no mail is taken: it could be lost", "why", why)
	}
}
