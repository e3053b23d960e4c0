package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"postrider/api/access"
	"postrider/api/send"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// failure is a request that ends with a problem document. It tells nothing of
// what was submitted but the names of members.
type failure struct {
	problem v1.Problem
	header  http.Header
}

// refusal makes a failure from its status, its code and what to do about it.
func refusal(status int, code, detail string) *failure {
	return &failure{problem: v1.Problem{
		Type: problemURN + code, Title: http.StatusText(status), Status: status, Code: code, Detail: detail,
	}}
}

func (f *failure) Error() string             { return f.problem.Detail }
func (f *failure) GetStatus() int            { return f.problem.Status }
func (f *failure) GetHeaders() http.Header   { return f.header }
func (f *failure) ContentType(string) string { return problemType }
func (f *failure) ErrorDetail() *huma.ErrorDetail {
	return &huma.ErrorDetail{Message: f.problem.Detail, Value: f}
}

const (
	problemType = "application/problem+json"
	problemURN  = "urn:postrider:problem:"
)

// at adds what is wrong with one member of the body.
func (f *failure) at(pointer, code, detail string) *failure {
	f.problem.Errors = append(f.problem.Errors, v1.FieldError{Pointer: pointer, Code: code, Detail: detail})
	return f
}

// after says when the same request may be taken.
func (f *failure) after(d time.Duration) *failure {
	if d <= 0 {
		return f
	}
	seconds := int(math.Ceil(d.Seconds()))
	f.problem.RetryAfter = seconds
	return f.with("Retry-After", strconv.Itoa(seconds))
}

// with adds a header.
func (f *failure) with(name, value string) *failure {
	if f.header == nil {
		f.header = http.Header{}
	}
	f.header.Set(name, value)
	return f
}

// closing ends the connection after the answer: its body was not read.
func (f *failure) closing() *failure { return f.with("Connection", "close") }

func tooLarge(limit int64) *failure {
	return refusal(http.StatusRequestEntityTooLarge, "payload_too_large",
		fmt.Sprintf("The body is larger than the %d octets that are taken here.", limit)).closing()
}

// failureOf turns an error into what the caller is told: all that it can mend,
// and of our own trouble nothing but that it is ours.
func (s *Server) failureOf(ctx context.Context, err error) *failure {
	var f *failure
	var sent *send.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &sent):
		s.o.Logger.Info("submission refused", "request", requestID(ctx), "account", access.From(ctx).Account, "code", sent.Status, "problem", sent.Code)
		return sendFailure(sent)
	case errors.Is(err, queue.ErrNotFound):
		return refusal(http.StatusNotFound, "not_found", "It does not exist, or no longer.")
	case errors.Is(err, queue.ErrExists), errors.Is(err, queue.ErrVersion):
		return refusal(http.StatusConflict, "conflict", "It exists already, or was changed by someone else.")
	case errors.Is(err, ErrInvalid):
		return refusal(http.StatusUnprocessableEntity, "validation_failed", err.Error())
	case errors.Is(err, queue.ErrBadID):
		return refusal(http.StatusUnprocessableEntity, "validation_failed", "That is not a valid id: ids look like msg_ or rcp_ and 26 letters and digits.")
	case errors.Is(err, queue.ErrAddress):
		return refusal(http.StatusUnprocessableEntity, "validation_failed", "That is not a valid mail address: "+addressTrouble(err)+".")
	case errors.Is(err, queue.ErrFilter), errors.Is(err, queue.ErrPosition):
		return refusal(http.StatusUnprocessableEntity, "validation_failed", "The filter or the cursor makes no sense here.")
	case errors.Is(err, queue.ErrFull):
		return refusal(http.StatusServiceUnavailable, "queue_full", "The relay has no room for more mail now. Try again later.").after(time.Minute)
	case ctx.Err() != nil:
		return refusal(http.StatusServiceUnavailable, "unavailable", "The request was given up.")
	}
	s.o.Logger.Error("request failed", "request", requestID(ctx), "error", err)
	return refusal(http.StatusServiceUnavailable, "unavailable", "The relay cannot answer now. Its log says why; try again later.").after(5 * time.Second)
}

func sendFailure(e *send.Error) *failure {
	f := refusal(e.Status, e.Code, e.Detail).after(e.RetryAfter)
	for _, p := range e.Problems {
		f.at(p.Pointer, p.Code, p.Detail)
	}
	if e.Status == http.StatusTooManyRequests {
		limited(f.with("Retry-After", "1").header, e.RetryAfter)
	}
	return f
}

// addressTrouble says what is wrong with an address without repeating it.
func addressTrouble(err error) string {
	text := strings.TrimPrefix(err.Error(), "address ")
	quoted, e := strconv.QuotedPrefix(text)
	if e != nil {
		return "it cannot be read"
	}
	text, _, _ = strings.Cut(strings.TrimPrefix(text[len(quoted):], ": "), ": ")
	if text == "" || strings.ContainsAny(text, `"'`) {
		return "it has a character that may not be there"
	}
	return "it " + text
}

// refuse answers a request with a problem document.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, f *failure) {
	h := w.Header()
	for name, values := range f.header {
		h[name] = values
	}
	h.Set("Content-Type", problemType)
	text, err := json.Marshal(f.document(r.Context()))
	if err != nil {
		s.o.Logger.Error("write problem", "request", requestID(r.Context()), "error", err)
	}
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(f.problem.Status)
	_, _ = w.Write(text) // the client is gone: nobody to tell
}

// fail answers an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.refuse(w, r, s.failureOf(r.Context(), err))
}

// document is the problem as it is answered to one request.
func (f *failure) document(ctx context.Context) v1.Problem {
	p := f.problem
	if p.RequestID = requestID(ctx); p.RequestID != "" {
		p.Instance = "urn:request:" + p.RequestID
	}
	return p
}

// transform replaces what huma made of an error, which repeats what was
// submitted, by a problem of ours. It does what the package variable
// huma.NewError is for, but for this API alone.
func (s *Server) transform(ctx huma.Context, _ string, v any) (any, error) {
	switch v := v.(type) {
	case nil: // an answer without a body has no type
		_, w := humachi.Unwrap(ctx)
		w.Header().Del("Content-Type")
	case *failure:
		return v.document(ctx.Context()), nil
	case *huma.ErrorModel:
		f := s.failureOfModel(v)
		for name, values := range f.header {
			ctx.SetHeader(name, values[0])
		}
		return f.document(ctx.Context()), nil
	}
	return v, nil
}

// failureOfModel reads what huma found wrong with a request: the failure of a
// body, or parameters.
func (s *Server) failureOfModel(m *huma.ErrorModel) *failure {
	var errs []error
	for _, e := range m.Errors {
		if f, ok := e.Value.(*failure); ok {
			return f
		}
		errs = append(errs, e)
	}
	if m.Status != http.StatusUnprocessableEntity {
		s.o.Logger.Error("request failed", "status", m.Status, "error", m.Detail)
		return refusal(m.Status, "internal", "The relay has trouble of its own. Its log says more.")
	}
	return invalid(errs)
}

// invalid tells what huma's check of parameters or of a body found.
func invalid(errs []error) *failure {
	f := refusal(http.StatusUnprocessableEntity, "validation_failed", "The request is not as it must be: see errors.")
	for _, err := range errs {
		var e *huma.ErrorDetail
		if !errors.As(err, &e) {
			continue
		}
		f.problem.Errors = append(f.problem.Errors, fieldError(e))
	}
	return f
}

// fieldError tells of one parameter or member: huma's words, which come from the
// description alone once what follows a colon is cut off, never its value.
func fieldError(e *huma.ErrorDetail) v1.FieldError {
	text, _, _ := strings.Cut(e.Message, ": ")
	v := v1.FieldError{Code: codeOf(text), Detail: capital(strings.TrimPrefix(text, "expected ")) + "."}
	if strings.HasPrefix(text, "expected ") {
		v.Detail = "Want " + strings.TrimPrefix(text, "expected ") + "."
	}
	if v.Code == "invalid_time" {
		v.Detail = "Give a time such as 2026-01-31T15:04:05Z."
	}
	where, name, ok := strings.Cut(e.Location, ".")
	switch {
	case ok && (where == "query" || where == "path" || where == "header"):
		if name, _, _ = strings.Cut(name, "["); plainName(name) {
			v.Parameter = name
		}
	default:
		v.Pointer = pointerOfPath(e.Location)
		if name, ok := strings.CutPrefix(text, "expected required property "); ok {
			v.Pointer += "/" + strings.TrimSuffix(name, " to be present")
		}
	}
	return v
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// codes are those of field errors, by how huma's text begins.
var codes = []struct{ begins, code string }{
	{"unexpected property", "unknown_field"},
	{"unknown query parameter", "unknown_parameter"},
	{"expected required property", "required"},
	{"required ", "required"},
	{"expected length >=", "too_short"},
	{"expected length <=", "too_long"},
	{"expected array length >=", "too_few"},
	{"expected array length <=", "too_many"},
	{"expected object with at most", "too_many"},
	{"expected object with at least", "too_few"},
	{"expected number >", "out_of_range"},
	{"expected number <", "out_of_range"},
	{"expected value to be one of", "not_one_of"},
	{"expected string to be RFC 3339", "invalid_time"},
	{"invalid date/time", "invalid_time"},
	{"invalid integer", "invalid_type"},
	{"expected boolean", "invalid_type"},
	{"expected number", "invalid_type"},
	{"expected integer", "invalid_type"},
	{"expected string", "invalid_type"},
	{"expected array", "invalid_type"},
	{"expected object", "invalid_type"},
}

func codeOf(text string) string {
	for _, c := range codes {
		if strings.HasPrefix(text, c.begins) {
			return c.code
		}
	}
	return "invalid"
}

// pointerOfPath writes huma's path to a member ("to[0].email") as JSON Pointer.
func pointerOfPath(path string) string {
	var b strings.Builder
	b.WriteByte('#')
	for name := range strings.SplitSeq(strings.NewReplacer("[", ".", "]", "").Replace(path), ".") {
		if name == "" {
			continue
		}
		if !plainName(name) {
			break
		}
		b.WriteByte('/')
		b.WriteString(name)
	}
	return b.String()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // our own types: they can be written
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client is gone: nobody to tell
}
