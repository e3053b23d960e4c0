package dkim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"strings"
)

// MaxHeader is the most octets of header a message may have to be signed.
const MaxHeader = 256 << 10

// ErrMessage is wrapped by every error that says a message cannot be signed as
// it stands, whatever the keys: trying again is of no use.
var ErrMessage = errors.New("message cannot be signed")

// The ways in which a message cannot be signed.
var (
	// ErrNoFrom: a signature must cover From (RFC 6376 §5.4).
	ErrNoFrom = fmt.Errorf("%w: no From field", ErrMessage)
	// ErrBareNewline: the message has a CR or LF outside CRLF. Other hosts
	// would repair it on the way, each in its fashion, and break the signature.
	ErrBareNewline = fmt.Errorf("%w: CR or LF outside CRLF", ErrMessage)
	// ErrMalformedHeader: a header line is neither a field nor a continuation.
	ErrMalformedHeader = fmt.Errorf("%w: malformed header line", ErrMessage)
	// ErrHeaderTooLarge: the header exceeds MaxHeader.
	ErrHeaderTooLarge = fmt.Errorf("%w: header larger than %d octets", ErrMessage, MaxHeader)
)

// A field is one header field, its folding and final CRLF included.
type field struct {
	name, raw []byte
}

// scanHeader reads the header of a message from r into buf, growing it as far
// as MaxHeader needs. It returns the fields in order, the whole buffer, and how
// many octets of it are header, the empty line included; what follows is body
// already read. A message may end with its header, and without a line end.
func scanHeader(r io.Reader, buf []byte, fields []field) ([]field, []byte, int, error) {
	buf = buf[:0]
	line := 0 // start of the line being read
	for {
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		n, readErr := r.Read(buf[len(buf):cap(buf)])
		scanned := len(buf)
		buf = buf[:len(buf)+n]
		for {
			i := bytes.IndexByte(buf[max(scanned, line):], '\n')
			if i < 0 {
				break
			}
			end := max(scanned, line) + i + 1
			if end-line < 2 || buf[end-2] != '\r' {
				return fields, buf, 0, ErrBareNewline
			}
			if end-line == 2 {
				fields, err := splitFields(buf[:line], fields)
				return fields, buf, end, err
			}
			line = end
		}
		switch {
		case len(buf) > MaxHeader:
			return fields, buf, 0, ErrHeaderTooLarge
		case readErr == io.EOF:
			if line < len(buf) {
				buf = append(buf, crlf...)
			}
			fields, err := splitFields(buf, fields)
			return fields, buf, len(buf), err
		case readErr != nil:
			return fields, buf, 0, fmt.Errorf("read message: %w", readErr)
		}
	}
}

// splitFields cuts a header, without the empty line after it, into fields.
func splitFields(header []byte, fields []field) ([]field, error) {
	fields = fields[:0]
	if len(header) > MaxHeader {
		return fields, ErrHeaderTooLarge
	}
	for start := 0; start < len(header); {
		end := start + bytes.IndexByte(header[start:], '\n') + 1
		line := header[start:end]
		if bytes.IndexByte(line, '\r') != len(line)-2 {
			return fields, ErrBareNewline
		}
		if line[0] == ' ' || line[0] == '\t' {
			if len(fields) == 0 {
				// It would continue our own DKIM-Signature field.
				return fields, fmt.Errorf("%w: the first line begins with white space", ErrMalformedHeader)
			}
			last := &fields[len(fields)-1]
			last.raw = last.raw[:len(last.raw)+len(line)]
		} else {
			name, ok := fieldName(line)
			if !ok {
				return fields, ErrMalformedHeader
			}
			fields = append(fields, field{name, line})
		}
		start = end
	}
	return fields, nil
}

// fieldName returns the name of the field that begins with line. White space
// before the colon is obsolete and allowed (RFC 5322 §4.5).
func fieldName(line []byte) ([]byte, bool) {
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return nil, false
		}
	}
	return name, ok && len(name) > 0
}

// fromDomain returns the domain of the first address in the last From field,
// the one that is signed first.
func fromDomain(fields []field) (string, error) {
	for i := len(fields) - 1; i >= 0; i-- {
		if !strings.EqualFold(string(fields[i].name), "From") {
			continue
		}
		_, value, _ := bytes.Cut(fields[i].raw, []byte(":"))
		unfolded := strings.NewReplacer("\r\n", "").Replace(string(value))
		// A display name in an unknown character set is no reason not to sign.
		words := &mime.WordDecoder{CharsetReader: func(_ string, in io.Reader) (io.Reader, error) { return in, nil }}
		list, err := (&mail.AddressParser{WordDecoder: words}).ParseList(unfolded)
		if err != nil || len(list) == 0 {
			return "", fmt.Errorf("%w: From holds no address", ErrMessage)
		}
		at := strings.LastIndexByte(list[0].Address, '@')
		return list[0].Address[at+1:], nil
	}
	return "", ErrNoFrom
}
