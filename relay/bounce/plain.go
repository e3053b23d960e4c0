package bounce

import (
	"strings"
	"sync"
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

// shape blanks the words that differ from reply to reply though the reply is
// the same: addresses, and long words with digits (hosts, ids, times).
func shape(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for word := range strings.FieldsSeq(text) {
		if strings.Contains(word, "@") || len(word) >= 8 && strings.ContainsAny(word, "0123456789") {
			word = "#"
		}
		b.WriteString(word)
		b.WriteByte(' ')
	}
	return b.String()
}

// memory keeps the classes of replies by shape, since matching some fifty
// expressions costs more than sending a small mail. Half of it is forgotten
// when it is full.
type memory struct {
	mu     sync.Mutex
	recent map[string]Verdict
	older  map[string]Verdict
}

const maxRemembered = 2048

func (m *memory) get(key string) (Verdict, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.recent[key]; ok {
		return v, true
	}
	v, ok := m.older[key]
	return v, ok
}

func (m *memory) put(key string, v Verdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.recent == nil || len(m.recent) >= maxRemembered/2 {
		m.older, m.recent = m.recent, map[string]Verdict{}
	}
	m.recent[key] = v
}
