package compose

import (
	"crypto/rand"
	"io"
	"strings"
)

// Reader returns the message as octets with CR LF line ends, made while they are
// read. The message must have passed Check and may not be changed meanwhile;
// each Reader gives it anew, with other boundaries.
func (m *Message) Reader() io.Reader {
	m = m.Adopt()
	root := m.root()
	segments := []io.Reader{strings.NewReader(string(m.header()))}
	return io.MultiReader(root.segments(segments)...)
}

// part is a MIME entity: one body, or further parts between boundaries.
type part struct {
	header   []byte // its fields, without the empty line
	body     io.Reader
	boundary string
	parts    []*part
}

// root builds multipart/mixed(multipart/alternative(text, multipart/related(html,
// inline …)), file …), each level only where it is needed.
func (m *Message) root() *part {
	var inline, files []*part
	for i := range m.Attachments {
		a := &m.Attachments[i]
		if a.Inline && a.ContentID != "" && m.hasHTML() {
			inline = append(inline, a.part())
		} else {
			files = append(files, a.part())
		}
	}
	body := m.bodyPart(inline)
	if len(files) == 0 {
		if body == nil {
			return textPart("text/plain", "")
		}
		return body
	}
	if body != nil {
		files = append([]*part{body}, files...)
	}
	return multipart("mixed", nil, files)
}

func (m *Message) bodyPart(inline []*part) *part {
	var text, html *part
	if m.hasText() {
		text = textPart("text/plain", m.Text)
	}
	if m.hasHTML() {
		html = textPart("text/html", m.HTML)
		if len(inline) > 0 {
			html = multipart("related", map[string]string{"type": "text/html"}, append([]*part{html}, inline...))
		}
	}
	switch {
	case text != nil && html != nil:
		return multipart("alternative", nil, []*part{text, html})
	case html != nil:
		return html
	}
	return text
}

func textPart(kind, text string) *part {
	var w headerWriter
	w.typed("Content-Type", kind, map[string]string{"charset": "utf-8"})
	w.plain("Content-Transfer-Encoding", "quoted-printable")
	return &part{header: w.b, body: &textLines{src: text}}
}

func multipart(kind string, params map[string]string, parts []*part) *part {
	// "=_" is in no quoted-printable and no base64 line (RFC 2045 §6.7); the rest
	// cannot be guessed, so that an attached message cannot hold it.
	boundary := "=_" + rand.Text()
	all := map[string]string{"boundary": boundary}
	for k, v := range params {
		all[k] = v
	}
	var w headerWriter
	w.typed("Content-Type", "multipart/"+kind, all)
	return &part{header: w.b, boundary: boundary, parts: parts}
}

func (a *Attachment) part() *part {
	t := a.typeOf()
	p := &part{}
	var w headerWriter
	w.typed("Content-Type", t.name, t.params)
	if composite(t.name) {
		w.plain("Content-Transfer-Encoding", "7bit")
		p.body = &plainLines{src: a.Content}
	} else {
		w.plain("Content-Transfer-Encoding", "base64")
		p.body = &base64Lines{src: a.Content}
	}
	disposition, params := "attachment", map[string]string{}
	if a.Inline {
		disposition = "inline"
	}
	if a.Filename != "" {
		params["filename"] = a.Filename
	}
	w.typed("Content-Disposition", disposition, params)
	if a.ContentID != "" {
		w.plain("Content-ID", "<"+a.ContentID+">")
	}
	p.header = w.b
	return p
}

// segments appends the octets of a part, from its header to its end.
func (p *part) segments(to []io.Reader) []io.Reader {
	to = append(to, strings.NewReader(string(p.header)+"\r\n"))
	if p.parts == nil {
		return append(to, p.body)
	}
	for i, child := range p.parts {
		delimiter := "\r\n--" + p.boundary + "\r\n"
		if i == 0 {
			delimiter = delimiter[2:] // no preamble
		}
		to = child.segments(append(to, strings.NewReader(delimiter)))
	}
	return append(to, strings.NewReader("\r\n--"+p.boundary+"--\r\n"))
}
