package e2etest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// Line is one line that the program printed.
type Line struct {
	Text  string
	Attrs map[string]any // nil unless the line is a JSON object
}

// Is reports whether the line has this message.
func (l Line) Is(msg string) bool { return l.Attr("msg") == msg }

// Attr is an attribute as text, "" if there is none.
func (l Line) Attr(key string) string {
	v, ok := l.Attrs[key]
	if !ok {
		return ""
	}
	return fmt.Sprint(v)
}

// Log collects the lines of one output while the program runs. It is safe for
// concurrent use.
type Log struct {
	mu    sync.Mutex
	lines []Line
	more  chan struct{} // closed and replaced at each line
	ended bool
}

func newLog() *Log { return &Log{more: make(chan struct{})} }

// follow reads r to its end.
func (l *Log) follow(r io.Reader) {
	br := bufio.NewReader(r)
	for {
		text, err := br.ReadBytes('\n')
		if text = bytes.TrimRight(text, "\n"); len(text) > 0 || err == nil {
			l.add(text)
		}
		if err != nil {
			l.mu.Lock()
			l.ended = true
			close(l.more)
			l.mu.Unlock()
			return
		}
	}
}

func (l *Log) add(text []byte) {
	line := Line{Text: string(text)}
	if bytes.HasPrefix(text, []byte("{")) && json.Unmarshal(text, &line.Attrs) != nil {
		line.Attrs = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	close(l.more)
	l.more = make(chan struct{})
}

// Lines returns what there is so far.
func (l *Log) Lines() []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[:len(l.lines):len(l.lines)]
}

// Text is all that was printed so far.
func (l *Log) Text() string {
	var b strings.Builder
	for _, line := range l.Lines() {
		b.WriteString(line.Text + "\n")
	}
	return b.String()
}

// All returns the lines so far that match.
func (l *Log) All(match func(Line) bool) []Line {
	var some []Line
	for _, line := range l.Lines() {
		if match(line) {
			some = append(some, line)
		}
	}
	return some
}

// Await waits for the first line that matches. It fails when ctx or the output
// ends before.
func (l *Log) Await(ctx context.Context, match func(Line) bool) (Line, error) {
	for seen := 0; ; {
		l.mu.Lock()
		lines, more, ended := l.lines, l.more, l.ended
		l.mu.Unlock()
		for ; seen < len(lines); seen++ {
			if match(lines[seen]) {
				return lines[seen], nil
			}
		}
		if ended {
			return Line{}, fmt.Errorf("the output ended without the expected line; it was:\n%s", l.Text())
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Line{}, fmt.Errorf("the expected line did not come: %w; there were:\n%s", ctx.Err(), l.Text())
		}
	}
}

// Expect is Await with an end for the test.
func (l *Log) Expect(ctx context.Context, t testing.TB, match func(Line) bool) Line {
	t.Helper()
	line, err := l.Await(ctx, match)
	if err != nil {
		t.Fatal(err)
	}
	return line
}
