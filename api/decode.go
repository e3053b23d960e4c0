package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"postrider/api/compat"
)

// decode reads one JSON text: no unknown or repeated members, valid UTF-8 only.
func decode(text []byte, into any) *failure {
	if tooDeep(text) {
		return refusal(http.StatusBadRequest, "invalid_json", "The JSON nests too deeply.")
	}
	if !new(compat.Shape).Add(text) {
		return refusal(http.StatusUnprocessableEntity, "validation_failed", "The request has a list or an object with far too many members. Send it in several.")
	}
	err := json.Unmarshal(text, into, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	var wrong *json.SemanticError
	if errors.As(err, &wrong) {
		return semantic(wrong)
	}
	var bad *jsontext.SyntacticError
	if errors.As(err, &bad) {
		return syntactic(bad)
	}
	return refusal(http.StatusBadRequest, "invalid_json", "The body is not the JSON that is wanted.")
}

// tooDeep reports whether JSON nests deeper than maxDepth, before anything is made
// of it. What it says of what is no JSON does not matter.
func tooDeep(text []byte) bool {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			if depth++; depth > maxDepth {
				return true
			}
		case '}', ']':
			depth--
		case '"':
			i = stringEnd(text, i+1)
		}
	}
	return false
}

// stringEnd returns where the string that begins at i has its closing quote.
func stringEnd(text []byte, i int) int {
	for i < len(text) {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			break
		}
		i += n
		slashes := 0
		for slashes < n && text[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
		i++
	}
	return len(text)
}

// semantic names a member that is not as wanted, without its value.
func semantic(e *json.SemanticError) *failure {
	f := refusal(http.StatusUnprocessableEntity, "validation_failed", "The request is not as it must be: see errors.")
	if errors.Is(e.Err, json.ErrUnknownName) {
		return f.at(pointerOf(e.JSONPointer), "unknown_field", "There is no such member here"+named(e.JSONPointer)+".")
	}
	if e.Err != nil && e.GoType == reflect.TypeFor[time.Time]() && e.JSONKind == '"' {
		return f.at(pointerOf(e.JSONPointer), "invalid_time", "Give a time such as 2026-01-31T15:04:05Z.")
	}
	return f.at(pointerOf(e.JSONPointer), "invalid_type", "This must be "+wanted(e.GoType)+".")
}

// syntactic says what is wrong with the JSON itself.
func syntactic(e *jsontext.SyntacticError) *failure {
	f := refusal(http.StatusBadRequest, "invalid_json", "The body is not valid JSON: see errors.")
	where := pointerOf(e.JSONPointer)
	switch {
	case errors.Is(e.Err, jsontext.ErrDuplicateName):
		return f.at(where, "duplicate_name", "This member is there twice.")
	case strings.Contains(e.Err.Error(), "UTF-8"), strings.Contains(e.Err.Error(), "surrogate"):
		return f.at(where, "invalid_utf8", "This text is not valid UTF-8.")
	case errors.Is(e.Err, io.ErrUnexpectedEOF):
		return f.at(where, "truncated", "The JSON ends before it is complete.")
	case strings.Contains(e.Err.Error(), "after top-level value"):
		return f.at("#", "trailing_data", "There is more than one JSON value.")
	}
	return f.at(where, "syntax", "The JSON is wrong here or just after it.")
}

// wanted describes a Go type in the words of JSON.
func wanted(t reflect.Type) string {
	if t == nil {
		return "of another type"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[time.Time]() {
		return "a time such as 2026-01-31T15:04:05Z"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "of another type"
}

// maxName bounds how much of a member's name is repeated.
const maxName = 64

// plainName reports whether a member's name may be told back: names are not
// secret, but what does not look like one may be.
func plainName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

func named(p jsontext.Pointer) string {
	if name := p.LastToken(); plainName(name) {
		return ": " + name
	}
	return ""
}

// pointerOf writes a JSON Pointer as URI fragment, up to the first name that may
// not be told back.
func pointerOf(p jsontext.Pointer) string {
	var b strings.Builder
	b.WriteByte('#')
	for name := range p.Tokens() {
		if !plainName(name) {
			break
		}
		b.WriteByte('/')
		b.WriteString(name)
	}
	return b.String()
}
