package sendmail

import (
	"bufio"
	"bytes"
	"io"
	"net/mail"
	"slices"
	"strings"
)

// maxHeader bounds the header section, in bytes.
const maxHeader = 256 << 10

// field is one header field with its line ends.
type field struct {
	name string // lower case
	raw  string
}

// value is what stands behind the colon, still folded.
func (f field) value() string {
	_, value, _ := strings.Cut(f.raw, ":")
	return value
}

type header []field

// readHeader reads canonical lines up to and including the empty line, or up
// to the first line that cannot belong to a header: it and everything behind
// it is body. start is what was read of the body already.
func readHeader(r *bufio.Reader) (h header, start []byte, err error) {
	size := 0
	for first := true; ; first = false {
		line, err := readHeaderLine(r)
		if err == io.EOF && len(line) == 0 {
			return h, nil, nil
		}
		if err != nil && err != io.EOF {
			return nil, nil, err
		}
		size += len(line)
		switch {
		case string(line) == "\r\n":
			return h, nil, nil
		case first && isMboxLine(line):
		case (line[0] == ' ' || line[0] == '\t') && len(h) > 0:
			h[len(h)-1].raw += string(line)
		case fieldName(line) != "":
			h = append(h, field{name: fieldName(line), raw: string(line)})
		default:
			return h, line, nil
		}
		if size > maxHeader {
			return nil, nil, errHeaderTooLong
		}
	}
}

var errHeaderTooLong = fail(exitData, "the header is longer than %d KiB", maxHeader>>10)

// readHeaderLine reads a line as far as it could be of a header: of one that
// is longer than the reader's buffer and is no field, only the beginning.
func readHeaderLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if err != bufio.ErrBufferFull {
			return line, err
		}
		if line[0] != ' ' && line[0] != '\t' && fieldName(line) == "" {
			return line, nil
		}
		if len(line) > maxHeader {
			return nil, errHeaderTooLong
		}
	}
}

// isMboxLine knows the separator of mailbox files, which some programs leave
// in front.
func isMboxLine(line []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From "))
}

// fieldName returns the lower-case name of the field that line begins, or "".
func fieldName(line []byte) string {
	name, _, found := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t") // RFC 5322 §4.5
	if !found || len(name) == 0 {
		return ""
	}
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return strings.ToLower(string(name))
}

func (h header) has(names ...string) bool {
	return slices.ContainsFunc(h, func(f field) bool { return slices.Contains(names, f.name) })
}

// recipients gives the addresses the header names. Of a message sent again,
// those it is sent to now.
func (h header) recipients() (found []address, bad []string) {
	names := []string{"to", "cc", "bcc"}
	if h.has("resent-to", "resent-cc", "resent-bcc") {
		names = []string{"resent-to", "resent-cc", "resent-bcc"}
	}
	for _, f := range h {
		if !slices.Contains(names, f.name) {
			continue
		}
		boxes, wrong := parseAddressList(f.value())
		for _, box := range boxes {
			found = append(found, box.address)
		}
		bad = append(bad, wrong...)
	}
	return found, bad
}

// withoutHidden leaves out what recipients must not see, and the trace field
// that only the last hop may add (RFC 5321 §4.4).
func (h header) withoutHidden() header {
	return slices.DeleteFunc(slices.Clone(h), func(f field) bool {
		return f.name == "bcc" || f.name == "resent-bcc" || f.name == "return-path"
	})
}

// addressFields are those in which a local name means a user of this host.
var addressFields = [...]string{
	"from", "sender", "reply-to", "to", "cc",
	"resent-from", "resent-sender", "resent-to", "resent-cc",
}

// qualified completes local names in address fields with the local domain,
// and changes nothing else in them.
func (h header) qualified(domain string) header {
	h = slices.Clone(h)
	for i, f := range h {
		if slices.Contains(addressFields[:], f.name) {
			h[i].raw = f.raw[:len(f.raw)-len(f.value())] + qualifyList(f.value(), domain)
		}
	}
	return h
}

func qualifyList(text, domain string) string {
	var out strings.Builder
	done := 0
	boxes, _ := parseAddressList(text)
	for _, box := range boxes {
		if box.domain != "" || !isDotString(box.local) {
			continue
		}
		out.WriteString(text[done:box.localEnd])
		out.WriteString("@" + domain)
		done = box.localEnd
	}
	out.WriteString(text[done:])
	return out.String()
}

// render gives the header section with its closing empty line.
func (h header) render() []byte {
	var out bytes.Buffer
	for _, f := range h {
		out.WriteString(f.raw)
	}
	out.WriteString("\r\n")
	return out.Bytes()
}

// fromField makes a From field; the name may hold anything but line ends.
func fromField(name string, a address) field {
	m := mail.Address{Name: name, Address: a.String()}
	return field{name: "from", raw: "From: " + m.String() + "\r\n"}
}

// toField makes the To field of a message that came without one. A single
// recipient may read its own address; several are not told of each other.
func toField(to []address, hidden bool) field {
	value := "undisclosed-recipients:;"
	if len(to) == 1 && !hidden {
		value = to[0].String()
	}
	return field{name: "to", raw: "To: " + value + "\r\n"}
}
