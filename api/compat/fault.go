package compat

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"postrider/api/send"
	"postrider/queue"
)

// retryLater is asked for where a refusal ends by itself and does not say when.
const retryLater = 5 * time.Second

// maxProblems is how many problems a message tells of.
const maxProblems = 5

// Refuse returns the error for a member of a request, by the name that the
// provider's documentation gives it, such as "attachments[0].content".
func Refuse(field, code, detail string) *send.Error {
	return &send.Error{Status: http.StatusUnprocessableEntity, Code: "validation_failed", Detail: "The request is not valid.",
		Problems: []send.Problem{{Pointer: field, Code: code, Detail: detail}}}
}

// Unsupported refuses a feature of the provider that the relay does not have.
func Unsupported(field, detail string) *send.Error {
	return Refuse(field, "not_supported", detail)
}

// Fault turns any error into one that the caller may be told. Our own trouble is
// logged, and told as something that passes.
func (o Options) Fault(r *http.Request, err error) *send.Error {
	if e := (*send.Error)(nil); errors.As(err, &e) {
		return e
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &send.Error{Status: http.StatusRequestEntityTooLarge, Code: "payload_too_large",
			Detail: fmt.Sprintf("The request has more than %d octets. Send less at once.", large.Limit)}
	case errors.Is(err, queue.ErrNotFound), errors.Is(err, queue.ErrBadID):
		return &send.Error{Status: http.StatusNotFound, Code: "not_found", Detail: "There is no such message, or it is no longer kept."}
	case errors.Is(err, queue.ErrFull):
		return &send.Error{Status: http.StatusServiceUnavailable, Code: "queue_full", RetryAfter: retryLater,
			Detail: "There is no room for more mail at the moment. Try again later."}
	}
	if r.Context().Err() == nil {
		o.Logger.Error("request failed", "path", r.URL.Path, "error", err)
	}
	return &send.Error{Status: http.StatusServiceUnavailable, Code: "internal", RetryAfter: retryLater,
		Detail: "The relay cannot answer at the moment. Try again later."}
}

// Rename is how a surface calls the member of its request that a pointer into the
// native request names, which is given in parts: "#/to/0" as "to", "0".
type Rename func(parts []string) string

// Field names what a problem is about in the words of the surface.
func (n Rename) Field(p send.Problem) string {
	rest, native := strings.CutPrefix(p.Pointer, "#")
	if !native {
		return p.Pointer
	}
	rest = strings.TrimPrefix(rest, "/")
	if rest == "" {
		return ""
	}
	parts := strings.Split(rest, "/")
	for i, part := range parts {
		parts[i] = pointerText.Replace(part)
	}
	return n(parts)
}

// pointerText undoes the escapes of RFC 6901 §4.
var pointerText = strings.NewReplacer("~1", "/", "~0", "~")

// Sentence is one problem with the name of what it is about.
func (n Rename) Sentence(p send.Problem) string {
	if field := n.Field(p); field != "" {
		return field + ": " + p.Detail
	}
	return p.Detail
}

// Message is all that an error says, as one text.
func (n Rename) Message(e *send.Error) string {
	if len(e.Problems) == 0 {
		return e.Detail
	}
	var texts []string
	for _, p := range e.Problems[:min(len(e.Problems), maxProblems)] {
		texts = append(texts, n.Sentence(p))
	}
	if more := len(e.Problems) - maxProblems; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

// Path joins the parts of a name: "attachments", "0", "content" becomes
// attachments[0].content.
func Path(parts ...string) string {
	var b strings.Builder
	for i, p := range parts {
		if _, err := strconv.ParseUint(p, 10, 32); err == nil {
			b.WriteString("[" + p + "]")
			continue
		}
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(p)
	}
	return b.String()
}

// RetrySeconds says after how many seconds the same request may be accepted; 0
// if it never will be.
func RetrySeconds(e *send.Error) int {
	after := e.RetryAfter
	if after <= 0 {
		if e.Status != http.StatusTooManyRequests && e.Status != http.StatusServiceUnavailable {
			return 0
		}
		after = retryLater
	}
	return int(math.Ceil(after.Seconds()))
}

// WriteRetry adds Retry-After where it belongs.
func WriteRetry(h http.Header, e *send.Error) {
	if s := RetrySeconds(e); s > 0 {
		h.Set("Retry-After", strconv.Itoa(s))
	}
}

// WriteJSON answers with a document.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // whoever hung up does not read it
}
