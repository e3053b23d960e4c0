package filing

import (
	"encoding/base64"
	"hash/fnv"
	"iter"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/queue"
)

// kind is which of the top folders an entry belongs to.
type kind string

const (
	kindQueued   kind = "queued"
	kindDeferred kind = "deferred"
	kindBounced  kind = "bounced"
	kindSent     kind = "sent"
)

// key says what of its message an entry shows. Entries with equal keys would show
// the same; whether another key calls for another entry is decided by current.
type key struct {
	kind kind
	gone bool // the content was no longer kept when it was filed

	rcpts indexes // whom it tells of; of deferred and bounced ones

	held bool      // some of them are held; of queued and deferred ones
	due  time.Time // when the first one is to be tried that was asked for later; of queued ones

	// Of deferred ones.
	first   time.Time // first attempt
	step    int       // see stepOf
	noticed bool      // the delay notice was due
	classes []string  // digests of the reasons, sorted
}

// String is the form in which keys are kept.
func (k key) String() string {
	b := []byte(k.kind)
	add := func(name, value string) { b = append(append(append(b, ';'), name...), value...) }
	if k.rcpts != (indexes{}) {
		add("r=", k.rcpts.text())
	}
	if !k.first.IsZero() {
		add("f=", strconv.FormatInt(k.first.Unix(), 10))
		add("s=", strconv.Itoa(k.step))
	}
	if len(k.classes) > 0 {
		add("c=", strings.Join(k.classes, "."))
	}
	if k.noticed {
		add("n", "")
	}
	if k.held {
		add("h", "")
	}
	if !k.due.IsZero() {
		add("d=", strconv.FormatInt(k.due.Unix(), 10))
	}
	if k.gone {
		add("g", "")
	}
	return string(b)
}

// parseKey reads what String wrote. A key that it cannot read is of another time:
// its entry is made anew.
func parseKey(s string) (k key, ok bool) {
	name, rest, _ := strings.Cut(s, ";")
	k.kind, ok = kind(name), true
	for field := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(field, "=")
		var err error
		switch name {
		case "":
		case "r":
			k.rcpts, err = parseIndexes(value)
		case "f":
			k.first, err = parseUnix(value)
		case "s":
			k.step, err = strconv.Atoi(value)
		case "c":
			k.classes = strings.Split(value, ".")
		case "n":
			k.noticed = true
		case "h":
			k.held = true
		case "d":
			k.due, err = parseUnix(value)
		case "g":
			k.gone = true
		default:
			return key{}, false
		}
		ok = ok && err == nil
	}
	return k, ok
}

func parseUnix(s string) (time.Time, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(n, 0).UTC(), err
}

// digest stands for a reason in a key, so that a message that fails for many of
// them still has a short one.
func digest(c queue.Class) string {
	h := fnv.New32a()
	h.Write([]byte(c)) // a hash takes everything
	return strconv.FormatUint(uint64(h.Sum32()&0xffff), 16)
}

// indexes is a set of recipients of one message, by their place in it.
type indexes [queue.MaxRecipients/64 + 1]uint64

func (x *indexes) add(i int) { x[i/64] |= 1 << (i % 64) }

func (x *indexes) has(i int) bool { return x[i/64]>>(i%64)&1 != 0 }

func (x *indexes) len() (n int) {
	for _, w := range x {
		n += bits.OnesCount64(w)
	}
	return n
}

func (x *indexes) join(o indexes) {
	for i := range x {
		x[i] |= o[i]
	}
}

// without returns the members that o does not have.
func (x indexes) without(o indexes) indexes {
	for i := range x {
		x[i] &^= o[i]
	}
	return x
}

// all returns the members in ascending order.
func (x *indexes) all() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range x {
			for ; w != 0; w &= w - 1 {
				if !yield(i*64 + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

func (x *indexes) text() string {
	b := make([]byte, 0, 8*len(x))
	for _, w := range x {
		for range 8 {
			b = append(b, byte(w))
			w >>= 8
		}
	}
	end := len(b)
	for end > 0 && b[end-1] == 0 {
		end--
	}
	return base64.RawURLEncoding.EncodeToString(b[:end])
}

func parseIndexes(s string) (x indexes, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil && len(b) > 8*len(x) {
		err = strconv.ErrRange
	}
	if err != nil {
		return x, err
	}
	for i, c := range b {
		x[i/8] |= uint64(c) << (i % 8 * 8)
	}
	return x, nil
}

// stepOf counts how far a delay has come: a new step is told of.
func stepOf(d time.Duration) int {
	switch {
	case d < time.Hour:
		return 0
	case d < 4*time.Hour:
		return 1
	case d < day:
		return 2
	}
	return 2 + int(d/day)
}

const day = 24 * time.Hour

// within reports whether all of a, sorted or not, are in b.
func within(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}
