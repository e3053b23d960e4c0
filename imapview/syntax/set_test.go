package syntax

import (
	"reflect"
	"slices"
	"testing"

	"postrider/queue/bitmap"
)

func TestSequenceSets(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want Set
	}{
		{"1", Set{Ranges: []Range{{1, 1}}}},
		{"*", Set{Ranges: []Range{{Star, Star}}}},
		{"4294967295", Set{Ranges: []Range{{4294967295, 4294967295}}}},
		{"2:4,1,7:*,*:9,*:*", Set{Ranges: []Range{{2, 4}, {1, 1}, {7, Star}, {Star, 9}, {Star, Star}}}},
		{"4:2", Set{Ranges: []Range{{4, 2}}}},
		{"$", Set{Saved: true}},
	}
	for _, tt := range tests {
		if got, err := ParseSet(tt.text); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %+v, %v", tt.text, got, err)
		}
	}
	for _, text := range []string{"", "0", "1:0", "0:*", "1,", ",1", "1:", ":1", "1:2:3", "1,,2", "-1", "a", "1a", "4294967296", "99999999999999999999", "$,1", "1,$", "$$", "1 2", "**"} {
		if got, err := ParseSet(text); err == nil {
			t.Errorf("%q is taken as %+v", text, got)
		}
	}
}

func TestWhatSetsName(t *testing.T) {
	t.Parallel()
	members := bitmap.Of(2, 3, 5, 7, 5000, 9000)
	tests := []struct {
		set           string
		uids, numbers string
	}{
		{"1", "", "2"},
		{"2:5", "2:3,5", "3,5,7,5000"},
		{"5:2", "2:3,5", "3,5,7,5000"},
		{"*", "9000", "9000"},
		{"*:*", "9000", "9000"},
		{"1:*", "2:3,5,7,5000,9000", "2:3,5,7,5000,9000"},
		{"7:*", "7,5000,9000", "9000"},
		{"10000:*", "9000", "9000"},
		{"*:10000", "9000", "9000"},
		{"6,7,8", "7", "9000"},
		{"3,2,3,2:3", "2:3", "3,5"},
		{"4294967295", "", ""},
		{"1:4294967295", "2:3,5,7,5000,9000", "2:3,5,7,5000,9000"},
		{"1,3,5,7,9,11,13,15,17,5000,8999:9001", "3,5,7,5000,9000", "2,5,5000"},
		{"$", "", ""},
	}
	for _, tt := range tests {
		s, err := ParseSet(tt.set)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(AppendSet(nil, s.UIDs(members))); got != tt.uids {
			t.Errorf("UIDs of %s: got %q, want %q", tt.set, got, tt.uids)
		}
		if got := string(AppendSet(nil, s.Numbers(members))); got != tt.numbers {
			t.Errorf("numbers of %s: got %q, want %q", tt.set, got, tt.numbers)
		}
		if !s.UIDs(bitmap.Set{}).IsEmpty() || !s.Numbers(bitmap.Set{}).IsEmpty() {
			t.Errorf("%s names messages of an empty mailbox", tt.set)
		}
	}
}

func TestASetIsWrittenShort(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]bitmap.Set{
		"":                      {},
		"1":                     bitmap.Of(1),
		"1:3,7":                 bitmap.Of(1, 2, 3, 7),
		"1:2,4:5":               bitmap.Of(1, 2, 4, 5),
		"4000:5000":             bitmap.Range(4000, 5000),
		"4294967294:4294967295": bitmap.Of(4294967294, 4294967295),
		"1,4294967295":          bitmap.Of(1, 4294967295),
	} {
		if got := string(AppendSet([]byte("x "), s)); got != "x "+want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// namedSlowly is Set.UIDs by looking at each member.
func namedSlowly(s Set, members []uint32) []uint32 {
	var named []uint32
	for _, m := range members {
		last := members[len(members)-1]
		if slices.ContainsFunc(s.Ranges, func(r Range) bool {
			a, b := r.A, r.B
			if a == Star {
				a = last
			}
			if b == Star {
				b = last
			}
			return min(a, b) <= m && m <= max(a, b)
		}) {
			named = append(named, m)
		}
	}
	return named
}

func BenchmarkNumbersOfEverySecondMessage(b *testing.B) {
	members := bitmap.Range(1, 1_000_000)
	var s Set
	for n := uint32(1); n < 20_000; n += 2 {
		s.Ranges = append(s.Ranges, Range{n, n})
	}
	for b.Loop() {
		s.Numbers(members)
	}
}
