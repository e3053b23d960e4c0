// Package stream keeps an account's streams: the kinds of mail it sends, each
// with its rules. Mail says its stream by name; without one it is transactional.
//
// A transactional stream asks for nothing. Mail of a bulk stream must offer its
// recipients a way out with one click. What a stream means for a message is
// decided where messages are accepted; this package only keeps the words.
package stream

import (
	"fmt"
	"time"
	"unicode/utf8"

	"postrider/api/unsubscribe"
)

// Kind says which rules hold for a stream.
type Kind string

// The kinds.
const (
	Transactional Kind = "transactional" // what its recipient waits for
	Bulk          Kind = "bulk"          // sent to many who may leave
)

// The streams that every account has, without having made them.
const (
	DefaultName = "transactional"
	BulkName    = "bulk"
)

// MaxDescription is in octets.
const MaxDescription = 500

// Stream is one stream of an account.
type Stream struct {
	Name        string
	Kind        Kind
	Description string
	Unsubscribe *unsubscribe.Offer // of mail that offers none itself; nil: none
	CreatedAt   time.Time          // zero for those that every account has
	UpdatedAt   time.Time
	Version     uint64 // of the record; 0: there is none
}

// BuiltIn reports whether every account has a stream of that name.
func BuiltIn(name string) bool { return name == DefaultName || name == BulkName }

func builtIn(name string) Stream {
	if name == BulkName {
		return Stream{Name: name, Kind: Bulk}
	}
	return Stream{Name: name, Kind: Transactional}
}

// Problem is one thing that is wrong in a Stream; Field is its place in JSON,
// such as "unsubscribe/list".
type Problem struct{ Field, Code, Detail string }

// Problems is the error of Book.Put for a Stream that cannot be kept.
type Problems []Problem

func (p Problems) Error() string { return fmt.Sprintf("stream is not valid: %d problems", len(p)) }

// ValidName reports the name that a stream may have: one that can also name the
// list of its mail.
func ValidName(s string) bool { return unsubscribe.ValidList(s) }

// Check returns what is wrong; nothing if the stream may be kept.
func (s Stream) Check() (ps Problems) {
	add := func(field, code, detail string) { ps = append(ps, Problem{field, code, detail}) }
	if !ValidName(s.Name) {
		add("name", "invalid_value", "A stream's name is 1 to 64 of the letters a-z 0-9 . _ -, with a letter or digit at both ends.")
	}
	switch {
	case s.Kind != Transactional && s.Kind != Bulk:
		add("kind", "invalid_value", "Use transactional or bulk.")
	case BuiltIn(s.Name) && s.Kind != builtIn(s.Name).Kind:
		add("kind", "not_allowed", "The kind of this stream is fixed.")
	}
	if len(s.Description) > MaxDescription || !utf8.ValidString(s.Description) {
		add("description", "too_long", fmt.Sprintf("At most %d octets of UTF-8.", MaxDescription))
	}
	if s.Unsubscribe != nil {
		for _, p := range s.Unsubscribe.Check() {
			add("unsubscribe/"+p.Field, p.Code, p.Detail)
		}
		if s.Kind == Bulk && s.Unsubscribe.Mode == unsubscribe.None {
			add("unsubscribe/mode", "not_allowed", "Mail of a bulk stream must offer a way out: use one_click or custom.")
		}
	}
	return ps
}
