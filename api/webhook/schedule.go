package webhook

import (
	"net/http"
	"strconv"
	"time"
)

// DefaultSchedule is how long an event waits after each failed attempt, from
// Standard Webhooks 1.0.0; the last one repeats.
func DefaultSchedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
}

const (
	jitter        = 0.2
	maxRetryAfter = 24 * time.Hour
)

// delay returns the pause after the given number of failed attempts, at least what
// the endpoint asked for.
func (o *Options) delay(failed int, asked time.Duration) time.Duration {
	d := o.Schedule[max(0, min(failed, len(o.Schedule))-1)]
	d += time.Duration((2*o.Random() - 1) * jitter * float64(d))
	return max(d, min(asked, maxRetryAfter))
}

// retryAfter reads the header of an answer that says when to come again: seconds,
// or a date.
func retryAfter(status int, h http.Header, now time.Time) time.Duration {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	text := h.Get("Retry-After")
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
