package configs

import (
	"fmt"
	"strings"
)

// ExitConfig is the exit status for a configuration that cannot be used:
// EX_CONFIG of sysexits.h.
const ExitConfig = 78

// Severity tells what stops the start from what only deserves attention.
type Severity int

// A Failure stops the start, a Warning does not.
const (
	Failure Severity = iota
	Warning
)

// String returns "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Problem is one thing wrong with the configuration. It never holds a secret.
type Problem struct {
	Severity  Severity `json:"severity"`
	Key       string   `json:"key,omitempty"` // key path; empty if no single key is meant
	Source    string   `json:"source"`        // "postrider.yaml:12", "environment POSTRIDER_X", "flag --x", "default"
	What      string   `json:"what"`          // what is wrong
	Fix       string   `json:"fix,omitempty"` // what to do
	OpenRelay bool     `json:"open_relay,omitempty"`
}

// MarshalText returns "error" or "warning".
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is one line for a terminal.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Severity.String())
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + " ")
	}
	if p.Source != "" {
		b.WriteString("(" + p.Source + ")")
	}
	b.WriteString(": " + p.What)
	if p.Fix != "" {
		b.WriteString(": " + p.Fix)
	}
	return b.String()
}

// Problems are all that Load found, failures before warnings.
type Problems []Problem

// Failures returns those that stop the start.
func (p Problems) Failures() Problems { return p.with(Failure) }

// Warnings returns those that do not.
func (p Problems) Warnings() Problems { return p.with(Warning) }

func (p Problems) with(s Severity) Problems {
	var some Problems
	for _, q := range p {
		if q.Severity == s {
			some = append(some, q)
		}
	}
	return some
}

// Err returns nil if there are no failures, else an *InvalidError naming them all.
func (p Problems) Err() error {
	if f := p.Failures(); len(f) > 0 {
		return &InvalidError{Problems: f}
	}
	return nil
}

// InvalidError says that the configuration cannot be used, and why.
type InvalidError struct{ Problems Problems }

// Error lists every problem on a line of its own.
func (e *InvalidError) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	lines = append(lines, fmt.Sprintf("the configuration has %d problem(s)", len(e.Problems)))
	for _, p := range e.Problems {
		lines = append(lines, "  "+p.String())
	}
	return strings.Join(lines, "\n")
}

// ExitCode returns ExitConfig.
func (e *InvalidError) ExitCode() int { return ExitConfig }

// mistake is a parse error that knows what to do about it.
type mistake struct{ what, fix string }

func (m *mistake) Error() string {
	if m.fix == "" {
		return m.what
	}
	return m.what + ": " + m.fix
}

func wrong(fix, format string, args ...any) error {
	return &mistake{what: fmt.Sprintf(format, args...), fix: fix}
}
