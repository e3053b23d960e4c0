package content

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
	"golang.org/x/text/transform"
)

// readHeader reads fields up to the empty line, unfolded but not decoded. Lines
// that are no fields are passed over. It is not whole if it is too long.
func readHeader(b *bufio.Reader) (fields []Field, whole bool) {
	open := false // the line before was of a field, and may go on
	for read := 0; ; {
		line, err := readLine(b, MaxHeader-read)
		read += len(line)
		if errors.Is(err, errLong) {
			return fields, false
		}
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" {
			return fields, true
		}
		fields, open = addLine(fields, open, text)
		if err != nil {
			return fields, true
		}
	}
}

func addLine(fields []Field, open bool, text string) ([]Field, bool) {
	if text[0] == ' ' || text[0] == '\t' {
		if n := len(fields); open {
			fields[n-1].Value = strings.TrimSpace(fields[n-1].Value + " " + strings.TrimSpace(text))
		}
		return fields, open
	}
	name, value, ok := strings.Cut(text, ":")
	if name = strings.TrimRight(name, " \t"); !ok || name == "" || strings.ContainsAny(name, " \t") {
		return fields, false
	}
	return append(fields, Field{Name: strings.ToValidUTF8(name, "\uFFFD"), Value: strings.TrimSpace(value)}), true
}

var errLong = errors.New("header is too long")

// readLine reads a line of up to limit octets.
func readLine(b *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := b.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > limit {
			return nil, errLong
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// decoder undoes the transfer encoding; one that is not known is none.
func (h entity) decoder(r io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(h["content-transfer-encoding"])) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, &letters{r: r})
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	}
	return r
}

// letters leaves out what is not of base64: RFC 2045 §6.8 says to ignore it.
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

// toUTF8 reads text of some character set; what cannot be read is replaced.
func toUTF8(b []byte, charset string) string {
	if charset != "" && !strings.EqualFold(charset, "utf-8") {
		if e, err := htmlindex.Get(charset); err == nil {
			if d, _, err := transform.Bytes(e.NewDecoder(), b); err == nil {
				b = d
			}
		}
	}
	for len(b) > 0 { // a limit may have cut the last letter in two
		if r, n := utf8.DecodeLastRune(b); r != utf8.RuneError || n != 1 || len(b) < MaxText {
			break
		}
		b = b[:len(b)-1]
	}
	return string(bytes.ToValidUTF8(b, []byte("\uFFFD")))
}

// decodeWords reads the encoded words of a field (RFC 2047), in UTF-8.
func decodeWords(s string) string {
	d := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		e, err := htmlindex.Get(charset)
		if err != nil {
			return nil, err
		}
		return e.NewDecoder().Reader(r), nil
	}}
	if out, err := d.DecodeHeader(s); err == nil {
		s = out
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
