package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// latency is a histogram of durations in buckets at most 1.6 % wide, from a
// microsecond to days. It is safe for concurrent use.
type latency struct {
	buckets [40 * subBuckets]atomic.Int64
	count   atomic.Int64
	longest atomic.Int64
}

const (
	subBits    = 6
	subBuckets = 1 << subBits
)

func (l *latency) add(d time.Duration) {
	us := max(d.Microseconds(), 0)
	l.buckets[bucketOf(us)].Add(1)
	l.count.Add(1)
	for {
		old := l.longest.Load()
		if us <= old || l.longest.CompareAndSwap(old, us) {
			return
		}
	}
}

// bucketOf gives small values a bucket each, larger ones subBuckets for each
// doubling.
func bucketOf(us int64) int {
	shift := max(bits.Len64(uint64(us))-subBits-1, 0)
	return min(shift*subBuckets+int(us>>shift), 40*subBuckets-1)
}

// bucketTop is the largest value of a bucket.
func bucketTop(b int) int64 {
	if b < 2*subBuckets {
		return int64(b)
	}
	shift := b/subBuckets - 1
	return (int64(b-shift*subBuckets)+1)<<shift - 1
}

// quantile is the value that the share q of all do not exceed.
func (l *latency) quantile(q float64) time.Duration {
	rank := int64(q*float64(l.count.Load()) + 0.5)
	var seen int64
	for b := range l.buckets {
		seen += l.buckets[b].Load()
		if seen >= max(rank, 1) {
			return time.Duration(min(bucketTop(b), l.longest.Load())) * time.Microsecond
		}
	}
	return 0
}

// quantiles are in milliseconds.
type quantiles struct {
	P50 float64 `json:"p50_ms"`
	P90 float64 `json:"p90_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func (l *latency) quantiles() quantiles {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return quantiles{ms(l.quantile(0.5)), ms(l.quantile(0.9)), ms(l.quantile(0.99)), ms(l.quantile(1))}
}
