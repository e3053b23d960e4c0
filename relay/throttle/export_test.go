package throttle

import (
	"context"
	"time"
)

// Known counts the sites that are remembered.
func (s *Sites) Known() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sites)
}

// Tend does once what Start does in the background.
func (s *Sites) Tend(ctx context.Context, now time.Time) { s.tend(ctx, now) }

// StartByHand is Start without the goroutine.
func (s *Sites) StartByHand(ctx context.Context, now time.Time) {
	s.mu.Lock()
	s.common.running = true
	done := make(chan struct{})
	close(done)
	s.common.stop, s.common.done = func() {}, done
	s.mu.Unlock()
	s.load(ctx, now)
}

// What tests look at.
type Record = record

func (r Record) Join(o Record) Record { return r.join(o) }
func (r Record) Sane() bool           { return r.sane() }

var (
	EncodeShard = encodeShard
	DecodeShard = decodeShard
)

const MaxShard = maxShard
