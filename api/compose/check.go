package compose

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"postrider/queue"
)

// Problem is one reason why a message cannot be written as it is. Its Detail
// repeats nothing of the message.
type Problem struct {
	Pointer string // what is wrong, as JSON Pointer into the native request: "#/to/0", "#/headers/X-Tag"
	Code    string // "required", "invalid_address", "control_character", "too_long", "not_allowed", …
	Detail  string
}

// Check returns all that keeps the message from being written; nothing if it may
// be. It does not count recipients, and does not look at sizes of content.
func (m *Message) Check() []Problem {
	var c checker
	c.addresses(m)
	c.text("#/subject", m.Subject, MaxSubject)
	c.body("#/text", m.Text)
	c.body("#/html", m.HTML)
	if m.MessageID != "" && !validID(m.MessageID) {
		c.add("#/message_id", "invalid_value", "A message id looks like unique@example.com, in ASCII without spaces.")
	}
	c.fields(m)
	c.attachments(m.Attachments)
	if len(c.problems) == 0 && len(m.header()) > maxHeader {
		c.add("#/headers", "too_long", "The header of the message would have more than 200 KiB. Send fewer or shorter headers, or fewer recipients with names.")
	}
	return c.problems
}

type checker struct{ problems []Problem }

func (c *checker) add(pointer, code, detail string) {
	c.problems = append(c.problems, Problem{Pointer: pointer, Code: code, Detail: detail})
}

func (c *checker) addresses(m *Message) {
	if m.From.Address.IsNull() {
		c.add("#/from", "required", "Say who the message is from.")
	} else {
		c.mailbox("#/from", m.From)
	}
	if m.Sender != nil {
		c.mailbox("#/sender", *m.Sender)
	}
	if len(m.ReplyTo) > MaxReplyTo {
		c.add("#/reply_to", "too_many", fmt.Sprintf("At most %d addresses to reply to.", MaxReplyTo))
	}
	if len(m.To)+len(m.Cc)+len(m.Bcc) == 0 {
		c.add("#/to", "required", "Name at least one recipient.")
	}
	c.list("#/reply_to", m.ReplyTo)
	c.list("#/to", m.To)
	c.list("#/cc", m.Cc)
	for i, b := range m.Bcc {
		c.mailbox("#/bcc/"+strconv.Itoa(i), b)
	}
}

// list also holds a whole field against what the relay reads of one.
func (c *checker) list(pointer string, list []Mailbox) {
	size := 0
	for i, b := range list {
		c.mailbox(pointer+"/"+strconv.Itoa(i), b)
		size += len(b.Address.Local) + len(b.Address.Domain) + 2*len(b.Name) + 16
	}
	if size > maxAddressList {
		var w headerWriter
		w.mailboxes("To", list)
		if len(w.b) > maxAddressList {
			c.add(pointer, "too_long", "These addresses with their names make a header field of more than 60 KiB. Send the message in several, or leave out the names.")
		}
	}
}

func (c *checker) mailbox(pointer string, b Mailbox) {
	c.text(pointer, b.Name, MaxDisplayName)
	// A local-part may look like an encoded word; some readers would decode it, and
	// see another address.
	if a, err := queue.ParseAddress(b.Address.String()); err != nil || a != b.Address || strings.Contains(a.Local, "=?") {
		c.add(pointer, "invalid_address", "This is not a valid mail address.")
	}
}

// text looks at a value that becomes part of a header field.
func (c *checker) text(pointer, s string, limit int) {
	if code, detail := TextProblem(s, limit); code != "" {
		c.add(pointer, code, detail)
	}
}

// TextProblem says what is wrong with a text of one line; both are empty if
// nothing is.
func TextProblem(s string, limit int) (code, detail string) {
	switch {
	case len(s) > limit:
		return "too_long", fmt.Sprintf("At most %d octets.", limit)
	case !utf8.ValidString(s):
		return "invalid_utf8", "This is not valid UTF-8."
	case hasControl(s):
		return "control_character", "Line ends and other control characters are not allowed here."
	}
	return "", ""
}

// hasControl finds what could end a line, or hide, for some reader: the control
// characters of ASCII but for the tab, those of Latin-1, and the line and
// paragraph separators.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\t' || r >= 0x7f && r <= 0x9f || r == '\u2028' || r == '\u2029'
	})
}

func (c *checker) body(pointer, s string) {
	switch {
	case !utf8.ValidString(s):
		c.add(pointer, "invalid_utf8", "This is not valid UTF-8.")
	case strings.IndexByte(s, 0) >= 0:
		c.add(pointer, "control_character", "A NUL character is not allowed here.")
	}
}

func (c *checker) attachments(list []Attachment) {
	if len(list) > MaxAttachments {
		c.add("#/attachments", "too_many", fmt.Sprintf("At most %d files.", MaxAttachments))
		return
	}
	for i, a := range list {
		at := "#/attachments/" + strconv.Itoa(i)
		if strings.IndexByte(a.Filename, '\t') >= 0 {
			c.add(at+"/filename", "control_character", "Control characters are not allowed here.")
		}
		c.text(at+"/filename", a.Filename, MaxFilename)
		if _, wrong := parseType(a.ContentType); wrong != "" {
			c.add(at+"/content_type", "invalid_value", wrong)
		}
		if a.ContentID != "" && (len(a.ContentID) > MaxMessageID || !printable(a.ContentID) || strings.ContainsAny(a.ContentID, "<>")) {
			c.add(at+"/content_id", "invalid_value", "A content id is ASCII without spaces and angle brackets, at most 250 octets.")
		}
	}
}

// FieldPointer names a further header field in a Problem. A name that is none is
// not repeated.
func FieldPointer(name string) string {
	if !validFieldName(name) {
		return "#/headers"
	}
	return "#/headers/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
}

// printable reports visible ASCII only.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
