package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	v1 "postrider/api/v1"
)

func TestMomentsAreRead(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	local := func(text string) time.Time {
		at, err := time.ParseInLocation("2006-01-02 15:04:05", text, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for text, want := range map[string]time.Time{
		"2026-01-31T15:04:05Z": time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC), "2026-01-31": local("2026-01-31 00:00:00"),
		"2026-01-31 15:04": local("2026-01-31 15:04:00"), "+2h": now.Add(2 * time.Hour), "90m": now.Add(90 * time.Minute), "3d": now.Add(72 * time.Hour), "-1h": now.Add(-time.Hour),
	} {
		if got, err := parseMoment(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]time.Time{"2h": now.Add(-2 * time.Hour), "-2h": now.Add(-2 * time.Hour), "+2h": now.Add(2 * time.Hour), "7d": now.Add(-7 * 24 * time.Hour)} {
		if got, err := parsePast(text, now); err != nil || !got.Equal(want) {
			t.Errorf("past %q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "2026", "d", "1w"} {
		if got, err := parseMoment(text, now); err == nil || !strings.Contains(err.Error(), "write it as") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func FuzzMoment(f *testing.F) {
	for _, s := range []string{"2026-01-31", "+2h", "9d", "-1s", "99999999999d", "2026-01-31T15:04:05+02:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if at, err := parseMoment(s, time.Unix(0, 0)); err == nil && at.IsZero() && !strings.HasPrefix(s, "0001-") {
			t.Errorf("%q is %v", s, at)
		}
	})
}

func TestTablesKeepTheTerminalAsItIs(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	tab := newTable(&b, "A", "B", "C")
	tab.row("x\x1b[31m\u202e", []string{"y", "z"}, "")
	tab.row("a longer one", 7, (*time.Time)(nil))
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	want := "A             B    C\nx?[31m?       y z\na longer one  7\n"
	if b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestProblemsSayWhatToDoNext(t *testing.T) {
	t.Parallel()
	p := &v1.Problem{
		Status: 503, Code: "forbidden_scope", Detail: "No.\x1b", RequestID: "req_1", RetryAfter: 7,
		Errors: []v1.FieldError{{Pointer: "#/to/0", Detail: "Not an address."}, {Parameter: "limit", Detail: "Too much."}, {Detail: "No.\x1b"}},
	}
	want := "No.?\n  to/0: Not an address.\n  limit: Too much.\nUse a key that may: `postrider key show` says what this one may be used for.\nTry again in 7 s.\nIn the relay's log this is req_1."
	if got := problemText(p); got != want {
		t.Errorf("%q", got)
	}
}
