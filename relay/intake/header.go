package intake

import (
	"bytes"
	"mime"
	"strings"

	"postrider/queue"
)

// Limits of a header, generous beside real mail and far below what would hurt.
const (
	maxHeader      = 256 << 10
	maxField       = 64 << 10
	maxFields      = 1000
	maxFactLen     = 256
	maxIdempotency = 255
)

// field is one header field: its name as written and its octets with all
// folds and the final CR LF.
type field struct {
	name string
	raw  []byte
}

func (f field) is(name string) bool { return strings.EqualFold(f.name, name) }

// value returns the field's body unfolded and trimmed.
func (f field) value() string {
	_, v, _ := bytes.Cut(f.raw, []byte(":"))
	v = bytes.ReplaceAll(v, []byte("\r\n"), nil)
	return strings.TrimSpace(string(v))
}

// header is the parsed header block of a message with canonical line ends.
type header struct {
	fields []field
}

// parseHeader splits text that ends in a line end into the header's fields and
// what follows the empty line. A message whose first line is no field has no
// header at all: everything is body (RFC 5322 §2.1 demands neither). The fields
// share text's memory.
func parseHeader(text []byte) (h header, body []byte, r *queue.Refusal) {
	rest := text
	for len(rest) > 0 {
		if bytes.HasPrefix(rest, []byte("\r\n")) {
			return h, rest[2:], nil
		}
		n := fieldLen(rest)
		name, ok := fieldName(rest[:n])
		if !ok {
			return h, rest, nil
		}
		if n > maxField {
			return h, nil, refuse(queue.RefusedContent, 552, queue.Enhanced{5, 3, 4}, "A header field of the message is longer than 64 KiB.", "Shorten the field "+clipName(name)+".")
		}
		if len(h.fields) == maxFields {
			return h, nil, refuse(queue.RefusedContent, 552, queue.Enhanced{5, 3, 4}, "The message has more than 1000 header fields.", "Send fewer header fields.")
		}
		h.fields = append(h.fields, field{name: name, raw: rest[:n:n]})
		rest = rest[n:]
	}
	return h, nil, nil
}

// fieldLen counts a line and the folded lines after it.
func fieldLen(text []byte) int {
	n := 0
	for {
		i := bytes.IndexByte(text[n:], '\n')
		if i < 0 {
			return len(text)
		}
		n += i + 1
		if n == len(text) || text[n] != ' ' && text[n] != '\t' {
			return n
		}
	}
}

// fieldName is the name before the colon: printable ASCII but for the colon
// (RFC 5322 §2.2), with the white space that obsolete syntax allows after it.
func fieldName(raw []byte) (string, bool) {
	i := bytes.IndexByte(raw, ':')
	if i < 1 {
		return "", false
	}
	name := bytes.TrimRight(raw[:i], " \t")
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return "", false
		}
	}
	return string(name), len(name) > 0
}

func clipName(s string) string {
	if len(s) > 40 {
		return s[:40]
	}
	return s
}

// get returns the first field of that name.
func (h *header) get(name string) (field, bool) {
	for _, f := range h.fields {
		if f.is(name) {
			return f, true
		}
	}
	return field{}, false
}

func (h *header) count(name string) (n int) {
	for _, f := range h.fields {
		if f.is(name) {
			n++
		}
	}
	return n
}

func (h *header) remove(name string) {
	kept := h.fields[:0:0]
	for _, f := range h.fields {
		if !f.is(name) {
			kept = append(kept, f)
		}
	}
	h.fields = kept
}

// set puts a new value in the place of the first field of that name and removes
// the others; without any it is added at the end.
func (h *header) set(name, value string) {
	fresh := field{name: name, raw: []byte(name + ": " + value + "\r\n")}
	kept := h.fields[:0:0]
	done := false
	for _, f := range h.fields {
		switch {
		case !f.is(name):
			kept = append(kept, f)
		case !done:
			kept, done = append(kept, fresh), true
		}
	}
	if !done {
		kept = append(kept, fresh)
	}
	h.fields = kept
}

// appendTo writes the fields and the empty line.
func (h *header) appendTo(dst []byte) []byte {
	for _, f := range h.fields {
		dst = append(dst, f.raw...)
	}
	return append(dst, '\r', '\n')
}

// facts collects what is needed later without reading the content.
func (h *header) facts() queue.Header {
	var facts queue.Header
	if f, ok := h.get("From"); ok {
		if boxes, _ := parseMailboxes(f.value()); len(boxes) > 0 {
			facts.From = boxes[0].addr
		}
	}
	if f, ok := h.get("Subject"); ok {
		facts.Subject = clipText(decodeWords(f.value()), maxFactLen)
	}
	if f, ok := h.get("Message-ID"); ok {
		facts.MessageID = clipText(strings.Trim(f.value(), "<> \t"), maxFactLen)
	}
	return facts
}

func decodeWords(s string) string {
	dec := mime.WordDecoder{}
	out, err := dec.DecodeHeader(s)
	if err != nil {
		return s
	}
	return out
}

// clipText shortens to n bytes at a letter's boundary and drops what is not
// fit for a log or a list: control characters and broken UTF-8. A tab, which
// often begins the line of a folded field, is a blank.
func clipText(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r >= 0x7f && r <= 0x9f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	for len(s) > n {
		s = s[:n]
		s = strings.ToValidUTF8(s, "")
	}
	return s
}
