package sevenbit

// maxQuoted is the longest line (RFC 2045 §6.7 (5)), without its end.
const maxQuoted = 76

// quoter encodes lines as quoted-printable. A line may come in pieces.
type quoter struct {
	column int
	blank  byte // a space or tab that may be the last octet of its line; 0: none
}

// append encodes a piece of a line, which ends in CRLF if it is the last one.
func (q *quoter) append(out, piece []byte) []byte {
	n := len(piece)
	ends := n >= 2 && piece[n-2] == '\r' && piece[n-1] == '\n'
	if ends {
		piece = piece[:n-2]
	}
	for _, c := range piece {
		out = q.flush(out, false)
		switch {
		case c == ' ' || c == '\t':
			q.blank = c
		case c == '=' || c < ' ' || c > '~':
			out = q.hex(out, c)
		default:
			out = q.literal(out, c)
		}
	}
	if ends {
		out = append(q.flush(out, true), '\r', '\n')
		q.column = 0
	}
	return out
}

// flush writes the blank that was held back: in hex at the end of its line, where
// it would be lost (RFC 2045 §6.7 (3)).
func (q *quoter) flush(out []byte, last bool) []byte {
	c := q.blank
	q.blank = 0
	switch {
	case c == 0:
	case last:
		out = q.hex(out, c)
	default:
		out = q.literal(out, c)
	}
	return out
}

func (q *quoter) literal(out []byte, c byte) []byte {
	return append(q.room(out, 1), c)
}

const hexDigits = "0123456789ABCDEF"

func (q *quoter) hex(out []byte, c byte) []byte {
	return append(q.room(out, 3), '=', hexDigits[c>>4], hexDigits[c&15])
}

// room breaks the line softly where n more octets and a = do not fit.
func (q *quoter) room(out []byte, n int) []byte {
	if q.column+n > maxQuoted-1 {
		out = append(out, "=\r\n"...)
		q.column = 0
	}
	q.column += n
	return out
}
