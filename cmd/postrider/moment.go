package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// moment is a time as people give it: a time, a day, or so long from now.
type moment struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *moment) UnmarshalText(b []byte) (err error) {
	m.Time, err = parseMoment(string(b), time.Now())
	return err
}

// past is a moment of which a span lies behind us: 2h is two hours ago.
type past struct{ moment }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *past) UnmarshalText(b []byte) (err error) {
	p.Time, err = parsePast(string(b), time.Now())
	return err
}

func parsePast(text string, now time.Time) (time.Time, error) {
	if d, err := parseSpan(strings.TrimPrefix(text, "-")); err == nil && !strings.HasPrefix(text, "+") {
		return now.Add(-d), nil
	}
	return parseMoment(text, now)
}

func parseMoment(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return t, nil
		}
	}
	if d, err := parseSpan(strings.TrimPrefix(text, "+")); err == nil {
		return now.Add(d), nil
	}
	return time.Time{}, fmt.Errorf("time %q: write it as 2026-01-31T15:04:05Z, as \"2026-01-31 15:04\" in local time, or as a span such as 2h or 3d", text)
}

// parseSpan reads a duration that may have days, and may be negative.
func parseSpan(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// pointer is nil for no time.
func (m moment) pointer() *time.Time {
	if m.IsZero() {
		return nil
	}
	t := m.Time
	return &t
}
