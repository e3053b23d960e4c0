package filing

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/folders"
)

func TestAKeyIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	var many indexes
	for i := range queue.MaxRecipients {
		many.add(i)
	}
	first := time.Unix(1_795_000_000, 0).UTC()
	var classes []string
	for c := range reasons {
		classes = append(classes, digest(c))
	}
	slices.Sort(classes)
	for _, k := range []key{
		{kind: kindSent},
		{kind: kindSent, gone: true},
		{kind: kindQueued, held: true, due: first},
		{kind: kindBounced, rcpts: many},
		{kind: kindDeferred, rcpts: many, first: first, step: 12, noticed: true, held: true, classes: classes, gone: true},
	} {
		s := k.String()
		got, ok := parseKey(s)
		if !ok || got.String() != s || got.rcpts != k.rcpts || !got.first.Equal(k.first) || !slices.Equal(got.classes, k.classes) {
			t.Errorf("%q is read as %+v, %v", s, got, ok)
		}
		if len(s) > folders.MaxKey {
			t.Errorf("%q has %d octets", s, len(s))
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"sent", "sent;g", "queued;h;d=5", "bounced;r=AQ", "deferred;r=AQ;f=1795000000;s=2;c=ab.cd;n;h;g", "x;y=z", ";;;", "bounced;r=!"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, ok := parseKey(s)
		if !ok {
			return
		}
		again, ok := parseKey(k.String())
		if !ok || again.String() != k.String() {
			t.Errorf("%q is written as %q, and that as %q", s, k, again)
		}
	})
}

func TestDigestsOfReasonsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]queue.Class{}
	for c := range reasons {
		if other, taken := seen[digest(c)]; taken {
			t.Errorf("%s and %s have the same digest", c, other)
		}
		seen[digest(c)] = c
	}
}

func TestStepsOfADelay(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int{
		0: 0, time.Hour - 1: 0, time.Hour: 1, 4*time.Hour - 1: 1, 4 * time.Hour: 2, day - 1: 2, day: 3, 2*day - 1: 3, 2 * day: 4, 5 * day: 7,
	} {
		if got := stepOf(d); got != want {
			t.Errorf("after %v: step %d, want %d", d, got, want)
		}
	}
}

func TestThePositionIsHeldBackToTheOldestWhoWaits(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	ids := []queue.MessageID{{1}, {2}, {3}, {4}}
	var y young
	wait := func(i int, after time.Duration) waiting { return waiting{named{id: ids[i]}, now.Add(after)} }
	if got := y.from("end"); got != "end" {
		t.Errorf("with nobody waiting it is %s", got)
	}
	y.add("a", []waiting{wait(0, 2*time.Second), wait(1, time.Second)})
	y.add("b", nil)
	y.add("c", []waiting{wait(1, time.Hour), wait(2, 3*time.Second)})
	if due, ok := y.due(); !ok || !due.Equal(now.Add(time.Second)) {
		t.Errorf("due at %v", due)
	}
	if got := y.grown(now.Add(2*time.Second), 10); len(got) != 2 {
		t.Errorf("%d are old enough, want 2", len(got))
	}
	if got := y.grown(now.Add(time.Minute), 1); len(got) != 1 {
		t.Errorf("%d at once, want 1", len(got))
	}
	for _, step := range []struct {
		remove int
		want   queue.Position
	}{{0, "a"}, {3, "a"}, {1, "c"}, {1, "c"}, {2, "end"}} {
		y.remove(ids[step.remove])
		if got := y.from("end"); got != step.want {
			t.Errorf("without %d it is %s, want %s", step.remove, got, step.want)
		}
	}
}

func TestReadingWaitsWhenTooManyAreYoung(t *testing.T) {
	t.Parallel()
	var y young
	list := make([]waiting, maxYoung)
	for i := range list {
		list[i].id = queue.MessageID{byte(i >> 16), byte(i >> 8), byte(i)}
	}
	y.add("a", list[:maxYoung-1])
	if y.full() {
		t.Error("there is room for one")
	}
	y.add("b", list)
	if !y.full() || len(y.in) != maxYoung {
		t.Errorf("%d are remembered", len(y.in))
	}
}

func TestFieldsAreFoldedAtBlanks(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"":         "X: \r\n",
		"a b":      "X: a b\r\n",
		"a  b   c": "X: a  b   c\r\n",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb  c": "X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb  c\r\n",
	} {
		var b bytes.Buffer
		field(&b, "X", value)
		if b.String() != want {
			t.Errorf("%q is folded as %q, want %q", value, b.String(), want)
		}
	}
}
