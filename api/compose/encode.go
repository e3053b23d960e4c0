package compose

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
)

// base64Lines reads octets as base64 in lines of 76, without an end after the
// last one. It holds one line.
type base64Lines struct {
	src  []byte
	rest []byte // of line, still to be read
	line [lineLen + 2]byte
}

const (
	lineLen    = 76
	lineOctets = lineLen / 4 * 3
)

func (r *base64Lines) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(r.rest) > 0 {
			c := copy(p[n:], r.rest)
			r.rest, n = r.rest[c:], n+c
			continue
		}
		if len(r.src) == 0 {
			break
		}
		if len(p)-n >= len(r.line) {
			n += r.next(p[n:])
		} else {
			r.rest = r.line[:r.next(r.line[:])]
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// next writes one line to dst.
func (r *base64Lines) next(dst []byte) int {
	c := min(lineOctets, len(r.src))
	base64.StdEncoding.Encode(dst, r.src[:c])
	n := base64.StdEncoding.EncodedLen(c)
	if r.src = r.src[c:]; len(r.src) > 0 {
		dst[n], dst[n+1] = '\r', '\n'
		n += 2
	}
	return n
}

// blockLen is how much text is encoded at a time.
const blockLen = 8 << 10

// textLines reads text as quoted-printable (RFC 2045 §6.7), whatever its line
// ends are.
type textLines struct {
	src   string
	out   bytes.Buffer
	enc   *quotedprintable.Writer
	ended bool
}

func (r *textLines) Read(p []byte) (int, error) {
	if r.enc == nil {
		r.enc = quotedprintable.NewWriter(&r.out)
	}
	for r.out.Len() == 0 && !r.ended {
		c := min(blockLen, len(r.src))
		// Neither fails: a bytes.Buffer takes everything.
		_, _ = r.enc.Write([]byte(r.src[:c]))
		if r.src = r.src[c:]; r.src == "" {
			_ = r.enc.Close()
			r.ended = true
		}
	}
	return r.out.Read(p)
}

// plainLines reads 7-bit text with the line ends of a message.
type plainLines struct {
	src []byte
	out bytes.Buffer
}

func (r *plainLines) Read(p []byte) (int, error) {
	for r.out.Len() == 0 && len(r.src) > 0 {
		line, rest := r.src, []byte(nil)
		if i := bytes.IndexByte(r.src, '\n'); i >= 0 {
			line, rest = r.src[:i+1], r.src[i+1:]
		}
		body, ended := bytes.CutSuffix(line, []byte("\n"))
		r.out.Write(bytes.TrimSuffix(body, []byte("\r")))
		if ended {
			r.out.WriteString("\r\n")
		}
		r.src = rest
	}
	return r.out.Read(p)
}
