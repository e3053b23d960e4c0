package oldertest

import (
	"encoding/binary"
	"time"

	"postrider/queue"
)

// Start is when the first of the letters was accepted; a day, or a part of one,
// lies between each and the next. End is after all that happened to them.
var (
	Start = time.Date(2026, 9, 27, 8, 30, 0, 0, time.UTC)
	End   = Start.Add(20 * 24 * time.Hour)
)

// Letter is a message of the store.
type Letter struct {
	ID         queue.MessageID
	Account    string
	AcceptedAt time.Time
	From       string // also the reverse-path
	Subject    string // as the index has it: decoded
	To         []Addressee
	Content    string // as it was accepted
	Removed    bool   // it is not there any more
	Labels     queue.Labels
}

// Addressee is a recipient, with what became of it.
type Addressee struct {
	Address string
	State   queue.State
	Class   queue.Class // of the last attempt that did not succeed
	Reply   queue.Reply // of the last attempt; none if there was none
	Tries   int
}

func id(n int, at time.Time) (m queue.MessageID) {
	binary.BigEndian.PutUint64(m[:8], uint64(at.UnixMilli())<<16)
	m[6], m[8], m[13] = 0x70, 0x80, byte(n) // the last two are of recipients
	return m
}

// Letters are the messages of the store, oldest first.
func Letters() []Letter {
	all := []Letter{
		{
			Account: "shop", From: "orders@shop.example", Subject: "Your order 1001 has shipped", Content: invoice,
			To: []Addressee{{Address: "anna@customer.example", State: queue.StateDelivered, Reply: accepted, Tries: 1}},
		}, {
			Account: "blog", From: "news@blog.example", Subject: "Grüße aus der Küche", Content: plain,
			To: []Addressee{{Address: "leser@reader.example", State: queue.StateRelayed, Reply: accepted, Tries: 1}},
		}, {
			Account: "shop", From: "orders@shop.example", Subject: "Your order 1001 has shipped", Content: invoice,
			To: []Addressee{{Address: "nobody@customer.example", State: queue.StateBounced, Class: queue.ClassRcptUnknown, Reply: unknown, Tries: 1}},
		}, {
			Account: "blog", From: "news@blog.example", Subject: "Grüße aus der Küche", Content: plain,
			To: []Addressee{{Address: "full@reader.example", State: queue.StateExpired, Class: queue.ClassRcptFull, Reply: full, Tries: 3}},
		}, {
			Account: "shop", From: "orders@shop.example", Subject: "Reset your password", Content: reset,
			To: []Addressee{{Address: "bob@customer.example", State: queue.StateCancelled}},
		}, {
			Account: "shop", From: "orders@shop.example", Subject: "Reset your password", Content: reset,
			To: []Addressee{{Address: "complained@customer.example", State: queue.StateSuppressed, Class: queue.ClassRcptSuppressed}},
		}, {
			Account: "shop", From: "orders@shop.example", Subject: "Your order 1001 has shipped", Content: invoice,
			To: []Addressee{
				{Address: "anna@customer.example", State: queue.StateDelivered, Class: queue.ClassGreylist, Reply: accepted, Tries: 2},
				{Address: "nobody@customer.example", State: queue.StateBounced, Class: queue.ClassRcptUnknown, Reply: unknown, Tries: 1},
				{Address: "later@customer.example", State: queue.StateDeferred, Class: queue.ClassGreylist, Reply: greylisted, Tries: 2},
				{Address: "held@customer.example", State: queue.StateHeld},
			},
			Labels: queue.Labels{Stream: "transactional", Tags: []string{"order", "shipping"}, Metadata: map[string]string{"order": "1001"}},
		}, {
			Account: "blog", From: "news@blog.example", Subject: "Reset your password", Content: reset, Removed: true,
			To: []Addressee{{Address: "carol@reader.example", State: queue.StateDelivered, Reply: accepted, Tries: 1}},
		}, {
			Account: "blog", From: "news@blog.example", Subject: "Grüße aus der Küche", Content: plain,
			To: []Addressee{{Address: "held@reader.example", State: queue.StateHeld}},
		}, {
			Account: "shop", From: "orders@shop.example", Subject: "Your order 1001 has shipped", Content: invoice,
			To: []Addressee{{Address: "later@customer.example", State: queue.StateDeferred, Class: queue.ClassGreylist, Reply: greylisted, Tries: 1}},
		}, {
			Account: "shop", From: "orders@shop.example", Subject: "Reset your password", Content: reset,
			To: []Addressee{{Address: "dave@customer.example", State: queue.StateQueued}},
		}, {
			Account: "blog", From: "news@blog.example", Subject: "Grüße aus der Küche", Content: plain,
			To: []Addressee{{Address: "leser@reader.example", State: queue.StateScheduled}},
		},
	}
	for i := range all {
		all[i].AcceptedAt = Start.Add(time.Duration(i) * 17 * time.Hour)
		all[i].ID = id(i+1, all[i].AcceptedAt)
	}
	return all
}

var (
	accepted   = queue.Reply{Code: 250, Enhanced: queue.Enhanced{2, 0, 0}, Text: "Ok: queued as 4XyZ12", Command: "."}
	unknown    = queue.Reply{Code: 550, Enhanced: queue.Enhanced{5, 1, 1}, Text: "<nobody@customer.example>: Recipient address rejected:\nUser unknown in local recipient table", Command: "RCPT"}
	full       = queue.Reply{Code: 452, Enhanced: queue.Enhanced{4, 2, 2}, Text: "Mailbox full", Command: "RCPT"}
	greylisted = queue.Reply{Code: 451, Enhanced: queue.Enhanced{4, 7, 1}, Text: "Greylisted, please try again later", Command: "RCPT"}
)

const trace = "Received: from web1 (web1 [192.0.2.7]) by relay.example with ESMTPSA;\r\n\tSun, 27 Sep 2026 08:30:00 +0000\r\n"

// reset is plain text in one line of ASCII.
const reset = trace + "From: Shop <orders@shop.example>\r\n" +
	"To: bob@customer.example\r\n" +
	"Subject: Reset your password\r\n" +
	"Date: Sun, 27 Sep 2026 08:29:58 +0000\r\n" +
	"Message-ID: <reset.1@shop.example>\r\n" +
	"\r\n" +
	"Somebody asked for a new password. If it was not you, do nothing.\r\n"

// plain has encoded words and a quoted-printable body.
const plain = trace + "From: =?UTF-8?Q?K=C3=BCchenblog?= <news@blog.example>\r\n" +
	"To: Leser <leser@reader.example>\r\n" +
	"Cc: archive@blog.example, =?UTF-8?B?SsO8cmdlbg==?= <juergen@blog.example>\r\n" +
	"Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe_aus_der_K=C3=BCche?=\r\n" +
	"Date: Mon, 28 Sep 2026 03:30:00 +0200\r\n" +
	"Message-ID: <kitchen.7@blog.example>\r\n" +
	"List-Unsubscribe: <mailto:leave@blog.example>\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n" +
	"Content-Transfer-Encoding: quoted-printable\r\n" +
	"\r\n" +
	"Heute gibt es =C3=84pfel, und zwar so viele, dass die Zeile umgebrochen wer=\r\n" +
	"den muss.\r\n\r\n.\r\n"

// invoice is a multipart in a multipart, with an attachment.
const invoice = trace + "From: \"The Shop\" <orders@shop.example>\r\n" +
	"To: Anna <anna@customer.example>\r\n" +
	"Reply-To: help@shop.example\r\n" +
	"Subject: Your order 1001 has shipped\r\n" +
	"Date: Sun, 27 Sep 2026 08:29:59 +0000\r\n" +
	"Message-ID: <order.1001@shop.example>\r\n" +
	"In-Reply-To: <order.1000@shop.example>\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=\"outer 1\"\r\n" +
	"\r\n" +
	"This is a message in several parts.\r\n" +
	"--outer 1\r\n" +
	"Content-Type: multipart/alternative; boundary=inner\r\n" +
	"\r\n" +
	"--inner\r\n" +
	"Content-Type: text/plain; charset=us-ascii\r\n" +
	"\r\n" +
	"Your order 1001 is on its way.\r\n" +
	"--inner\r\n" +
	"Content-Type: text/html; charset=utf-8\r\n" +
	"Content-Transfer-Encoding: 8bit\r\n" +
	"\r\n" +
	"<p>Your order <b>1001</b> is on its way \u2014 thank you.</p>\r\n" +
	"--inner--\r\n" +
	"--outer 1\r\n" +
	"Content-Type: application/pdf; name=\"invoice.pdf\"\r\n" +
	"Content-Disposition: attachment; filename=\"invoice.pdf\"\r\n" +
	"Content-Transfer-Encoding: base64\r\n" +
	"\r\n" +
	"JVBERi0xLjQKJcOkw7zDtsOfCjEgMCBvYmoKPDwvVHlwZS9DYXRhbG9nPj4KZW5kb2JqCg==\r\n" +
	"--outer 1--\r\n"
