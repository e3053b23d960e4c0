package e2e_test

import (
	"bytes"
	"context"
	"io"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/dkim"
	"postrider/relay/smtpsim"
)

// eightBit is a message as WordPress sends it: raw UTF-8, a line of 998 octets,
// and nothing said of it in MAIL.
func eightBit(from, to string) []byte {
	var b bytes.Buffer
	b.WriteString("From: <" + from + ">\r\nTo: <" + to + ">\r\nSubject: eight bits\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\nMessage-ID: <8bit@client.test>\r\n")
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	b.WriteString("Grüße, 中文 und 🎉 = \t\r\n.\r\n" + strings.Repeat("ä", 499) + "\r\nEnde\r\n")
	return b.Bytes()
}

// readBody is the body that a reader sees.
func readBody(t *testing.T, raw []byte) (encoding, body string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	encoding = m.Header.Get("Content-Transfer-Encoding")
	r := m.Body
	if encoding == "quoted-printable" {
		r = quotedprintable.NewReader(r)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return encoding, string(text)
}

// A server that does not take 8 bit gets the message encoded, and signed as it is
// then; another one gets the octets that were sent. A reader sees the same.
func TestEightBitIsEncodedOnlyForServersWithoutIt(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	old := world.Domain(t, "old.test", smtpsim.Options{Capabilities: smtpsim.Capabilities{No8BitMIME: true}})
	usual := world.Domain(t, "usual.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	world.Publish(t, "shop.test", relay.CLI(ctx, t, "domain", "records", "--zone", "shop.test"))
	content := eightBit("a@shop.test", "b@old.test")
	relay.Submit(ctx, t, "a@shop.test", []string{"b@old.test", "b@usual.test"}, content)
	encoded, plain := e2etest.Receive(ctx, t, old, 1)[0], e2etest.Receive(ctx, t, usual, 1)[0]

	if !bytes.HasSuffix(plain.Raw, content) {
		t.Errorf("the usual server got\n%s", plain.Raw)
	}
	for _, c := range encoded.Raw {
		if c > 127 {
			t.Fatalf("the old server got octets above 127:\n%s", encoded.Raw)
		}
	}
	for line := range strings.SplitSeq(string(encoded.Raw), "\r\n") {
		if len(line) > 998 {
			t.Errorf("a line has %d octets", len(line))
		}
	}
	_, sent := readBody(t, content)
	if encoding, body := readBody(t, encoded.Raw); encoding != "quoted-printable" || body != sent {
		t.Errorf("as %s the body reads\n%q\nwant\n%q", encoding, body, sent)
	}
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, world.DNS.Addr())
	}}
	for name, m := range map[string]*smtpsim.Message{"old": encoded, "usual": plain} {
		verdicts, err := dkim.Verify(ctx, bytes.NewReader(m.Raw), resolver.LookupTXT)
		if err != nil || len(verdicts) != 2 {
			t.Errorf("%s: %d signatures, %v", name, len(verdicts), err)
		}
		for _, v := range verdicts {
			if v.Err != nil {
				t.Errorf("%s: the signature of %s: %v", name, v.Domain, v.Err)
			}
		}
	}
}
