package send

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func FuzzRaw(f *testing.F) {
	f.Add([]byte("From: Shop <shop@example.com>\r\nTo: Bob <bob@example.org>,\r\n c@d.example\r\nBcc: x@y.example\r\n\r\nBody\r\n"))
	f.Add([]byte("From: a@b.example\rX: y\rBcc: dave@example.org\r\r\r\nTo: bob@example.org\n\n\r\rBody"))
	f.Add([]byte("From: =?x?q?y?= <\"a b\"@[192.0.2.1]>\nTo: g:a@b.c, d@e.f;\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := readRaw(bytes.NewReader(text), 4<<10)
		if err != nil {
			return
		}
		out, err := io.ReadAll(m.reader())
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(out), "\r\n\r\n")
		if strings.ContainsAny(strings.ReplaceAll(head, "\r\n", ""), "\r\n") {
			t.Fatalf("another reader sees other lines in %q", head)
		}
		again, err := readRaw(bytes.NewReader(out), 4<<10)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, out, err)
		}
		if again.from != m.from || again.messageID != m.messageID {
			t.Fatalf("%q became %q", text, out)
		}
		for _, f := range again.fields {
			if strings.EqualFold(f.Name, "Bcc") {
				t.Fatalf("a hidden recipient in %q", out)
			}
		}
	})
}
