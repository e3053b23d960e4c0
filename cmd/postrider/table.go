package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// table prints lines of columns. What comes from mail and from other servers is
// printed without the control characters that would steer a terminal.
type table struct {
	out  io.Writer
	text bytes.Buffer
	w    *tabwriter.Writer
}

func newTable(out io.Writer, head ...string) *table {
	t := &table{out: out}
	t.w = tabwriter.NewWriter(&t.text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t.w, strings.Join(head, "\t"))
	return t
}

func (t *table) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = plain(cellText(c))
	}
	fmt.Fprintln(t.w, strings.Join(texts, "\t"))
}

// flush prints the table, without the blanks at the ends of lines.
func (t *table) flush() error {
	if err := t.w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(t.text.String()) {
		if _, err := fmt.Fprintln(t.out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func cellText(c any) string {
	switch c := c.(type) {
	case time.Time:
		return when(c)
	case *time.Time:
		if c == nil {
			return ""
		}
		return when(*c)
	case []string:
		return strings.Join(c, " ")
	}
	return fmt.Sprint(c)
}

// plain is a text for one place on one line of a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r): // Cf turns the direction of writing
			return '?'
		}
		return r
	}, s)
}

// or is the first text that is not empty.
func or(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
