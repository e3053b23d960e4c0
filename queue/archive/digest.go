package archive

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math/bits"

	"postrider/queue"
)

// Summary is what a queue holds, as it is compared.
type Summary struct {
	Records    int64                 `json:"records"`
	Messages   int64                 `json:"messages"`
	Recipients int64                 `json:"recipients"`
	Keys       int64                 `json:"keys"`
	Events     int64                 `json:"events"`
	Readers    int64                 `json:"readers"`
	Contents   int64                 `json:"contents"`
	Bytes      int64                 `json:"bytes"`  // of contents
	States     map[queue.State]int64 `json:"states"` // recipients
	Digest     string                `json:"digest"`
}

// sum is digests added up, modulo 2 to the 256: their order does not matter,
// and what comes twice does not cancel out.
type sum [4]uint64

func (s *sum) add(d [sha256.Size]byte) {
	var carry uint64
	for i := range s {
		s[i], carry = bits.Add64(s[i], binary.LittleEndian.Uint64(d[8*i:]), carry)
	}
}

func (s *sum) bytes() (b [sha256.Size]byte) {
	for i, v := range s {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
	return b
}

// buckets is into how many parts a tally is divided, to find what differs.
// Readers are one more, the last: they differ too where an event does.
const buckets = 1024

// tally adds items up.
type tally struct {
	of     Summary
	all    sum
	events sum // so far
	parts  [buckets + 1]sum
}

func newTally() *tally { return &tally{of: Summary{States: map[queue.State]int64{}}} }

// contentDigest is that of a content; nil if there is none.
type contentDigest struct {
	sum  [sha256.Size]byte
	size int64
}

// add counts an item, and returns its digest.
func (t *tally) add(it *queue.Item, c *contentDigest) ([sha256.Size]byte, error) {
	b, err := encodeItem(it, nil)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("%s: %w", name(it), err)
	}
	switch {
	case it.Record != nil:
		t.of.Records++
	case it.Key != nil:
		t.of.Keys++
	case it.Message != nil:
		t.of.Messages++
		t.of.Recipients += int64(len(it.Message.Entry.Recipients))
		for i := range it.Message.Entry.Recipients {
			t.of.States[it.Message.Entry.Recipients[i].State]++
		}
		if c != nil {
			t.of.Contents++
			t.of.Bytes += c.size
			b = append(b, c.sum[:]...)
		}
	case it.Event != nil:
		t.of.Events++
	case it.Reader != nil:
		t.of.Readers++
		before := t.events.bytes()
		b = append(b, before[:]...)
	}
	d := sha256.Sum256(b)
	if it.Event != nil {
		t.events.add(d)
	}
	t.all.add(d)
	t.parts[bucket(it)].add(d)
	return d, nil
}

func (t *tally) summary() Summary {
	d := t.all.bytes()
	t.of.Digest = hex.EncodeToString(d[:])
	return t.of
}

// differs returns a part in which two tallies differ.
func (t *tally) differs(o *tally) (part int, ok bool) {
	for i := range t.parts {
		if t.parts[i] != o.parts[i] {
			return i, true
		}
	}
	return 0, false
}

func bucket(it *queue.Item) int {
	if it.Reader != nil {
		return buckets
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(name(it))) // never fails
	return int(h.Sum64() % buckets)
}

// name says which thing an item is.
func name(it *queue.Item) string {
	switch {
	case it.Record != nil:
		return fmt.Sprintf("%s record %q", it.Record.Kind, it.Record.Name)
	case it.Message != nil:
		return "message " + it.Message.Entry.Message.ID.String()
	case it.Key != nil:
		return fmt.Sprintf("idempotency key %q of account %q", it.Key.Key, it.Key.Account)
	case it.Event != nil:
		return fmt.Sprintf("event %s of message %s", it.Event.ID, it.Event.Message)
	case it.Reader != nil:
		return fmt.Sprintf("position of reader %q", it.Reader.Name)
	}
	return "nothing"
}
