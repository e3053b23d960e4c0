package bounce

import (
	"strings"
	"sync"

	"postrider/queue"
)

// plain prepares a reply's text for the rules: lower case, line ends as spaces.
func plain(text string) string {
	b := make([]byte, 0, len(text))
	for i := range len(text) {
		c := text[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c < ' ':
			c = ' '
		}
		b = append(b, c)
	}
	return string(b)
}

// normal blanks what differs from reply to reply though the reply is the same:
// the local-parts of addresses, IP addresses, long numbers and ids. What rules
// look for stays: they see the normal text alone, so that replies that are equal
// in it have one verdict.
func normal(text string) string {
	b := make([]byte, 0, len(text)+1)
	for i := 0; i < len(text); {
		if isBreak(text[i]) {
			b = append(b, text[i])
			i++
			continue
		}
		end := i
		for end < len(text) && !isBreak(text[end]) {
			end++
		}
		b = appendWord(b, text[i:end])
		i = end
	}
	return string(b)
}

func isBreak(c byte) bool {
	switch c {
	case ' ', '/', '?', '=', '&', '[', ']', '(', ')', '{', '}', '<', '>', ',', ';', '"', '\'', '`', '|':
		return true
	}
	return false
}

// appendWord appends a word of a reply without what is but an instance.
func appendWord(b []byte, word string) []byte {
	if at := strings.LastIndexByte(word, '@'); at >= 0 {
		return append(append(b, '#'), word[at:]...)
	}
	if n := addressLen(word); n > 0 {
		b, word = append(b, '#'), word[n:]
	}
	for len(word) > 0 {
		n := strings.IndexAny(word, ".:") + 1
		if n == 0 {
			n = len(word)
		}
		if isInstance(word[:n]) {
			b = append(b, '#')
		} else {
			b = append(b, word[:n]...)
		}
		word = word[n:]
	}
	return b
}

// isInstance tells numbers of five digits and more, and long ids, from words.
func isInstance(s string) bool {
	s = strings.TrimRight(s, ".:")
	digits, hex := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digits++
		case 'a' <= c && c <= 'f':
			hex++
		}
	}
	return digits == len(s) && digits >= 5 || digits > 0 && len(s) > 10 || digits > 1 && digits+hex == len(s) && len(s) >= 8
}

// addressLen is how much of a word's beginning is an IP address.
func addressLen(word string) int {
	if strings.Count(word, ":") >= 2 && strings.Trim(word, "0123456789abcdef:.") == "" {
		return len(word)
	}
	parts, i := 0, 0
	for parts < 4 {
		start := i
		for i < len(word) && i-start < 3 && '0' <= word[i] && word[i] <= '9' {
			i++
		}
		if i == start {
			return 0
		}
		if parts++; parts < 4 {
			if i == len(word) || word[i] != '.' {
				return 0
			}
			i++
		}
	}
	if i < len(word) && '0' <= word[i] && word[i] <= '9' {
		return 0
	}
	return i
}

// detailOf is "subject.detail" of the enhanced code. Some servers write it where
// the client does not look for it: behind a "#", in parentheses, or after
// something else at the beginning of a line.
func detailOf(r queue.Reply, text string, class byte) string {
	if e := r.Enhanced; !e.IsZero() {
		_, detail, _ := strings.Cut(e.String(), ".")
		return detail
	}
	for i := 0; i+5 <= len(text) && i < 80; i++ {
		if text[i] != class || text[i+1] != '.' || i > 0 && strings.IndexByte("#([ ", text[i-1]) < 0 {
			continue
		}
		end := i
		for end < len(text) && (text[end] == '.' || '0' <= text[end] && text[end] <= '9') {
			end++
		}
		if e, ok := queue.ParseEnhanced(text[i:end]); ok {
			_, detail, _ := strings.Cut(e.String(), ".")
			return detail
		}
	}
	return ""
}

// memory keeps what rules decided, by what they saw, since matching a hundred
// expressions costs more than sending a small mail. Half of it is forgotten
// when it is full.
type memory struct {
	mu     sync.Mutex
	recent map[memoryKey]*rule
	older  map[memoryKey]*rule
}

type memoryKey struct {
	stage    queue.Stage
	provider string
	line     string
	host     string // only if rules ask for it
}

const maxRemembered = 2048

func (m *memory) get(key memoryKey) (*rule, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ru, ok := m.recent[key]; ok {
		return ru, true
	}
	ru, ok := m.older[key]
	return ru, ok
}

func (m *memory) put(key memoryKey, ru *rule) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.recent == nil || len(m.recent) >= maxRemembered/2 {
		m.older, m.recent = m.recent, map[memoryKey]*rule{}
	}
	m.recent[key] = ru
}
