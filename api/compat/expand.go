package compat

import (
	"net/http"
	"strings"
)

// Builder makes a text that may not grow beyond a body's limit: a small request
// can ask for a large one.
type Builder struct {
	text        strings.Builder
	left, limit int64
}

// Builder returns an empty one.
func (o Options) Builder() *Builder { return &Builder{left: o.Limits.Body, limit: o.Limits.Body} }

// WriteString implements io.StringWriter; the error is an *http.MaxBytesError.
func (b *Builder) WriteString(s string) (int, error) {
	if b.left -= int64(len(s)); b.left < 0 {
		return 0, &http.MaxBytesError{Limit: b.limit}
	}
	return b.text.WriteString(s)
}

// Write implements io.Writer.
func (b *Builder) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, &http.MaxBytesError{Limit: b.limit}
	}
	return b.text.Write(p)
}

func (b *Builder) String() string { return b.text.String() }

// Room refuses a request that makes n messages of this size, if that is more than
// its limit.
func (o Options) Room(n int, size int64) error {
	if n > 0 && size > o.Limits.Expanded/int64(n) {
		return &http.MaxBytesError{Limit: o.Limits.Expanded}
	}
	return nil
}
