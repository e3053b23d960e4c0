package compose_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"postrider/api/compose"
)

func write(t testing.TB, m *compose.Message) []byte {
	t.Helper()
	if ps := m.Check(); len(ps) > 0 {
		t.Fatalf("%+v", ps)
	}
	b, err := io.ReadAll(m.Reader())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parse reads a message with the standard library.
func parse(t testing.TB, octets []byte) seen {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(octets))
	if err != nil {
		t.Fatal(err)
	}
	s := seen{
		From: addresses(t, m, "From"), Sender: addresses(t, m, "Sender"), ReplyTo: addresses(t, m, "Reply-To"),
		To: addresses(t, m, "To"), Cc: addresses(t, m, "Cc"), Bcc: addresses(t, m, "Bcc"),
		Subject: decoded(t, m.Header.Get("Subject")), MessageID: m.Header.Get("Message-Id"),
	}
	// Names as they were written: mail.Header has them in its own letter case.
	head, _, _ := bytes.Cut(octets, []byte("\r\n\r\n"))
	for _, name := range regexp.MustCompile(`(?m)^X-[^:]+`).FindAllString(string(head), -1) {
		s.Headers = append(s.Headers, []string{name, decoded(t, m.Header.Get(name))})
	}
	s.Shape = walk(t, m.Header, m.Body, &s.Parts)
	return s
}

type getter interface{ Get(string) string }

func walk(t testing.TB, h getter, body io.Reader, into *[]leaf) string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		t.Fatalf("%q: %v", h.Get("Content-Type"), err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		var inner []string
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if err == io.EOF {
				return kind + "(" + strings.Join(inner, ",") + ")"
			}
			if err != nil {
				t.Fatal(err)
			}
			inner = append(inner, walk(t, p.Header, p, into))
		}
	}
	l := leaf{Type: kind, CID: h.Get("Content-Id")}
	if d := h.Get("Content-Disposition"); d != "" {
		how, params, err := mime.ParseMediaType(d)
		if err != nil {
			t.Fatalf("%q: %v", d, err)
		}
		l.Disposition, l.Filename = how, params["filename"]
	}
	switch h.Get("Content-Transfer-Encoding") {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "7bit":
	default:
		t.Fatalf("encoding %q", h.Get("Content-Transfer-Encoding"))
	}
	if l.Content, err = io.ReadAll(body); err != nil {
		t.Fatal(err)
	}
	*into = append(*into, l)
	return kind
}

func decoded(t testing.TB, s string) string {
	t.Helper()
	out, err := new(mime.WordDecoder).DecodeHeader(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return out
}

func addresses(t testing.TB, m *mail.Message, name string) (out []box) {
	t.Helper()
	text := m.Header.Get(name)
	if text == "" || text == "undisclosed-recipients:;" {
		return nil
	}
	list, err := mail.ParseAddressList(text)
	if err != nil {
		t.Fatalf("%s: %q: %v", name, text, err)
	}
	for _, a := range list {
		i := strings.LastIndexByte(a.Address, '@')
		out = append(out, box{a.Name, a.Address[:i], a.Address[i+1:]})
	}
	return out
}

func TestRandomMessagesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		m := newMaker(seed).message()
		octets := write(t, m)
		if what := different(parse(t, octets), wanted(m)); what != "" {
			t.Fatalf("seed %d:\n%s", seed, what)
		}
		wellFormed(t, octets, m.NeedsUTF8())
	}
}

// wellFormed holds octets against RFC 5322 §2.1.1 and §2.3, and against our own
// promise of 78 octets for all that can be folded.
func wellFormed(t testing.TB, octets []byte, utf8 bool) {
	t.Helper()
	if !bytes.HasSuffix(octets, []byte("\r\n")) && bytes.Contains(octets, []byte("multipart/")) {
		t.Error("the last line has no end")
	}
	head, _, _ := bytes.Cut(octets, []byte("\r\n\r\n"))
	for i, line := range bytes.Split(octets, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("line %d: %q", i, line)
		}
		if !utf8 && bytes.ContainsFunc(line, func(r rune) bool { return r >= 0x80 }) {
			t.Fatalf("line %d is not ASCII: %q", i, line)
		}
	}
	for _, line := range bytes.Split(head, []byte("\r\n")) {
		// After the name and a space there is one word that has no place to fold.
		_, rest, _ := bytes.Cut(bytes.TrimLeft(line, " "), []byte(" "))
		if len(line) > 78 && bytes.Contains(bytes.TrimSpace(rest), []byte(" ")) && !bytes.Contains(rest, []byte("  ")) {
			t.Fatalf("a line of %d octets could be folded: %q", len(line), line)
		}
	}
}

func TestSmallReadsGiveTheSame(t *testing.T) {
	t.Parallel()
	boundary := regexp.MustCompile(`=_[A-Z2-7]{26}`)
	clean := func(b []byte) string {
		var names []string
		return boundary.ReplaceAllStringFunc(string(b), func(s string) string {
			if !slices.Contains(names, s) {
				names = append(names, s)
			}
			return "=_" + string(rune('a'+slices.Index(names, s)))
		})
	}
	for seed := range uint64(20) {
		m := newMaker(seed).message()
		one, err := io.ReadAll(iotest.OneByteReader(m.Reader()))
		if err != nil {
			t.Fatal(err)
		}
		if whole := write(t, m); clean(one) != clean(whole) {
			t.Fatalf("seed %d: %d octets, %d at once", seed, len(one), len(whole))
		}
	}
}

func FuzzCompose(f *testing.F) {
	f.Add("Bob", "bob", "example.com", "Hello", "text", "<b>html</b>", "X-A", "value", "a.pdf", "application/pdf", "cid", []byte("%PDF"))
	f.Add("", "jörg x", "bücher.example", "=?utf-8?q?x?=\té", ".\r\nFrom ", "", "References", "<a@b> <c@d>", "ü\".eml", "message/rfc822; a=b", "", []byte("A: b\n\n\r"))
	f.Add("a\r\nBcc: x@y", "b", "c.d", "a\nb", "\xff", "", "List-Unsubscribe", "<https://a.example/>", "x\x00", "multipart/mixed", "<>", []byte{})
	f.Fuzz(func(t *testing.T, name, local, domain, subject, text, html, field, value, file, kind, cid string, content []byte) {
		m := &compose.Message{Subject: subject, Text: text, HTML: html, Fields: []compose.Field{{Name: field, Value: value}}}
		m.From.Name, m.From.Address.Local, m.From.Address.Domain = name, local, domain
		m.To = []compose.Mailbox{m.From}
		m.Attachments = []compose.Attachment{{Filename: file, ContentType: kind, ContentID: cid, Inline: len(name)%2 == 0, Content: content}}
		for _, p := range m.Check() {
			if strings.ContainsAny(p.Pointer+p.Detail, "\r\n\x00") {
				t.Fatalf("%+q", p)
			}
		}
		if len(m.Check()) > 0 {
			return
		}
		octets, err := io.ReadAll(m.Reader())
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, octets, m.NeedsUTF8())
		read, err := mail.ReadMessage(bytes.NewReader(octets))
		if err != nil {
			t.Fatal(err)
		}
		if len(read.Header) > 12 || read.Header["Bcc"] != nil {
			t.Fatalf("%q", read.Header)
		}
		if got := decoded(t, read.Header.Get("Subject")); got != subject {
			t.Fatalf("subject %q, want %q", got, subject)
		}
		var parts []leaf
		walk(t, read.Header, read.Body, &parts)
		if got := parts[len(parts)-1]; got.Filename != file || !strings.HasPrefix(got.Type, "message/") && !bytes.Equal(got.Content, content) {
			t.Fatalf("file %q", got)
		}
	})
}

func BenchmarkFiveMegabytes(b *testing.B) {
	m := &compose.Message{From: newMaker(1).mailbox(), To: newMaker(2).mailboxes(3), Subject: "Report", Text: "See the file.\n"}
	m.Attachments = []compose.Attachment{{Filename: "report.pdf", Content: bytes.Repeat([]byte("0123456789"), 5<<20/10)}}
	b.SetBytes(m.Size())
	b.ReportAllocs()
	buf := make([]byte, 32<<10)
	for b.Loop() {
		r := m.Reader()
		for {
			if _, err := r.Read(buf); err == io.EOF {
				break
			}
		}
	}
}
