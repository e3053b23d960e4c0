package throttle

import (
	"context"
	"encoding/json"
	"time"
)

// nodesValue is the cache's value of who is alive.
type nodesValue struct {
	Version int              `json:"v"`
	Nodes   map[string]int64 `json:"nodes"` // until when, in microseconds since 1970
}

// countNodes says that this node is alive, or is not any more, and counts those
// that are.
func (s *Sites) countNodes(ctx context.Context, now time.Time, alive bool) {
	s.mu.Lock()
	due := !alive || now.Sub(s.common.nodesAt) >= nodesEvery && !now.Before(s.common.alone)
	s.mu.Unlock()
	if !due {
		return
	}
	ask, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	raw, err := s.o.Cache.CacheGet(ask, nodesKey, now)
	if !s.heard(ctx, now, err) {
		return
	}
	v := decodeNodes(raw, now)
	delete(v.Nodes, s.o.Node)
	if alive {
		v.Nodes[s.o.Node] = now.Add(nodeTTL).UnixMicro()
	}
	b, err := json.Marshal(v)
	if err == nil {
		err = s.o.Cache.CachePut(ask, nodesKey, b, now, nodeTTL)
	}
	if s.heard(ctx, now, err) {
		s.mu.Lock()
		s.among(max(len(v.Nodes), 1))
		s.common.nodesAt = now
		s.mu.Unlock()
	}
}

// among notes how many nodes there are. Of what is handed out in slots each new
// one's free connection is taken off, from every node its part.
func (s *Sites) among(nodes int) {
	before := s.common.nodes
	s.common.nodes = nodes
	if nodes <= before {
		return
	}
	for st := range s.common.shared {
		h := &st.share
		conns := st.pace.connections(st.conns)
		keep := h.slots * max(conns-nodes*freeSlots, 0) / max(conns-before*freeSlots, 1)
		if keep < h.slots {
			h.lowered += h.slots - keep
			h.slots = keep
		}
	}
}

// decodeNodes reads who is alive; what is not readable is nobody.
func decodeNodes(raw []byte, now time.Time) nodesValue {
	var v nodesValue
	if json.Unmarshal(raw, &v) != nil || v.Version != recordVersion {
		v = nodesValue{}
	}
	v.Version = recordVersion
	if v.Nodes == nil {
		v.Nodes = make(map[string]int64)
	}
	for node, until := range v.Nodes {
		if until <= now.UnixMicro() || node == "" {
			delete(v.Nodes, node)
		}
	}
	return v
}
