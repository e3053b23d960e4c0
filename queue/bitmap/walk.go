package bitmap

import (
	"iter"
	"math/bits"
)

// All returns the members, ascending.
func (s Set) All() iter.Seq[uint32] { return s.From(0) }

// From returns the members that are not less than id, ascending.
func (s Set) From(id uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		if s.t == nil {
			return
		}
		at, ok := s.t.find(id >> ChunkBits)
		for i := at; i < len(s.t.keys); i++ {
			from := uint32(0)
			if i == at && ok {
				from = id % chunkSize
			}
			if !s.t.chunks[i].ascend(s.t.keys[i]<<ChunkBits, from, yield) {
				return
			}
		}
	}
}

func (c *chunk) ascend(first, from uint32, yield func(uint32) bool) bool {
	for n := from >> 6; n < words; n++ {
		w := c[n]
		if n == from>>6 {
			w &= ^uint64(0) << (from & 63)
		}
		for ; w != 0; w &= w - 1 {
			if !yield(first + n<<6 + uint32(bits.TrailingZeros64(w))) {
				return false
			}
		}
	}
	return true
}

// Backward returns the members, descending.
func (s Set) Backward() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		if s.t == nil {
			return
		}
		for i := len(s.t.keys) - 1; i >= 0; i-- {
			if !s.t.chunks[i].descend(s.t.keys[i]<<ChunkBits, yield) {
				return
			}
		}
	}
}

func (c *chunk) descend(first uint32, yield func(uint32) bool) bool {
	for n := words - 1; n >= 0; n-- {
		for w := c[n]; w != 0; {
			top := uint32(63 - bits.LeadingZeros64(w))
			if !yield(first + uint32(n)<<6 + top) {
				return false
			}
			w &^= 1 << top
		}
	}
	return true
}
