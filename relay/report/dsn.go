package report

import (
	"bytes"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

	"postrider/queue"
)

// action is the Action field of RFC 3464 §2.3.3.
type action string

const (
	actionFailed    action = "failed"
	actionDelayed   action = "delayed"
	actionDelivered action = "delivered"
	actionRelayed   action = "relayed"
)

// notice is one recipient of a report.
type notice struct {
	rcpt   queue.Recipient
	event  queue.Event
	action action
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
	what := map[action]string{
		actionFailed: "Not delivered", actionDelayed: "Delayed", actionDelivered: "Delivered", actionRelayed: "Passed on",
	}[d.notices[0].action]
	if s := d.message.Header.Subject; s != "" {
		return what + ": " + s
	}
	return what + ": your message to " + d.notices[0].rcpt.Address.String()
}

// status writes the machine's part (RFC 3464 §2.2, §2.3).
func (d *dsn) status(b *bytes.Buffer) {
	fmt.Fprintf(b, "Reporting-MTA: dns; %s\r\n", d.hostname)
	if id := d.message.Envelope.EnvID; id != "" {
		fmt.Fprintf(b, "Original-Envelope-Id: %s\r\n", oneLine(id))
	}
	fmt.Fprintf(b, "X-Postrider-Queue-Id: %s\r\n", d.message.ID)
	fmt.Fprintf(b, "Arrival-Date: %s\r\n", d.message.AcceptedAt.Format(time.RFC1123Z))
	for _, n := range d.notices {
		b.WriteString("\r\n")
		if n.rcpt.ORCPT != "" {
			if kind, addr, ok := strings.Cut(n.rcpt.ORCPT, ";"); ok {
				fmt.Fprintf(b, "Original-Recipient: %s; %s\r\n", oneLine(kind), oneLine(addr))
			}
		}
		fmt.Fprintf(b, "Final-Recipient: %s\r\n", typedAddress(n.rcpt.Address))
		fmt.Fprintf(b, "Action: %s\r\nStatus: %s\r\n", n.action, n.status())
		n.attempt(b)
		if n.action == actionDelayed {
			fmt.Fprintf(b, "Will-Retry-Until: %s\r\n", d.message.ExpiresAt.Format(time.RFC1123Z))
		}
	}
}

func (n *notice) attempt(b *bytes.Buffer) {
	a := n.last()
	if a == nil {
		return
	}
	if a.Host != "" {
		fmt.Fprintf(b, "Remote-MTA: dns; %s\r\n", oneLine(a.Host))
	}
	if a.Reply.Code != 0 && a.Host != "" {
		fmt.Fprintf(b, "Diagnostic-Code: smtp; %s\r\n", clip(oneLine(a.Reply.String()), 512))
	} else if said := n.said(); said != "" {
		fmt.Fprintf(b, "Diagnostic-Code: X-Postrider; %s\r\n", clip(oneLine(said), 512))
	}
	fmt.Fprintf(b, "Last-Attempt-Date: %s\r\n", a.Start.Format(time.RFC1123Z))
}

// last is the attempt the notice is about.
func (n *notice) last() *queue.Attempt {
	if n.event.Attempt != nil {
		return n.event.Attempt
	}
	return n.rcpt.Last
}

// said is the verbatim reply, or our own words where there was none.
func (n *notice) said() string {
	a := n.last()
	switch {
	case a == nil:
		return n.event.Reason
	case a.Reply.Code != 0:
		return a.Reply.String()
	case a.Error != "":
		return a.Error
	}
	return a.Reply.Text
}

// status is the enhanced code of the reply if it has the class that the action
// needs, else the plain one (RFC 3464 §2.3.4).
func (n *notice) status() queue.Enhanced {
	class := map[action]uint16{actionFailed: 5, actionDelayed: 4, actionDelivered: 2, actionRelayed: 2}[n.action]
	if n.event.Kind == queue.EventExpired {
		return queue.Enhanced{5, 4, 7} // RFC 3463 §3.5: delivery time expired
	}
	if a := n.last(); a != nil && a.Reply.Enhanced[0] == class {
		return a.Reply.Enhanced
	}
	return queue.Enhanced{class, 0, 0}
}

// typedAddress writes an address with its type; one that is not ASCII in the
// form of RFC 6533 §3 that needs no SMTPUTF8.
func typedAddress(a queue.Address) string {
	if a.ASCII() {
		return "rfc822; " + a.String()
	}
	var b strings.Builder
	for _, r := range a.String() {
		if r > '~' || r == '\\' {
			fmt.Fprintf(&b, `\x{%X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return "utf-8; " + b.String()
}

// oneLine makes foreign text safe for a header field: no line ends, no control
// characters, ASCII.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r == 0x7f:
			return -1
		case r > '~':
			return '?'
		}
		return r
	}, s))
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

func hasHighBit(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
