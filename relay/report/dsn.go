package report

import (
	"bytes"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

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

// render writes the report as a message with canonical line ends.
func (d *dsn) render() []byte {
	var b bytes.Buffer
	boundary := "=_" + d.notices[0].event.ID.String()
	d.header(&b, boundary)
	part(&b, boundary, "text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable\r\n")
	q := quotedprintable.NewWriter(&b)
	q.Write([]byte(d.text())) // a bytes.Buffer takes everything
	q.Close()
	part(&b, boundary, "message/delivery-status", "")
	d.status(&b)
	kind := "text/rfc822-headers"
	if d.full {
		kind = "message/rfc822"
	}
	encoding := ""
	if hasHighBit(d.original) {
		encoding = "Content-Transfer-Encoding: 8bit\r\n"
	}
	part(&b, boundary, kind, encoding)
	b.Write(d.original)
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return b.Bytes()
}

func (d *dsn) header(b *bytes.Buffer, boundary string) {
	fmt.Fprintf(b, "From: Mail Delivery System %s\r\n", d.from.Path())
	fmt.Fprintf(b, "To: %s\r\n", d.to.Path())
	fmt.Fprintf(b, "Subject: %s\r\n", mime.QEncoding.Encode("utf-8", d.subject()))
	fmt.Fprintf(b, "Date: %s\r\n", d.at.Format(time.RFC1123Z))
	fmt.Fprintf(b, "Message-ID: <%s@%s>\r\n", d.notices[0].event.ID, d.hostname)
	if id := d.message.Header.MessageID; id != "" && !strings.ContainsAny(id, " \t<>") {
		fmt.Fprintf(b, "In-Reply-To: <%s>\r\nReferences: <%s>\r\n", id, id)
	}
	b.WriteString("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n")
	fmt.Fprintf(b, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n\r\n", boundary)
	b.WriteString("This is a delivery report in several parts (RFC 3464).\r\n")
}

func part(b *bytes.Buffer, boundary, contentType, more string) {
	fmt.Fprintf(b, "\r\n--%s\r\nContent-Type: %s\r\n%s\r\n", boundary, contentType, more)
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
			Attempt: n.last(), Said: n.said(), Until: d.message.ExpiresAt,
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
