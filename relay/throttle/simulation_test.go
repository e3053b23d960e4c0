package throttle_test

import (
	"cmp"
	"container/heap"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue/logstore"
	"postrider/relay/throttle"
)

// allowance is what a simulated provider allows, in messages a second.
type allowance func(at time.Duration) float64

// police says whether a message that comes now is too much.
type police interface {
	accepts(at time.Duration, rate float64) bool
}

// bucket is a token bucket of so many seconds.
type bucket struct {
	depth, tokens float64
	last          time.Duration
}

func (b *bucket) accepts(at time.Duration, rate float64) bool {
	b.tokens = min(b.tokens+(at-b.last).Seconds()*rate, max(b.depth*rate, 1))
	b.last = at
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// window counts what it took in so much time.
type window struct {
	length time.Duration
	taken  []time.Duration
}

func (w *window) accepts(at time.Duration, rate float64) bool {
	for len(w.taken) > 0 && at-w.taken[0] >= w.length {
		w.taken = w.taken[1:]
	}
	if float64(len(w.taken)) >= max(rate*w.length.Seconds(), 1) {
		return false
	}
	w.taken = append(w.taken, at)
	return true
}

// event is the arrival of a message at the provider, its reply here, or a time at
// which a permit may be had.
type event struct {
	at     time.Duration
	serial int
	permit throttle.Permit
	kind   int
	result throttle.Result
	took   time.Duration
	sent   int // messages under the permit
	node   int // who sends it
}

// warm is how many messages in a row a permit is used for.
const warm = 8

const (
	arrives = iota
	replies
	wakes
	tends
)

type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].serial < a[j].serial
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// simulation sends without end to one provider, in virtual time.
type simulation struct {
	sites   *throttle.Sites
	others  []*throttle.Sites // further nodes
	allowed allowance
	police  police
	length  time.Duration
	bin     time.Duration
	took    time.Duration // each way of a message, to three times that; 0: 100 ms

	nodes   []*throttle.Sites
	rand    *rand.Rand
	agenda  agenda
	serial  int
	waking  []time.Duration // by node
	now     time.Time
	counted []count // by bin
}

type count struct{ attempts, refused, allowed float64 }

func (c *count) add(o count) {
	c.attempts += o.attempts
	c.refused += o.refused
	c.allowed += o.allowed
}

// refusedShare is the part of all attempts, usedShare that of the allowance.
func (c count) refusedShare() float64 { return c.refused / c.attempts }
func (c count) usedShare() float64    { return (c.attempts - c.refused) / c.allowed }

func (s *simulation) push(e event) {
	s.serial++
	e.serial = s.serial
	heap.Push(&s.agenda, e)
}

// run runs it and returns what was counted in all.
func (s *simulation) run(t testing.TB) (all count) {
	t.Helper()
	s.rand = rand.New(rand.NewPCG(1, 2))
	s.counted = make([]count, s.length/s.bin)
	s.nodes = append([]*throttle.Sites{s.sites}, s.others...)
	s.waking = make([]time.Duration, len(s.nodes))
	for i := range s.nodes {
		s.waking[i] = -1
		s.push(event{kind: wakes, node: i})
		if len(s.others) > 0 {
			s.push(event{kind: tends, node: i})
		}
	}
	for len(s.agenda) > 0 {
		e := heap.Pop(&s.agenda).(event)
		if e.at >= s.length {
			break
		}
		s.step(t, e)
	}
	for i := range s.counted {
		c := &s.counted[i]
		for at := time.Duration(i) * s.bin; at < time.Duration(i+1)*s.bin; at += time.Second {
			c.allowed += s.allowed(at)
		}
		all.add(*c)
	}
	return all
}

func (s *simulation) step(t testing.TB, e event) {
	now := start.Add(e.at)
	s.now = now
	sites := s.nodes[e.node]
	switch e.kind {
	case tends:
		sites.Tend(t.Context(), now)
		e.at += 25 * time.Millisecond
		s.push(e)
		return
	case arrives:
		c := &s.counted[e.at/s.bin]
		c.attempts++
		e.result = throttle.Reached
		if !s.police.accepts(e.at, s.allowed(e.at)) {
			e.result = throttle.Slowed
			c.refused++
		}
		e.kind, e.at = replies, e.at+e.took
		s.push(e)
		return
	case replies:
		sites.Report(t.Context(), e.permit, throttle.Report{Result: e.result}, now)
		if e.result == throttle.Reached && e.sent < warm && sites.Again(t.Context(), e.permit, now) {
			s.send(e.permit, e.at, e.sent+1, e.node)
			return
		}
		sites.Release(t.Context(), e.permit)
	case wakes:
		s.waking[e.node] = -1
	}
	for {
		p, until, ok := sites.Acquire(t.Context(), "big", now)
		if ok {
			s.send(p, e.at, 1, e.node)
			continue
		}
		if at := max(until.Sub(start), e.at+time.Millisecond); !until.IsZero() && (s.waking[e.node] < 0 || at < s.waking[e.node]) {
			s.waking[e.node] = at
			s.push(event{at: at, kind: wakes, node: e.node})
		}
		return
	}
}

func (s *simulation) send(p throttle.Permit, at time.Duration, sent, node int) {
	took := cmp.Or(s.took, 100*time.Millisecond)
	took += time.Duration(s.rand.Int64N(int64(2 * took)))
	s.push(event{at: at + took, kind: arrives, permit: p, took: took, sent: sent, node: node})
}

// aDay is a provider that changes its mind: steps up and down, then the wave of
// a day in a few hours.
func aDay(at time.Duration) float64 {
	perMinute := 0.0
	switch h := at.Hours(); {
	case h < 4:
		perMinute = 200
	case h < 9:
		perMinute = 900
	case h < 13:
		perMinute = 120
	case h < 15:
		perMinute = 400
	default:
		perMinute = 400 + 300*math.Sin((h-15)/9*2*math.Pi)
	}
	return perMinute / 60
}

func TestRateFollowsWhatAProviderAllows(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		allowed allowance
		police  police
		length  time.Duration
	}{
		"steps and a wave, counted by the minute":    {aDay, &window{length: time.Minute}, 24 * time.Hour},
		"steps and a wave, counted by ten minutes":   {aDay, &window{length: 10 * time.Minute}, 24 * time.Hour},
		"always the same":                            {func(time.Duration) float64 { return 5 }, &bucket{depth: 1}, 6 * time.Hour},
		"always little":                              {func(time.Duration) float64 { return 0.2 }, &bucket{depth: 10}, 48 * time.Hour},
		"always much":                                {func(time.Duration) float64 { return 25 }, &bucket{depth: 1}, time.Hour},
		"it closes for an hour and then opens again": {closes, &bucket{depth: 5}, 10 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := simulation{sites: throttle.New(throttle.Options{}), allowed: tc.allowed, police: tc.police, length: tc.length, bin: 5 * time.Minute}
			s.run(t).mannerly(t)
		})
	}
}

// changesAtOnce changes its mind within a minute.
func changesAtOnce(at time.Duration) float64 {
	if s := at % time.Minute; s >= 20*time.Second && s < 40*time.Second {
		return 25
	}
	return 60
}

// A receiver nearby that changes its mind three times a minute.
func TestRateFollowsWhatChangesWithinAMinute(t *testing.T) {
	t.Parallel()
	for name, allowed := range map[string]allowance{
		"60 a second, 25, 60": changesAtOnce,
		"always 40 a second":  func(time.Duration) float64 { return 40 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := simulation{sites: throttle.New(throttle.Options{}), allowed: allowed, police: &bucket{depth: 1, tokens: 40}, length: 10 * time.Minute, bin: time.Minute, took: 5 * time.Millisecond}
			all := s.run(t)
			for i, c := range s.counted {
				t.Logf("minute %d: %.1f %% refused, %.0f %% used", i, 100*c.refusedShare(), 100*c.usedShare())
			}
			all.mannerly(t)
		})
	}
}

// Two nodes over one store, at a receiver nearby.
func TestNodesFollowWhatIsAllowedTogether(t *testing.T) {
	t.Parallel()
	store, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := simulation{allowed: func(time.Duration) float64 { return 40 }, police: &bucket{depth: 1, tokens: 40}, length: 3 * time.Minute, bin: 10 * time.Second, took: 5 * time.Millisecond, now: start}
	node := func(name string) *throttle.Sites {
		n := throttle.New(throttle.Options{Cache: store, Limits: store, Node: name, Now: func() time.Time { return s.now }})
		n.StartByHand(t.Context(), start)
		return n
	}
	s.sites, s.others = node("a"), []*throttle.Sites{node("b")}
	all := s.run(t)
	for i, c := range s.counted {
		t.Logf("%d s: %.1f %% refused, %.0f %% used", 10*i, 100*c.refusedShare(), 100*c.usedShare())
	}
	all.mannerly(t)
}

// mannerly fails if too much was refused, or too little sent.
func (c count) mannerly(t *testing.T) {
	t.Helper()
	t.Logf("%.0f attempts, %.2f %% refused, %.1f %% of the allowance used", c.attempts, 100*c.refusedShare(), 100*c.usedShare())
	if c.refusedShare() > 0.02 {
		t.Errorf("%.2f %% of attempts were refused, want 2 %% at most", 100*c.refusedShare())
	}
	if c.usedShare() < 0.8 {
		t.Errorf("%.1f %% of the allowance was used, want 80 %% at least", 100*c.usedShare())
	}
}

func closes(at time.Duration) float64 {
	if h := at.Hours(); h > 3 && h < 4 {
		return 0
	}
	return 5
}
