package compose_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"postrider/api/compose"
	"postrider/queue"
)

// maker makes random messages that pass Check, from texts that writers of mail
// get wrong.
type maker struct{ *rand.Rand }

func newMaker(seed uint64) maker { return maker{rand.New(rand.NewPCG(seed, 7))} }

func (r maker) pick(list ...string) string { return list[r.IntN(len(list))] }

func (r maker) maybe(one int) bool { return r.IntN(one) == 0 }

var pieces = []string{
	"a", "Hello", "world", " ", " ", "  ", "é", "ü", "日本語", "👩‍👩‍👧", "=?utf-8?q?x=20y?=", "=?iso-8859-1?B?4Q==?=", "?=", "=?", "=", "_",
	`"`, `\`, ",", ";", ":", "<", ">", "@", "(", ")", "[", "]", ".", "'", "%", "&", "supercalifragilistic", "\u00a0", "\ufeff", "\u202e", "{{x}}",
}

// text is one line, perhaps empty.
func (r maker) text(most int) string {
	var b strings.Builder
	for range r.IntN(most) {
		if r.maybe(4) {
			b.WriteString(strings.Repeat(pieces[r.IntN(len(pieces))], 1+r.IntN(40)))
		} else {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
	}
	return b.String()
}

func (r maker) line(limit int) string {
	for {
		if s := r.text(30); len(s) <= limit {
			return s
		}
	}
}

func (r maker) address() queue.Address {
	a := queue.Address{
		Local:  r.pick("bob", "bob", "bob.smith", "x+tag", "a b", `q"uo\te`, "john,doe", "<x>", "jörg", "用户", "o'hara"),
		Domain: r.pick("example.com", "EXAMPLE.org", "mail.example.net", "bücher.example", "例え.example", "a-b.example.co.uk"),
	}
	if r.maybe(5) {
		a.Local = strings.Repeat("l", 64)
		a.Domain = strings.Repeat("d", 60) + ".example"
	}
	return a
}

func (r maker) mailbox() compose.Mailbox {
	b := compose.Mailbox{Address: r.address()}
	if !r.maybe(3) {
		b.Name = r.line(compose.MaxDisplayName)
	}
	return b
}

func (r maker) mailboxes(most int) (list []compose.Mailbox) {
	for range r.IntN(most + 1) {
		list = append(list, r.mailbox())
	}
	return list
}

func (r maker) body() string {
	var b strings.Builder
	for range r.IntN(40) {
		b.WriteString(r.text(20))
		b.WriteString(r.pick("\n", "\r\n", "\n\n", " \n", "\t\n", "\n.\n", "\nFrom x\n", "\n--=_\n", "", "\x01", "\u2028"))
	}
	return b.String()
}

func (r maker) content() []byte {
	b := make([]byte, r.IntN(400))
	if r.maybe(4) {
		b = make([]byte, 57*r.IntN(500))
	}
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func (r maker) attachment(i int) compose.Attachment {
	a := compose.Attachment{
		Filename:    r.pick("", "report.pdf", "a b.txt", `we"ird\name.png`, "résumé.docx", strings.Repeat("long", 40)+".csv", strings.Repeat("長い", 40)+".xlsx", "x;y=z*'%.zip", "=?utf-8?q?x?=.gif"),
		ContentType: r.pick("", "application/pdf", "image/png", `text/csv; charset="utf-8"; header=present`, "text/plain", "application/octet-stream"),
		Inline:      r.maybe(2),
		Content:     r.content(),
	}
	if r.maybe(2) {
		a.ContentID = fmt.Sprintf("part%d%s", i, r.pick("", "@example.com", "$x=y"))
	}
	if r.maybe(5) {
		a.ContentType, a.Content = "message/rfc822", []byte("Subject: inner\r\nFrom: a@b.example\r\n\r\n"+strings.Repeat("line of text\r\n", r.IntN(5)))
	}
	return a
}

func (r maker) message() *compose.Message {
	m := &compose.Message{
		From: r.mailbox(), ReplyTo: r.mailboxes(3), To: r.mailboxes(8), Cc: r.mailboxes(3), Bcc: r.mailboxes(3),
		Subject: r.line(compose.MaxSubject), Date: time.Unix(r.Int64N(4e9), 0).UTC(), MessageID: fmt.Sprintf("m%d@example.com", r.Uint64()),
	}
	if len(m.To)+len(m.Cc)+len(m.Bcc) == 0 {
		m.To = []compose.Mailbox{r.mailbox()}
	}
	if r.maybe(4) {
		s := r.mailbox()
		m.Sender = &s
	}
	if !r.maybe(3) {
		m.Text = r.body()
	}
	if !r.maybe(3) {
		m.HTML = r.body()
	}
	m.HasText, m.HasHTML = r.maybe(10), r.maybe(10)
	for i := range r.IntN(6) {
		m.Fields = append(m.Fields, compose.Field{Name: fmt.Sprintf("X-Test-%d%s", i, strings.Repeat("-long", r.IntN(2)*r.IntN(10))), Value: r.line(2000)})
	}
	for i := range r.IntN(4) {
		m.Attachments = append(m.Attachments, r.attachment(i))
	}
	return m
}

// seen is a message as some reader of mail sees it, or should.
type seen struct {
	From      []box      `json:"from"`
	Sender    []box      `json:"sender"`
	ReplyTo   []box      `json:"reply_to"`
	To        []box      `json:"to"`
	Cc        []box      `json:"cc"`
	Bcc       []box      `json:"bcc"`
	Subject   string     `json:"subject"`
	MessageID string     `json:"message_id"`
	Headers   [][]string `json:"headers"`
	Shape     string     `json:"shape"`
	Parts     []leaf     `json:"parts"`
	Defects   []string   `json:"defects"`
}

type box struct {
	Name   string `json:"name"`
	Local  string `json:"local"`
	Domain string `json:"domain"`
}

type leaf struct {
	Type        string `json:"type"`
	Filename    string `json:"filename"`
	Disposition string `json:"disposition"`
	CID         string `json:"cid"`
	Content     []byte `json:"content"`
}

// wanted is what a reader should see of m.
func wanted(m *compose.Message) seen {
	s := seen{
		From: boxesOf([]compose.Mailbox{m.From}), ReplyTo: boxesOf(m.ReplyTo), To: boxesOf(m.To), Cc: boxesOf(m.Cc),
		Subject: m.Subject, MessageID: "<" + m.MessageID + ">",
	}
	if m.Sender != nil {
		s.Sender = boxesOf([]compose.Mailbox{*m.Sender})
	}
	for _, f := range m.Fields {
		s.Headers = append(s.Headers, []string{f.Name, f.Value})
	}
	var body, inline, files []leaf
	text, html := m.Text != "" || m.HasText, m.HTML != "" || m.HasHTML
	for _, a := range m.Attachments {
		l := leaf{Type: kindOf(a), Filename: a.Filename, Disposition: "attachment", Content: a.Content}
		if a.ContentID != "" {
			l.CID = "<" + a.ContentID + ">"
		}
		if a.Inline {
			l.Disposition = "inline"
		}
		if a.Inline && a.ContentID != "" && html {
			inline = append(inline, l)
		} else {
			files = append(files, l)
		}
	}
	shape := ""
	if html {
		body = append([]leaf{{Type: "text/html", Content: []byte(m.HTML)}}, inline...)
		shape = shapeOf("multipart/related", body)
	}
	if text || !html && len(files) == 0 {
		body = append([]leaf{{Type: "text/plain", Content: []byte(m.Text)}}, body...)
		if html {
			shape = "multipart/alternative(text/plain," + shape + ")"
		} else {
			shape = "text/plain"
		}
	}
	if len(files) > 0 {
		inner := []string{}
		if shape != "" {
			inner = append(inner, shape)
		}
		for _, f := range files {
			inner = append(inner, f.Type)
		}
		shape = "multipart/mixed(" + strings.Join(inner, ",") + ")"
	}
	s.Shape, s.Parts = shape, append(body, files...)
	return s
}

func shapeOf(kind string, leaves []leaf) string {
	if len(leaves) == 1 {
		return leaves[0].Type
	}
	types := []string{}
	for _, l := range leaves {
		types = append(types, l.Type)
	}
	return kind + "(" + strings.Join(types, ",") + ")"
}

func kindOf(a compose.Attachment) string {
	kind, _, _ := strings.Cut(a.ContentType, ";")
	if kind != "" {
		return kind
	}
	for ext, kind := range map[string]string{
		".pdf": "application/pdf", ".txt": "text/plain", ".png": "image/png", ".csv": "text/csv", ".zip": "application/zip", ".gif": "image/gif",
		".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	} {
		if strings.HasSuffix(a.Filename, ext) {
			return kind
		}
	}
	return "application/octet-stream"
}

func boxesOf(list []compose.Mailbox) (out []box) {
	for _, b := range list {
		out = append(out, box{b.Name, b.Address.Local, b.Address.Domain})
	}
	return out
}

// lines makes texts comparable: line ends are made the same, and the one that ends
// a body without belonging to it is dropped.
func lines(l leaf) []byte {
	if !strings.HasPrefix(l.Type, "text/") && !strings.HasPrefix(l.Type, "message/") || l.Disposition != "" && !strings.HasPrefix(l.Type, "message/") {
		return l.Content
	}
	b := bytes.ReplaceAll(l.Content, []byte("\r\n"), []byte("\n"))
	return bytes.TrimSuffix(bytes.ReplaceAll(b, []byte("\r"), []byte("\n")), []byte("\n"))
}

// different says what got and want differ in.
func different(got, want seen) string {
	for i := range got.Parts {
		got.Parts[i].Content = lines(got.Parts[i])
	}
	for i := range want.Parts {
		want.Parts[i].Content = lines(want.Parts[i])
	}
	got.Defects, want.Defects = nil, nil
	g, w := fmt.Sprintf("%+q", got), fmt.Sprintf("%+q", want)
	if g == w {
		return ""
	}
	i := 0
	for i < min(len(g), len(w)) && g[i] == w[i] {
		i++
	}
	cut := func(s string) string { return s[max(i-80, 0):min(i+120, len(s))] }
	return fmt.Sprintf("got  …%s…\nwant …%s…", cut(g), cut(w))
}
