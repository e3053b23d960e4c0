package skeleton

import "bytes"

// field is one of those that matter here.
type field uint8

const (
	date field = iota
	subject
	from
	sender
	replyTo
	to
	cc
	bcc
	inReplyTo
	messageID
	contentType
	contentEncoding
	contentID
	contentDescription
	contentMD5
	contentDisposition
	contentLanguage
	contentLocation
	fieldCount
)

// header is a block of header fields.
type header struct {
	block []byte
	full  bool
	first [fieldCount]span // in block: the value as it stands; {0, 0} if absent
	more  []more           // fields that came again
}

type more struct {
	field field
	span  span
}

func (h *header) reset() {
	h.block = h.block[:0]
	h.full = false
	h.first = [fieldCount]span{}
	h.more = h.more[:0]
}

// add takes a line, or a piece of one, as long as there is room.
func (h *header) add(text []byte) {
	if h.full {
		return
	}
	if len(h.block)+len(text) > maxHeader {
		h.full = true
		return
	}
	h.block = append(h.block, text...)
}

// index finds the fields. A line that is none is passed over. RFC 5322 §3.6 lets
// each of them be there once: of a list all are taken, of the others the first.
func (h *header) index() {
	for at := 0; at < len(h.block); {
		end := h.fieldEnd(at)
		colon := bytes.IndexByte(h.block[at:end], ':')
		if colon > 0 {
			f := named(bytes.TrimRight(h.block[at:at+colon], " \t"))
			value := span{at + colon + 1, end}
			switch {
			case f == fieldCount:
			case h.first[f] == span{}:
				h.first[f] = value
			case f >= from && f <= bcc && len(h.more) < maxParams:
				h.more = append(h.more, more{f, value})
			}
		}
		at = end
	}
}

// fieldEnd is behind the last line of the field that begins at at.
func (h *header) fieldEnd(at int) int {
	for {
		i := bytes.IndexByte(h.block[at:], '\n')
		if i < 0 {
			return len(h.block)
		}
		at += i + 1
		if at == len(h.block) || h.block[at] != ' ' && h.block[at] != '\t' {
			return at
		}
	}
}

func (h *header) has(f field) bool { return h.first[f] != span{} }

// value returns the first f unfolded, in room if it has to be changed.
func (h *header) value(f field, room *[]byte) []byte {
	s := h.first[f]
	return unfold(h.block[s.from:s.to], room)
}

func named(name []byte) field {
	var lower [32]byte
	if len(name) > len(lower) {
		return fieldCount
	}
	for i, c := range name {
		lower[i] = lowerASCII(c)
	}
	switch string(lower[:len(name)]) {
	case "date":
		return date
	case "subject":
		return subject
	case "from":
		return from
	case "sender":
		return sender
	case "reply-to":
		return replyTo
	case "to":
		return to
	case "cc":
		return cc
	case "bcc":
		return bcc
	case "in-reply-to":
		return inReplyTo
	case "message-id":
		return messageID
	}
	return namedContent(lower[:len(name)])
}

func namedContent(lower []byte) field {
	switch string(lower) {
	case "content-type":
		return contentType
	case "content-transfer-encoding":
		return contentEncoding
	case "content-id":
		return contentID
	case "content-description":
		return contentDescription
	case "content-md5":
		return contentMD5
	case "content-disposition":
		return contentDisposition
	case "content-language":
		return contentLanguage
	case "content-location":
		return contentLocation
	}
	return fieldCount
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// unfold takes the line ends out of a value (RFC 5322 §2.2.3) and the white space
// around it. NUL, which no wire form can carry, goes too, and a CR that ends no
// line becomes a blank.
func unfold(v []byte, room *[]byte) []byte {
	v = bytes.Trim(v, " \t\r\n")
	if !hasControl(v) {
		return v
	}
	out := (*room)[:0]
	for i, c := range v {
		switch {
		case c == 0 || c == '\n':
		case c == '\r' && i+1 < len(v) && v[i+1] == '\n':
		case c == '\r':
			out = append(out, ' ')
		default:
			out = append(out, c)
		}
	}
	*room = out
	return bytes.Trim(out, " \t")
}

func hasControl(v []byte) bool {
	return bytes.IndexByte(v, '\n') >= 0 || bytes.IndexByte(v, '\r') >= 0 || bytes.IndexByte(v, 0) >= 0
}
