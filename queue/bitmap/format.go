package bitmap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrFormat is wrapped by the errors of Load and SetChunk: the octets are not what
// Chunk returns.
var ErrFormat = errors.New("not a stored chunk of a bitmap")

const bitsSize = words * 8

// Chunk returns chunk n as it is stored; nil if it is empty.
func (s Set) Chunk(n uint32) []byte {
	if s.t == nil {
		return nil
	}
	i, ok := s.t.find(n)
	if !ok {
		return nil
	}
	c := s.t.chunks[i]
	if s.t.count(i) < bitsSize { // else even one octet for each is no shorter
		if b := c.deltas(); len(b) < bitsSize {
			return b
		}
	}
	b := make([]byte, 0, bitsSize)
	for _, w := range c {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

func (c *chunk) deltas() []byte {
	var b []byte
	next := uint32(0)
	c.ascend(0, 0, func(id uint32) bool {
		b = binary.AppendUvarint(b, uint64(id-next))
		next = id + 1
		return true
	})
	return b
}

// SetChunk returns s with what Chunk returned in the place of chunk n;
// nothing removes it.
func (s Set) SetChunk(n uint32, b []byte) (Set, error) {
	if n > lastChunk {
		return s, fmt.Errorf("chunk %d: %w", n, ErrFormat)
	}
	var t table
	if len(b) > 0 {
		c, err := decode(b)
		if err != nil {
			return s, fmt.Errorf("chunk %d: %w", n, err)
		}
		t.put(n, c, c.count())
	}
	return s.AndNot(Range(n<<ChunkBits, n<<ChunkBits+chunkSize-1)).Or(t.set()), nil
}

// Load returns the set of these chunks.
func Load(chunks map[uint32][]byte) (Set, error) {
	var t table
	for _, key := range slices.Sorted(maps.Keys(chunks)) {
		c, err := decode(chunks[key])
		if err != nil || key > lastChunk {
			return Set{}, fmt.Errorf("chunk %d: %w", key, ErrFormat)
		}
		t.put(key, c, c.count())
	}
	return t.set(), nil
}

func decode(b []byte) (*chunk, error) {
	c := new(chunk)
	if len(b) == bitsSize {
		for i := range c {
			c[i] = binary.LittleEndian.Uint64(b[i*8:])
		}
		if *c == (chunk{}) {
			return nil, ErrFormat
		}
		return c, nil
	}
	if len(b) == 0 || len(b) > bitsSize {
		return nil, ErrFormat
	}
	for next := uint64(0); len(b) > 0; next++ {
		delta, n := binary.Uvarint(b)
		if n <= 0 || delta >= chunkSize || next+delta >= chunkSize {
			return nil, ErrFormat
		}
		b, next = b[n:], next+delta
		c.add(uint32(next))
	}
	return c, nil
}
