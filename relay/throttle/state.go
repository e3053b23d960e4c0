package throttle

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Stats counts sites.
type Stats struct {
	Permits int  // out now
	Paused  int  // sites that are
	Slowed  int  // sites whose limits are below what their rules say, since they refused more
	Alone   bool // what other nodes do is not known: the store does not answer
}

// Stats returns the counts as of now.
func (s *Sites) Stats(now time.Time) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := Stats{Alone: s.o.Limits != nil && s.common.running && !s.joined(now)}
	for _, st := range s.sites {
		n.Permits += st.out
		if now.Before(st.until) {
			n.Paused++
		}
		if !st.pace.slowed.IsZero() {
			n.Slowed++
		}
	}
	return n
}

// Limit is a kind of limit.
type Limit string

// The limits, as the machine tells them.
const (
	LimitNone        Limit = ""
	LimitPause       Limit = "pause"       // the site is left in peace
	LimitProbe       Limit = "probe"       // it was, and is tried by one message first
	LimitRate        Limit = "rate"        // the next message may go a little later
	LimitConnections Limit = "connections" // all that there may be are in use here
	LimitShared      Limit = "shared"      // they are in use by other nodes
)

// State is how a site is.
type State struct {
	Permits     int       // out now
	Connections int       // how many may be
	Failures    int       // in a row
	Until       time.Time // paused until then, if it is still to come

	Rule                  string // name of the provider's rule; empty: none applies
	MessagesPerConnection int    // now; 0: neither the rule nor the site says
	MostMessages          int    // of the rule; 0: it does not say
	TLS                   string // TLSEncrypt if the rule asks for it
	Ceiling               Rate   // of the rule; zero: none
	MostConnections       int    // of the rule

	// PerMinute is the rate now, in messages; 0: no limit.
	PerMinute float64
	// Level says how far limits have recovered since the site last refused
	// more: from 0 to 1, where what it refused is reached. 1 if it never did.
	Level float64
	// Slowed is when that was; the zero time if it never was.
	Slowed time.Time
	// Refused is the rate that it refused then, a minute.
	Refused float64

	// Binding is the limit that holds mail back now, and BindingUntil its end, if
	// that is known.
	Binding      Limit
	BindingUntil time.Time
}

// State returns how a site is as of now; without traffic it is like a new one.
func (s *Sites) State(key string) State {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.sites[key]
	if st == nil {
		st = s.newSite(key, now)
	}
	r := st.rule
	n := State{
		Permits: st.out, Connections: st.pace.connections(st.conns), Failures: st.failures, Until: st.until,
		Rule: r.Name, MessagesPerConnection: st.warmth.limit(r.MessagesPerConnection, now), MostMessages: r.MessagesPerConnection, TLS: r.TLS, Ceiling: r.Rate, MostConnections: st.conns,
		Level: 1, Slowed: st.pace.slowed, Refused: 60 * st.pace.high,
	}
	if st.wary {
		n.Connections = 1
	}
	rate := st.pace.rate(r.Rate.perSecond())
	if !math.IsInf(rate, 1) {
		n.PerMinute = 60 * rate
	}
	if !st.pace.slowed.IsZero() {
		n.Level = min(st.pace.progress, 1)
	}
	n.Binding, n.BindingUntil = s.binding(st, &n, rate, now)
	return n
}

// Named is a site by its key.
type Named struct {
	Key string
	State
}

// List returns how all sites are that are in use or kept in mind, those that are
// paused first, then those that refused something, each by name.
func (s *Sites) List() []Named {
	s.mu.Lock()
	keys := slices.Collect(maps.Keys(s.sites))
	s.mu.Unlock()
	all := make([]Named, len(keys))
	for i, k := range keys {
		all[i] = Named{k, s.State(k)}
	}
	rank := func(n Named) int {
		switch {
		case n.Binding == LimitPause:
			return 0
		case !n.Slowed.IsZero() || n.Binding == LimitProbe:
			return 1
		}
		return 2
	}
	slices.SortFunc(all, func(a, b Named) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Key, b.Key)) })
	return all
}

func (s *Sites) binding(st *site, n *State, rate float64, now time.Time) (Limit, time.Time) {
	next := st.pace.wait(rate)
	switch {
	case now.Before(st.until):
		return LimitPause, st.until
	case st.wary:
		return LimitProbe, time.Time{}
	case st.out >= n.Connections:
		return LimitConnections, time.Time{}
	case next.After(now):
		return LimitRate, next
	case s.joined(now) && st.out > st.share.slots:
		return LimitShared, time.Time{}
	case s.joined(now) && st.share.tokensNext.After(now):
		return LimitRate, st.share.tokensNext
	}
	return LimitNone, time.Time{}
}

// String says in a sentence what holds mail back, for an operator; empty if
// nothing does.
func (n State) String() string {
	rule := "delivery.connections_per_site"
	if n.Rule != "" {
		rule = "the rule for " + n.Rule
	}
	var text string
	switch n.Binding {
	case LimitPause:
		text = fmt.Sprintf("it is left in peace until %s", n.BindingUntil.UTC().Format(time.RFC3339))
	case LimitProbe:
		text = "it was left in peace and is now tried by one message first"
	case LimitRate:
		text = fmt.Sprintf("%.3g messages a minute go to it, by %s", n.PerMinute, rule)
	case LimitConnections:
		text = fmt.Sprintf("%d of %d connections to it are in use, by %s", n.Permits, n.Connections, rule)
	case LimitShared:
		text = fmt.Sprintf("other nodes use the rest of the %d connections to it, by %s", n.Connections, rule)
	default:
		return ""
	}
	if !n.Slowed.IsZero() && n.Binding != LimitPause {
		text += fmt.Sprintf("; it refused %.3g a minute at %s, and limits are on their way back (%d %%)",
			n.Refused, n.Slowed.UTC().Format(time.RFC3339), int(100*n.Level))
	}
	return text
}
