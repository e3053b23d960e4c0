package throttle

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"time"
)

// shard is the part of all records that are kept in one value of the cache.
type shard struct {
	active  time.Time // when a site of it was last asked for
	paced   time.Time // when one that refuses at times was
	read    time.Time
	written time.Time
	raw     []byte
	records map[string]record
	dirty   map[string]struct{} // sites of which this node knows more

	writing sync.Mutex // held while it is written; taken before Sites.mu
}

func shardOf(key string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % shardCount)
}

func (d *shard) note(key string) {
	if d.dirty == nil {
		d.dirty = make(map[string]struct{})
	}
	d.dirty[key] = struct{}{}
}

func shardKey(i int) string { return fmt.Sprintf("%s%02x", shardsRoot, i) }

// readShards reads the records of sites that are in use, each second, and those of
// sites that refuse at times more often: the sooner all slow down, the fewer are
// refused.
func (s *Sites) readShards(ctx context.Context, now time.Time) {
	var due []int
	s.mu.Lock()
	for i := range s.common.shards {
		d := &s.common.shards[i]
		every := tick
		if now.Sub(d.paced) < tick {
			every = readPaced
		}
		if now.Sub(d.active) < activeFor && now.Sub(d.read) >= every && !now.Before(s.common.alone) {
			due = append(due, i)
		}
	}
	s.mu.Unlock()
	s.each(len(due), func(n int) { s.readShard(ctx, due[n], now) })
}

// readShard reads records and has their sites learn from them.
func (s *Sites) readShard(ctx context.Context, i int, now time.Time) bool {
	ask, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	raw, err := s.o.Cache.CacheGet(ask, shardKey(i), now)
	if !s.heard(ctx, now, err) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &s.common.shards[i]
	d.read = now
	if err != nil || d.raw != nil && bytes.Equal(raw, d.raw) {
		return true
	}
	records, err := decodeShard(raw)
	if err != nil {
		s.o.Logger.Warn("what was kept of sites is not readable; it is written anew", "error", err)
		return true
	}
	d.raw = raw
	s.merge(d, records, now)
	return true
}

// merge joins records into a shard and has their sites learn from them. What they
// lack is written again: two nodes wrote at a time, and one lost.
func (s *Sites) merge(d *shard, records map[string]record, now time.Time) {
	for key, known := range d.records {
		if r := records[key]; !known.over(now) {
			records[key] = r.join(known)
			if known.news(r) {
				d.note(key)
			}
		}
	}
	d.records = records
	for key, r := range records {
		st := s.sites[key]
		if st == nil || r.over(now) {
			continue
		}
		st.learn(r, now)
		if st.record().news(r) {
			d.note(key)
		}
	}
}

// writeShards tells others what this node knows more of.
func (s *Sites) writeShards(ctx context.Context, now time.Time, every time.Duration) {
	var due []int
	s.mu.Lock()
	for i := range s.common.shards {
		d := &s.common.shards[i]
		if len(d.dirty) > 0 && now.Sub(d.written) >= every && (every == 0 || !now.Before(s.common.alone)) {
			due = append(due, i)
		}
	}
	s.mu.Unlock()
	s.each(len(due), func(n int) { s.writeShard(ctx, due[n], now) })
}

func (s *Sites) writeShard(ctx context.Context, i int, now time.Time) {
	s.common.shards[i].writing.Lock()
	defer s.common.shards[i].writing.Unlock()
	if s.o.Limits != nil && !s.readShard(ctx, i, now) {
		return
	}
	s.mu.Lock()
	d := &s.common.shards[i]
	told := d.dirty
	d.dirty = nil
	records := make(map[string]record, len(d.records)+len(told))
	for key, r := range d.records {
		if !r.over(now) {
			records[key] = r
		}
	}
	for key := range told {
		if st := s.sites[key]; st != nil && !st.record().over(now) {
			records[key] = records[key].join(st.record())
		}
	}
	s.mu.Unlock()
	b, err := encodeShard(records)
	if err == nil {
		put, cancel := context.WithTimeout(ctx, storeTime)
		err = s.o.Cache.CachePut(put, shardKey(i), b, now, forgetSlow)
		cancel()
	}
	ok := s.heard(ctx, now, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	d.written = now
	if !ok {
		for key := range told {
			d.note(key)
		}
		return
	}
	d.raw, d.records = b, records
}
