package bitmap_test

import (
	"testing"

	"postrider/queue/bitmap"
)

const million = 1_000_000

func thinned() bitmap.Set {
	ids := make([]uint32, 0, million)
	for id := uint32(1); len(ids) < million; id++ {
		if id%7 != 0 {
			ids = append(ids, id)
		}
	}
	return bitmap.Of(ids...)
}

func BenchmarkHas(b *testing.B) {
	s := thinned()
	for id := uint32(0); b.Loop(); id++ {
		s.Has(id % million)
	}
}

func BenchmarkAt(b *testing.B) {
	s := thinned()
	for i := 0; b.Loop(); i += 7919 {
		s.At(i % million)
	}
}

func BenchmarkRank(b *testing.B) {
	s := thinned()
	for id := uint32(0); b.Loop(); id += 7919 {
		s.Rank(id % million)
	}
}

func BenchmarkAll1M(b *testing.B) {
	s := thinned()
	for b.Loop() {
		for range s.All() {
		}
	}
}

func BenchmarkCountAnd1M(b *testing.B) {
	s, o := thinned(), bitmap.Range(1, 2*million)
	for b.Loop() {
		s.CountAnd(o)
	}
}

func BenchmarkWithOne(b *testing.B) {
	s := thinned()
	for b.Loop() {
		s.With(2 * million)
	}
}

func BenchmarkDiffOfOne(b *testing.B) {
	s := thinned()
	o := s.With(2 * million)
	for b.Loop() {
		bitmap.Diff(s, o)
	}
}

func BenchmarkDiffOf100k(b *testing.B) {
	s := thinned()
	o := s.AndNot(bitmap.Range(500_000, 600_000))
	for b.Loop() {
		bitmap.Diff(s, o)
	}
}
