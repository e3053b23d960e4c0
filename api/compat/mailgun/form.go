package mailgun

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"postrider/api/compat"
	"postrider/api/send"
)

// maxParts of one request: names cost more than they look.
const maxParts = 10_000

// form is a request's fields in their order, and its files.
type form struct {
	fields []compat.Pair
	files  []file
}

type file struct {
	field, name, kind string
	content           []byte
}

func (f *form) all(name string) []string {
	var values []string
	for _, p := range f.fields {
		if p.Name == name {
			values = append(values, p.Value)
		}
	}
	return values
}

// one is the value of a field that may be there once, and whether it is.
func (f *form) one(name string) (value string, given bool, err error) {
	values := f.all(name)
	if len(values) > 1 {
		return "", false, compat.Refuse(name, "duplicate", "is given more than once")
	}
	if len(values) == 0 {
		return "", false, nil
	}
	return values[0], true, nil
}

// readForm reads a whole request, of either kind.
func (s *surface) readForm(w http.ResponseWriter, r *http.Request) (*form, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	body, err := s.Body(w, r)
	if err != nil {
		return nil, err
	}
	f := &form{}
	switch kind {
	case "multipart/form-data":
		return f, f.read(body, params["boundary"])
	case "application/x-www-form-urlencoded":
		return f, f.readEncoded(body)
	}
	return nil, &send.Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type",
		Detail: "The body must be multipart/form-data or application/x-www-form-urlencoded."}
}

func (f *form) readEncoded(body io.Reader) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("read form: %w", err)
	}
	// url.ParseQuery would lose the order.
	for pair := range strings.SplitSeq(string(text), "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err := errors.Join(err1, err2); err != nil {
			return badForm()
		}
		if len(f.fields) == maxParts {
			return tooMany()
		}
		f.fields = append(f.fields, compat.Pair{Name: plainName(name), Value: value})
	}
	return nil
}

func (f *form) read(body io.Reader, boundary string) error {
	parts := multipart.NewReader(body, boundary)
	_, err := f.readUntil(parts, "")
	return err
}

// readUntil reads parts up to the one of this name, which it returns unread; nil
// if there is none.
func (f *form) readUntil(parts *multipart.Reader, name string) (*multipart.Part, error) {
	for {
		p, err := parts.NextPart()
		switch {
		case err == io.EOF:
			return nil, nil
		case err != nil:
			return nil, brokenForm(err)
		case name != "" && p.FormName() == name:
			return p, nil
		case len(f.fields)+len(f.files) == maxParts:
			return nil, tooMany()
		}
		if err := f.add(p); err != nil {
			return nil, err
		}
	}
}

func (f *form) add(p *multipart.Part) error {
	content, err := io.ReadAll(p)
	if err != nil {
		return brokenForm(err)
	}
	name := plainName(p.FormName())
	if p.FileName() == "" && name != "attachment" && name != "inline" {
		f.fields = append(f.fields, compat.Pair{Name: name, Value: string(content)})
		return nil
	}
	f.files = append(f.files, file{field: name, name: p.FileName(), kind: p.Header.Get("Content-Type"), content: content})
	return nil
}

// plainName takes off the index that PHP adds to names of which there are several.
func plainName(name string) string {
	if open := strings.IndexByte(name, '['); open > 0 && strings.HasSuffix(name, "]") &&
		strings.Trim(name[open:], "[]0123456789") == "" {
		return name[:open]
	}
	return name
}

// brokenForm keeps the errors of the connection and of limits apart from those of
// the form.
func brokenForm(err error) error {
	var large *http.MaxBytesError
	var known *send.Error
	if errors.As(err, &large) || errors.As(err, &known) {
		return fmt.Errorf("read form: %w", err)
	}
	return badForm()
}

func badForm() error {
	return &send.Error{Status: http.StatusBadRequest, Code: "invalid_body", Detail: "The form cannot be read, or it ends early."}
}

func tooMany() error {
	return &send.Error{Status: http.StatusBadRequest, Code: "invalid_body", Detail: fmt.Sprintf("The form has more than %d fields.", maxParts)}
}
