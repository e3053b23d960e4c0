package send

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"net/http"
	"net/mail"
	"strings"

	"postrider/api/compose"
	"postrider/queue"
)

// Limits of a raw message's header: as the relay's.
const (
	maxRawHeader = 256 << 10
	maxRawFields = 1000
)

// rawMessage is a message whose header was read, and whose body is still to come.
type rawMessage struct {
	fields    []compose.Field // unfolded
	header    []byte          // as it goes on: line ends made CR LF, without Bcc and the empty line
	lead      string          // of the body, read with the header
	body      *bufio.Reader
	hash      hash.Hash // of all octets read, as they came
	from      queue.Address
	senderBox queue.Address // null if there is none
	to        []rawRecipient
	messageID string
	utf8      bool // an address is beyond ASCII
}

type rawRecipient struct {
	kind    string
	address queue.Address
}

// readRaw reads the header of a message and no more. Its errors are *Error, or
// those of src.
func readRaw(src io.Reader, limit int) (*rawMessage, error) {
	m := &rawMessage{hash: sha256.New()}
	m.body = bufio.NewReaderSize(io.TeeReader(src, m.hash), 32<<10)
	text, lead, err := readHeader(m.body, limit)
	m.lead = lead
	if err == nil {
		err = m.cut(text)
	}
	if err == nil {
		err = m.facts()
	}
	if err != nil {
		return nil, tooLarge(err)
	}
	return m, nil
}

// tooLarge tells of a body that the HTTP server has cut off.
func tooLarge(err error) error {
	if cut := new(http.MaxBytesError); errors.As(err, &cut) {
		return &Error{Status: http.StatusRequestEntityTooLarge, Code: "payload_too_large",
			Detail: fmt.Sprintf("The request is larger than %d octets. Send links instead of large files.", cut.Limit)}
	}
	return err
}

// readHeader reads up to and with the empty line, and returns what is before it
// with line ends made CR LF: those that the relay reads as such (a lone LF, a lone
// CR, a run of CR before an LF), so that no field can hide from us in a line. lead
// are empty lines of the body that came in the same run of CR.
func readHeader(r *bufio.Reader, limit int) (text []byte, lead string, err error) {
	crs := 0
	for len(text)+crs <= limit {
		c, err := r.ReadByte()
		if err == io.EOF {
			text, _ = endLine(text)
			return text, "", nil
		}
		if err != nil {
			return nil, "", err
		}
		ends := crs
		switch c {
		case '\r':
			crs++
			continue
		case '\n':
			ends = 1
		}
		for crs = 0; ends > 0; ends-- {
			var empty bool
			if text, empty = endLine(text); !empty {
				continue
			}
			if c != '\n' {
				err = r.UnreadByte()
			}
			return text, strings.Repeat("\r\n", ends-1), err
		}
		if c != '\n' {
			text = append(text, c)
		}
	}
	return nil, "", &Error{Status: http.StatusRequestEntityTooLarge, Code: "payload_too_large",
		Detail: fmt.Sprintf("The header of the message is longer than %d octets. Send fewer or shorter fields.", limit)}
}

// endLine ends the line under way, or reports that there is nothing in it.
func endLine(text []byte) ([]byte, bool) {
	if len(text) == 0 || text[len(text)-1] == '\n' {
		return text, true
	}
	return append(text, '\r', '\n'), false
}

func badRaw(detail string) *Error {
	return &Error{Status: http.StatusUnprocessableEntity, Code: "invalid_content", Detail: detail}
}

// cut takes the header apart, and Bcc out of it (RFC 5322 §3.6.3).
func (m *rawMessage) cut(text []byte) error {
	for len(text) > 0 {
		n := fieldEnd(text)
		raw := text[:n]
		text = text[n:]
		name, value, ok := bytes.Cut(raw, []byte(":"))
		trimmed := strings.TrimRight(string(name), " \t")
		if !ok || !fieldName(trimmed) {
			return badRaw("The header of the message has a line that is no field. Begin the message with its fields, and leave an empty line before the body.")
		}
		if len(m.fields) == maxRawFields {
			return badRaw("The message has more than 1000 header fields. Send fewer.")
		}
		m.fields = append(m.fields, compose.Field{Name: trimmed, Value: strings.TrimSpace(strings.ReplaceAll(string(value), "\r\n", ""))})
		if !strings.EqualFold(trimmed, "Bcc") && !strings.EqualFold(trimmed, "Resent-Bcc") {
			m.header = append(m.header, raw...)
		}
	}
	return nil
}

// fieldEnd counts a line and those folded after it.
func fieldEnd(text []byte) int {
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

func fieldName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// facts reads who the message is from and for.
func (m *rawMessage) facts() error {
	authors := 0
	for _, f := range m.fields {
		var err error
		switch strings.ToLower(f.Name) {
		case "from":
			authors++
			err = m.one(f, &m.from)
		case "sender":
			err = m.one(f, &m.senderBox)
		case "to", "cc", "bcc":
			err = m.recipients(f)
		case "message-id":
			if m.messageID == "" {
				m.messageID = strings.Trim(f.Value, "<> \t")
			}
		}
		if err != nil {
			return err
		}
	}
	if authors != 1 || m.from.IsNull() {
		return badRaw("The message needs one From field with an address.")
	}
	return nil
}

// one reads the first address of a field.
func (m *rawMessage) one(f compose.Field, into *queue.Address) error {
	list, err := m.addresses(f)
	if err != nil {
		return err
	}
	if len(list) > 0 && into.IsNull() {
		*into = list[0]
	}
	return nil
}

func (m *rawMessage) recipients(f compose.Field) error {
	list, err := m.addresses(f)
	for _, a := range list {
		m.to = append(m.to, rawRecipient{kind: strings.ToLower(f.Name), address: a})
	}
	return err
}

func (m *rawMessage) addresses(f compose.Field) ([]queue.Address, error) {
	if f.Value == "" {
		return nil, nil
	}
	bad := invalid([]Problem{{Pointer: compose.FieldPointer(f.Name), Code: "invalid_address", Detail: "This header of the message has something that is not a valid mail address."}})
	p := mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: anyCharset}}
	list, err := p.ParseList(f.Value)
	if err != nil {
		return nil, bad
	}
	out := make([]queue.Address, 0, len(list))
	for _, one := range list {
		i := strings.LastIndexByte(one.Address, '@')
		if i < 0 {
			return nil, bad
		}
		a := queue.Address{Local: one.Address[:i], Domain: one.Address[i+1:]}
		if !validAddress(a) {
			return nil, bad
		}
		m.utf8 = m.utf8 || !a.ASCII()
		out = append(out, a)
	}
	return out, nil
}

// anyCharset lets names pass in charsets that we do not know: only addresses are
// wanted here.
func anyCharset(string, io.Reader) (io.Reader, error) { return strings.NewReader("?"), nil }

func (m *rawMessage) sender() queue.Address {
	if !m.senderBox.IsNull() {
		return m.senderBox
	}
	return m.from
}

// prepend puts fields before the message's own.
func (m *rawMessage) prepend(fields []byte) {
	if len(fields) > 0 {
		m.header = append(fields, m.header...)
	}
}

// reader gives the whole message; its body is as it came.
func (m *rawMessage) reader() io.Reader {
	return io.MultiReader(bytes.NewReader(m.header), strings.NewReader("\r\n"+m.lead), m.body)
}

// sum is of what was read: all of it, once reader is at its end.
func (m *rawMessage) sum() []byte { return m.hash.Sum(nil) }
