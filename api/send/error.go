package send

import (
	"time"
)

// Error is a no that a caller is told, in the words of the native API; the
// compatible surfaces translate it. Nothing of it repeats what was submitted.
type Error struct {
	Status     int    // HTTP
	Code       string // "validation_failed", "sender_not_allowed", … see research and the OpenAPI document
	Detail     string // one or two sentences: what is wrong and what to do
	Problems   []Problem
	RetryAfter time.Duration // 0: not known
	Suppressed []string      // addresses, for all_recipients_suppressed: only surfaces whose contract has them may show them
}

func (e *Error) Error() string { return e.Detail }

// Problem is one thing that is wrong in a request.
type Problem struct {
	Pointer string // JSON Pointer into the native request (RFC 6901) as URI fragment, such as "#/to/0"
	Code    string // "required", "invalid_address", "too_long", "too_many", "not_allowed", …
	Detail  string
}
