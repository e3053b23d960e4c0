package skeleton

import (
	"strings"
	"testing"
	"testing/iotest"
)

func FuzzParse(f *testing.F) {
	for _, c := range golden {
		if len(c.raw) < 1000 {
			f.Add(c.raw)
		}
	}
	f.Add(alternative(400))
	f.Add("Date: Mon, 2 Nov 2026 03:04:05 +0530 (x)\r\nSubject: =?utf-8?q?=C3?= =?utf-8?b?vA==?= \x00\xff\"\\\r\nFrom: G: \"a\\\"\" <@r,@s:a@[1]> (c(d)), =?x?q?,?= <b@c>;\r\nTo: a\r\nTo: b;\r\n\r\n")
	f.Add("Content-Type: (c) message/rfc822; a*0*=x'y'%41; b=\"\\\"\xc3\xbc\r\nContent-Transfer-Encoding: 8BIT\r\nContent-Language: a, b\r\nContent-Disposition: x=y\r\n\r\nContent-Type: multipart/digest; boundary*=''%61\r\n\r\n--a\r\n\r\n\r\n--a\r\n")
	f.Fuzz(func(t *testing.T, raw string) {
		m := parse(t, raw)
		if s := m.Search(); strings.ContainsAny(s.Subject+s.From+s.To+s.Cc+s.Bcc+s.MessageID, "\r\n\x00") {
			t.Errorf("line ends in %+v", s)
		}
		var p Parser
		if _, err := p.Parse(strings.NewReader(alternative(400))); err != nil {
			t.Fatal(err)
		}
		again, err := p.Parse(iotest.OneByteReader(strings.NewReader(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if string(again.BodyStructure()) != string(m.BodyStructure()) {
			t.Errorf("octet by octet it is %s, else %s", again.BodyStructure(), m.BodyStructure())
		}
	})
}
