//go:build full

package e2e_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	v1 "postrider/api/v1"
)

// writer makes random requests that are valid, of what writers and readers of
// mail get wrong.
type writer struct{ *rand.Rand }

func newWriter(seed uint64) writer { return writer{rand.New(rand.NewPCG(seed, 42))} }

func (r writer) pick(list ...string) string { return list[r.IntN(len(list))] }

func (r writer) maybe(one int) bool { return r.IntN(one) == 0 }

// scripts are words in many of them, and what looks like something else.
var scripts = []string{
	"Hello", "world", "Zoë", "Søren", "Łukasz", "Ελένη", "Дмитрий", "שלום", "مرحبا", "नमस्ते", "สวัสดี", "日本語", "简体", "한국어", "ქართული", "አማርኛ",
	"👩‍👩‍👧", "🇩🇪", "e\u0301", "\u200f", "\u202e", "\u00a0", "\ufeff", "ﬁ", "ß", "İ", " ", " ", "  ", "=?utf-8?q?x=20y?=", "=?iso-8859-1?B?4Q==?=", "=?", "?=", "=", "_",
	`"`, `\`, ",", ";", ":", "<", ">", "@", "(", ")", "[", "]", ".", "'", "%", "&", "{{name}}", "supercalifragilistic",
}

// line is a text of one line of at most so many octets, perhaps empty.
func (r writer) line(most int) string {
	for {
		var b strings.Builder
		for range r.IntN(40) {
			n := 1
			if r.maybe(8) {
				n += r.IntN(40)
			}
			b.WriteString(strings.Repeat(scripts[r.IntN(len(scripts))], n))
		}
		if b.Len() <= most {
			return b.String()
		}
	}
}

func (r writer) body() string {
	var b strings.Builder
	for range r.IntN(40) {
		b.WriteString(r.line(2000))
		b.WriteString(r.pick("\n", "\r\n", "\n\n", " \n", "\t\n", "\n.\n", "\n..\n", "\nFrom x\n", "\n--=_\n", "", "\x01", "\u2028"))
	}
	return b.String()
}

// mailbox is an address as the request has it, and as it is to be seen.
type mailbox struct {
	request v1.Address
	seen    box
	path    string
}

func (r writer) mailbox(domains ...string) mailbox {
	local := r.pick("bob", "bob.smith", "x+tag", "jörg", "用户", "o'hara", "a b", `q"uo\te`, "john,doe", "<x>", strings.Repeat("l", 64))
	return r.named(local, r.pick(domains...))
}

func (r writer) named(local, domain string) mailbox {
	address := quoted(local) + "@" + domain
	m := mailbox{seen: box{Local: local, Domain: domain}, path: quoted(local) + "@" + strings.ToLower(domain)}
	switch r.IntN(4) {
	case 0: // as text without a name
		m.request = v1.ParseLater(address)
	case 1: // as text with one
		m.seen.Name = r.pick("Zoë Ångström", "Дмитрий", "日本語 太郎", "Bob", "O'Hara, Inc")
		m.request = v1.ParseLater(`"` + m.seen.Name + `" <` + address + ">")
	default:
		m.seen.Name = r.line(320)
		m.request = v1.Address{Email: address, Name: m.seen.Name}
	}
	return m
}

// quoted writes a local-part as a path has it (RFC 5321 §4.1.2).
func quoted(local string) string {
	if !strings.ContainsAny(local, ` "\,<>`) {
		return local
	}
	return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(local) + `"`
}

var recipientDomains = []string{"customer.test", "CUSTOMER.Test", "friend.test", "bücher.test", "xn--bcher-kva.test"}

// posted makes a request and says what is to come of it.
func (r writer) posted() *posted {
	p := &posted{}
	m, w := &p.request, &p.want
	from := r.mailbox("shop.test", "Shop.test", "münchen.test")
	m.From, w.From, p.from = from.request, []box{from.seen}, from.path
	p.addresses(r)
	m.Subject = r.line(998)
	if r.maybe(5) {
		m.Subject = strings.Repeat("ж", 499)
	}
	w.Subject = m.Subject
	p.fields(r)
	if !r.maybe(3) {
		m.Text = r.body()
	}
	if !r.maybe(3) {
		m.HTML = r.body()
	}
	var files []file
	for i := range r.IntN(5) {
		f := r.file(i)
		m.Attachments = append(m.Attachments, f.request)
		files = append(files, f)
	}
	if m.Text == "" && m.HTML == "" && len(files) == 0 {
		m.Text = "x"
	}
	p.parts(files)
	for i := range r.IntN(4) {
		m.Tags = append(m.Tags, fmt.Sprint(i, r.pick("receipt", "чек", "領収書")))
	}
	if r.maybe(2) {
		m.Metadata = map[string]string{"order": fmt.Sprint(r.IntN(1e6)), r.pick("имя", "x y"): r.line(500)}
	}
	return p
}

// addresses fills in who gets it.
func (p *posted) addresses(r writer) {
	m, w := &p.request, &p.want
	add := func(most int, request *v1.Addresses, seen *[]box) {
		for range r.IntN(most + 1) {
			b := r.mailbox(recipientDomains...)
			*request = append(*request, b.request)
			*seen = append(*seen, b.seen)
			p.rcpts = append(p.rcpts, b.path)
		}
	}
	add(6, &m.To, &w.To)
	add(3, &m.Cc, &w.Cc)
	for i := range r.IntN(3) {
		p.hide(r, i)
	}
	if len(p.rcpts) == 0 {
		p.hide(r, 9)
	}
	slices.Sort(p.rcpts)
	p.rcpts = slices.Compact(p.rcpts)
	for range r.IntN(3) {
		b := r.mailbox("anywhere.example", "bücher.test")
		m.ReplyTo, w.ReplyTo = append(m.ReplyTo, b.request), append(w.ReplyTo, b.seen)
	}
	if r.maybe(4) {
		b := r.mailbox("shop.test")
		m.Sender, w.Sender = &b.request, []box{b.seen}
	}
}

func (p *posted) hide(r writer, i int) {
	local := fmt.Sprintf("hidden%d.%x", i, r.Uint64())
	b := r.named(local, r.pick(recipientDomains...))
	p.request.Bcc = append(p.request.Bcc, b.request)
	p.rcpts, p.hidden = append(p.rcpts, b.path), append(p.hidden, local)
}

// fields fills in further ones of the header, which are written in order.
func (p *posted) fields(r writer) {
	p.request.Headers = map[string]string{}
	for i := range r.IntN(6) {
		name := fmt.Sprintf("X-Test-%d%s", i, strings.Repeat("-long", r.IntN(2)*r.IntN(10)))
		p.request.Headers[name] = r.line(2000)
		p.want.Headers = append(p.want.Headers, []string{name, p.request.Headers[name]})
	}
}

// file is an attachment as the request has it, and as it is to be seen.
type file struct {
	request v1.Attachment
	seen    leaf
	related bool // it belongs to the HTML, if there is any
}

// kinds are the types of files that say none, by the ends of their names.
var kinds = map[string]string{
	"": "application/octet-stream", "report.pdf": "application/pdf", "a b.txt": "text/plain", `we"ird\name.png`: "image/png",
	"résumé.docx":                       "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	strings.Repeat("long", 40) + ".csv": "text/csv",
	strings.Repeat("長い", 40) + ".xlsx":  "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	"x;y=z*'%.zip":                      "application/zip",
	"=?utf-8?q?x?=.gif":                 "image/gif",
	"🇩🇪 \u202egnp.exe":                  "application/octet-stream",
	"…no end":                           "application/octet-stream",
	"צרופה עם שם ארוך מאוד בעברית שאין לו סוף.pdf": "application/pdf",
}

func (r writer) file(i int) file {
	names := []string{}
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	name := r.pick(names...)
	f := file{request: v1.Attachment{Filename: name}, seen: leaf{Filename: name, Type: kinds[name], Disposition: "attachment"}}
	content := make([]byte, r.IntN(400)+r.IntN(2)*57*r.IntN(500))
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	switch r.IntN(6) {
	case 0:
		f.request.ContentType, f.seen.Type = `Text/CSV; charset="utf-8"; header=present`, "text/csv"
	case 1:
		f.request.ContentType, f.seen.Type = "image/png", "image/png"
	case 2:
		f.request.ContentType, f.seen.Type, content = "message/rfc822", "message/rfc822", []byte(r.forwarded())
	}
	f.request.Content, f.seen.Content = base64.StdEncoding.EncodeToString(content), content
	id := fmt.Sprintf("part%d%s", i, r.pick("", "@example.com", "$x=y"))
	switch r.IntN(4) {
	case 0: // by its id it belongs to the HTML
		f.request.ContentID, f.seen.CID, f.seen.Disposition, f.related = r.pick(id, "cid:"+id, "<"+id+">"), "<"+id+">", "inline", true
	case 1: // although it has one, it does not
		f.request.ContentID, f.seen.CID, f.request.Disposition = id, "<"+id+">", "attachment"
	case 2: // it is shown, and nothing links to it
		f.request.Disposition, f.seen.Disposition = "inline", "inline"
	}
	return f
}

// forwarded is a message to be attached.
func (r writer) forwarded() string {
	head := "Subject: inner\r\nFrom: a@b.example\r\nMIME-Version: 1.0\r\n"
	if r.maybe(3) {
		return head + "Content-Type: multipart/mixed; boundary=\"in\"\r\n\r\n--in\r\n\r\none\r\n--in\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--in--\r\n"
	}
	return head + "\r\n" + strings.Repeat("From here: a line of text.\r\n.\r\n", r.IntN(5))
}

// parts says how it is to be put together: multipart/mixed of the text, in
// multipart/alternative of plain and HTML, that with what belongs to it, and files.
func (p *posted) parts(files []file) {
	var related, others []leaf
	for _, f := range files {
		if f.related && p.request.HTML != "" {
			related = append(related, f.seen)
		} else {
			others = append(others, f.seen)
		}
	}
	text := leaf{Type: "text/plain", Content: []byte(p.request.Text)}
	shape := text.Type
	switch {
	case p.request.HTML == "":
		p.want.Parts = append(p.want.Parts, text)
	case p.request.Text == "":
		p.want.Parts = append([]leaf{{Type: "text/html", Content: []byte(p.request.HTML)}}, related...)
		shape = shapeOf("multipart/related", p.want.Parts)
	default:
		html := append([]leaf{{Type: "text/html", Content: []byte(p.request.HTML)}}, related...)
		shape = "multipart/alternative(text/plain," + shapeOf("multipart/related", html) + ")"
		p.want.Parts = append([]leaf{text}, html...)
	}
	if p.want.Shape = shape; len(others) > 0 {
		types := []string{shape}
		for _, f := range others {
			types = append(types, f.Type)
		}
		p.want.Shape = "multipart/mixed(" + strings.Join(types, ",") + ")"
	}
	p.want.Parts = append(p.want.Parts, others...)
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
