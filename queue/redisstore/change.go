package redisstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"postrider/queue"
)

// change is what a recipient is to become, if it is still what it was.
type change struct {
	index   int
	byToken bool // held under token value, with no other action pending than pending; else of revision value
	value   uint64
	pending queue.Action
	status  byte
	becomes queue.Recipient
	event   *queue.Event
	asked   string // kept beside it, "-": no longer
}

// changeSet is changes of one message, all or none.
type changeSet struct {
	message *queue.Message
	now     int64  // 0: the server's
	again   bool   // it may have been done already
	lease   string // that ends with it, as scripts know it
	changes []change
}

// The answers to a changeSet, apart from what is pending meanwhile.
const (
	changeLost  = 0
	changeDone  = 1
	changeStale = 2
	changeGone  = 3
)

// args appends what change.lua takes, and returns where it is told that it is
// asked again.
func (c *changeSet) args(s *Store, args []any) ([]any, int) {
	ended, trouble := int64(0), 0
	type group struct {
		due     int64
		indexes []byte
	}
	var groups []group
	at := make(map[int64]int, 1)
	for i := range c.changes {
		r := &c.changes[i].becomes
		ended = max(ended, r.UpdatedAt.UnixMilli())
		switch {
		case r.State.Final() && r.State != queue.StateDelivered && r.State != queue.StateRelayed:
			trouble = 1
		case waitsAgain(&c.changes[i]):
			due := s.dueMS(r)
			g, ok := at[due]
			if !ok || len(groups[g].indexes) >= 2*queue.MaxLeaseRecipients {
				g = len(groups)
				at[due] = g
				groups = append(groups, group{due: due})
			}
			n := c.changes[i].index
			groups[g].indexes = append(groups[g].indexes, byte(n>>8), byte(n))
		}
	}
	again := len(args) + 1
	args = append(args, c.now, b01(c.again), shortID(c.message.ID), priority(c.message), c.message.Account, c.lease,
		ended, trouble, len(c.changes), len(groups))
	for i := range c.changes {
		ch := &c.changes[i]
		by, event := "R", ""
		if ch.byToken {
			by = "T"
		}
		if ch.event != nil {
			event = encodeEvent(ch.event)
		}
		args = append(args, ch.index, by, ch.value, int(ch.pending), int(ch.status), s.tail(c.message, &ch.becomes), event, ch.asked)
	}
	for _, g := range groups {
		args = append(args, "", g.due, g.indexes)
	}
	return args, again
}

func b01(b bool) int {
	if b {
		return 1
	}
	return 0
}

// settler sends changes. Those that come while others are on their way go
// together, in one script and with one wait for the disk and for a replica.
type settler struct {
	s    *Store
	mu   sync.Mutex
	wait map[string][]*sending // by partition
	busy map[string]int
	all  sync.WaitGroup
}

type sending struct {
	set    *changeSet
	answer any
	err    error
	maybe  bool // it may have been done, although there is an error
	done   chan struct{}
}

const (
	flights  = 4  // ways to a partition at a time
	together = 32 // change sets of one way
)

func newSettler(s *Store) *settler {
	return &settler{s: s, wait: make(map[string][]*sending), busy: make(map[string]int)}
}

func (t *settler) stop() { t.all.Wait() }

// send commits a change set. maybe says that it may be done although there is
// an error.
func (t *settler) send(ctx context.Context, part string, set *changeSet) (answer any, maybe bool, err error) {
	x := &sending{set: set, done: make(chan struct{})}
	t.mu.Lock()
	t.wait[part] = append(t.wait[part], x)
	if t.busy[part] < flights {
		t.busy[part]++
		t.all.Go(func() { t.fly(part) })
	}
	t.mu.Unlock()
	select {
	case <-x.done:
		return x.answer, x.maybe, x.err
	case <-ctx.Done():
		return nil, true, ctx.Err()
	}
}

func (t *settler) fly(part string) {
	for {
		t.mu.Lock()
		q := t.wait[part]
		n := min(len(q), together)
		if n == 0 {
			t.busy[part]--
			delete(t.wait, part)
			t.mu.Unlock()
			return
		}
		batch := q[:n:n]
		t.wait[part] = q[n:]
		t.mu.Unlock()
		t.commit(part, batch)
	}
}

func (t *settler) commit(part string, batch []*sending) {
	start := time.Now()
	args := make([]any, 2, 2+20*len(batch))
	args[0], args[1] = t.s.touch(), len(batch)
	agains := make([]int, len(batch))
	for i, x := range batch {
		args, agains[i] = x.set.args(t.s, args)
	}
	c := &call{script: scripts.change, key: part, args: args, durable: true, repeat: func(args []any) {
		for _, i := range agains {
			args[i] = 1
		}
	}}
	// What is on its way is not given up with one of those who wait.
	ctx, cancel := context.WithTimeout(context.Background(), t.s.o.Patience)
	defer cancel()
	v, err := t.s.sv.run(ctx, t.s.o.Patience, c)
	list, _ := v.([]any)
	switch {
	case err != nil:
	case c.unsafe:
		err = fmt.Errorf("%w: %w", queue.ErrUnavailable, errNoReplica)
	case len(list) != len(batch):
		err = fmt.Errorf("change answered %v: %w", v, queue.ErrUnavailable)
	}
	if err == nil && t.s.o.Observe != nil {
		t.s.o.Observe(CommitStats{Took: time.Since(start), Group: len(batch)})
	}
	for i, x := range batch {
		if x.err = err; err == nil {
			x.answer = list[i]
		}
		x.maybe = c.ambiguous || c.unsafe
		close(x.done)
	}
}
