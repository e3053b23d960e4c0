package skeleton

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
)

// encodedWord is "=?charset?encoding?text?=" (RFC 2047 §2).
type encodedWord struct {
	charset  []byte
	encoding byte // 'b' or 'q'
	text     []byte
	size     int // of the whole
}

// cutEncodedWord reads the encoded word that v begins with. Its text may have
// anything but white space and a question mark.
func cutEncodedWord(v []byte) (w encodedWord, ok bool) {
	if len(v) < 8 || v[0] != '=' || v[1] != '?' {
		return w, false
	}
	i := 2
	for i < len(v) && v[i] > ' ' && v[i] != '?' {
		i++
	}
	if i == 2 || i+3 >= len(v) || v[i] != '?' || v[i+2] != '?' {
		return w, false
	}
	w.encoding = lowerASCII(v[i+1])
	if w.encoding != 'b' && w.encoding != 'q' {
		return w, false
	}
	// RFC 2231 §5 lets a language follow.
	w.charset, _, _ = bytes.Cut(v[2:i], []byte("*"))
	start := i + 3
	for i = start; i < len(v) && v[i] > ' ' && v[i] != '?'; i++ {
	}
	if i+1 >= len(v) || v[i] != '?' || v[i+1] != '=' {
		return w, false
	}
	w.text = v[start:i]
	w.size = i + 2
	return w, true
}

func encodedWordLen(v []byte) int {
	w, _ := cutEncodedWord(v)
	return w.size
}

// appendDecoded decodes the encoded words of v. White space between two of them
// does not count, and a character may have been cut in two by their border.
func (s *scratch) appendDecoded(b, v []byte) []byte {
	octets := s.octets[:0] // of words that wait for more of their kind
	var charset []byte
	flush := func() {
		b = appendFrom(b, octets, charset)
		octets = octets[:0]
	}
	for len(v) > 0 {
		w, ok := cutEncodedWord(v)
		if !ok {
			n := plainLen(v)
			between := v[:n]
			v = v[n:]
			if len(octets) > 0 && len(v) > 0 && len(bytes.Trim(between, " \t")) == 0 {
				continue
			}
			flush()
			b = appendText(b, between)
			continue
		}
		if !bytes.EqualFold(charset, w.charset) {
			flush()
		}
		charset = w.charset
		octets = w.appendOctets(octets)
		v = v[w.size:]
	}
	flush()
	s.octets = octets
	return b
}

// plainLen is the length of what is before the next encoded word.
func plainLen(v []byte) int {
	for i := 1; ; i++ {
		j := bytes.Index(v[min(i, len(v)):], []byte("=?"))
		if j < 0 {
			return len(v)
		}
		i += j
		if encodedWordLen(v[i:]) > 0 {
			return i
		}
	}
}

func (w encodedWord) appendOctets(b []byte) []byte {
	if w.encoding == 'b' {
		return appendBase64(b, w.text)
	}
	for i := 0; i < len(w.text); i++ {
		c := w.text[i]
		switch {
		case c == '_':
			c = ' '
		case c == '=' && i+2 < len(w.text):
			if hi, lo := unhex(w.text[i+1]), unhex(w.text[i+2]); hi < 16 && lo < 16 {
				c = hi<<4 | lo
				i += 2
			}
		}
		b = append(b, c)
	}
	return b
}

// appendBase64 passes over what is no base64, as RFC 2045 §6.8 wants it.
func appendBase64(b, v []byte) []byte {
	var bits uint32
	n := 0
	for _, c := range v {
		i := strings.IndexByte(base64Alphabet, c)
		if i < 0 {
			continue
		}
		bits = bits<<6 | uint32(i)
		if n += 6; n >= 8 {
			n -= 8
			b = append(b, byte(bits>>n))
		}
	}
	return b
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// appendFrom writes octets of a charset as UTF-8.
func appendFrom(b, octets, charset []byte) []byte {
	if len(octets) == 0 || equalFold(charset, "utf-8") || equalFold(charset, "us-ascii") {
		return appendText(b, octets)
	}
	e, err := htmlindex.Get(string(charset))
	if err != nil {
		return appendText(b, octets)
	}
	text, err := e.NewDecoder().Bytes(octets)
	if err != nil {
		return appendText(b, octets)
	}
	return append(b, text...)
}

// appendText writes what says no charset: UTF-8 (RFC 6532), or else what was
// common before it.
func appendText(b, v []byte) []byte {
	if utf8.Valid(v) {
		return append(b, v...)
	}
	for _, c := range v {
		b = utf8.AppendRune(b, charmap.Windows1252.DecodeByte(c))
	}
	return b
}
