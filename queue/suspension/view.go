package suspension

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"postrider/queue"
)

// View is a node's copy of the suspensions. It is safe for concurrent use.
type View struct {
	o ViewOptions

	known atomic.Pointer[snapshot] // nil before the first look
	asked atomic.Int64             // when the registry was looked at, in Unix nanoseconds
	mu    sync.Mutex               // held while it is
}

// ViewOptions are what a View needs; Store is required.
type ViewOptions struct {
	Store     queue.Registry
	Freshness time.Duration    // how old the copy may be; 0: 1 s
	Now       func() time.Time // nil: time.Now
	Logger    *slog.Logger     // nil: discard
}

// snapshot is what the registry held at a version of it.
type snapshot struct {
	version  uint64
	byDomain map[string][]Suspension
	byLane   map[queue.Lane][]Suspension
	others   []Suspension // by account and sender
	byID     map[string]Suspension
}

// Match is why mail waits.
type Match struct {
	Suspension
	// Lane reports that all mail of the lane is concerned.
	Lane bool
}

// lookTime bounds a look at the registry, for which delivery waits.
const lookTime = 2 * time.Second

// NewView returns a View.
func NewView(o ViewOptions) *View {
	if o.Freshness <= 0 {
		o.Freshness = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &View{o: o}
}

// Suspended reports whether mail is to wait. If several suspensions say so, the
// one that lets the whole lane rest is returned, else the one that ends last.
// What lies in the lane of a suspension's own waits as long as that is in force.
// It asks the registry when the copy has become too old, one caller at a time.
func (v *View) Suspended(ctx context.Context, m Mail) (match Match, ok bool) {
	now := v.o.Now()
	v.refresh(ctx, now)
	s := v.known.Load()
	if s == nil || s.empty() {
		return Match{}, false
	}
	if id, own := OfLane(m.Lane); own {
		p, ok := s.byID[id]
		return Match{Suspension: p, Lane: true}, ok && !p.Ended(now)
	}
	domain := m.Domain
	if domain != "" {
		domain = foldDomain(domain)
	}
	for _, list := range [][]Suspension{s.byDomain[domain], s.byLane[m.Lane], s.others} {
		for _, p := range list {
			if p.Ended(now) || !p.Selector.Matches(m) {
				continue
			}
			found := Match{Suspension: p, Lane: p.Selector.covers(m.Lane)}
			if !ok || found.before(match) {
				match, ok = found, true
			}
		}
	}
	return match, ok
}

// before reports whether m says more than n.
func (m Match) before(n Match) bool {
	switch {
	case m.Lane != n.Lane:
		return m.Lane
	case m.ExpiresAt.IsZero() || n.ExpiresAt.IsZero():
		return m.ExpiresAt.IsZero() && !n.ExpiresAt.IsZero()
	}
	return m.ExpiresAt.After(n.ExpiresAt)
}

// refresh looks at the registry if the copy is too old. Only the first look of
// all is waited for by everybody.
func (v *View) refresh(ctx context.Context, now time.Time) {
	if v.fresh(now) {
		return
	}
	if v.known.Load() == nil {
		v.mu.Lock()
	} else if !v.mu.TryLock() {
		return
	}
	defer v.mu.Unlock()
	if v.fresh(now) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	if err := v.look(ctx); err != nil {
		v.o.Logger.Warn("cannot look up suspensions; those known stay in force", "error", err)
	}
	v.asked.Store(now.UnixNano())
}

func (v *View) fresh(now time.Time) bool {
	age := now.UnixNano() - v.asked.Load()
	return age >= 0 && age < int64(v.o.Freshness)
}

func (v *View) look(ctx context.Context) error {
	version, err := v.o.Store.RegistryVersion(ctx)
	if err != nil {
		return err
	}
	if s := v.known.Load(); s != nil && s.version == version {
		return nil
	}
	list, err := load(ctx, v.o.Store)
	if err != nil {
		return err
	}
	v.known.Store(newSnapshot(version, list))
	return nil
}

func newSnapshot(version uint64, list []kept) *snapshot {
	s := &snapshot{version: version, byDomain: map[string][]Suspension{}, byLane: map[queue.Lane][]Suspension{}, byID: map[string]Suspension{}}
	for _, k := range list {
		p := k.Suspension
		s.byID[p.ID] = p
		switch {
		case p.Selector.Domain != "":
			s.byDomain[p.Selector.Domain] = append(s.byDomain[p.Selector.Domain], p)
		case p.Selector.Lane != "":
			s.byLane[p.Selector.Lane] = append(s.byLane[p.Selector.Lane], p)
		default:
			s.others = append(s.others, p)
		}
	}
	return s
}

func (s *snapshot) empty() bool { return len(s.byID) == 0 }
