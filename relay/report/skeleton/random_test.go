package skeleton

import (
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"

	"postrider/queue/folders"
)

// builder writes random well-formed messages and notes where their parts are.
type builder struct {
	b     strings.Builder
	r     *rand.Rand
	parts []folders.Part
	count int // of boundaries
}

func (b *builder) at() int64 { return int64(b.b.Len()) }

// lines writes some, the last without a line end: that is the boundary's.
func (b *builder) lines() {
	for range b.r.IntN(4) {
		b.b.WriteString([]string{
			"", "text", "--", "--b", "-- b0", "--b0x", " --b0", "ümläut", "From here",
			"Content-Type: multipart/mixed; boundary=b0", strings.Repeat("long ", 50),
		}[b.r.IntN(11)])
		b.b.WriteString("\r\n")
	}
	b.b.WriteString("end")
}

// entity writes one with its header. With a path it is noted under it.
func (b *builder) entity(path string, depth int) {
	i := len(b.parts)
	b.parts = append(b.parts, folders.Part{Path: path, Header: b.at()})
	fmt.Fprintf(&b.b, "X-Path: %s\r\n", path)
	var body func()
	switch kind := b.r.IntN(5); {
	case depth < 5 && kind < 2:
		body = b.multipart(path, depth)
	case depth < 5 && kind == 2:
		b.b.WriteString("Content-Type: message/rfc822\r\n")
		body = func() { b.message(i, path, depth) }
	case kind == 3:
		b.b.WriteString("Content-Type: image/png;\r\n\tname=\"a;b\"\r\n")
		body = b.lines
	default:
		body = b.lines
	}
	b.b.WriteString("\r\n")
	b.parts[i].Body = b.at()
	body()
	b.parts[i].End = b.at()
}

// multipart writes the field of one; the body is written by what it returns.
func (b *builder) multipart(path string, depth int) func() {
	boundary := fmt.Sprintf("b%d", b.count)
	b.count++
	fmt.Fprintf(&b.b, "Content-Type: multipart/mixed; boundary=%q\r\n", boundary)
	return func() {
		if b.r.IntN(2) == 0 {
			b.b.WriteString("preamble\r\n")
		}
		for i := range 1 + b.r.IntN(3) {
			fmt.Fprintf(&b.b, "--%s%s\r\n", boundary, strings.Repeat(" ", b.r.IntN(2)))
			b.entity(fmt.Sprintf("%s.%d", path, i+1), depth+1)
			b.b.WriteString("\r\n")
		}
		fmt.Fprintf(&b.b, "--%s--", boundary)
		if b.r.IntN(2) == 0 {
			b.b.WriteString("\r\nepilogue")
		}
	}
}

// message writes the one inside of the i-th part.
func (b *builder) message(i int, path string, depth int) {
	j := len(b.parts)
	b.entity(path+".1", depth+1)
	inside := b.parts[j]
	b.parts[i].Inner = inside.Body
	if !isMultipart(b.b.String()[inside.Header:inside.Body]) {
		return
	}
	// Its parts are numbered as if they were those of the part it is in.
	b.parts = append(b.parts[:j], b.parts[j+1:]...)
	for k := j; k < len(b.parts); k++ {
		b.parts[k].Path = path + strings.TrimPrefix(b.parts[k].Path, path+".1")
	}
}

func isMultipart(header string) bool { return strings.Contains(header, "multipart/") }

// root writes a whole message: as part 1, or if that is a multipart the parts of
// which are numbered alone, as the message.
func (b *builder) root() string {
	b.entity("1", 0)
	raw := b.b.String()
	top := b.parts[0]
	top.Path, top.Inner = "", 0
	if !isMultipart(raw[:top.Body]) {
		b.parts = append([]folders.Part{top}, b.parts...)
		return raw
	}
	b.parts[0] = top
	for i := range b.parts[1:] {
		b.parts[i+1].Path = strings.TrimPrefix(b.parts[i+1].Path, "1.")
	}
	return raw
}

func TestWellFormedMailIsReadAsTheStandardLibraryReadsIt(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		b := builder{r: rand.New(rand.NewPCG(seed, 0))}
		raw := b.root()
		m := parse(t, raw)
		if got, want := fmt.Sprintf("%+v", m.Parts()), fmt.Sprintf("%+v", b.parts); got != want {
			t.Fatalf("seed %d:\n%s\ngot  %s\nwant %s", seed, raw, got, want)
		}
		table := map[string]folders.Part{}
		for _, p := range m.Parts() {
			table[p.Path] = p
		}
		l := library{t: t, raw: raw, table: table}
		l.message(raw, "")
		if l.seen != len(m.Parts()) {
			t.Fatalf("seed %d: the table has %d parts, the library finds %d in\n%s", seed, len(m.Parts()), l.seen, raw)
		}
	}
}

// library reads a message with net/mail and mime/multipart, and compares each
// body with what the table says.
type library struct {
	t     *testing.T
	raw   string
	table map[string]folders.Part
	seen  int
}

func (l *library) message(raw, path string) {
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		l.t.Fatal(err)
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	if path == "" {
		l.same("", string(body))
	} else if p := l.table[path]; l.raw[p.Inner:p.End] != string(body) {
		l.t.Fatalf("the message in %s has the text %q, want %q", path, l.raw[p.Inner:p.End], body)
	}
	h := textproto.MIMEHeader(m.Header)
	if isMultipart(h.Get("Content-Type")) {
		l.children(h, string(body), path)
		return
	}
	l.entity(h, string(body), strings.TrimPrefix(path+".1", "."))
}

func (l *library) entity(h textproto.MIMEHeader, body, path string) {
	l.same(path, body)
	switch kind := h.Get("Content-Type"); {
	case isMultipart(kind):
		l.children(h, body, path)
	case kind == "message/rfc822":
		l.message(body, path)
	}
}

func (l *library) children(h textproto.MIMEHeader, body, path string) {
	_, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		l.t.Fatal(err)
	}
	r := multipart.NewReader(strings.NewReader(body), params["boundary"])
	for i := 1; ; i++ {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return
		}
		if err != nil {
			l.t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			l.t.Fatal(err)
		}
		l.entity(p.Header, string(b), strings.TrimPrefix(fmt.Sprintf("%s.%d", path, i), "."))
	}
}

func (l *library) same(path, body string) {
	l.seen++
	p, ok := l.table[path]
	if !ok {
		l.t.Fatalf("no part %q in\n%s", path, l.raw)
	}
	if got := l.raw[p.Body:p.End]; got != body {
		l.t.Fatalf("%q is %q, want %q", path, got, body)
	}
}
