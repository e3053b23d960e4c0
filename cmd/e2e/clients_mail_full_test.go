//go:build full

package e2e_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"net/url"
	"strings"
)

// clientMail is a mail that was sent, as it was handed to the relay.
type clientMail struct {
	subject string // decoded
	to      []string
	content []byte // with CRLF
}

// folders are those of the top that show it in the end.
func (m clientMail) folders() (names []string) {
	for _, to := range m.to {
		switch _, domain, _ := strings.Cut(to, "@"); domain {
		case domainGood:
			names = append(names, "Sent")
		case domainNone:
			names = append(names, "Bounced", "INBOX")
		case domainFull:
			names = append(names, "Deferred")
		case domainSlow:
			names = append(names, "Queued")
		}
	}
	return names
}

// clientMails are mails of all kinds and fates: 19 are taken, 9 come back (one of
// them was taken elsewhere), 4 are tried again, 3 wait.
func clientMails(account string) (mails []clientMail) {
	n := 0
	send := func(domains ...string) {
		var to []string
		for _, d := range domains {
			to = append(to, fmt.Sprintf("%s.%d@%s", account, n, d))
		}
		build := mailKinds[n%len(mailKinds)]
		m := build(fmt.Sprintf("Order %d", 100+n), to...)
		mails = append(mails, m)
		n++
	}
	for _, fate := range []struct {
		times   int
		domains []string
	}{{18, []string{domainGood}}, {8, []string{domainNone}}, {1, []string{domainGood, domainNone}}, {4, []string{domainFull}}, {3, []string{domainSlow}}} {
		for range fate.times {
			send(fate.domains...)
		}
	}
	return mails
}

// mailKinds make mails that are not alike.
var mailKinds = []func(subject string, to ...string) clientMail{
	plainMail, encodedMail, rawMail, alternativeMail, attachedMail, forwardedMail, longMail, dottedMail, relatedMail, emptyMail, largeMail,
}

// mailOf puts a message together from its lines behind the fields that all have;
// field is the subject as written.
func mailOf(subject, field string, to []string, lines ...string) clientMail {
	head := []string{
		"Received: from desk.shop.test by shop.test; Mon, 02 Jan 2006 15:04:04 +0000",
		`From: "Shop" <shop@shop.test>`, "To: <" + strings.Join(to, ">,\r\n <") + ">",
		"Subject: " + field, "Date: Mon, 02 Jan 2006 15:04:05 +0000",
		fmt.Sprintf("Message-ID: <sent.to.%s>", to[0]),
	}
	text := strings.Join(append(head, lines...), "\r\n") + "\r\n"
	return clientMail{subject: subject, to: to, content: []byte(text)}
}

func plainMail(subject string, to ...string) clientMail {
	return mailOf(subject, subject, to, "", "Hello,", "", "your order is on its way.")
}

func encodedMail(subject string, to ...string) clientMail {
	subject += " für Ärzte"
	return mailOf(subject, mime.QEncoding.Encode("utf-8", subject), to,
		"MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "",
		"Gr=C3=BC=C3=9Fe aus K=C3=B6ln, und eine Zeile, die umgebrochen wird, weil sie l=", "anger ist.")
}

// rawMail has eight-bit octets in its body.
func rawMail(subject string, to ...string) clientMail {
	return mailOf(subject, subject, to,
		"MIME-Version: 1.0", `Content-Type: text/plain; charset="utf-8"`, "Content-Transfer-Encoding: 8bit", "X-Note: =?utf-8?b?w6Q=?=", "",
		"Привет, 世界, ¡hola!", "\tà bientôt")
}

func alternativeMail(subject string, to ...string) clientMail {
	return mailOf(subject, subject, to,
		"MIME-Version: 1.0", "Content-Type: multipart/alternative;", "\tboundary=\"=_alt/1\"", "", "This is for old programs.",
		"--=_alt/1", "Content-Type: text/plain; charset=utf-8", "", "Hello in text",
		"--=_alt/1", "Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: base64", "",
		base64.StdEncoding.EncodeToString([]byte("<p>Hällo in HTML</p>")),
		"--=_alt/1--", "", "behind the end")
}

func attachedMail(subject string, to ...string) clientMail {
	return attached(subject, to, "grüße.bin", bytes.Repeat([]byte{0, 1, 2, '.', '\r', '\n', 0xff}, 300))
}

// largeMail is one that no program gets in one piece.
func largeMail(subject string, to ...string) clientMail {
	return attached(subject, to, "large.bin", bytes.Repeat([]byte("large and dull, "), 8<<10))
}

func attached(subject string, to []string, name string, file []byte) clientMail {
	lines := []string{
		"MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=simple", "",
		"--simple", "", "A file is attached.",
		"--simple", "Content-Type: application/octet-stream; name*=utf-8''" + url.PathEscape(name),
		"Content-Disposition: attachment; filename*=utf-8''" + url.PathEscape(name),
		"Content-Transfer-Encoding: base64", "",
	}
	text := base64.StdEncoding.EncodeToString(file)
	for len(text) > 76 {
		lines = append(lines, text[:76])
		text = text[76:]
	}
	return mailOf(subject, subject, to, append(lines, text, "--simple--")...)
}

func forwardedMail(subject string, to ...string) clientMail {
	return mailOf(subject, subject, to,
		"MIME-Version: 1.0", `Content-Type: multipart/mixed; boundary="outer"`, "",
		"--outer", "Content-Type: text/plain", "", "Forwarded below.",
		"--outer", "Content-Type: message/rfc822", "",
		"From: friend@elsewhere.test", "To: shop@shop.test", "Subject: inside", "MIME-Version: 1.0", `Content-Type: multipart/mixed; boundary="inner"`, "",
		"--inner", "", "first", "--inner", "Content-Type: text/html", "", "<b>second</b>", "--inner--", "", "--outer--")
}

// longMail has lines as long as they may be (RFC 5322 §2.1.1), and a field of many.
func longMail(subject string, to ...string) clientMail {
	return mailOf(subject, subject+",\r\n folded over\r\n\tlines", to,
		"References: <"+strings.Repeat("a@b.test>\r\n <", 40)+"last@b.test>", "Keywords: "+strings.Repeat("long ", 180)+"field", "",
		strings.Repeat("long", 240), "short", strings.Repeat("x", 998)).named(subject + ", folded over lines")
}

func (m clientMail) named(subject string) clientMail {
	m.subject = subject
	return m
}

// dottedMail has lines that stores and protocols treat in their own ways.
func dottedMail(subject string, to ...string) clientMail {
	return mailOf(subject, subject, to, "", ".", "..", ". dot", "From the start of a line", ">From there", "", "--", "  blanks at the end  ", "", "")
}

func relatedMail(subject string, to ...string) clientMail {
	return mailOf(subject, subject, to,
		"MIME-Version: 1.0", `Content-Type: multipart/related; type="text/html"; boundary=rel`, "",
		"--rel", "Content-Type: text/html; charset=iso-8859-1", "Content-Transfer-Encoding: 8bit", "", "<img src=\"cid:a@b\"> caf\xe9",
		"--rel", "Content-Type: image/png", "Content-ID: <a@b>", "Content-Disposition: inline", "Content-Transfer-Encoding: base64", "", "iVBORw0KGgo=", "--rel--")
}

func emptyMail(subject string, to ...string) clientMail {
	return mailOf(subject, subject, to, "", "")
}
