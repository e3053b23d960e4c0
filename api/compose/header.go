package compose

import (
	"strings"
	"time"
)

// header writes the message's own fields in the order that mail programs are
// used to, without those of the body.
func (m *Message) header() []byte {
	var w headerWriter
	if !m.Date.IsZero() {
		w.plain("Date", m.Date.Format(time.RFC1123Z))
	}
	w.mailboxes("From", []Mailbox{m.From})
	if m.Sender != nil {
		w.mailboxes("Sender", []Mailbox{*m.Sender})
	}
	w.mailboxes("Reply-To", m.ReplyTo)
	w.mailboxes("To", m.To)
	w.mailboxes("Cc", m.Cc)
	if len(m.To)+len(m.Cc) == 0 {
		// RFC 5322 §3.4: a group names that there are recipients, and none of them.
		w.plain("To", "undisclosed-recipients:;")
	}
	w.unstructured("Subject", m.Subject)
	if m.MessageID != "" {
		w.plain("Message-ID", "<"+m.MessageID+">")
	}
	for _, f := range m.Fields {
		w.field(f)
	}
	w.plain("MIME-Version", "1.0")
	return w.b
}

// WriteFields writes further fields as a message has them; they must have passed
// Check.
func WriteFields(fields []Field) []byte {
	var w headerWriter
	for _, f := range fields {
		w.field(f)
	}
	return w.b
}

func (w *headerWriter) field(f Field) {
	switch {
	case strings.EqualFold(f.Name, "List-Id"):
		w.listID(f)
	case structured(f.Name):
		w.plain(f.Name, strings.TrimSpace(f.Value))
	default:
		w.unstructured(f.Name, f.Value)
	}
}

// plain writes an ASCII value as it is, but for folds.
func (w *headerWriter) plain(name, value string) {
	w.begin(name)
	w.words(value)
	w.end()
}

func (w *headerWriter) unstructured(name, value string) {
	if !needsEncoding(value) {
		w.plain(name, value)
		return
	}
	w.begin(name)
	w.encoded(value)
	w.end()
}

func (w *headerWriter) listID(f Field) {
	phrase, id := cutListID(f.Value)
	w.begin(f.Name)
	if phrase != "" {
		if inner, ok := unquote(phrase); ok {
			phrase = inner
		}
		w.phrase(phrase)
	}
	w.word("<" + id + ">")
	w.end()
}

// mailboxes writes an address list; nothing for an empty one.
func (w *headerWriter) mailboxes(name string, list []Mailbox) {
	if len(list) == 0 {
		return
	}
	w.begin(name)
	for i, b := range list {
		comma := ","
		if i == len(list)-1 {
			comma = ""
		}
		if b.Name == "" {
			w.word(b.Address.String() + comma)
			continue
		}
		w.phrase(b.Name)
		w.word(b.Address.Path() + comma)
	}
	w.end()
}

// phrase writes a display name: plain if it is atoms, else quoted, else encoded.
// What looks like an encoded word is always encoded: within quotes it is text by
// RFC 2047 §5, and decoded by half the mail programs. So are spaces that are not
// single, of which readers keep one.
func (w *headerWriter) phrase(s string) {
	switch {
	case needsEncoding(s) || strings.Contains(s, "  "):
		w.encoded(s)
	case atoms(s):
		w.words(s)
	default:
		w.words(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`)
	}
}

// atoms reports a phrase of atoms with single spaces between them (RFC 5322 §3.2.5).
func atoms(s string) bool {
	for word := range strings.SplitSeq(s, " ") {
		if word == "" {
			return false
		}
		for i := range len(word) {
			c := word[i]
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0) {
				return false
			}
		}
	}
	return true
}

// unquote reads a phrase that is one quoted string.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s, false
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i+1 < len(s)-1 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), true
}
