package resend

import (
	"strconv"
	"strings"
	"time"

	"postrider/api/compat"
)

// scheduleForm says what is understood. Resend takes more English, whose meaning
// depends on somebody's clock and time zone.
const scheduleForm = `must be a time such as 2026-01-31T15:04:05Z, or "in 5 minutes", "in 2 hours", "in 3 days"`

var timeForms = []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05.999999999-07"}

// units by the letters that a word of them begins with or is.
var units = map[string]time.Duration{
	"s": time.Second, "sec": time.Second, "second": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour,
}

// maxAhead keeps sums from overflowing; the sender has a lower limit.
const maxAhead = 10 * 365

func scheduledAt(s string, now time.Time) (time.Time, error) {
	s = strings.TrimSpace(s)
	for _, form := range timeForms {
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	if ahead, ok := relative(s); ok {
		return now.Add(ahead), nil
	}
	return time.Time{}, compat.Refuse("scheduled_at", "invalid_date", scheduleForm)
}

// relative reads "in 1 min".
func relative(s string) (time.Duration, bool) {
	words := strings.Fields(strings.ToLower(s))
	if len(words) != 3 || words[0] != "in" {
		return 0, false
	}
	count := 1
	if words[1] != "a" && words[1] != "an" {
		n, err := strconv.Atoi(words[1])
		if err != nil || n < 0 {
			return 0, false
		}
		count = n
	}
	unit, ok := units[words[2]]
	if !ok {
		unit, ok = units[strings.TrimSuffix(words[2], "s")]
	}
	if !ok || count > int(maxAhead*24*time.Hour/unit) {
		return 0, false
	}
	return time.Duration(count) * unit, true
}
