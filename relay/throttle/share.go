package throttle

import (
	"fmt"
	"math"
	"time"
)

// share is this node's part of what nodes have together of a site.
//
// Of connections each node has one for nothing, so that a site that gets little
// costs no question; the rest of the limit, less one for each node, is handed out
// by the store in slots, which are taken a few ahead, kept while they are used,
// and end by themselves if the node dies. Messages of a rate are taken ahead in
// blocks of a quarter of a second; one may go on credit while a block is asked for.
type share struct {
	slots     int // connections beyond the first
	want      int // slots that are to be asked for
	peak      int // most permits out since the last look
	nextSlots time.Time
	renewed   time.Time
	settled   time.Time // when idle ones were last given back
	lowered   int       // slots given up, to be told to the store

	tokens     int // messages of the rate; below 0 they are owed
	wantTokens bool
	tokensNext time.Time // the store has none before
	tokensAt   time.Time // when some last came

	wantProbe bool
	hasProbe  bool
	probeNext time.Time
	probeAt   time.Time // when it was granted

	probeRenewed time.Time

	hungry     time.Time // when a node last got no slot
	hungryNode string
}

const (
	freeSlots = 1
	slotTTL   = 15 * time.Second
	slotRenew = slotTTL / 3
	probeTTL  = time.Minute
	// probeIdle is after how long a probe that nobody makes is given back.
	probeIdle = 5 * time.Second
	tick      = time.Second
	// soon is when to ask again for what is just being asked of the store.
	soon = 50 * time.Millisecond
	// hungryFor is for how long others leave slots to a node that got none.
	hungryFor = 5 * time.Second
	mostSlots = 4 // asked for at a time
	mostBlock = 100
)

func (h *share) inUse() bool { return h.slots > 0 || h.lowered > 0 || h.hasProbe }

// shrink gives up slots when fewer connections may be out than before, each node
// its part.
func (st *site) shrink(before int) {
	now := st.pace.connections(st.conns)
	if h := &st.share; now < before && h.slots > 0 {
		keep := h.slots * now / before
		h.lowered += h.slots - keep
		h.slots = keep
	}
}

// joint takes what nodes have together for a message; others are the permits out
// beside its own. It asks the store for nothing itself.
func (s *Sites) joint(st *site, others int, rate float64, now time.Time) (until time.Time, ok bool) {
	if !s.joined(now) {
		return time.Time{}, true
	}
	h := &st.share
	if st.wary && !h.hasProbe {
		if now.Before(h.probeNext) {
			return h.probeNext, false
		}
		h.wantProbe = true
		s.common.ask(st)
		return now.Add(soon), false
	}
	h.peak = max(h.peak, others+1)
	if others >= freeSlots+h.slots {
		if h.want == 0 && now.Before(h.nextSlots) {
			return time.Time{}, false
		}
		h.want = min(max(1, h.slots), mostSlots)
		s.common.ask(st)
		return now.Add(soon), false
	}
	if math.IsInf(rate, 1) {
		return time.Time{}, true
	}
	return s.jointToken(st, rate, now)
}

// jointToken takes a message from the block, and asks for the next block before
// this one is used up.
func (s *Sites) jointToken(st *site, rate float64, now time.Time) (until time.Time, ok bool) {
	h := &st.share
	if h.tokens > 0 && now.Sub(h.tokensAt) > max(2*time.Second, seconds(2/rate)) {
		h.tokens = 0
	}
	if 2*h.tokens <= block(rate) && !now.Before(h.tokensNext) {
		h.wantTokens = true
		s.common.ask(st)
	}
	switch {
	case h.tokens > 0:
	case now.Before(h.tokensNext):
		st.pace.bound = now // also where another node's messages use the rate up
		return h.tokensNext, false
	case h.tokens < 0:
		return now.Add(soon), false
	}
	h.tokens--
	return time.Time{}, true
}

// block is how many messages are taken ahead.
func block(rate float64) int { return int(min(max(math.Ceil(rate/4), 1), mostBlock)) }

// fair is how many slots a node may keep of a site while another has none.
func fair(conns, nodes int) int { return max(conns-nodes*freeSlots, 0) / max(nodes, 1) }

// othersHungry reports whether another node has less than its part of the slots,
// and gets none.
func (s *Sites) othersHungry(st *site, now time.Time) bool {
	return now.Sub(st.share.hungry) < hungryFor && st.share.hungryNode != s.o.Node
}

// settle is done each second: what was not used is given back, and some of it
// also if another node has none.
func (st *site) settle(s *Sites, now time.Time) {
	h := &st.share
	most := max(h.peak, st.out) - freeSlots
	h.peak = st.out
	if s.othersHungry(st, now) {
		// Half of what is beyond the fair share each time.
		part := fair(st.pace.connections(st.conns), s.common.nodes)
		most = min(most, part+max(h.slots-part, 0)/2)
	}
	if keep := max(most, 0); keep < h.slots {
		h.lowered += h.slots - keep
		h.slots = keep
	}
}

func slotKey(key string) string  { return "throttle/site/" + key }
func rateKey(key string) string  { return "throttle/rate/" + key }
func probeKey(key string) string { return "throttle/probe/" + key }

func (s *Sites) holder(i int) string { return fmt.Sprintf("%s#%d", s.o.Node, i) }
