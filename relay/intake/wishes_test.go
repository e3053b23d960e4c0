package intake

import (
	"strings"
	"testing"
	"time"

	"postrider/queue"
)

func TestAMessageSaysWhenAndHowUrgently(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return now.Add(d) }
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		header   string
		given    queue.Submission // by the protocol
		due, end time.Time
		priority queue.Priority
		refused  bool
	}{
		"nothing":                    {"", queue.Submission{}, time.Time{}, time.Time{}, 0, false},
		"a time":                     {"X-Postrider-Send-At: 2026-11-26T12:00:00+01:00\r\n", queue.Submission{}, at(2 * time.Hour), time.Time{}, 0, false},
		"as in Date, folded":         {"x-postrider-send-at: Thu, 26 Nov 2026\r\n 11:00:00 +0000 (noon)\r\n", queue.Submission{}, at(2 * time.Hour), time.Time{}, 0, false},
		"a span, and an end":         {"X-Postrider-Send-At: +1d\r\nX-Postrider-Expires: +25h\r\n", queue.Submission{}, at(day), at(25 * time.Hour), 0, false},
		"the protocol's word counts": {"X-Postrider-Send-At: nonsense\r\nX-Postrider-Priority: ?\r\n", queue.Submission{NotBefore: at(time.Hour), Priority: queue.PriorityHigh}, at(time.Hour), time.Time{}, queue.PriorityHigh, false},
		"the first counts":           {"X-Postrider-Expires: +1h\r\nX-Postrider-Expires: +9h\r\n", queue.Submission{}, time.Time{}, at(time.Hour), 0, false},
		"urgent":                     {"X-Postrider-Priority: HIGH\r\nPrecedence: bulk\r\n", queue.Submission{}, time.Time{}, time.Time{}, queue.PriorityHigh, false},
		"bulk by its own word":       {"Precedence: Bulk\r\n", queue.Submission{}, time.Time{}, time.Time{}, queue.PriorityLow, false},
		"another precedence":         {"Precedence: first-class\r\n", queue.Submission{}, time.Time{}, time.Time{}, 0, false},
		"no time":                    {"X-Postrider-Send-At: tomorrow\r\n", queue.Submission{}, time.Time{}, time.Time{}, 0, true},
		"empty":                      {"X-Postrider-Expires:\r\n", queue.Submission{}, time.Time{}, time.Time{}, 0, true},
		"an end that has passed":     {"X-Postrider-Expires: 2026-11-26T08:59:59Z\r\n", queue.Submission{}, time.Time{}, time.Time{}, 0, true},
		"an end before the time":     {"X-Postrider-Send-At: +2h\r\nX-Postrider-Expires: +1h\r\n", queue.Submission{}, time.Time{}, time.Time{}, 0, true},
		"too far ahead":              {"X-Postrider-Send-At: +91d\r\n", queue.Submission{}, time.Time{}, time.Time{}, 0, true},
		"no priority":                {"X-Postrider-Priority: 1\r\n", queue.Submission{}, time.Time{}, time.Time{}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := &entering{door: New(Options{}), s: &c.given, now: now}
			h := mustHeader(t, c.header+"Subject: x\r\n\r\n")
			r := e.wishes(&h)
			if (r != nil) != c.refused {
				t.Fatalf("refused: %v", r)
			}
			if r != nil {
				if r.Problem == "" || r.Fix == "" || r.Code/100 != 5 {
					t.Errorf("%+v", r)
				}
				return
			}
			if !e.s.NotBefore.Equal(c.due) || !e.s.ExpiresAt.Equal(c.end) || e.s.Priority != c.priority {
				t.Errorf("at %v until %v, priority %v", e.s.NotBefore, e.s.ExpiresAt, e.s.Priority)
			}
			for _, f := range h.fields {
				if f.is(fieldSendAt) || f.is(fieldExpires) || f.is(fieldPriority) {
					t.Errorf("%s is left", f.name)
				}
			}
		})
	}
}

func FuzzParseWhen(f *testing.F) {
	now := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	for _, s := range []string{"", "+", "+2h", "+3d", "+99999d", "-1h", "2026-11-26T12:00:00Z", "Thu, 26 Nov 2026 11:00:00 +0000", "9999-12-31T23:59:59+23:59", "+1h30m", "+2562047h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, ok := parseWhen(text, now)
		if ok && (at.Year() < 1969 || at.Year() > 10000) {
			t.Errorf("%q is %v", text, at)
		}
	})
}

// Which of several sites wrote a message is for the log, and nobody else's affair.
func TestTheSiteIsTakenOutAndRemembered(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"X-Relay-Site: 3 shop.example\r\n":                    "3 shop.example",
		"x-relay-site: one\r\nX-Relay-Site: two\r\n":          "one",
		"X-Relay-Site: a\x01b\xc3\xbc\r\n":                    "a?b?",
		"X-Relay-Site: " + strings.Repeat("x", 1000) + "\r\n": strings.Repeat("x", maxSite),
		"X-Other: 3 shop.example\r\n":                         "",
		"X-Relay-Site: 1 a\r\nX-Postrider-Send-At: +1h\r\n":   "1 a",
	} {
		e := &entering{door: New(Options{}), s: &queue.Submission{}, now: time.Now()}
		h := mustHeader(t, given+"Subject: x\r\n\r\n")
		if r := e.wishes(&h); r != nil || e.website != want {
			t.Errorf("%q: %q, %v", given, e.website, r)
		}
		if _, left := h.get(fieldSite); left {
			t.Errorf("%q is left", given)
		}
	}
}
