package syntax

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestStringsAreWrittenAsTheyMayBe(t *testing.T) {
	t.Parallel()
	tests := []struct{ s, quoted, str, astring string }{
		{"", `""`, `""`, `""`},
		{"Subject", `"Subject"`, `"Subject"`, `Subject`},
		{"nil", `"nil"`, `"nil"`, `"nil"`},
		{"a b", `"a b"`, `"a b"`, `"a b"`},
		{`a"b\c`, `"a\"b\\c"`, `"a\"b\\c"`, `"a\"b\\c"`},
		{"a]b", `"a]b"`, `"a]b"`, `a]b`},
		{"a\r\nb", `"ab"`, "{4}\r\na\r\nb", "{4}\r\na\r\nb"},
		{"é", `"é"`, "{2}\r\né", "{2}\r\né"},
		{"a\x00b", `"ab"`, `"ab"`, `"ab"`},
		{"é\x00\n", `"é"`, "{3}\r\né\n", "{3}\r\né\n"},
	}
	for _, tt := range tests {
		got := [...]string{string(AppendQuoted(nil, tt.s)), string(AppendString(nil, tt.s)), string(AppendAString(nil, tt.s))}
		if want := [...]string{tt.quoted, tt.str, tt.astring}; got != want {
			t.Errorf("%q: got %q, want %q", tt.s, got, want)
		}
	}
}

func TestMailboxNamesAreWritten(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, utf7, utf8 string }{
		{"INBOX", `"INBOX"`, `"INBOX"`},
		{`A "B" & C`, `"A \"B\" &- C"`, `"A \"B\" & C"`},
		{"Télé", `"T&AOk-l&AOk-"`, `"Télé"`},
		{"a\r\nb", `"a&AA0ACg-b"`, `"ab"`},
		{"a\xff", `"a&,,0-"`, `"a&,,0-"`},
	}
	for _, tt := range tests {
		if got := string(AppendMailbox(nil, tt.name, false)); got != tt.utf7 {
			t.Errorf("%q: got %s, want %s", tt.name, got, tt.utf7)
		}
		if got := string(AppendMailbox(nil, tt.name, true)); got != tt.utf8 {
			t.Errorf("%q: got %s, want %s", tt.name, got, tt.utf8)
		}
	}
}

func TestDatesAreWritten(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 7, 4, 5, 6, 0, time.FixedZone("", -7*3600))
	if got, want := string(AppendDate(nil, at)), `" 7-Mar-2026 04:05:06 -0700"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestModifiedUTF7(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":                     "",
		"Sent/2026-11":         "Sent/2026-11",
		"&":                    "&-",
		"&&":                   "&-&-",
		"~peter/mail/台北/日本語":   "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
		"é&é":                  "&AOk-&-&AOk-",
		"😀":                    "&2D3eAA-",
		"a\tb":                 "a&AAk-b",
		strings.Repeat("é", 2): "&AOkA6Q-",
	} {
		if got := EncodeUTF7(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
		if got, err := DecodeUTF7(want); err != nil || got != name {
			t.Errorf("%q: got %q, %v", want, got, err)
		}
	}
	for _, wrong := range []string{"&", "a&b", "&AOk", "&A-", "&AO-", "&AOl-x&AGE-", "&AGE-", "&AOk-&AOk-", "&2D0-", "&3gA-", "&2D0AYQ-", "&AOk=-", "&AO/-", "é", "a\tb", "&AO\r\nk-", "&AOkA-", "&AOl=="} {
		if got, err := DecodeUTF7(wrong); err == nil {
			t.Errorf("%q is taken as %q", wrong, got)
		}
	}
}

func TestListPatterns(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{"*", []string{"", "INBOX", "Sent/2026-11", "a/b/c"}, nil},
		{"%", []string{"", "INBOX", "Sent"}, []string{"Sent/2026-11", "/"}},
		{"%/%", []string{"Sent/2026-11", "/"}, []string{"Sent", "a/b/c"}},
		{"Sent", []string{"Sent"}, []string{"sent", "Sent/", "Sen"}},
		{"Sent/%", []string{"Sent/2026-11", "Sent/"}, []string{"Sent", "Sent/2026/11"}},
		{"Sent*", []string{"Sent", "Sent/2026-11", "Sent/2026/11"}, []string{"xSent"}},
		{"inbox", []string{"INBOX"}, []string{"Inbox/x"}},
		{"inb%", []string{"INBOX"}, []string{"INBOX/x"}},
		{"%b", []string{"b", "ab", "abb"}, []string{"a/b", "ba"}},
		{"*b", []string{"b", "ab", "a/b", "abab"}, []string{"ba", ""}},
		{"*%", []string{"", "a/b"}, nil},
		{"%*", []string{"", "a/b"}, nil},
		{"%%%", []string{"", "ab"}, []string{"a/b"}},
		{"%*%/x", []string{"/x", "a/b/x"}, []string{"x"}},
		{"a%b*c%d", []string{"abcd", "axbx/xcxd", "abccd"}, []string{"a/bcd", "abc/d", "abdc"}},
		{"*a*a*a*", []string{"aaa", "a/a/a"}, []string{"aa"}},
		{"Té%", []string{"Télé"}, []string{"Te"}},
		{"", []string{""}, []string{"a"}},
	}
	for _, tt := range tests {
		for _, name := range tt.yes {
			if !MatchList(tt.pattern, name) {
				t.Errorf("%q does not match %q", tt.pattern, name)
			}
		}
		for _, name := range tt.no {
			if MatchList(tt.pattern, name) {
				t.Errorf("%q matches %q", tt.pattern, name)
			}
		}
	}
}

func BenchmarkMatchListOfABadPattern(b *testing.B) {
	pattern, name := strings.Repeat("%a*", 300), strings.Repeat("a/", 400)+"b"
	for b.Loop() {
		MatchList(pattern, name)
	}
}

func ExampleMatchList() {
	fmt.Println(MatchList("Sent/%", "Sent/2026-11"), MatchList("%", "Sent/2026-11"))
	// Output: true false
}
