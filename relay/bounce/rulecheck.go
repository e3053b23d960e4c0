package bounce

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"

	"postrider/queue"
)

// These find rules that can never match, or never as they were meant. Other
// relays' rule files have had each of them for years.

func checkAlone(ru *rule) error {
	switch d := &ru.do; {
	case d.stop && (d.retry || d.limited):
		return errors.New("stop gives up at once: retry, tries= and age= have no use beside it")
	case d.slow && d.pause > 0:
		return errors.New("slow and pause= exclude each other")
	}
	if ru.text == nil {
		return nil
	}
	return checkPattern(strings.TrimPrefix(ru.text.String(), "(?s)"))
}

// checkPattern looks at a pattern as it was written.
func checkPattern(p string) error {
	if strings.Contains(p, `\\`) {
		return errors.New(`the pattern has "\\", which matches a backslash: one is enough to escape`)
	}
	for i, r := range p {
		if unicode.IsUpper(r) && (i == 0 || p[i-1] != '\\') {
			return fmt.Errorf("the pattern has the capital letter %q: it is matched against text in lower case", r)
		}
	}
	var open []int // where groups begin
	alternates := []bool{}
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '\\':
			i++
		case '[':
			end := classEnd(p, i)
			if err := checkClass(p[i+1 : end]); err != nil {
				return err
			}
			i = end
		case '(':
			open, alternates = append(open, i), append(alternates, false)
		case '|':
			if n := len(alternates); n > 0 {
				alternates[n-1] = true
			}
		case ')':
			n := len(open) - 1
			repeated := i+1 < len(p) && strings.IndexByte("?*+{", p[i+1]) >= 0
			if n >= 0 && !alternates[n] && !repeated && p[open[n]+1] != '?' {
				return fmt.Errorf(`the parentheses of %q group nothing: write \( and \) if they are in the reply, or leave them out`, p[open[n]:i+1])
			}
			if n >= 0 {
				open, alternates = open[:n], alternates[:n]
			}
		}
	}
	return nil
}

// classEnd returns where the character class that begins at i ends.
func classEnd(p string, i int) int {
	for j := i + 1; j < len(p); j++ {
		switch {
		case p[j] == '\\':
			j++
		case p[j] == ']' && j > i+1:
			return j
		}
	}
	return len(p) - 1
}

// checkClass refuses a class that looks like a word in brackets: one letter or
// digit of "ts03" is not what somebody means.
func checkClass(inner string) error {
	if strings.ContainsAny(inner, "-^\\") {
		return nil
	}
	letters, digits := 0, 0
	for _, r := range inner {
		switch {
		case unicode.IsLetter(r):
			letters++
		case unicode.IsDigit(r):
			digits++
		}
	}
	if letters > 0 && digits > 0 {
		return fmt.Errorf(`[%s] matches one of these characters: write \[%s\] if the brackets are in the reply`, inner, inner)
	}
	return nil
}

// checkTogether refuses a rule that an earlier one of the file leaves nothing.
func checkTogether(name string, rules []rule) error {
	for i := range rules {
		for j := range i {
			if early, late := &rules[j], &rules[i]; covers(early, late) {
				return fmt.Errorf("%s:%d: rule %s can never win: whatever it matches, %s in line %d has matched", name, late.line, late.name, early.name, early.line)
			}
		}
	}
	return nil
}

func covers(early, late *rule) bool {
	return early.scope.covers(late.scope) &&
		covered(early.codes, late.codes, func(list []string, code string) bool {
			return slices.Contains(list, code) || slices.Contains(list, code[:1]+"xx")
		}) &&
		covered(early.stages, late.stages, func(list []queue.Stage, s queue.Stage) bool { return slices.Contains(list, s) }) &&
		covered(early.enhanced, late.enhanced, func(list []string, d string) bool {
			subject, _, _ := strings.Cut(d, ".")
			return slices.Contains(list, d) || slices.Contains(list, subject+".*")
		}) &&
		(early.text == nil || late.text != nil && early.text.String() == late.text.String())
}

func covered[T any](wide, narrow []T, has func([]T, T) bool) bool {
	if len(wide) == 0 {
		return true
	}
	return len(narrow) > 0 && !slices.ContainsFunc(narrow, func(v T) bool { return !has(wide, v) })
}

func (s scope) covers(t scope) bool {
	if s.any() {
		return true
	}
	if t.any() || s.provider != t.provider {
		return false
	}
	return !slices.ContainsFunc(t.domains, func(d string) bool {
		return !slices.ContainsFunc(s.domains, func(w string) bool { return queue.Below(d, w) })
	})
}

// checkNames refuses two rules of one name, since a name is how a verdict says
// what decided. The same line under several providers is one rule.
func checkNames(rules []rule) error {
	first := map[string]*rule{}
	for i := range rules {
		ru := &rules[i]
		if f := first[ru.name]; f != nil && (f.file != ru.file || f.line != ru.line) {
			return fmt.Errorf("%s:%d: the name %s is taken by %s:%d", ru.file, ru.line, ru.name, f.file, f.line)
		}
		first[ru.name] = ru
	}
	return nil
}

// needed returns words of which one is in every text that a pattern matches, or
// nothing if there are none. Looking for them first spares most of the matching.
func needed(pattern string) []string {
	re, err := syntax.Parse("(?s)"+pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	return neededBy(re.Simplify())
}

func neededBy(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return nil
		}
		return []string{string(re.Rune)}
	case syntax.OpCapture, syntax.OpPlus:
		return neededBy(re.Sub[0])
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			words := neededBy(sub)
			if words == nil {
				return nil
			}
			all = append(all, words...)
		}
		return all
	case syntax.OpConcat:
		return neededByParts(re.Sub)
	}
	return nil
}

// neededByParts takes the part whose shortest word is longest.
func neededByParts(parts []*syntax.Regexp) (best []string) {
	length := 0
	for _, sub := range parts {
		words := neededBy(sub)
		if words == nil {
			continue
		}
		shortest := len(slices.MinFunc(words, func(a, b string) int { return len(a) - len(b) }))
		if shortest > length {
			best, length = words, shortest
		}
	}
	return best
}
