package bounce

import (
	"strings"
	"testing"
	"time"
)

func TestRepliesAskToComeBack(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"greylisted, please try again in 5 minutes":           5 * time.Minute,
		"greylisting in action, please come back in 00:04:59": 4*time.Minute + 59*time.Second,
		"greylisted for 299 seconds":                          299 * time.Second,
		"retry after 300s":                                    300 * time.Second,
		"please retry in 1 hour":                              time.Hour,
		"try again in an hour":                                time.Hour,
		"too many messages. wait 15 min. before sending more": 15 * time.Minute,
		"deferred for 2 hours because of your rate":           2 * time.Hour,
		"try again later (in 10 mins)":                        10 * time.Minute,
		"come back in 3:20":                                   3*time.Minute + 20*time.Second,
		"try again in 2 seconds":                              minHint,
		"try again in 90000 seconds":                          maxHint - hintSlack,
		"try again in 3 days":                                 maxHint - hintSlack,
		"try again in 99999999999 days":                       0,
		"try again in 0 seconds":                              0,
		"try again as soon as you can":                        0,
		"try again later":                                     0,
		"the mailbox exceeds 300 messages":                    0,
		"you sent 500 messages in 10 minutes":                 0,
		"please try again. for help see case 15 minutes away": 0,
		"message size 300 mb":                                 0,
		"":                                                    0,
	} {
		if want > 0 {
			want += hintSlack
		}
		if got := hintIn(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestTextsThatAskForALaterTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"please try again later":                     true,
		"service busy, retry your message later":     true,
		"temporarily rejected":                       true,
		"come back later":                            true,
		"do not try again later":                     false,
		"temporarily deferred; do not retry":         false,
		"permanent failure, later mail fails too":    false,
		"please correct the address and try again":   false,
		"messages sent later than noon are accepted": false,
	} {
		if got := comesBack(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzHint(f *testing.F) {
	for _, s := range []string{"try again in 5 minutes", "come back in 00:04:59", "retry after 300s", "again an hour", "wait 99:99:99"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = plain(text)
		if d := hintIn(text); d != 0 && (d < minHint || d > maxHint) {
			t.Fatalf("%q asks for %v", text, d)
		}
		if hintWords().MatchString(text) && !mayHint(text) {
			t.Fatalf("%q is not looked at", text)
		}
		if laterWords().MatchString(text) && !strings.Contains(text, "later") && !strings.Contains(text, "temporar") {
			t.Fatalf("%q is not looked at", text)
		}
		comesBack(text)
	})
}
