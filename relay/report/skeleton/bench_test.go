package skeleton

import (
	"io"
	"strings"
	"testing"
)

// alternative is what a shop sends: a text and its HTML, of about size octets.
func alternative(size int) string {
	line := strings.Repeat("Thank you for your order. ", 3) + "\r\n"
	n := max(1, size/2/len(line))
	return crlf("Received: from shop.example ([192.0.2.1]) by mail.example with ESMTPSA id x\n for <ann@example.com>; Sun, 22 Nov 2026 10:00:00 +0000\n"+
		"Date: Sun, 22 Nov 2026 10:00:00 +0000\nFrom: The Shop <shop@shop.example>\nReply-To: help@shop.example\n"+
		"To: =?utf-8?q?J=C3=B6rg?= <joerg@example.com>\nSubject: =?utf-8?q?Your_order_=2312345_=E2=80=93_thank_you?=\n"+
		"Message-ID: <12345@shop.example>\nMIME-Version: 1.0\nX-Mailer: PHPMailer\n"+
		"Content-Type: multipart/alternative;\n boundary=\"b1_abcdef0123456789\"\nContent-Transfer-Encoding: 8bit\n\n"+
		"This is a multi-part message in MIME format.\n--b1_abcdef0123456789\nContent-Type: text/plain; charset=UTF-8\n\n") +
		strings.Repeat(line, n) +
		"\r\n--b1_abcdef0123456789\r\nContent-Type: text/html; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
		strings.Repeat(line, n) + "\r\n--b1_abcdef0123456789--\r\n"
}

func benchmark(b *testing.B, raw string) {
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	var p Parser
	for b.Loop() {
		if _, err := p.Parse(strings.NewReader(raw)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAlternative4K(b *testing.B) { benchmark(b, alternative(4<<10)) }

func BenchmarkPlain4K(b *testing.B) {
	benchmark(b, "From: a@x.example\r\nTo: b@x.example\r\nSubject: a\r\n\r\n"+strings.Repeat(strings.Repeat("x", 76)+"\r\n", 52))
}

func BenchmarkHundredParts(b *testing.B) {
	benchmark(b, "Content-Type: multipart/mixed; boundary=b\r\n\r\n"+
		strings.Repeat("--b\r\nContent-Type: image/png; name=a.png\r\nContent-Disposition: attachment; filename=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n", 100)+"--b--\r\n")
}

func BenchmarkAttachment10M(b *testing.B) {
	raw := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\nContent-Type: image/png\r\n\r\n" +
		strings.Repeat(strings.Repeat("x", 76)+"\r\n", 10<<20/78) + "--b--\r\n"
	benchmark(b, raw)
}

func BenchmarkOneLine10M(b *testing.B) {
	b.SetBytes(10 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(io.LimitReader(zeros{}, 10<<20)); err != nil {
			b.Fatal(err)
		}
	}
}
