package submission_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"postrider/relay/submission"
)

// oddEnds are the sequences that some server somewhere took for the end of a
// content (SEC Consult, Postfix, Exim and others, 2023).
var oddEnds = []string{
	"\n.\n", "\n.\r", "\r.\n", "\r.\r", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r\n.\r\r\n",
	"\r\r\n.\r\r\n", "\r\n\x00.\r\n", "\r\n.\x00\r\n",
}

const smuggled = "MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nSubject: evil\r\n\r\nevil\r\n"

// smuggle sends a content with a second message hidden in it, cut at one place,
// and wants one reply: it is one content.
func smuggle(t *testing.T, s *serverUnderTest, c *client, body string, cut int) {
	t.Helper()
	c.do("MAIL FROM:<a@example.com>", "250")
	c.do("RCPT TO:<b@example.net>", "250")
	c.do("DATA", "354")
	text := body + "\r\n.\r\n"
	c.send(text[:cut])
	c.send(text[cut:])
	c.expect("250 2.0.0 Ok: queued as")
	c.do("NOOP", "250 2.0.0 Ok") // nothing else was answered
	got := s.door.contents()
	if want := unstuffed(body + "\r\n"); got[len(got)-1] != want {
		t.Fatalf("cut at %d: got %q, want %q", cut, got[len(got)-1], want)
	}
}

// unstuffed takes the dot off the lines that begin with one, a line being what
// follows CR LF.
func unstuffed(s string) string {
	s = strings.ReplaceAll("\r\n"+s, "\r\n.", "\r\n")
	return s[2:]
}

func TestSmuggledMessagesAreOneMessage(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	s := serve(t, func(o *submission.Options) { o.TLS = cert })
	over := map[string]func(c *client){"tcp": func(*client) {}, "tls": func(c *client) { c.startTLS(pool) }}
	for name, secure := range over {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			c.do("EHLO x", "250")
			secure(c)
			c.do("EHLO x", "250")
			n := len(s.door.all())
			for _, odd := range oddEnds {
				for _, before := range []string{"Subject: x\r\n\r\nhello", ""} {
					body := before + odd + smuggled
					for cut := len(before); cut <= len(before)+len(odd)+3; cut++ {
						smuggle(t, s, c, body, cut)
						n++
					}
				}
			}
			if got := len(s.door.all()); got != n {
				t.Errorf("%d messages for %d contents", got, n)
			}
			c.do("QUIT", "221")
		})
	}
}

func TestStrictEndIsFoundWhereverItIsCut(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t)
	c.do("EHLO x", "250")
	for _, body := range []string{"", ".\r\n..\r\n...\r\n", "a\r\n\r\n", "a\r\r\n", "\r\n\r\n..\r\n", "x\r"} {
		text := strings.ReplaceAll("\r\n"+body, "\r\n.", "\r\n..")[2:]
		if body != "" && !strings.HasSuffix(body, "\r\n") {
			text += "\r\n"
		}
		text += ".\r\n"
		for cut := range len(text) + 1 {
			c.do("MAIL FROM:<a@example.com>", "250")
			c.do("RCPT TO:<b@example.net>", "250")
			c.do("DATA", "354")
			c.send(text[:cut])
			c.send(text[cut:])
			c.expect("250 ")
			got := s.door.contents()
			want := body
			if body != "" && !strings.HasSuffix(body, "\r\n") {
				want += "\r\n"
			}
			if got[len(got)-1] != want {
				t.Fatalf("%q cut at %d: got %q", text, cut, got[len(got)-1])
			}
		}
	}
}

func TestSmugglingByChunks(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t)
	c.do("EHLO x", "250")
	for _, odd := range append(oddEnds, "\r\n.\r\n", "\r\r\n.\r\n") {
		body := "Subject: x\r\n\r\nhello" + odd + smuggled
		for cut := range len(odd) + 1 {
			cut += strings.Index(body, odd)
			c.do("MAIL FROM:<a@example.com>", "250")
			c.do("RCPT TO:<b@example.net>", "250")
			c.raw(fmt.Sprintf("BDAT %d\r\n%s", cut, body[:cut]), "250 2.0.0 Ok: "+fmt.Sprint(cut))
			c.raw(fmt.Sprintf("BDAT %d LAST\r\n%s", len(body)-cut, body[cut:]), "250 2.0.0 Ok: queued as")
			c.do("NOOP", "250 2.0.0 Ok")
			got := s.door.contents()
			if got[len(got)-1] != body {
				t.Fatalf("got %q, want %q", got[len(got)-1], body)
			}
		}
	}
}

func TestSmugglingBehindAStall(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *submission.Options) { o.ContentTimeout = 30 * time.Millisecond })
	for _, odd := range oddEnds {
		t.Run(fmt.Sprintf("%q", odd), func(t *testing.T) {
			t.Parallel()
			c := s.dial(t).data()
			c.send("hello" + odd)
			c.expect("421 4.4.2")
			_, _ = io.WriteString(c.Conn, smuggled+".\r\n")
			c.ended()
			if n := len(s.door.all()); n != 0 {
				t.Errorf("%d messages", n)
			}
		})
	}
}
