package redisstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"postrider/queue"
)

// gatherer sends pieces of work to a script that takes several. Those that come
// while others are on their way go together, with one wait for the disk and, if
// they are durable, for a replica.
type gatherer struct {
	s       *Store
	script  *script
	durable bool

	mu   sync.Mutex
	wait map[string][]*sending // by partition
	busy map[string]int
	all  sync.WaitGroup
}

// piece is some work of one message.
type piece interface {
	// args appends what the script takes of it, and returns where that is told
	// that it is asked again; negative: nowhere.
	args(s *Store, args []any) ([]any, int)
}

type sending struct {
	piece  piece
	answer any
	err    error
	maybe  bool // it may have been done, although there is an error
	done   chan struct{}
}

const (
	flights  = 2  // ways to a partition at a time
	together = 32 // pieces of one way
)

func newGatherer(s *Store, sc *script, durable bool) *gatherer {
	return &gatherer{s: s, script: sc, durable: durable, wait: make(map[string][]*sending), busy: make(map[string]int)}
}

// stop waits for what is on its way.
func (g *gatherer) stop() { g.all.Wait() }

// send returns the script's answer for a piece. maybe says that it may have been
// done although there is an error.
func (g *gatherer) send(ctx context.Context, part string, p piece) (answer any, maybe bool, err error) {
	x := &sending{piece: p, done: make(chan struct{})}
	g.mu.Lock()
	g.wait[part] = append(g.wait[part], x)
	if g.busy[part] < flights {
		g.busy[part]++
		g.all.Go(func() { g.fly(part) })
	}
	g.mu.Unlock()
	select {
	case <-x.done:
		return x.answer, x.maybe, x.err
	case <-ctx.Done():
		return nil, true, ctx.Err()
	}
}

func (g *gatherer) fly(part string) {
	for {
		g.mu.Lock()
		q := g.wait[part]
		n := min(len(q), together)
		if n == 0 {
			g.busy[part]--
			delete(g.wait, part)
			g.mu.Unlock()
			return
		}
		batch := q[:n:n]
		g.wait[part] = q[n:]
		g.mu.Unlock()
		g.commit(part, batch)
	}
}

func (g *gatherer) commit(part string, batch []*sending) {
	start := time.Now()
	args := make([]any, 2, 2+20*len(batch))
	args[0], args[1] = g.s.touch(), len(batch)
	agains := make([]int, 0, len(batch))
	for _, x := range batch {
		again := -1
		if args, again = x.piece.args(g.s, args); again >= 0 {
			agains = append(agains, again)
		}
	}
	c := &call{script: g.script, key: part, args: args, durable: g.durable, repeat: func(args []any) {
		for _, i := range agains {
			args[i] = 1
		}
	}}
	// What is on its way is not given up with one of those who wait.
	ctx, cancel := context.WithTimeout(context.Background(), g.s.o.Patience)
	defer cancel()
	v, err := g.s.sv.run(ctx, g.s.o.Patience, c)
	list, _ := v.([]any)
	switch {
	case err != nil:
	case c.unsafe:
		err = fmt.Errorf("%w: %w", queue.ErrUnavailable, errNoReplica)
	case len(list) != len(batch):
		err = fmt.Errorf("%s answered %v: %w", g.script.name, v, queue.ErrUnavailable)
	}
	if err == nil && g.durable && g.s.o.Observe != nil {
		g.s.o.Observe(CommitStats{Took: time.Since(start), Group: len(batch)})
	}
	for i, x := range batch {
		if x.err = err; err == nil {
			x.answer = list[i]
		}
		x.maybe = c.ambiguous || c.unsafe
		close(x.done)
	}
}
