package syntax

import "strings"

// MatchList tells whether a mailbox name matches a pattern of LIST: "*" stands for
// anything, "%" for anything within one level of the hierarchy, whose separator is
// "/". INBOX matches in any letter case. The time it takes is bounded by the square
// of the name's length, however the pattern is made.
func MatchList(pattern, name string) bool {
	if name == "INBOX" {
		pattern = strings.Map(upper, pattern)
	}
	pattern, letters := simplify(pattern)
	if letters > len(name) {
		return false
	}
	// at[i]: pattern[:i] matches what was read of the name.
	at := make([]bool, len(pattern)+1)
	at[0] = true
	passWildcards(pattern, at)
	for i := range len(name) {
		step(pattern, at, name[i])
	}
	return at[len(pattern)]
}

func upper(c rune) rune {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// simplify makes one wildcard of several in a row, and counts what is none.
func simplify(pattern string) (simple string, letters int) {
	b := make([]byte, 0, len(pattern))
	for i := range len(pattern) {
		c := pattern[i]
		last := len(b) - 1
		switch {
		case c != '*' && c != '%':
			letters++
		case last >= 0 && b[last] == '*':
			continue
		case last >= 0 && b[last] == '%':
			b[last] = c
			continue
		}
		b = append(b, c)
	}
	return string(b), letters
}

// passWildcards lets each wildcard stand for nothing.
func passWildcards(pattern string, at []bool) {
	for i := range len(pattern) {
		if at[i] && (pattern[i] == '*' || pattern[i] == '%') {
			at[i+1] = true
		}
	}
}

// step reads one octet of the name. From the end, so that at is of before.
func step(pattern string, at []bool, c byte) {
	for i := len(pattern); i >= 0; i-- {
		stays := i < len(pattern) && (pattern[i] == '*' || pattern[i] == '%' && c != '/')
		comes := i > 0 && at[i-1] && pattern[i-1] == c && c != '*' && c != '%'
		at[i] = at[i] && stays || comes
	}
	passWildcards(pattern, at)
}
