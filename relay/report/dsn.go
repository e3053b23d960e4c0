package report

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"
	"unicode/utf8"

	"postrider/queue"
	"postrider/relay/report/status"
)

// notice is one recipient of a report.
type notice struct {
	rcpt   queue.Recipient
	event  queue.Event
	action status.Action
}

// dsn is one report about some recipients of one message.
type dsn struct {
	hostname string // Reporting-MTA
	from     queue.Address
	to       queue.Address
	message  queue.Message
	notices  []notice
	original []byte // header, or the whole message if full
	full     bool
	at       time.Time
}

// maxOriginalHeader bounds what is returned of a header.
const maxOriginalHeader = 64 << 10

// global reports whether the report is sent with SMTPUTF8 anyhow, so that it may
// have the forms of RFC 6533. Any other keeps to forms that every host takes.
func (d *dsn) global() bool { return !d.to.ASCII() || !d.from.ASCII() }

// render writes the report as a message with canonical line ends.
func (d *dsn) render() []byte {
	var parts bytes.Buffer
	boundary := "=_" + d.notices[0].event.ID.String()
	part(&parts, boundary, "text/plain; charset=utf-8", "quoted-printable")
	q := quotedprintable.NewWriter(&parts)
	q.Write([]byte(d.text())) // a bytes.Buffer takes everything
	q.Close()
	d.statusPart(&parts, boundary)
	d.originalPart(&parts, boundary)
	fmt.Fprintf(&parts, "\r\n--%s--\r\n", boundary)

	var b bytes.Buffer
	d.header(&b, boundary, hasHighBit(parts.Bytes()))
	b.Write(parts.Bytes())
	return b.Bytes()
}

func (d *dsn) header(b *bytes.Buffer, boundary string, eightBit bool) {
	fmt.Fprintf(b, "From: Mail Delivery System %s\r\n", d.from.Path())
	fmt.Fprintf(b, "To: %s\r\n", d.to.Path())
	fmt.Fprintf(b, "Subject: %s\r\n", encodeText(status.Plain(d.subject())))
	fmt.Fprintf(b, "Date: %s\r\n", d.at.Format(time.RFC1123Z))
	fmt.Fprintf(b, "Message-ID: <%s@%s>\r\n", d.notices[0].event.ID, d.hostname)
	if id := d.message.Header.MessageID; id != "" && id == status.OneLine(id) && !strings.ContainsAny(id, " <>") {
		fmt.Fprintf(b, "In-Reply-To: <%s>\r\nReferences: <%s>\r\n", id, id)
	}
	b.WriteString("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n")
	if eightBit { // RFC 2045 §6.4
		b.WriteString("Content-Transfer-Encoding: 8bit\r\n")
	}
	fmt.Fprintf(b, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n\r\n", boundary)
	b.WriteString("This is a delivery report in several parts (RFC 3464).\r\n")
}

// encodeText writes a header field's text as encoded words, one a line.
func encodeText(s string) string {
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", s), "?= =?", "?=\r\n =?")
}

// part begins a part; an empty encoding is 7bit.
func part(b *bytes.Buffer, boundary, contentType, encoding string) {
	fmt.Fprintf(b, "\r\n--%s\r\nContent-Type: %s\r\n", boundary, contentType)
	if encoding != "" {
		fmt.Fprintf(b, "Content-Transfer-Encoding: %s\r\n", encoding)
	}
	b.WriteString("\r\n")
}

// statusPart writes the part for machines.
func (d *dsn) statusPart(b *bytes.Buffer, boundary string) {
	var fields bytes.Buffer
	d.status(&fields)
	kind, encoding := "message/delivery-status", ""
	if hasHighBit(fields.Bytes()) {
		kind, encoding = "message/global-delivery-status", "8bit" // RFC 6533 §4
	}
	part(b, boundary, kind, encoding)
	b.Write(fields.Bytes())
}

// originalPart returns the message or its header. One with UTF-8 in its header
// goes as a message/global part, which may be encoded for hosts without SMTPUTF8,
// as message/rfc822 must not be (RFC 6532 §3.7, RFC 2046 §5.2.1).
func (d *dsn) originalPart(b *bytes.Buffer, boundary string) {
	header := d.original[:min(int64(len(d.original)), d.message.Content.HeaderSize)]
	unicode := hasHighBit(header) && utf8.Valid(header)
	kind, encoding := "text/rfc822-headers", ""
	switch {
	case d.full && unicode:
		kind = "message/global"
	case d.full:
		kind = "message/rfc822"
	case unicode:
		kind = "message/global-headers"
	}
	if hasHighBit(d.original) {
		encoding = "8bit"
		if !d.global() && kind != "message/rfc822" {
			encoding = "base64"
		}
	}
	part(b, boundary, kind, encoding)
	if encoding == "base64" {
		writeBase64(b, d.original)
		return
	}
	b.Write(d.original)
}

// writeBase64 writes lines of 76 characters (RFC 2045 §6.8).
func writeBase64(b *bytes.Buffer, data []byte) {
	const line = 57 // octets that make 76 characters
	for len(data) > 0 {
		n := min(line, len(data))
		b.WriteString(base64.StdEncoding.EncodeToString(data[:n]))
		b.WriteString("\r\n")
		data = data[n:]
	}
}

func (d *dsn) subject() string {
	what := map[status.Action]string{
		status.Failed: "Not delivered", status.Delayed: "Delayed", status.Delivered: "Delivered", status.Relayed: "Passed on",
	}[d.notices[0].action]
	if s := d.message.Header.Subject; s != "" {
		return what + ": " + s
	}
	return what + ": your message to " + d.notices[0].rcpt.Address.String()
}

// status writes the machine's part.
func (d *dsn) status(b *bytes.Buffer) {
	r := status.Report{Hostname: d.hostname, Message: &d.message}
	for i := range d.notices {
		n := &d.notices[i]
		r.Recipients = append(r.Recipients, status.Recipient{
			Address: n.rcpt.Address, ORCPT: n.rcpt.ORCPT, Action: n.action,
			Code:    status.Code(n.action, n.event.Kind == queue.EventExpired, n.last()),
			Attempt: n.last(), Said: n.said(), Until: d.message.ExpiresAt, Global: d.global(),
		})
	}
	r.Write(b)
}

// last is the attempt the notice is about.
func (n *notice) last() *queue.Attempt {
	if n.event.Attempt != nil {
		return n.event.Attempt
	}
	return n.rcpt.Last
}

// said is the verbatim reply, or our own words where there was none.
func (n *notice) said() string { return status.Said(n.last(), n.event.Reason) }

func hasHighBit(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
