package bitmap

import (
	"math/bits"
	"slices"
)

// ChunkBits is how much of a number says its place within a chunk: chunk n holds
// n<<ChunkBits to (n+1)<<ChunkBits-1.
const ChunkBits = 12

const (
	chunkSize = 1 << ChunkBits
	words     = chunkSize / 64
	lastChunk = 1<<(32-ChunkBits) - 1
)

// Set is a set of numbers. The zero value is empty. It never changes, is cheap to
// copy, and safe for concurrent use.
type Set struct{ t *table }

// table holds the chunks that are not empty. Neither it nor its chunks are
// written to once a Set has it.
type table struct {
	keys   []uint32 // numbers of the chunks, ascending
	chunks []*chunk
	upto   []int // members of this chunk and those before it
}

type chunk [words]uint64

func (c *chunk) add(id uint32)      { c[id>>6%words] |= 1 << (id & 63) }
func (c *chunk) has(id uint32) bool { return c[id>>6%words]>>(id&63)&1 != 0 }

func (c *chunk) count() (n int) {
	for _, w := range c {
		n += bits.OnesCount64(w)
	}
	return n
}

// put appends a chunk with n members, if it has any.
func (t *table) put(key uint32, c *chunk, n int) {
	if n == 0 {
		return
	}
	t.keys = append(t.keys, key)
	t.chunks = append(t.chunks, c)
	t.upto = append(t.upto, t.before(len(t.upto))+n)
}

func (t *table) grow(n int) {
	t.keys, t.chunks, t.upto = make([]uint32, 0, n), make([]*chunk, 0, n), make([]int, 0, n)
}

// before returns how many members the chunks before the i-th have.
func (t *table) before(i int) int {
	if i == 0 {
		return 0
	}
	return t.upto[i-1]
}

func (t *table) count(i int) int { return t.upto[i] - t.before(i) }

func (t *table) set() Set {
	if len(t.keys) == 0 {
		return Set{}
	}
	return Set{t}
}

// find returns the place of a chunk, or of the first one behind it. Chunks of
// UIDs are seldom missing, so the place is guessed first.
func (t *table) find(key uint32) (int, bool) {
	if guess := uint64(key) - uint64(t.keys[0]); guess < uint64(len(t.keys)) && t.keys[guess] == key {
		return int(guess), true
	}
	return slices.BinarySearch(t.keys, key)
}

// Of returns the set of these numbers, in whatever order they come.
func Of(ids ...uint32) Set {
	if !slices.IsSorted(ids) {
		ids = slices.Clone(ids)
		slices.Sort(ids)
	}
	var t table
	for len(ids) > 0 {
		key, c := ids[0]>>ChunkBits, new(chunk)
		for len(ids) > 0 && ids[0]>>ChunkBits == key {
			c.add(ids[0])
			ids = ids[1:]
		}
		t.put(key, c, c.count())
	}
	return t.set()
}

// Range returns all numbers from lo to hi, both included; none if hi is less.
func Range(lo, hi uint32) Set {
	var t table
	if hi < lo {
		return Set{}
	}
	full := new(chunk)
	for i := range full {
		full[i] = ^uint64(0)
	}
	for key := lo >> ChunkBits; key <= hi>>ChunkBits; key++ {
		c := full.between(within(key, lo, hi))
		t.put(key, c, c.count())
	}
	return t.set()
}

// within returns the part of [lo, hi] that lies in a chunk, counted from the
// chunk's start.
func within(key, lo, hi uint32) (from, to uint32) {
	first := key << ChunkBits
	return max(lo, first) - first, min(hi, first+chunkSize-1) - first
}

// between returns the members from lo to hi, counted from the chunk's start:
// the chunk itself if that is all of it.
func (c *chunk) between(lo, hi uint32) *chunk {
	if lo == 0 && hi == chunkSize-1 {
		return c
	}
	out := new(chunk)
	for i := lo >> 6; i <= hi>>6; i++ {
		w := c[i]
		if i == lo>>6 {
			w &= ^uint64(0) << (lo & 63)
		}
		if i == hi>>6 {
			w &= ^uint64(0) >> (63 - hi&63)
		}
		out[i] = w
	}
	return out
}

// Len returns how many there are.
func (s Set) Len() int {
	if s.t == nil {
		return 0
	}
	return s.t.upto[len(s.t.upto)-1]
}

// IsEmpty reports whether there is none.
func (s Set) IsEmpty() bool { return s.t == nil }

func (s Set) chunks() int {
	if s.t == nil {
		return 0
	}
	return len(s.t.keys)
}

// Weight returns about how many octets of memory the set takes, those that it
// shares with others too.
func (s Set) Weight() int { return s.chunks() * (words*8 + 20) }

// Has reports whether id is a member.
func (s Set) Has(id uint32) bool {
	if s.t == nil {
		return false
	}
	i, ok := s.t.find(id >> ChunkBits)
	return ok && s.t.chunks[i].has(id)
}

// Min returns the smallest member; false if there is none.
func (s Set) Min() (uint32, bool) {
	if s.t == nil {
		return 0, false
	}
	return s.At(0), true
}

// Max returns the greatest member; false if there is none.
func (s Set) Max() (uint32, bool) {
	if s.t == nil {
		return 0, false
	}
	return s.At(s.Len() - 1), true
}

// At returns the i-th smallest, counted from 0: of UIDs, the one with the
// sequence number i+1. It panics if there are not so many.
func (s Set) At(i int) uint32 {
	if i < 0 || i >= s.Len() {
		panic("bitmap: At beyond the set")
	}
	at, _ := slices.BinarySearch(s.t.upto, i+1)
	i -= s.t.before(at)
	for n, w := range s.t.chunks[at] {
		if have := bits.OnesCount64(w); i >= have {
			i -= have
			continue
		}
		for ; i > 0; i-- {
			w &= w - 1
		}
		return s.t.keys[at]<<ChunkBits + uint32(n)<<6 + uint32(bits.TrailingZeros64(w))
	}
	panic("bitmap: a chunk was miscounted")
}

// Rank returns how many members are not greater than id: of UIDs, the sequence
// number of one that is a member.
func (s Set) Rank(id uint32) int {
	if s.t == nil {
		return 0
	}
	at, ok := s.t.find(id >> ChunkBits)
	n := s.t.before(at)
	if !ok {
		return n
	}
	c, word := s.t.chunks[at], id>>6%words
	for _, w := range c[:word] {
		n += bits.OnesCount64(w)
	}
	return n + bits.OnesCount64(c[word]&(^uint64(0)>>(63-id&63)))
}
