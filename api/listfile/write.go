package listfile

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	v1 "postrider/api/v1"
)

// Writer writes entries. Flush must follow the last one.
type Writer struct {
	csv  *csv.Writer // nil: NDJSON
	json *json.Encoder
}

// NewWriter returns a Writer of a format; of CSV it begins with a heading.
func NewWriter(w io.Writer, f Format) (*Writer, error) {
	if f == NDJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return &Writer{json: enc}, nil
	}
	out := &Writer{csv: csv.NewWriter(w)}
	if err := out.csv.Write(defaultColumns); err != nil {
		return nil, fmt.Errorf("write list: %w", err)
	}
	return out, nil
}

// Write writes one entry.
func (w *Writer) Write(s v1.Suppression) error {
	var err error
	if w.csv == nil {
		err = w.json.Encode(s)
	} else {
		expires := ""
		if s.ExpiresAt != nil {
			expires = s.ExpiresAt.UTC().Format(time.RFC3339Nano)
		}
		err = w.csv.Write([]string{
			text(s.Email), s.Reason, text(s.Scope), text(s.Note), text(s.Source), s.CreatedAt.UTC().Format(time.RFC3339Nano), expires, text(s.Account),
		})
	}
	if err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}

// Flush writes what is left.
func (w *Writer) Flush() error {
	if w.csv == nil {
		return nil
	}
	w.csv.Flush()
	if err := w.csv.Error(); err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}

// formulas are what spreadsheets take for the beginning of one.
const formulas = "=+-@\t\r'"

// text keeps spreadsheets from taking a value for a formula.
func text(s string) string {
	if s != "" && strings.Contains(formulas, s[:1]) {
		return "'" + s
	}
	return s
}

// untext undoes it.
func untext(s string) string {
	if len(s) > 1 && s[0] == '\'' && strings.Contains(formulas, s[1:2]) {
		return s[1:]
	}
	return s
}
