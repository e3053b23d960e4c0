package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"postrider/queue"
	"postrider/queue/folders"
	"postrider/relay/report/skeleton"
)

// maxMail is how many messages have a number of the width that they are written
// with: all of one kind are of one size, so that they can share a content.
const maxMail = 9_999_999

// mailKinds are the subjects of what a shop sends.
var mailKinds = []string{
	"Your order #%07d is on its way", "Your order #%07d: we have received it", "Invoice %07d", "Payment received for invoice %07d",
	"Please confirm your address (%07d)", "How did you like your order #%07d?", "Reset your password (%07d)", "Your parcel %07d waits at the shop next door",
}

// mailBegin is when the first message was sent; the others follow within
// mailSpan.
var mailBegin = time.Date(2026, 1, 15, 8, 0, 0, 0, time.UTC)

const mailSpan = 300 * 24 * time.Hour

// mail is message number i of n.
type mail struct{ i, n int }

func (m mail) kind() int { return m.i % len(mailKinds) }

func (m mail) at() time.Time {
	return mailBegin.Add(time.Duration(float64(m.i) / float64(m.n) * float64(mailSpan))).Truncate(time.Second)
}

// unread is one in ten: what somebody marked so.
func (m mail) unread() bool { return m.i%10 == 3 }

// text is the message as it was sent, of about 1.5 KB.
func (m mail) text() []byte {
	var b bytes.Buffer
	subject := fmt.Sprintf(mailKinds[m.kind()], m.i)
	date := m.at().Format(time.RFC1123Z)
	fmt.Fprintf(&b, "Received: from web1.shop.example (web1.shop.example [203.0.113.9])\r\n\tby relay.example.com (Postrider) with ESMTPSA id 0198a%07d;\r\n\t%s\r\n", m.i, date)
	fmt.Fprintf(&b, "Date: %s\r\nFrom: \"Shop at the Corner\" <orders@shop.example>\r\nTo: \"Customer %07d\" <customer%07d@example.net>\r\n", date, m.i, m.i)
	fmt.Fprintf(&b, "Reply-To: <service@shop.example>\r\nSubject: %s\r\nMessage-ID: <%07d.5f3a9c@shop.example>\r\n", subject, m.i)
	fmt.Fprintf(&b, "X-Mailer: PHPMailer 6.9.1\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary=\"b1_%07d\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", m.i)
	for _, part := range []string{"plain", "html"} {
		fmt.Fprintf(&b, "--b1_%07d\r\nContent-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", m.i, part)
		b.WriteString(strings.Repeat("The quick brown fox jumps over the lazy dog 0123.\r\n", 7) + "\r\n")
	}
	fmt.Fprintf(&b, "--b1_%07d--\r\n", m.i)
	return b.Bytes()
}

// front is what the relay puts before a message that was sent.
func (m mail) front() []byte {
	at := m.at()
	return fmt.Appendf(nil, "X-Relay-Status: sent\r\nX-Relay-Id: 0198a000-0000-7000-8000-00000%07d\r\nX-Relay-Account: %s\r\n"+
		"X-Relay-Queued: %s\r\nX-Relay-Attempts: 1\r\nX-Relay-Recipient: customer%07d@example.net; sent; %s;\r\n"+
		" mx=mx1.example.net[192.0.2.1]:25; tls=TLS1.3 TLS_AES_128_GCM_SHA256 verified;\r\n reply=\"250 2.0.0 OK 1700 gsmtp\"; t=0.8s; attempts=1\r\n",
		m.i, benchAccount, at.Format(time.RFC1123Z), m.i, at.Format(time.RFC3339))
}

// item is the entry of the folder Sent, as filing makes it. The content is of
// another message of the same kind and size.
func (m mail) item(contents []queue.ContentRef) (folders.Item, error) {
	it := folders.Item{Key: "sent", Unseen: m.unread()}
	e := &it.Entry
	e.Message, e.At, e.Front, e.Content = queue.NewMessageID(), m.at(), m.front(), contents[m.kind()]
	if err := takeApart(&it, m.text()); err != nil {
		return it, err
	}
	it.Search.Recipients = fmt.Sprintf("customer%07d@example.net", m.i)
	it.Search.Other = e.Message.String() + " bounces@shop.example mx1.example.net 250 2.0.0 ok 1700 gsmtp"
	it.Sets = []string{folders.FolderSent, folders.FolderSent + "/" + e.At.Format("2006-01"), folders.FolderSites + "/shop.example/Sent"}
	return it, nil
}

// bounce is a report that the message failed: some among those that went.
func (m mail) bounce() (folders.Item, error) {
	it := folders.Item{Key: "bounced;r=1", Unseen: true}
	e := &it.Entry
	e.Message, e.At = queue.NewMessageID(), m.at()
	e.Front = fmt.Appendf(nil, "From: \"customer%07d@example.net\" <mailer-daemon@relay.example.com>\r\nTo: <orders@shop.example>\r\n"+
		"Subject: Bounced (no such user): %s\r\nDate: %s\r\nMessage-ID: <b%07d@relay.example.com>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: multipart/report; report-type=delivery-status; boundary=\"r%07d\"\r\n\r\n--r%07d\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"+
		"Your message to customer%07d@example.net was not delivered.\r\n\r\nReason    no such user (hard bounce)\r\n\r\n"+
		"--r%07d\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; relay.example.com\r\n\r\nFinal-Recipient: rfc822; customer%07d@example.net\r\n"+
		"Action: failed\r\nStatus: 5.1.1\r\n\r\n--r%07d\r\nContent-Type: message/rfc822\r\n\r\n",
		m.i, fmt.Sprintf(mailKinds[m.kind()], m.i), e.At.Format(time.RFC1123Z), m.i, m.i, m.i, m.i, m.i, m.i, m.i)
	e.Back = fmt.Appendf(nil, "\r\n--r%07d--\r\n", m.i)
	e.Front = append(e.Front, m.text()...)
	if err := takeApart(&it, nil); err != nil {
		return it, err
	}
	it.Search.Recipients = fmt.Sprintf("customer%07d@example.net", m.i)
	it.Sets = []string{folders.FolderBounced, folders.FolderBounced + "/Bad address", folders.FolderInbox, folders.FolderSites + "/shop.example/Bounced",
		folders.FlagPrefix + `\Flagged`, folders.FlagPrefix + "$HardBounce", folders.FlagPrefix + "$label1"}
	return it, nil
}

// takeApart fills in what is computed when an entry is filed.
func takeApart(it *folders.Item, text []byte) error {
	e := &it.Entry
	s, err := skeleton.Parse(io.MultiReader(bytes.NewReader(e.Front), bytes.NewReader(text), bytes.NewReader(e.Back)))
	if err != nil {
		return err
	}
	e.Envelope, e.Body, e.BodyStructure, e.Parts, it.Search = s.Envelope(), s.Body(), s.BodyStructure(), s.Parts(), s.Search()
	it.Search.At, it.Search.Size = e.At, e.Size()
	return nil
}
