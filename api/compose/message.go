// Package compose writes Internet messages (RFC 5322 with MIME) from their parts.
//
// It promises that whatever passes Check comes out as one well-formed message
// with exactly the addresses, fields and parts that were asked for: values with
// line ends, NUL or other control characters are refused, never folded into
// something else, and text that looks like an encoded word stays text. What it
// writes is 7-bit, but for addresses beyond ASCII, with lines of at most 78
// octets wherever they may be broken. It keeps no more of an attachment in
// memory than its caller does: the message is made while it is read.
//
// The writer is our own, on the standard library's quoted-printable: those that
// exist want to be written to, so that reading needs a goroutine for each
// message, write names of files as encoded words in quotes, against RFC 2047
// §5, and give base64 to parts that may not have it (RFC 2046 §5.2.1).
package compose

import (
	"iter"
	"strings"
	"time"

	"postrider/queue"
)

// Limits of a message; what Check refuses beyond them has a code "too_long" or
// "too_many".
const (
	MaxFields      = 100       // further header fields
	MaxFieldName   = 76        // octets
	MaxFieldValue  = 8 << 10   // octets of one further field
	MaxSubject     = 998       // octets
	MaxDisplayName = 320       // octets of the name beside an address
	MaxMessageID   = 250       // octets
	MaxReplyTo     = 50        // addresses
	MaxAttachments = 200       // files
	MaxFilename    = 255       // octets
	maxAddressList = 60 << 10  // octets of one written field: intake takes 64 KiB
	maxHeader      = 200 << 10 // octets of all that is written: intake takes 256 KiB, with what is added later
	maxWord        = 900       // octets that no fold divides: lines end at 998 (RFC 5322 §2.1.1)
)

// Mailbox is an address with the name that is shown beside it (RFC 5322 §3.4).
type Mailbox struct {
	Name    string // decoded; empty for none
	Address queue.Address
}

// Field is one header field as the sender wants it: the value decoded, on one line.
type Field struct{ Name, Value string }

// Attachment is one file of a message. Content is not copied.
type Attachment struct {
	Filename    string
	ContentType string // empty: by Filename, else application/octet-stream
	ContentID   string // without angle brackets; for the cid: links of the HTML
	Inline      bool   // belongs to the HTML (multipart/related) instead of being offered for saving
	Content     []byte // decoded
}

// Message is what to write. From and one recipient are needed; all else may be
// empty. Text and HTML together become multipart/alternative.
type Message struct {
	From        Mailbox
	Sender      *Mailbox // nil: no Sender field
	ReplyTo     []Mailbox
	To, Cc      []Mailbox
	Bcc         []Mailbox // recipients that no header names
	Subject     string
	Text, HTML  string
	HasText     bool // Text is a part although it is empty
	HasHTML     bool
	Date        time.Time
	MessageID   string  // without angle brackets
	Fields      []Field // further ones, in order
	Attachments []Attachment
}

// NeedsUTF8 reports whether an address of the message, hidden recipients
// included, is beyond ASCII: it can then only be sent with SMTPUTF8 (RFC 6531).
func (m *Message) NeedsUTF8() bool {
	if !m.From.Address.ASCII() || m.Sender != nil && !m.Sender.Address.ASCII() {
		return true
	}
	for _, list := range [][]Mailbox{m.ReplyTo, m.To, m.Cc, m.Bcc} {
		for _, b := range list {
			if !b.Address.ASCII() {
				return true
			}
		}
	}
	return false
}

// Recipients ranges over the lists of recipients, "to", "cc" and "bcc", in that order.
func (m *Message) Recipients() iter.Seq2[string, []Mailbox] {
	return func(yield func(string, []Mailbox) bool) {
		_ = yield("to", m.To) && yield("cc", m.Cc) && yield("bcc", m.Bcc)
	}
}

// Size is the octets of the texts and files, decoded.
func (m *Message) Size() int64 {
	n := int64(len(m.Text)) + int64(len(m.HTML))
	for _, a := range m.Attachments {
		n += int64(len(a.Content))
	}
	return n
}

// Adopt returns the message with the further fields Date and Message-ID, which a
// sender may set, in the places made for them. The message must have passed
// Check; m is not changed.
func (m *Message) Adopt() *Message {
	out := *m
	out.Fields = make([]Field, 0, len(m.Fields)+4)
	for _, f := range m.Fields {
		switch {
		case strings.EqualFold(f.Name, "Date"):
			out.Date, _ = parseDate(f.Value)
		case strings.EqualFold(f.Name, "Message-ID"):
			out.MessageID = bareID(f.Value)
		default:
			out.Fields = append(out.Fields, f)
		}
	}
	return &out
}

func (m *Message) hasText() bool { return m.HasText || m.Text != "" }
func (m *Message) hasHTML() bool { return m.HasHTML || m.HTML != "" }
