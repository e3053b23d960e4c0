package folders

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"slices"

	"postrider/queue"
	"postrider/queue/bitmap"
	"postrider/queue/codec"
)

// First octets of the keys of the index; see doc.go.
const (
	keyHead       = "h"
	keySubscribed = "s"
	prefixBitmap  = 'b' // set name, NUL, chunk number
	prefixTotals  = 'z' // folder name
	prefixHistory = 'f' // chunk number
)

func bitmapKey(name string, chunk uint32) string {
	return string(binary.BigEndian.AppendUint32(append([]byte{prefixBitmap}, name+"\x00"...), chunk))
}

func historyKey(chunk uint32) string {
	return string(binary.BigEndian.AppendUint32([]byte{prefixHistory}, chunk))
}

func totalsKey(name string) string { return string(prefixTotals) + name }

// uidJump is what is left out after commits may have been lost: more than were
// ever given out between a commit and its copy.
const uidJump = 1_000_000

// load makes a view of an index. What prev, an earlier view of the account or
// nil, has the same is shared with it.
func load(account string, head queue.FolderHead, index map[string][]byte, prev *View) (*View, error) {
	v := &View{Account: account, head: head, boxes: map[string]box{}}
	lineage, err := v.decodeHead(index[keyHead])
	if err != nil {
		return nil, fmt.Errorf("read head of folders of %s: %w", account, err)
	}
	chunks := map[string]map[uint32][]byte{}
	for key, value := range index {
		if err := v.loadKey(key, value, chunks); err != nil {
			return nil, fmt.Errorf("read index of folders of %s, key %q: %w", account, key, err)
		}
	}
	for name, c := range chunks {
		b := v.boxes[name]
		if b.set, err = bitmap.Load(c); err != nil {
			return nil, fmt.Errorf("read folder %s of %s: %w", name, account, err)
		}
		if prev != nil {
			b.set = b.set.Sharing(prev.Set(name))
		}
		v.boxes[name] = b
	}
	maps.DeleteFunc(v.boxes, func(name string, b box) bool { return b.over(name) })
	slices.SortFunc(v.history, func(a, b history) int { return byChunk(a, b.chunk) })
	if lineage != head.Lineage {
		v.jump(prev)
	}
	return v, nil
}

// loadKey reads one value, but for the bitmaps, which it puts into chunks.
func (v *View) loadKey(key string, value []byte, chunks map[string]map[uint32][]byte) (err error) {
	switch {
	case key == keyHead:
	case key == keySubscribed:
		v.chosen = true
		v.names, err = decodeNames(value)
	case key == "":
		return codec.ErrCodec
	case key[0] == prefixTotals:
		v.boxes[key[1:]], err = decodeTotals(value)
	case key[0] == prefixHistory && len(key) == 5:
		var h history
		h, err = decodeHistory(binary.BigEndian.Uint32([]byte(key[1:])), value)
		v.history = append(v.history, h)
	case key[0] == prefixBitmap && len(key) >= 7 && key[len(key)-5] == 0:
		name := key[1 : len(key)-5]
		if chunks[name] == nil {
			chunks[name] = map[uint32][]byte{}
		}
		chunks[name][binary.BigEndian.Uint32([]byte(key[len(key)-4:]))] = value
	default:
		return codec.ErrCodec
	}
	return err
}

// jump leaves out UIDs that may have been given to entries that are lost: those
// that prev knows of for certain, and more than a million. How many more is another
// number for each lineage: when one change of it follows closely upon another, what
// was given out after the first jump may be lost with that jump, and a second one as
// far from the same place would give it out again.
func (v *View) jump(prev *View) {
	next := uint64(v.UIDNext)
	if prev != nil && prev.UIDValidity == v.UIDValidity {
		next = max(next, uint64(prev.UIDNext))
	}
	v.UIDNext = UID(min(next+uidJump+spread(v.head.Lineage)%uidJump, math.MaxUint32))
	v.ModSeq = addedAt(v.UIDNext - 1)
	v.jumped = true
	// UIDNEXT that was told may have counted what is lost.
	names := append(v.Sets(), FolderInbox, FolderQueued, FolderDeferred, FolderSent, FolderBounced)
	for _, name := range names {
		b := v.boxes[name]
		b.last = v.UIDNext - 1
		v.boxes[name] = b
	}
}

func spread(lineage string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, lineage) // never fails
	return h.Sum64()
}

// since returns what must be written into the index to make it v's, where it is
// old's; old is nil where there is none.
func (v *View) since(old *View) map[string][]byte {
	if old == nil {
		old = &View{}
	}
	w := map[string][]byte{keyHead: v.encodeHead()}
	for name, b := range v.boxes {
		before := old.boxes[name]
		for _, n := range b.set.Changed(before.set) {
			w[bitmapKey(name, n)] = b.set.Chunk(n)
		}
		if isFolder(name) && (old.jumped || b.bytes != before.bytes || b.last != before.last) {
			w[totalsKey(name)] = b.encodeTotals()
		}
	}
	for name, b := range old.boxes {
		if _, still := v.boxes[name]; still {
			continue
		}
		for _, n := range b.set.Changed(bitmap.Set{}) {
			w[bitmapKey(name, n)] = nil
		}
		if isFolder(name) {
			w[totalsKey(name)] = nil
		}
	}
	v.historySince(old, w)
	if v.chosen && (!old.chosen || !slices.Equal(v.names, old.names)) {
		w[keySubscribed] = encodeNames(v.names)
	}
	return w
}

func (v *View) historySince(old *View, w map[string][]byte) {
	was := map[uint32]history{}
	for _, h := range old.history {
		was[h.chunk] = h
	}
	for _, h := range v.history {
		before, ok := was[h.chunk]
		delete(was, h.chunk)
		if ok && &before.changes[0] == &h.changes[0] && len(before.changes) == len(h.changes) {
			continue
		}
		w[historyKey(h.chunk)] = h.encode()
	}
	for chunk := range was {
		w[historyKey(chunk)] = nil
	}
}
