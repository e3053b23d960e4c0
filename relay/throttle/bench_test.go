package throttle_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue/logstore"
	"postrider/relay/throttle"
)

// BenchmarkMessage is what one message costs: a permit, a report and giving back.
func BenchmarkMessage(b *testing.B) {
	for name, o := range benchOptions(b) {
		b.Run(name, func(b *testing.B) {
			s := throttle.New(o)
			s.Start(b.Context())
			defer s.Drain(b.Context())
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				p, _, ok := s.Acquire(b.Context(), "google", now)
				if !ok {
					b.Fatal("no permit")
				}
				s.Report(b.Context(), p, throttle.Report{Result: throttle.Reached}, now)
				s.Release(b.Context(), p)
			}
		})
	}
}

// BenchmarkAgain is what one more message over a warm connection costs.
func BenchmarkAgain(b *testing.B) {
	for name, o := range benchOptions(b) {
		b.Run(name, func(b *testing.B) {
			s := throttle.New(o)
			s.Start(b.Context())
			defer s.Drain(b.Context())
			now := time.Now()
			p, _, _ := s.Acquire(b.Context(), "google", now)
			b.ReportAllocs()
			for b.Loop() {
				s.Report(b.Context(), p, throttle.Report{Result: throttle.Reached}, now)
				if !s.Again(b.Context(), p, now) {
					b.Fatal("not again")
				}
			}
			s.Release(b.Context(), p)
		})
	}
}

// BenchmarkManySites is a message to each of many sites in turn.
func BenchmarkManySites(b *testing.B) {
	s := throttle.New(throttle.Options{})
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("site-%d.example.com", i)
	}
	now, i := time.Now(), 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		now = now.Add(time.Millisecond)
		p, _, _ := s.Acquire(b.Context(), keys[i%len(keys)], now)
		s.Report(b.Context(), p, throttle.Report{Result: throttle.Reached}, now)
		s.Release(b.Context(), p)
	}
}

// BenchmarkKey finds the rule of a plan.
func BenchmarkKey(b *testing.B) {
	s := throttle.New(throttle.Options{})
	hosts := []string{"gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com", "alt2.gmail-smtp-in.l.google.com"}
	b.ReportAllocs()
	for b.Loop() {
		s.Key("google.com", hosts, "")
	}
}

func benchOptions(b *testing.B) map[string]throttle.Options {
	s, err := logstore.Open(b.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return map[string]throttle.Options{
		"alone":    {},
		"embedded": {Cache: s},
		"shared":   {Cache: s, Limits: s, Node: "a"},
	}
}
