package compat

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"postrider/api/send"
)

// Body returns a request's body without compression. Reading it fails with a
// *http.MaxBytesError where it goes beyond the limit, before and after
// decompression.
func (o Options) Body(w http.ResponseWriter, r *http.Request) (io.Reader, error) {
	limit := o.Limits.Body
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		return nil, &http.MaxBytesError{Limit: limit}
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	switch encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, unreadable(err)
		}
		return &inflated{z: z, left: limit, limit: limit}, nil
	}
	return nil, &send.Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type",
		Detail: "The body may be compressed with gzip or not at all."}
}

// unreadable keeps the errors of the connection and of its limit, and says of
// others that the compression is broken.
func unreadable(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) || !errors.Is(err, gzip.ErrHeader) && !errors.Is(err, gzip.ErrChecksum) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	return &send.Error{Status: http.StatusBadRequest, Code: "invalid_body", Detail: "The body is not valid gzip."}
}

// inflated bounds what comes out of a small body.
type inflated struct {
	z           *gzip.Reader
	left, limit int64
}

func (i *inflated) Read(p []byte) (int, error) {
	if i.left < 0 {
		return 0, &http.MaxBytesError{Limit: i.limit}
	}
	if int64(len(p)) > i.left+1 {
		p = p[:i.left+1]
	}
	n, err := i.z.Read(p)
	if i.left -= int64(n); i.left < 0 {
		return n - 1, &http.MaxBytesError{Limit: i.limit}
	}
	if err != nil && err != io.EOF {
		err = unreadable(err)
	}
	return n, err
}

// DecodeJSON reads the body into v. Unknown members are passed over, and null is
// the same as nothing. Its errors repeat nothing of the body.
func (o Options) DecodeJSON(w http.ResponseWriter, r *http.Request, v any, opts ...json.Options) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Header.Get("Content-Type") != "" &&
		(err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json")) {
		return &send.Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type",
			Detail: "The body must be JSON, with Content-Type: application/json."}
	}
	body, err := o.Body(w, r)
	if err != nil {
		return err
	}
	return decodeJSON(body, v, opts...)
}

func decodeJSON(body io.Reader, v any, opts ...json.Options) error {
	watched := &watch{r: body}
	err := json.UnmarshalRead(watched, v, opts...)
	var meaning *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil:
		return nil
	case watched.err != nil:
		return fmt.Errorf("read body: %w", watched.err)
	case errors.As(err, &meaning):
		return misread(meaning)
	case errors.As(err, &syntax):
		return &send.Error{Status: http.StatusBadRequest, Code: "invalid_json",
			Detail: fmt.Sprintf("The body is not valid JSON: look near octet %d.", syntax.ByteOffset)}
	}
	return &send.Error{Status: http.StatusBadRequest, Code: "invalid_json", Detail: "The body is not valid JSON."}
}

func misread(e *json.SemanticError) error {
	var parts []string
	for part := range e.JSONPointer.Tokens() {
		parts = append(parts, part)
	}
	detail := "has a value of the wrong type"
	if why := (*valueError)(nil); errors.As(e, &why) {
		detail = why.detail
	}
	field := fieldName(parts)
	if field == "" {
		field = "body"
	}
	return Refuse(field, "invalid_type", detail)
}

// maxFieldName bounds what of a request's own names is told back.
const maxFieldName = 100

// fieldName is Path for names that somebody else chose.
func fieldName(parts []string) string {
	name := Path(parts...)
	if len(name) > maxFieldName {
		return ""
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] >= 0x7f {
			return ""
		}
	}
	return name
}

// watch remembers what went wrong below a decoder.
type watch struct {
	r     io.Reader
	shape Shape
	err   error
}

func (w *watch) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	if !w.shape.Add(p[:n]) {
		w.err = Refuse("body", "too_many", "has a list or an object with far too many members")
		return 0, w.err
	}
	return n, err
}
