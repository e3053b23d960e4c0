package intake

import (
	"net/mail"
	"strconv"
	"strings"
	"time"

	"postrider/queue"
)

// The fields by which a message says what a protocol without words for it cannot.
// They are taken out: whoever gets the message has no use for them.
const (
	fieldSendAt   = "X-Postrider-Send-At"
	fieldExpires  = "X-Postrider-Expires"
	fieldPriority = "X-Postrider-Priority"
	// fieldSite says which site of several that share an account wrote the
	// message: for the log alone.
	fieldSite = "X-Relay-Site"
)

// maxSite is how much of it is logged.
const maxSite = 128

// wishes reads our own fields. What the submission itself says counts for more.
func (e *entering) wishes(h *header) *queue.Refusal {
	if site, ok := h.take(fieldSite); ok {
		e.website = ascii(site[:min(len(site), maxSite)])
	}
	timed := false
	for _, w := range []struct {
		name string
		at   *time.Time
	}{{fieldSendAt, &e.s.NotBefore}, {fieldExpires, &e.s.ExpiresAt}} {
		text, ok := h.take(w.name)
		if !ok || !w.at.IsZero() {
			continue
		}
		t, ok := parseWhen(text, e.now)
		if !ok {
			return refuse(queue.RefusedContent, 554, queue.Enhanced{5, 5, 4}, "The field "+w.name+" is not a time.",
				"Write it as 2026-01-31T15:04:05Z, as in Date, or as +2h or +3d from now.")
		}
		*w.at, timed = t, true
	}
	if r := e.wishedPriority(h); r != nil {
		return r
	}
	if timed {
		return e.checkTimes()
	}
	return nil
}

// wishedPriority also takes mail at its word that says that it is bulk: it is not
// to be in the way of what somebody waits for.
func (e *entering) wishedPriority(h *header) *queue.Refusal {
	text, given := h.take(fieldPriority)
	if e.s.Priority != 0 {
		return nil
	}
	if !given {
		if f, ok := h.get("Precedence"); ok {
			switch strings.ToLower(f.value()) {
			case "bulk", "list", "junk":
				e.s.Priority = queue.PriorityLow
			}
		}
		return nil
	}
	switch strings.ToLower(text) {
	case "high":
		e.s.Priority = queue.PriorityHigh
	case "normal":
		e.s.Priority = queue.PriorityNormal
	case "low":
		e.s.Priority = queue.PriorityLow
	default:
		return refuse(queue.RefusedContent, 554, queue.Enhanced{5, 5, 4}, "The field "+fieldPriority+" is not a priority.", "Write high, normal or low.")
	}
	return nil
}

// take returns the value of the first field of that name, and removes all.
func (h *header) take(name string) (value string, ok bool) {
	f, ok := h.get(name)
	if !ok {
		return "", false
	}
	h.remove(name)
	return f.value(), true
}

// farthestSpan is beyond what any span may say, and within what a duration holds.
const farthestSpan = 1000 // days

// parseWhen reads a time (RFC 3339, or RFC 5322 as in Date) or a span from now.
func parseWhen(text string, now time.Time) (time.Time, bool) {
	if len(text) > 64 {
		return time.Time{}, false
	}
	if span, ok := strings.CutPrefix(text, "+"); ok {
		d, ok := parseSpan(span)
		return now.Add(d), ok
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, sane(t)
	}
	if t, err := mail.ParseDate(text); err == nil {
		return t, sane(t)
	}
	return time.Time{}, false
}

func parseSpan(text string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err == nil && n <= farthestSpan
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0 && d <= farthestSpan*24*time.Hour
}

// sane keeps out years with which nobody can reckon.
func sane(t time.Time) bool { return t.Year() >= 1970 && t.Year() < 10000 }
