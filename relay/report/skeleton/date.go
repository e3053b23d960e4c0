package skeleton

import (
	"bytes"
	"strconv"
	"time"
)

// parseDate reads a Date field by what its words look like rather than by their
// places, so that it reads RFC 5322, what came before it, asctime, and RFC 3339.
// The time is as it is written there, in UTC whatever zone it names. It is the
// zero time if that gives no day.
func parseDate(v []byte) time.Time {
	if len(v) > 10 && v[4] == '-' {
		if t, err := time.Parse(time.RFC3339, string(clip(v, maxToken))); err == nil {
			_, offset := t.Zone()
			return t.Add(time.Duration(offset) * time.Second).UTC()
		}
	}
	d := dateWords{day: -1, year: -1}
	for v = clip(v, maxString); ; {
		v = skipComments(v)
		n := bytes.IndexAny(v, " \t,(")
		if n < 0 {
			n = len(v)
		}
		d.word(v[:n])
		v = bytes.TrimLeft(v[n:], ",")
		if len(v) == 0 {
			return d.time()
		}
	}
}

// dateWords is what was read of a date.
type dateWords struct {
	day, year      int
	month          time.Month
	hour, min, sec int
}

func (d *dateWords) word(w []byte) {
	switch {
	case len(w) == 0:
	case bytes.IndexByte(w, ':') > 0 && isDigit(w[0]):
		d.clock(w)
	case bytes.IndexByte(w, '-') > 0: // 2-Jan-2006
		for part := range bytes.SplitSeq(w, []byte("-")) {
			d.word(part)
		}
	case isDigit(w[0]):
		d.number(w)
	case len(w) >= 3 && d.month == 0:
		d.name(w[:3])
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (d *dateWords) number(w []byte) {
	n, err := strconv.Atoi(string(w))
	switch {
	case err != nil:
	case d.day < 0 && n >= 1 && n <= 31:
		d.day = n
	case d.year >= 0:
	case len(w) == 2 && n < 50: // RFC 5322 §4.3
		d.year = 2000 + n
	case len(w) <= 3:
		d.year = 1900 + n
	case n <= 9999:
		d.year = n
	}
}

// clock reads "15:04" and "15:04:05", with anything behind it that is no digit
// passed over.
func (d *dateWords) clock(w []byte) {
	var n [3]int
	i := 0
	for part := range bytes.SplitSeq(w, []byte(":")) {
		end := 0
		for end < len(part) && end < 4 && isDigit(part[end]) {
			end++
		}
		v, err := strconv.Atoi(string(part[:end]))
		if err != nil || i == len(n) {
			break
		}
		n[i] = v
		i++
	}
	if i < 2 || n[0] > 24 || n[1] > 59 || n[2] > 60 {
		return
	}
	d.hour, d.min, d.sec = n[0], n[1], n[2]
}

const months = "janfebmaraprmayjunjulaugsepoctnovdec"

func (d *dateWords) name(w []byte) {
	for m := range 12 {
		if equalFold(w, months[3*m:3*m+3]) {
			d.month = time.Month(m + 1)
		}
	}
}

func (d *dateWords) time() time.Time {
	if d.day < 0 || d.month == 0 || d.year < 0 {
		return time.Time{}
	}
	return time.Date(d.year, d.month, d.day, d.hour, d.min, d.sec, 0, time.UTC)
}
