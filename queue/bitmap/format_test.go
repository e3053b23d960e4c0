package bitmap_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"postrider/queue/bitmap"
)

func TestChunksAreStoredInTheShorterForm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  bitmap.Set
		want []byte
	}{
		"none":         {bitmap.Set{}, nil},
		"one":          {bitmap.Of(4095), []byte{0xff, 0x1f}},
		"neighbours":   {bitmap.Of(3, 4, 9), []byte{3, 0, 4}},
		"another's":    {bitmap.Of(5000), nil},
		"a full chunk": {bitmap.Range(0, 4095), bytes.Repeat([]byte{0xff}, 512)},
	} {
		if got := c.set.Chunk(0); !bytes.Equal(got, c.want) {
			t.Errorf("%s: %x", name, got)
		}
	}
	if n := len(bitmap.Range(0, 510).Chunk(0)); n != 511 {
		t.Errorf("511 neighbours take %d octets", n)
	}
	if n := len(bitmap.Range(0, 511).Chunk(0)); n != 512 {
		t.Errorf("512 neighbours take %d octets", n)
	}
}

func TestWhatIsNoChunkIsRefused(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"half a number":            {0x80},
		"a number beyond":          {0x80, 0x20},
		"numbers that run out":     {0xff, 0x1f, 0},
		"a number of 64 bits":      {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"512 octets of nothing":    make([]byte, 512),
		"513 octets":               make([]byte, 513),
		"a chunk that is too long": make([]byte, 4096),
	} {
		if _, err := bitmap.Load(map[uint32][]byte{0: b}); !errors.Is(err, bitmap.ErrFormat) {
			t.Errorf("Load of %s: %v", name, err)
		}
		if s, err := bitmap.Of(1).SetChunk(0, b); !errors.Is(err, bitmap.ErrFormat) || !s.Equal(bitmap.Of(1)) {
			t.Errorf("SetChunk of %s: %v", name, err)
		}
	}
	if _, err := bitmap.Load(map[uint32][]byte{0: {}}); !errors.Is(err, bitmap.ErrFormat) {
		t.Error("an empty chunk is loaded", err)
	}
	if _, err := bitmap.Load(map[uint32][]byte{1 << 20: {1}}); !errors.Is(err, bitmap.ErrFormat) {
		t.Error("a chunk beyond the last is loaded", err)
	}
	if _, err := (bitmap.Set{}).SetChunk(1<<20, []byte{1}); !errors.Is(err, bitmap.ErrFormat) {
		t.Error("a chunk beyond the last is set", err)
	}
}

func FuzzChunk(f *testing.F) {
	f.Add([]byte{3, 0, 4})
	f.Add([]byte{0xff, 0x1f})
	f.Add(bytes.Repeat([]byte{0xaa}, 512))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := bitmap.Load(map[uint32][]byte{7: b})
		if err != nil {
			return
		}
		ids := slices.Collect(s.All())
		if len(ids) == 0 || ids[0] < 7<<12 || ids[len(ids)-1] >= 8<<12 || s.Len() != len(ids) {
			t.Fatalf("%x has %d members", b, len(ids))
		}
		again, err := bitmap.Load(map[uint32][]byte{7: s.Chunk(7)})
		if err != nil || !again.Equal(s) || len(s.Chunk(7)) > len(b) {
			t.Fatalf("%x became %x: %v", b, s.Chunk(7), err)
		}
	})
}
