package skeleton

import (
	"bytes"
	"strings"
	"unicode"
)

// searchHeader fills in what the header of the message tells.
func (w *walker) searchHeader() {
	s := &w.search
	s.Sent = parseDate(w.head.value(date, &w.scratch.value))
	s.Subject = w.searchString(subject)
	s.MessageID = w.searchString(messageID)
	s.From = w.searchAddresses(from)
	s.To = w.searchAddresses(to)
	s.Cc = w.searchAddresses(cc)
	s.Bcc = w.searchAddresses(bcc)
}

func (w *walker) searchString(f field) string {
	v := clip(w.head.value(f, &w.scratch.value), maxString)
	w.scratch.text = w.scratch.appendDecoded(w.scratch.text[:0], v)
	return folded(w.scratch.text)
}

// searchAddresses is a list as people write it: names and addresses, separated by
// commas.
func (w *walker) searchAddresses(f field) string {
	b := w.scratch.text[:0]
	a := &w.scratch.addr
	w.eachList(f, func(v []byte) bool {
		a.start(v)
		for len(b) < maxText {
			addr, ok := a.next()
			if !ok {
				return true
			}
			b = w.scratch.appendSearched(b, addr)
		}
		return false
	})
	w.scratch.text = b
	return folded(clip(b, maxText))
}

func (s *scratch) appendSearched(b []byte, a address) []byte {
	if a.mark == groupEnd {
		return b
	}
	if len(b) > 0 {
		b = append(b, ", "...)
	}
	start := len(b)
	b = s.appendDecoded(b, clip(a.name, maxString))
	if a.mark == groupBegin {
		return b
	}
	named := len(b) > start
	if named {
		b = append(b, " <"...)
	}
	b = appendText(b, clip(a.local, maxString))
	if len(a.host) > 0 {
		b = append(b, '@')
		b = appendText(b, clip(a.host, maxString))
	}
	if named {
		b = append(b, '>')
	}
	return b
}

// folded is lower case, without line ends and other controls. It may write to b.
func folded(b []byte) string {
	b = bytes.TrimSpace(b)
	if isPrintableASCII(b) {
		for i, c := range b {
			b[i] = lowerASCII(c)
		}
		return string(b)
	}
	if bytes.IndexFunc(b, unicode.IsControl) >= 0 {
		b = bytes.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, b)
	}
	return strings.ToLower(string(b))
}

func isPrintableASCII(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
