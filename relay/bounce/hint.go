package bounce

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of what a reply may ask for, and what is added since peers' clocks and
// ours differ.
const (
	minHint   = 30 * time.Second
	maxHint   = 12 * time.Hour
	hintSlack = 10 * time.Second
)

// hintWords are how replies ask to come back: "try again in 5 minutes",
// "greylisted for 299 seconds", "come back in 00:04:59", "retry after 300s".
var hintWords = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:again|retry(?:ing)?|wait|back|later|after|gr[ae]y ?-?list(?:ed|ing)?|delayed|deferred)\b[^.!?]{0,40}?(?:\b(\d{1,3}):(\d\d)(?::(\d\d))?\b|\b(\d{1,6})[ -]?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|days?)\b|\b(?:an?|one) (second|minute|hour|day)\b)`)
})

// hintIn returns how long a text, in lower case, asks to wait; 0 if it does not.
func hintIn(text string) time.Duration {
	if !mayHint(text) {
		return 0
	}
	m := hintWords().FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	d := clockHint(m[1], m[2], m[3])
	switch {
	case m[5] != "":
		d = unitHint(m[4], m[5])
	case m[6] != "":
		d = unitHint("1", m[6])
	}
	if d <= 0 {
		return 0
	}
	return min(max(d, minHint)+hintSlack, maxHint)
}

// mayHint is true of all texts that hintWords match. It spares most others the
// expression.
func mayHint(text string) bool {
	first := len(text)
	for _, word := range [...]string{"again", "retry", "wait", "back", "later", "after", "list", "delayed", "deferred"} {
		if i := strings.Index(text[:first], word); i >= 0 {
			first = i
		}
	}
	for _, word := range [...]string{"sec", "min", "hour", "hr", "day"} {
		if strings.Contains(text[first:], word) {
			return true
		}
	}
	return strings.ContainsAny(text[first:], "0123456789")
}

// clockHint reads "4:59" as minutes and seconds, "00:04:59" as hours too.
func clockHint(a, b, c string) time.Duration {
	first, _ := strconv.Atoi(a) // digits all
	second, _ := strconv.Atoi(b)
	third, _ := strconv.Atoi(c)
	if c == "" {
		return time.Duration(first)*time.Minute + time.Duration(second)*time.Second
	}
	return time.Duration(first)*time.Hour + time.Duration(second)*time.Minute + time.Duration(third)*time.Second
}

func unitHint(number, unit string) time.Duration {
	n, _ := strconv.Atoi(number) // six digits at most
	switch unit[0] {
	case 'h':
		return time.Duration(n) * time.Hour
	case 'm':
		return time.Duration(n) * time.Minute
	case 'd':
		return time.Duration(n) * day
	}
	return time.Duration(n) * time.Second
}

var (
	laterWords = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`\b(?:try|retry|come|send|resend|again)\b.{0,30}\blater\b|temporar(?:y|ily)`)
	})
	neverWords = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`\b(?:not|never|n.t) (?:re)?(?:try|send)|retrying will not|permanent`)
	})
)

// comesBack reports whether a text asks to come back at another time.
func comesBack(text string) bool {
	if !strings.Contains(text, "later") && !strings.Contains(text, "temporar") {
		return false
	}
	return laterWords().MatchString(text) && !neverWords().MatchString(text)
}
