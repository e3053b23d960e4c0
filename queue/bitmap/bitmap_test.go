package bitmap_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"postrider/queue/bitmap"
)

func TestTheZeroSetIsEmpty(t *testing.T) {
	t.Parallel()
	var s bitmap.Set
	_, anyMin := s.Min()
	_, anyMax := s.Max()
	gone, come := bitmap.Diff(s, s)
	if s.Len() != 0 || !s.IsEmpty() || s.Has(0) || anyMin || anyMax || s.Rank(7) != 0 || s.Chunk(0) != nil ||
		!gone.IsEmpty() || !come.IsEmpty() || len(slices.Collect(s.All()))+len(slices.Collect(s.Backward())) != 0 ||
		!s.Equal(bitmap.Of()) || !s.And(bitmap.Of(1)).IsEmpty() || !s.Or(bitmap.Of(1)).Has(1) || !s.Last(3).IsEmpty() || !s.Without(1).IsEmpty() {
		t.Error("the zero set is not empty")
	}
}

func TestTheEdgesOfTheNumbersAreMembersLikeOthers(t *testing.T) {
	t.Parallel()
	s := bitmap.Of(math.MaxUint32, 0, 4095, 4096, 63, 64)
	want := []uint32{0, 63, 64, 4095, 4096, math.MaxUint32}
	if got := slices.Collect(s.All()); !slices.Equal(got, want) {
		t.Error(got)
	}
	for i, id := range want {
		if s.At(i) != id || s.Rank(id) != i+1 {
			t.Errorf("%d: At %d, Rank %d", id, s.At(i), s.Rank(id))
		}
	}
	if got := slices.Collect(s.From(math.MaxUint32)); !slices.Equal(got, want[5:]) {
		t.Error(got)
	}
	if got := bitmap.Range(math.MaxUint32-1, math.MaxUint32); got.Len() != 2 || !got.Has(math.MaxUint32) {
		t.Error(got.Len())
	}
	if got := bitmap.Range(0, 1<<20); got.Len() != 1<<20+1 || bitmap.Range(5, 4).Len() != 0 {
		t.Error(got.Len())
	}
}

// The model of a set is a map; all that can be asked is asked after random
// changes, of sets with dense chunks, sparse ones and gaps between them.
func TestASetIsWhatAMapWouldBe(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		span := []uint32{100, 5000, 40000, 1 << 31}[seed%4]
		var s, other bitmap.Set
		model, otherModel := map[uint32]bool{}, map[uint32]bool{}
		for step := range 30 {
			before, beforeModel := s, maps.Clone(model)
			ids := someIDs(r, span)
			switch r.IntN(5) {
			case 0, 1:
				s = s.With(ids...)
				for _, id := range ids {
					model[id] = true
				}
			case 2:
				s = s.Without(ids...)
				for _, id := range ids {
					delete(model, id)
				}
			case 3:
				lo, hi := between(r, span)
				s = s.Or(bitmap.Range(lo, hi))
				for id := lo; id <= hi; id++ {
					model[id] = true
				}
			case 4:
				other, otherModel = bitmap.Of(ids...), map[uint32]bool{}
				for _, id := range ids {
					otherModel[id] = true
				}
			}
			checkMembers(t, s, model, span, r)
			checkAlgebra(t, s, other, model, otherModel)
			checkDiff(t, before, s, beforeModel, model)
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, step)
			}
		}
	}
}

func someIDs(r *rand.Rand, span uint32) []uint32 {
	ids := make([]uint32, r.IntN(50))
	for i := range ids {
		ids[i] = r.Uint32N(span)
	}
	return ids
}

func between(r *rand.Rand, span uint32) (lo, hi uint32) {
	lo = r.Uint32N(span)
	return lo, lo + r.Uint32N(min(span, 3000))
}

func members(m map[uint32]bool) []uint32 { return slices.Sorted(maps.Keys(m)) }

func where(ids []uint32, keep func(uint32) bool) []uint32 {
	return slices.DeleteFunc(slices.Clone(ids), func(id uint32) bool { return !keep(id) })
}

func same(t *testing.T, what string, s bitmap.Set, want []uint32) {
	t.Helper()
	if got := slices.Collect(s.All()); !slices.Equal(got, want) || s.Len() != len(want) || s.IsEmpty() != (len(want) == 0) {
		t.Errorf("%s: %d members (Len %d), want %d", what, len(got), s.Len(), len(want))
	}
	if !s.Equal(bitmap.Of(want...)) {
		t.Errorf("%s does not equal its members", what)
	}
}

func checkMembers(t *testing.T, s bitmap.Set, model map[uint32]bool, span uint32, r *rand.Rand) {
	t.Helper()
	all := members(model)
	same(t, "the set", s, all)
	back := slices.Collect(s.Backward())
	slices.Reverse(back)
	if !slices.Equal(back, all) {
		t.Error("Backward is not All reversed")
	}
	for range 50 {
		id := r.Uint32N(span)
		rank, is := slices.BinarySearch(all, id)
		if is {
			rank++
		}
		if s.Has(id) != is || s.Rank(id) != rank {
			t.Errorf("%d: Has %v, Rank %d; want %v, %d", id, s.Has(id), s.Rank(id), is, rank)
		}
		if len(all) > 0 {
			if i := r.IntN(len(all)); s.At(i) != all[i] {
				t.Errorf("At(%d) = %d, want %d", i, s.At(i), all[i])
			}
		}
	}
	lo, hi := between(r, span)
	same(t, "Between", s.Between(lo, hi), where(all, func(id uint32) bool { return lo <= id && id <= hi }))
	if got := slices.Collect(s.From(lo)); !slices.Equal(got, where(all, func(id uint32) bool { return lo <= id })) {
		t.Error("From is wrong")
	}
	n := r.IntN(len(all) + 2)
	same(t, "Last", s.Last(n), all[max(0, len(all)-n):])
	if least, is := s.Min(); is != (len(all) > 0) || is && least != all[0] {
		t.Error("Min", least, is)
	}
	if most, is := s.Max(); is != (len(all) > 0) || is && most != all[len(all)-1] {
		t.Error("Max", most, is)
	}
}

func checkAlgebra(t *testing.T, s, o bitmap.Set, m, om map[uint32]bool) {
	t.Helper()
	all := members(m)
	both := where(all, func(id uint32) bool { return om[id] })
	either := maps.Clone(m)
	maps.Copy(either, om)
	same(t, "And", s.And(o), both)
	same(t, "Or", s.Or(o), members(either))
	same(t, "AndNot", s.AndNot(o), where(all, func(id uint32) bool { return !om[id] }))
	same(t, "And itself", s.And(s), all)
	same(t, "Or itself", s.Or(s), all)
	same(t, "AndNot itself", s.AndNot(s), nil)
	if got := s.CountAnd(o); got != len(both) {
		t.Errorf("CountAnd = %d, want %d", got, len(both))
	}
	if s.Equal(o) != slices.Equal(all, members(om)) {
		t.Error("Equal is wrong")
	}
}

func checkDiff(t *testing.T, old, new bitmap.Set, m, nm map[uint32]bool) {
	t.Helper()
	gone, come := bitmap.Diff(old, new)
	same(t, "gone", gone, where(members(m), func(id uint32) bool { return !nm[id] }))
	same(t, "come", come, where(members(nm), func(id uint32) bool { return !m[id] }))
	rebuilt := old
	for _, n := range new.Changed(old) {
		var err error
		if rebuilt, err = rebuilt.SetChunk(n, new.Chunk(n)); err != nil {
			t.Error(err)
		}
	}
	same(t, "the old set with the changed chunks of the new", rebuilt, members(nm))
	same(t, "the new set sharing with the old", new.Sharing(old), members(nm))
}

func TestASetThatDidNotChangeSharesAllItHas(t *testing.T) {
	t.Parallel()
	s := bitmap.Range(1, 100000)
	for name, o := range map[string]bitmap.Set{
		"with a member":      s.With(5),
		"without a stranger": s.Without(100001),
		"and more":           s.And(bitmap.Range(1, 200000)),
		"or less":            s.Or(bitmap.Of(7)),
		"the last million":   s.Last(1000000),
	} {
		if got := s.Changed(o); got != nil {
			t.Errorf("%s: chunks %v differ", name, got)
		}
	}
	if got := s.Changed(s.Without(4096)); !slices.Equal(got, []uint32{1}) {
		t.Error(got)
	}
}
