package bitmap

import (
	"math/bits"
	"slices"
)

// And returns the members of both. It takes the time of the one with fewer
// chunks, as CountAnd does.
func (s Set) And(o Set) Set {
	if s.t == o.t || s.t == nil {
		return s
	}
	if o.t == nil {
		return Set{}
	}
	few, many := s.t, o.t
	if len(few.keys) > len(many.keys) {
		few, many = many, few
	}
	var t table
	for i, key := range few.keys {
		j, ok := many.find(key)
		if !ok {
			continue
		}
		switch c := each(few.chunks[i], many.chunks[j], func(a, b uint64) uint64 { return a & b }); c {
		case few.chunks[i]:
			t.put(key, c, few.count(i))
		case many.chunks[j]:
			t.put(key, c, many.count(j))
		default:
			t.put(key, c, c.count())
		}
	}
	switch {
	case slices.Equal(t.chunks, s.t.chunks):
		return s
	case slices.Equal(t.chunks, o.t.chunks):
		return o
	}
	return t.set()
}

// Or returns the members of either.
func (s Set) Or(o Set) Set {
	if s.t == nil {
		return o
	}
	if s.t == o.t || o.t == nil {
		return s
	}
	return merge(s, o, func(x, y *chunk) *chunk {
		switch {
		case x == nil:
			return y
		case y == nil:
			return x
		}
		return each(x, y, func(a, b uint64) uint64 { return a | b })
	})
}

// AndNot returns the members of s that are not in o.
func (s Set) AndNot(o Set) Set {
	if s.t == nil || o.t == nil {
		return s
	}
	return merge(s, o, func(x, y *chunk) *chunk {
		switch {
		case x == nil || x == y:
			return nil
		case y == nil:
			return x
		}
		return each(x, y, func(a, b uint64) uint64 { return a &^ b })
	})
}

// With returns s and these too.
func (s Set) With(ids ...uint32) Set { return s.Or(Of(ids...)) }

// Without returns s but for these.
func (s Set) Without(ids ...uint32) Set { return s.AndNot(Of(ids...)) }

// each joins two chunks word by word. What comes out as x or y is that one, so
// that later comparisons see it.
func each(x, y *chunk, join func(a, b uint64) uint64) *chunk {
	if x == y {
		return x
	}
	var out chunk
	for i := range out {
		out[i] = join(x[i], y[i])
	}
	switch out {
	case *x:
		return x
	case *y:
		return y
	}
	made := out
	return &made
}

// merge joins two sets chunk by chunk; nil stands for one that is not there.
func merge(s, o Set, join func(x, y *chunk) *chunk) Set {
	var t table
	t.grow(s.chunks() + o.chunks())
	same := true
	for key, p := range pairs(s, o) {
		c := join(p.x, p.y)
		n := 0
		switch {
		case c == nil:
		case c == p.x:
			n = p.nx
		case c == p.y:
			n = p.ny
		default:
			n = c.count()
		}
		same = same && c == p.x
		t.put(key, c, n)
	}
	if same {
		return s
	}
	return t.set()
}

// pair is what two sets have under one chunk number, nil or both.
type pair struct {
	x, y   *chunk
	nx, ny int
}

// pairs goes through the chunks of two sets side by side.
func pairs(s, o Set) func(yield func(uint32, pair) bool) {
	var a, b table
	if s.t != nil {
		a = *s.t
	}
	if o.t != nil {
		b = *o.t
	}
	return func(yield func(uint32, pair) bool) {
		for i, j := 0, 0; i < len(a.keys) || j < len(b.keys); {
			var p pair
			var key uint32
			fromA := j == len(b.keys) || i < len(a.keys) && a.keys[i] <= b.keys[j]
			fromB := i == len(a.keys) || j < len(b.keys) && b.keys[j] <= a.keys[i]
			if fromA {
				key, p.x, p.nx = a.keys[i], a.chunks[i], a.count(i)
				i++
			}
			if fromB {
				key, p.y, p.ny = b.keys[j], b.chunks[j], b.count(j)
				j++
			}
			if !yield(key, p) {
				return
			}
		}
	}
}

// CountAnd returns how many are members of both.
func (s Set) CountAnd(o Set) (n int) {
	if s.t == o.t {
		return s.Len()
	}
	if s.t == nil || o.t == nil {
		return 0
	}
	few, many := s.t, o.t
	if len(few.keys) > len(many.keys) {
		few, many = many, few
	}
	for i, key := range few.keys {
		j, ok := many.find(key)
		switch {
		case !ok:
		case few.chunks[i] == many.chunks[j]:
			n += few.count(i)
		default:
			for w := range few.chunks[i] {
				n += bits.OnesCount64(few.chunks[i][w] & many.chunks[j][w])
			}
		}
	}
	return n
}

// Sharing returns s with the chunks of old where they are the same: what was
// loaded twice then lies in memory once.
func (s Set) Sharing(old Set) Set {
	return merge(old, s, func(x, y *chunk) *chunk {
		if x != nil && y != nil && *x == *y {
			return x
		}
		return y
	})
}

// Between returns the members from lo to hi, both included.
func (s Set) Between(lo, hi uint32) Set {
	if s.t == nil || hi < lo {
		return Set{}
	}
	var t table
	for i, _ := s.t.find(lo >> ChunkBits); i < len(s.t.keys) && s.t.keys[i] <= hi>>ChunkBits; i++ {
		key, c := s.t.keys[i], s.t.chunks[i]
		part := c.between(within(key, lo, hi))
		if part == c {
			t.put(key, c, s.t.count(i))
		} else {
			t.put(key, part, part.count())
		}
	}
	return t.set()
}

// Last returns the n greatest members, or all if there are fewer.
func (s Set) Last(n int) Set {
	if n >= s.Len() {
		return s
	}
	if n <= 0 {
		return Set{}
	}
	return s.Between(s.At(s.Len()-n), ^uint32(0))
}

// Equal reports whether both have the same members.
func (s Set) Equal(o Set) bool { return s.Len() == o.Len() && len(s.Changed(o)) == 0 }

// Changed returns the numbers of the chunks in which s and old differ,
// ascending.
func (s Set) Changed(old Set) (keys []uint32) {
	if s.t == old.t {
		return nil
	}
	for key, p := range pairs(s, old) {
		if p.x != p.y && (p.x == nil || p.y == nil || *p.x != *p.y) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Diff returns what old has and new has not, and the other way round. It takes
// the time of the chunks that they do not share.
func Diff(old, new Set) (gone, come Set) {
	if old.t == new.t {
		return Set{}, Set{}
	}
	var out, in table
	for key, p := range pairs(old, new) {
		if p.x == p.y {
			continue
		}
		lost, won := split(p.x, p.y)
		out.put(key, lost, lost.count())
		in.put(key, won, won.count())
	}
	return out.set(), in.set()
}

func split(x, y *chunk) (lost, won *chunk) {
	var none chunk
	if x == nil {
		return &none, y
	}
	if y == nil {
		return x, &none
	}
	lost, won = new(chunk), new(chunk)
	for i := range x {
		lost[i], won[i] = x[i]&^y[i], y[i]&^x[i]
	}
	return lost, won
}
