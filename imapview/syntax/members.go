package syntax

import (
	"cmp"
	"slices"
	"strconv"

	"postrider/queue/bitmap"
)

// UIDs returns the members that a set of UIDs names. "*" is the last of them. A
// saved result is not known here.
func (s Set) UIDs(members bitmap.Set) bitmap.Set {
	last, ok := members.Max()
	if !ok {
		return bitmap.Set{}
	}
	return pick(members, s.spans(last))
}

// Numbers returns the members that a set of sequence numbers names: 1 is the first
// one, "*" the last. Numbers of no message are passed over.
func (s Set) Numbers(members bitmap.Set) bitmap.Set {
	n := uint32(members.Len())
	if n == 0 {
		return bitmap.Set{}
	}
	spans := s.spans(n)
	kept := spans[:0]
	for _, sp := range spans {
		if sp.A <= n {
			kept = append(kept, Range{members.At(int(sp.A) - 1), members.At(int(min(sp.B, n)) - 1)})
		}
	}
	return pick(members, kept)
}

// spans returns the ranges with last for "*", the lower end first, sorted, and made
// one where they touch.
func (s Set) spans(last uint32) []Range {
	spans := make([]Range, 0, len(s.Ranges))
	for _, r := range s.Ranges {
		if r.A == Star {
			r.A = last
		}
		if r.B == Star {
			r.B = last
		}
		spans = append(spans, Range{min(r.A, r.B), max(r.A, r.B)})
	}
	slices.SortFunc(spans, func(a, b Range) int { return cmp.Compare(a.A, b.A) })
	merged := spans[:0]
	for _, r := range spans {
		if i := len(merged) - 1; i >= 0 && uint64(r.A) <= uint64(merged[i].B)+1 {
			merged[i].B = max(merged[i].B, r.B)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// fewSpans is up to how many ranges are cut out one by one; the members of more
// are gathered.
const fewSpans = 8

// pick returns the members within spans, which ascend and do not touch.
func pick(members bitmap.Set, spans []Range) bitmap.Set {
	var picked bitmap.Set
	if len(spans) <= fewSpans {
		for _, r := range spans {
			picked = picked.Or(members.Between(r.A, r.B))
		}
		return picked
	}
	var ids []uint32
	for _, r := range spans {
		for id := range members.From(r.A) {
			if id > r.B {
				break
			}
			ids = append(ids, id)
		}
	}
	return bitmap.Of(ids...)
}

// AppendSet appends a set as "1:3,7"; nothing of an empty one.
func AppendSet(b []byte, s bitmap.Set) []byte {
	var from, to uint32
	for id := range s.All() {
		switch {
		case to != 0 && id == to+1:
		case to != 0:
			b = append(appendRange(b, from, to), ',')
			from = id
		default:
			from = id
		}
		to = id
	}
	if to == 0 {
		return b
	}
	return appendRange(b, from, to)
}

func appendRange(b []byte, from, to uint32) []byte {
	b = strconv.AppendUint(b, uint64(from), 10)
	if from == to {
		return b
	}
	b = append(b, ':')
	return strconv.AppendUint(b, uint64(to), 10)
}
