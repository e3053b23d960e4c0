package imapview

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
)

// maxField bounds a header field that is searched; the rest of it is passed over.
const maxField = 16 << 10

// eachField gives out the fields of a header, unfolded but not decoded, until more
// says no.
func eachField(r io.Reader, more func(name, value string) bool) error {
	b := bufio.NewReaderSize(r, 1024)
	var field []byte
	give := func() bool {
		name, value, ok := bytes.Cut(field, []byte(":"))
		field = field[:0]
		return !ok || more(strings.TrimRight(string(name), " \t"), strings.TrimSpace(string(value)))
	}
	for whole := true; ; {
		part, err := b.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return err
		}
		text := bytes.TrimRight(part, "\r\n")
		if whole && (len(text) == 0 || text[0] != ' ' && text[0] != '\t') && !give() {
			return nil
		}
		if len(field)+len(text) <= maxField {
			field = append(field, text...)
		}
		whole = !errors.Is(err, bufio.ErrBufferFull)
		if errors.Is(err, io.EOF) {
			give()
			return nil
		}
	}
}

// textType is what a part's header says about how to read it as text.
type textType struct{ media, charset, encoding string }

func (t *textType) field(name, value string) bool {
	switch strings.ToLower(name) {
	case "content-type":
		media, params, err := mime.ParseMediaType(value)
		if err != nil {
			media, _, _ = strings.Cut(value, ";")
		}
		t.media, t.charset = strings.ToLower(strings.TrimSpace(media)), params["charset"]
	case "content-transfer-encoding":
		t.encoding = strings.ToLower(strings.TrimSpace(value))
	}
	return true
}

func (t textType) isText() bool {
	return t.media == "" || strings.HasPrefix(t.media, "text/") || strings.HasPrefix(t.media, "message/")
}

// decode undoes the transfer encoding and the character set; one that is not known
// is none.
func (t textType) decode(r io.Reader) io.Reader {
	switch t.encoding {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, &letters{r})
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	if t.charset == "" || strings.EqualFold(t.charset, "utf-8") || strings.EqualFold(t.charset, "us-ascii") {
		return r
	}
	if e, err := htmlindex.Get(t.charset); err == nil {
		return e.NewDecoder().Reader(r)
	}
	return r
}

// letters leaves out what is not of base64 (RFC 2045 §6.8).
type letters struct{ r io.Reader }

func (l *letters) Read(p []byte) (int, error) {
	for {
		n, err := l.r.Read(p)
		kept := p[:0]
		for _, c := range p[:n] {
			if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '=' {
				kept = append(kept, c)
			}
		}
		if len(kept) > 0 || err != nil || n == 0 {
			return len(kept), err
		}
	}
}

// decodeWords reads the encoded words of a field (RFC 2047).
func decodeWords(s string) string {
	d := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		e, err := htmlindex.Get(charset)
		if err != nil {
			return nil, err
		}
		return e.NewDecoder().Reader(r), nil
	}}
	if out, err := d.DecodeHeader(s); err == nil {
		return out
	}
	return s
}

// contains looks for text, which is folded to lower case, in whatever r has. A
// wrong encoding ends the search of this part: what comes behind is no text.
func contains(r io.Reader, text string) (bool, error) {
	const piece = 8 << 10
	raw := make([]byte, 0, piece)
	var folded []byte // of what was read before, as much as a match may begin in
	for {
		n, err := r.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+n]
		cut := wholeRunes(raw)
		if err != nil {
			cut = len(raw)
		}
		folded = append(folded, bytes.ToLower(raw[:cut])...)
		if bytes.Contains(folded, []byte(text)) {
			return true, nil
		}
		raw = raw[:copy(raw, raw[cut:])]
		if keep := len(text) - 1; len(folded) > keep {
			folded = folded[:copy(folded, folded[len(folded)-keep:])]
		}
		var ours *readError
		if errors.As(err, &ours) {
			return false, err
		}
		if err != nil {
			return false, nil
		}
	}
}

// wholeRunes returns how much of b does not end in the middle of a letter.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if utf8.FullRune(b[i:]) {
				return len(b)
			}
			return i
		}
	}
	return len(b)
}
