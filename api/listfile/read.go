package listfile

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	v1 "postrider/api/v1"
)

// Format is how a list is written.
type Format string

// The formats, with their media types.
const (
	CSV    Format = "csv"    // text/csv
	NDJSON Format = "ndjson" // application/x-ndjson
)

// maxLine bounds one entry, in octets.
const maxLine = 8 << 10

// LineError says what is wrong with one line; reading goes on behind it.
type LineError struct {
	Line   int
	Code   string
	Detail string
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Detail) }

// Reader reads entries.
type Reader struct {
	next func() (v1.NewSuppression, int, error)
}

// NewReader returns a Reader of a format.
func NewReader(r io.Reader, f Format) *Reader {
	lines := &lineReader{r: bufio.NewReaderSize(r, 64<<10)}
	if f == NDJSON {
		return &Reader{next: (&jsonReader{lines}).next}
	}
	return &Reader{next: (&csvReader{lines: lines}).next}
}

// Next returns the next entry and its line, counted from 1; io.EOF at the end.
// After a *LineError the next call goes on behind that line.
func (r *Reader) Next() (v1.NewSuppression, int, error) { return r.next() }

// lineReader reads lines, and passes over those that are too long.
type lineReader struct {
	r    *bufio.Reader
	line int
}

// next returns a line without its end, which is valid until the next call.
func (l *lineReader) next() ([]byte, error) {
	text, err := l.r.ReadSlice('\n')
	l.line++
	if l.line == 1 {
		text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	}
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, l.skip()
	case err != nil && (len(text) == 0 || !errors.Is(err, io.EOF)):
		return nil, err
	case len(text) > maxLine:
		return nil, l.tooLong()
	case !utf8.Valid(text):
		return nil, &LineError{l.line, "invalid_utf8", "The line is not UTF-8: save the list as UTF-8."}
	}
	return bytes.TrimRight(text, "\r\n"), nil
}

func (l *lineReader) tooLong() error {
	return &LineError{l.line, "too_long", fmt.Sprintf("The line is longer than %d octets.", maxLine)}
}

// skip passes over the rest of a line that is too long.
func (l *lineReader) skip() error {
	for {
		_, err := l.r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil, errors.Is(err, io.EOF):
			return l.tooLong()
		default:
			return err
		}
	}
}

type jsonReader struct{ lines *lineReader }

func (j *jsonReader) next() (s v1.NewSuppression, line int, err error) {
	for {
		text, err := j.lines.next()
		if err != nil {
			return s, j.lines.line, err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		var row struct {
			v1.NewSuppression
			ID string `json:"id"` // of a list that was exported
		}
		if err := json.Unmarshal(text, &row); err != nil {
			return s, j.lines.line, &LineError{j.lines.line, "invalid_json", "The line is not a JSON object such as {\"email\":\"bob@example.org\"}."}
		}
		row.Reason = reasonOf(row.Reason)
		return row.NewSuppression, j.lines.line, nil
	}
}

// csvReader reads one record a line: none of our values has line ends.
type csvReader struct {
	lines   *lineReader
	columns []string // by place; nil before the first line
}

func (c *csvReader) next() (s v1.NewSuppression, line int, err error) {
	for {
		text, err := c.lines.next()
		if err != nil {
			return s, c.lines.line, err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		fields, err := split(text)
		if err != nil {
			return s, c.lines.line, &LineError{c.lines.line, "invalid_csv", "The line cannot be read as CSV: look at its quotes. A value must not go over several lines."}
		}
		if c.columns == nil {
			var heading bool
			if c.columns, heading = columnsOf(fields); heading {
				continue
			}
		}
		s, err = c.entry(fields)
		return s, c.lines.line, err
	}
}

// split reads one line, with commas or with the semicolons or tabs that some
// spreadsheets write.
func split(text []byte) ([]string, error) {
	r := csv.NewReader(bytes.NewReader(text))
	r.TrimLeadingSpace = true
	for _, other := range []rune{';', '\t'} {
		if !bytes.ContainsRune(text, ',') && bytes.ContainsRune(text, other) {
			r.Comma = other
		}
	}
	return r.Read()
}

// defaultColumns are the places in a list without a heading.
var defaultColumns = []string{"email", "reason", "scope", "note", "source", "created_at", "expires_at", "account"}

// headings are names of columns, in lower case without spaces, _ and -.
var headings = map[string]string{
	"email": "email", "emailaddress": "email", "address": "email", "recipient": "email",
	"reason": "reason", "suppressionreason": "reason", "type": "reason",
	"scope": "scope", "stream": "scope", "list": "scope",
	"note": "note", "notes": "note", "source": "source", "sourceid": "source",
	"createdat": "created_at", "created": "created_at", "date": "created_at",
	"expiresat": "expires_at", "account": "account",
}

// columnsOf takes a first line for a heading if one of its names means the
// address. Columns that mean nothing are passed over.
func columnsOf(fields []string) (columns []string, heading bool) {
	for _, f := range fields {
		name := headings[strings.NewReplacer(" ", "", "_", "", "-", "").Replace(strings.ToLower(f))]
		heading = heading || name == "email"
		columns = append(columns, name)
	}
	if !heading || slices.ContainsFunc(fields, func(f string) bool { return strings.Contains(f, "@") }) {
		return defaultColumns, false
	}
	return columns, true
}

func (c *csvReader) entry(fields []string) (s v1.NewSuppression, err error) {
	for i, f := range fields[:min(len(fields), len(c.columns))] {
		f = untext(strings.TrimSpace(f))
		if f == "" {
			continue
		}
		switch c.columns[i] {
		case "email":
			s.Email = f
		case "reason":
			s.Reason = reasonOf(f)
		case "scope":
			s.Scope = f
		case "note":
			s.Note = f
		case "source":
			s.Source = f
		case "account":
			s.Account = f
		case "created_at":
			s.CreatedAt, err = c.time(f)
		case "expires_at":
			s.ExpiresAt, err = c.time(f)
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

func (c *csvReader) time(text string) (*time.Time, error) {
	for _, form := range []string{time.RFC3339, time.DateTime, time.DateOnly, time.RFC1123, time.RFC1123Z, "2006-01-02 15:04:05 MST"} {
		if t, err := time.Parse(form, text); err == nil {
			return &t, nil
		}
	}
	return nil, &LineError{c.lines.line, "invalid_time", "A time cannot be read: write it as 2026-01-31T15:04:05Z."}
}

// reasons of other providers.
var reasons = map[string]string{
	"hardbounce": "bounce", "hard_bounce": "bounce", "bounced": "bounce", "permanent": "bounce", "invalid": "bounce",
	"spamcomplaint": "complaint", "spam": "complaint", "spam_complaint": "complaint", "complained": "complaint",
	"unsubscribed": "unsubscribe", "unsubscription": "unsubscribe",
	"manualsuppression": "manual", "customer": "manual", "blocked": "manual",
}

// reasonOf leaves what it does not know to whoever judges the entry.
func reasonOf(text string) string {
	text = strings.ToLower(text)
	if r := reasons[text]; r != "" {
		return r
	}
	return text
}
