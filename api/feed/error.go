package feed

import "time"

// Error is a no that a caller is told. Nothing of it repeats what was submitted.
type Error struct {
	Status     int    // HTTP
	Code       string // "invalid_cursor", "cursor_gone", "validation_failed", "too_many_streams", "shutting_down"
	Detail     string
	RetryAfter time.Duration // 0: not known
	cause      error
}

func (e *Error) Error() string { return e.Detail }

// Unwrap returns the store's error, if there was one.
func (e *Error) Unwrap() error { return e.cause }
