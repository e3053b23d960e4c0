// Package content takes stored messages apart, for people to look at: header
// fields decoded, the text and the HTML that a mail program would show, and the
// files.
//
// It promises to make something of any octets: what is malformed is shown as far
// as it goes. It reads a message once, from front to back, and holds no more of
// it than its limits say.
package content

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
)

// Limits of what is held.
const (
	MaxHeader = 256 << 10 // octets of a header
	MaxText   = 1 << 20   // octets of text, and of HTML
	MaxParts  = 500
	maxDepth  = 20
)

// Message is a message taken apart.
type Message struct {
	Fields    []Field
	Text      string
	HTML      string
	Truncated bool // something was longer than the limits
	Files     []File
}

// Field is one header field, unfolded and decoded.
type Field struct{ Name, Value string }

// File is a part that is neither the text nor the HTML.
type File struct {
	Filename    string
	ContentType string // media type without parameters
	ContentID   string // without angle brackets
	Inline      bool
	Size        int64 // octets, decoded
}

// ErrNoFile says that a message has no such file.
var ErrNoFile = errors.New("message has no such file")

// Read takes a message apart. Its only errors are those of r.
func Read(r io.Reader) (Message, error) {
	w := &walk{in: &source{r: r}, want: -1}
	err := w.message()
	return w.m, err
}

// Copy calls to for the n-th file, counted from 0, with its octets. It returns
// what that returns, or ErrNoFile, or an error of r.
func Copy(r io.Reader, n int, to func(f File, octets io.Reader) error) error {
	w := &walk{in: &source{r: r}, want: n, to: to}
	switch err := w.message(); {
	case errors.Is(err, errFound):
		return w.result
	case err != nil:
		return err
	}
	return ErrNoFile
}

var errFound = errors.New("file was found")

// source remembers why reading ended, so that trouble of the store is told from
// a message that is malformed.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// walk goes through the parts of a message.
type walk struct {
	in               *source
	m                Message
	parts            int
	hasText, hasHTML bool

	want   int // the file that is looked for; -1: none
	to     func(File, io.Reader) error
	result error
}

func (w *walk) message() error {
	b := bufio.NewReaderSize(w.in, 32<<10)
	fields, whole := readHeader(b)
	w.m.Truncated = !whole
	h := entity{}
	for _, f := range fields {
		if name := strings.ToLower(f.Name); h[name] == "" && strings.HasPrefix(name, "content-") {
			h[name] = f.Value
		}
		w.m.Fields = append(w.m.Fields, Field{Name: f.Name, Value: decodeWords(f.Value)})
	}
	found := w.part(h, b, 0)
	if w.in.err != nil {
		return w.in.err
	}
	return found
}

// part takes an entity; it returns errFound to end the walk.
func (w *walk) part(h entity, body io.Reader, depth int) error {
	if w.parts++; w.parts > MaxParts || depth > maxDepth {
		w.m.Truncated = true
		return nil
	}
	kind, params := h.mediaType()
	if boundary := params["boundary"]; strings.HasPrefix(kind, "multipart/") && boundary != "" {
		return w.multipart(multipart.NewReader(body, boundary), depth)
	}
	octets := h.decoder(body)
	f := h.file(kind, params)
	if attached := f.Filename != "" || h.disposition() == "attachment"; !attached {
		switch {
		case kind == "text/plain" && !w.hasText:
			w.hasText = true
			w.m.Text = w.text(octets, params["charset"])
			return nil
		case kind == "text/html" && !w.hasHTML:
			w.hasHTML = true
			w.m.HTML = w.text(octets, params["charset"])
			return nil
		}
	}
	return w.file(f, octets)
}

func (w *walk) multipart(r *multipart.Reader, depth int) error {
	for {
		p, err := r.NextRawPart()
		if err != nil { // the end, or what cannot be read: the rest is not shown
			return nil
		}
		h := entity{}
		for name, values := range p.Header {
			h[strings.ToLower(name)] = values[0]
		}
		if err := w.part(h, p, depth+1); err != nil {
			return err
		}
		if w.parts > MaxParts {
			return nil
		}
	}
}

func (w *walk) text(octets io.Reader, charset string) string {
	b, _ := io.ReadAll(io.LimitReader(octets, MaxText+1)) // what cannot be decoded ends there; the source keeps its own errors
	if len(b) > MaxText {
		w.m.Truncated = true
		b = b[:MaxText]
	}
	return toUTF8(b, charset)
}

func (w *walk) file(f File, octets io.Reader) error {
	if w.want == len(w.m.Files) {
		w.result = w.to(f, octets)
		return errFound
	}
	f.Size, _ = io.Copy(io.Discard, octets) // as of text
	w.m.Files = append(w.m.Files, f)
	return nil
}

// maxParams bounds what is read of a Content-Type.
const maxParams = 4 << 10

// entity has the header fields of a part that say what it is, by lower-case name.
type entity map[string]string

func (h entity) mediaType() (string, map[string]string) {
	text := h["content-type"]
	if text == "" {
		return "text/plain", nil
	}
	if len(text) > maxParams {
		return "application/octet-stream", nil
	}
	kind, params, err := mime.ParseMediaType(text)
	if kind == "" || err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return "application/octet-stream", nil
	}
	return kind, params
}

func (h entity) disposition() string {
	kind, _, _ := strings.Cut(h["content-disposition"], ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

func (h entity) file(kind string, params map[string]string) File {
	f := File{ContentType: kind, ContentID: strings.Trim(strings.TrimSpace(h["content-id"]), "<>"), Inline: h.disposition() == "inline"}
	if text := h["content-disposition"]; len(text) <= maxParams {
		_, p, _ := mime.ParseMediaType(text) // what cannot be read has no name
		f.Filename = p["filename"]
	}
	if f.Filename == "" {
		f.Filename = params["name"]
	}
	f.Filename = baseName(decodeWords(f.Filename))
	return f
}

// baseName keeps the last part of a path, without what could mislead.
func baseName(s string) string {
	s = s[strings.LastIndexAny(s, `/\`)+1:]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r <= 0x9f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
