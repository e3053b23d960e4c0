package throttle

import (
	"context"
	"errors"
	"math"
	"time"

	"postrider/queue"
)

// settleShares gives back what is not used, each second.
func (s *Sites) settleShares(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.common.shared {
		h := &st.share
		if now.Sub(h.settled) >= tick {
			h.settled = now
			st.settle(s, now)
		}
		if h.lowered > 0 || h.slots > 0 && now.Sub(h.renewed) >= slotRenew || h.hasProbe {
			s.common.asked[st] = struct{}{}
		}
		if !h.inUse() {
			delete(s.common.shared, st)
		}
	}
}

// askAll asks the store for what shares want, and tells it what they gave up.
func (s *Sites) askAll(ctx context.Context, now time.Time) {
	s.mu.Lock()
	var sites []*site
	if !now.Before(s.common.alone) {
		for st := range s.common.asked {
			sites = append(sites, st)
		}
		clear(s.common.asked)
	}
	s.mu.Unlock()
	s.each(len(sites), func(i int) {
		ask, cancel := context.WithTimeout(ctx, storeTime)
		defer cancel()
		err := errors.Join(s.askSlots(ask, sites[i], now), s.askTokens(ask, sites[i], now), s.askProbe(ask, sites[i], now))
		s.heard(ctx, now, err)
	})
}

// askSlots gives up, renews and takes slots, in this order.
func (s *Sites) askSlots(ctx context.Context, st *site, now time.Time) error {
	s.mu.Lock()
	h := &st.share
	have, lowered, want, asked := h.slots, h.lowered, h.want, h.want
	renew := have > 0 && now.Sub(h.renewed) >= slotRenew
	conns := st.pace.connections(st.conns)
	most, part := max(conns-s.common.nodes*freeSlots, 0), fair(conns, s.common.nodes)
	if s.othersHungry(st, now) {
		want = min(want, max(part-have, 0))
	}
	h.lowered, h.want = 0, 0
	s.mu.Unlock()
	for i := have; i < have+lowered; i++ {
		if err := s.o.Limits.ReleaseSlot(ctx, slotKey(st.key), s.holder(i)); err != nil {
			return err // it ends by itself
		}
	}
	if renew {
		kept := 0
		for ; kept < have; kept++ {
			ok, err := s.o.Limits.AcquireSlot(ctx, slotKey(st.key), s.holder(kept), now, max(most, have), slotTTL)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
		}
		s.mu.Lock()
		h.lowered += max(min(h.slots, have)-kept, 0)
		h.slots = min(h.slots, kept)
		h.renewed = now
		s.mu.Unlock()
		have = kept
	}
	got := 0
	for ; got < want; got++ {
		ok, err := false, error(nil)
		if have+got < most {
			ok, err = s.o.Limits.AcquireSlot(ctx, slotKey(st.key), s.holder(have+got), now, most, slotTTL)
		}
		if err != nil {
			return err
		}
		if !ok {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if got < asked {
		h.nextSlots = now.Add(tick)
		if have+got < part {
			h.hungry, h.hungryNode = now, s.o.Node
			s.common.shards[st.shard].note(st.key)
		}
	}
	if got == 0 {
		return nil
	}
	if h.slots == 0 {
		h.renewed, h.settled = now, now
	}
	h.slots += got
	s.common.shared[st] = struct{}{}
	return nil
}

// askTokens takes a block of messages from the rate.
func (s *Sites) askTokens(ctx context.Context, st *site, now time.Time) error {
	s.mu.Lock()
	h := &st.share
	want := h.wantTokens
	h.wantTokens = false
	rate := st.pace.rate(st.rule.Rate.perSecond())
	owed := max(-h.tokens, 0)
	s.mu.Unlock()
	if !want || math.IsInf(rate, 1) {
		return nil
	}
	n := block(rate) + owed
	ok, wait, err := s.o.Limits.TakeRate(ctx, rateKey(st.key), now, queue.Rate{Count: max(int(rate*3600), 1), Per: time.Hour, Burst: n}, n)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		h.tokensNext = now.Add(wait)
		return nil
	}
	h.tokens += n
	h.tokensAt = now
	return nil
}

// askProbe takes the right to the only probe of a paused site, or gives it back.
// Whoever had it before has told by then what came of it.
func (s *Sites) askProbe(ctx context.Context, st *site, now time.Time) error {
	s.mu.Lock()
	h := &st.share
	want, has := h.wantProbe, h.hasProbe
	h.wantProbe = false
	idle := has && st.out == 0 && (!st.wary || now.Before(st.until) || now.Sub(h.probeAt) >= probeIdle)
	renew := has && !idle && st.out > 0 && now.Sub(h.probeRenewed) >= probeTTL/3
	if idle {
		h.hasProbe = false
	}
	s.mu.Unlock()
	switch {
	case idle:
		s.writeShard(ctx, st.shard, now)
		return s.o.Limits.ReleaseSlot(ctx, probeKey(st.key), s.o.Node)
	case !renew && (!want || has):
		return nil
	}
	ok, err := s.o.Limits.AcquireSlot(ctx, probeKey(st.key), s.o.Node, now, 1, probeTTL)
	if err != nil {
		return err
	}
	if ok && !renew && !s.readShard(ctx, st.shard, now) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		h.probeNext = now.Add(tick)
		return nil
	}
	h.probeRenewed = now
	if !renew {
		h.hasProbe, h.probeAt = true, now
		s.common.shared[st] = struct{}{}
	}
	return nil
}
