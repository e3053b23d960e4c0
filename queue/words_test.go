package queue_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/queue"
)

func TestIDsSortByTimeAndKnowTheirMessage(t *testing.T) {
	t.Parallel()
	var texts []string
	for range 1000 {
		id := queue.NewMessageID()
		texts = append(texts, id.String())
		if back, err := queue.ParseMessageID(strings.ToUpper(id.String()[:4]) + id.String()[4:]); err != nil || back != id {
			t.Fatalf("%s read back as %s, %v", id, back, err)
		}
		for _, i := range []int{0, 1, 999} {
			r := id.Recipient(i)
			if r.Message() != id || r.Index() != i {
				t.Fatalf("recipient %d of %s says %d of %s", i, id, r.Index(), r.Message())
			}
			if back, err := queue.ParseRecipientID(r.String()); err != nil || back != r {
				t.Fatalf("%s read back as %s, %v", r, back, err)
			}
		}
		if d := time.Since(id.Time()); d < -time.Second || d > time.Minute {
			t.Fatalf("%s says it was made %v ago", id, d)
		}
	}
	if !slices.IsSorted(texts) {
		t.Error("ids made one after the other do not sort")
	}
	if len(slices.Compact(texts)) != 1000 {
		t.Error("ids repeat")
	}
}

func TestBadIDsAreRefused(t *testing.T) {
	t.Parallel()
	good := queue.NewMessageID().String()
	for _, s := range []string{"", "msg_", good[1:], good + "0", "rcp_" + good[4:], "msg_zzzzzzzzzzzzzzzzzzzzzzzzzz", strings.Replace(good, good[10:11], "u", 1), "msg_" + strings.Repeat("0", 25) + "1"} {
		if _, err := queue.ParseMessageID(s); !errors.Is(err, queue.ErrBadID) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestEventIDsAreDerived(t *testing.T) {
	t.Parallel()
	r, at := queue.NewMessageID().Recipient(3), time.UnixMilli(1_700_000_000_000)
	a, b := queue.NewEventID(at, r, 0), queue.NewEventID(at, r, 1)
	if a == b || a != queue.NewEventID(at, r, 0) {
		t.Error("event ids must be a function of their arguments, and differ")
	}
	if !strings.HasPrefix(a.String(), "evt_") {
		t.Error(a.String())
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	good := map[string]queue.Address{
		"a@b":                           {Local: "a", Domain: "b"},
		"first.last+tag@Example.COM":    {Local: "first.last+tag", Domain: "Example.COM"},
		`"two words"@example.com`:       {Local: "two words", Domain: "example.com"},
		`"a@b"@example.com`:             {Local: "a@b", Domain: "example.com"},
		`"q\"uo\\te"@example.com`:       {Local: `q"uo\te`, Domain: "example.com"},
		`"plain"@example.com`:           {Local: "plain", Domain: "example.com"},
		"user@[192.0.2.1]":              {Local: "user", Domain: "[192.0.2.1]"},
		"user@[IPv6:2001:db8::1]":       {Local: "user", Domain: "[IPv6:2001:db8::1]"},
		"grün@münchen.example":          {Local: "grün", Domain: "münchen.example"},
		"www-data@my_container":         {Local: "www-data", Domain: "my_container"},
		`"x> NOTIFY=NEVER"@example.com`: {Local: "x> NOTIFY=NEVER", Domain: "example.com"},
	}
	for in, want := range good {
		got, err := queue.ParseAddress(in)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
			continue
		}
		if back, err := queue.ParseAddress(got.String()); err != nil || back != got {
			t.Errorf("%q written as %q reads as %+v, %v", in, got.String(), back, err)
		}
	}
	for _, in := range []string{
		"", "a", "@b", "a@", "a b@c", "a@b c", "a@@b", "a@b@c", "@x:a@b", "<a@b>", "a@b>", "a@-b", "a@b-", "a@b..c",
		".a@b", "a.@b", "a..b@c", "a\r\n@b", "a@b\n", "a\x00@b", "\"a\r\nb\"@c", "\"a@b", `"a\"@b`, `""@b`, "a@[1.2.3]",
		"a@[1.2.3.4", "a@[IPv6:1.2.3.4]", "a@[fe80::1]", "a\u2028@b", "a\u0085@b", "\xff@b",
		strings.Repeat("a", 65) + "@b", "a@" + strings.Repeat("b", 64), "a@" + strings.Repeat("b.", 130) + "c",
	} {
		if a, err := queue.ParseAddress(in); !errors.Is(err, queue.ErrAddress) {
			t.Errorf("%q was read as %+v, %v", in, a, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a@b", `"a b"@c.d`, `"\""@x`, "ü@ü", "a@[IPv6:::1]", `"a> X=Y"@b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := queue.ParseAddress(s)
		if err != nil {
			return
		}
		text := a.String()
		if back, err := queue.ParseAddress(text); err != nil || back != a {
			t.Fatalf("%q: %+v written as %q reads as %+v, %v", s, a, text, back, err)
		}
		for _, r := range text {
			if r < ' ' || r == 0x7f {
				t.Fatalf("%q has a control character", text)
			}
		}
		if unquoted := !strings.HasPrefix(text, `"`); unquoted && strings.ContainsAny(text, " <>\"\\,;:") && !strings.Contains(text, "[") {
			t.Fatalf("%q can be read in two ways", text)
		}
	})
}

func FuzzParseIDs(f *testing.F) {
	f.Add("msg_01j0000000000000000000000")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := queue.ParseMessageID(s); err == nil && !strings.EqualFold(id.String(), s) {
			t.Fatalf("%q reads as %s", s, id)
		}
		if id, err := queue.ParseRecipientID(s); err == nil && !strings.EqualFold(id.String(), s) {
			t.Fatalf("%q reads as %s", s, id)
		}
	})
}

func TestScheduleRepeatsItsLastDelay(t *testing.T) {
	t.Parallel()
	s := queue.Schedule{time.Minute, time.Hour}
	for _, c := range []struct {
		attempts int
		roll     float64
		want     time.Duration
	}{
		{0, 0.5, time.Minute}, {1, 0.5, time.Minute}, {2, 0.5, time.Hour}, {9, 0.5, time.Hour},
		{1, 0, 51 * time.Second}, {2, 0, 51 * time.Minute},
	} {
		if got := s.After(c.attempts, c.roll); got.Round(time.Millisecond) != c.want {
			t.Errorf("after %d attempts, roll %v: %v, want %v", c.attempts, c.roll, got, c.want)
		}
	}
	if got := s.After(1, 0.999999); got <= time.Minute || got > 69*time.Second {
		t.Errorf("the longest first delay is %v", got)
	}
	if got := queue.Schedule(nil).After(1, 0.5); got != 5*time.Minute {
		t.Errorf("the default's first delay is %v", got)
	}
}

func TestStatesAndReplies(t *testing.T) {
	t.Parallel()
	for _, s := range queue.States() {
		if back, err := queue.ParseState(s.String()); err != nil || back != s {
			t.Errorf("%v: %v, %v", s, back, err)
		}
	}
	if _, err := queue.ParseState("lost"); err == nil {
		t.Error("an unknown state was read")
	}
	for in, want := range map[string]bool{"5.1.1": true, "4.7.650": true, "3.0.0": false, "5.1": false, "5.1.1234": false, "5.a.1": false, "": false} {
		if _, ok := queue.ParseEnhanced(in); ok != want {
			t.Errorf("%q: %v", in, ok)
		}
	}
	r := queue.Reply{Code: 550, Enhanced: queue.Enhanced{5, 1, 1}, Text: "No such user\nSee https://example.com"}
	if got := r.String(); got != "550 5.1.1 No such user See https://example.com" || !r.Permanent() || r.Temporary() || r.OK() {
		t.Error(got)
	}
}

func TestRefusalLinesFitWhatClientsRead(t *testing.T) {
	t.Parallel()
	r := &queue.Refusal{Code: 550, Enhanced: queue.Enhanced{5, 7, 1}, Problem: strings.Repeat("x", 900), Fix: "Do that.", Reference: "msg_1"}
	lines := r.Lines()
	if len(lines) != 3 || lines[2] != "ref=msg_1" {
		t.Fatal(lines)
	}
	for _, l := range lines {
		if len("550-5.7.1 ")+len(l)+2 > 510 {
			t.Errorf("a line has %d bytes", len(l))
		}
	}
}
