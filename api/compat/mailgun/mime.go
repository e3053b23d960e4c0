package mailgun

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"postrider/api/compat"
	"postrider/api/send"
	"postrider/queue"
)

const (
	// spool is how much of a message is read before it is passed on: then fields
	// may also follow a message of usual size.
	spool = 1 << 20
	// maxHead is how much of it is looked through for Mailgun's own fields.
	maxHead = 64 << 10
)

// mime sends a whole message. A large one flows through if `to` stands before it.
func (s *surface) mime(w http.ResponseWriter, r *http.Request) {
	caller, key, err := s.caller(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	f := &form{}
	raw, err := s.readMIME(w, r, f)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	req, err := rawRequest(f, raw)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	req.IdempotencyKey = key
	receipt, err := s.Sender.Send(r.Context(), caller, req)
	if err != nil {
		if raw.err != nil { // the reason for what followed
			err = raw.err
		}
		s.fail(w, r, err)
		return
	}
	answer(w, receipt)
}

// rawMessage is a message that is being read.
type rawMessage struct {
	io.Reader
	err error // of the form, if it has one
}

func (s *surface) readMIME(w http.ResponseWriter, r *http.Request, f *form) (*rawMessage, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return nil, &send.Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Detail: "The body must be multipart/form-data."}
	}
	body, err := s.Body(w, r)
	if err != nil {
		return nil, err
	}
	parts := multipart.NewReader(body, params["boundary"])
	part, err := f.readUntil(parts, "message")
	if err != nil {
		return nil, err
	}
	if part == nil {
		return nil, compat.Refuse("message", "required", "parameter is missing")
	}
	raw := &rawMessage{}
	head, err := io.ReadAll(io.LimitReader(part, spool+1))
	if err != nil {
		return nil, brokenForm(err)
	}
	if err := noOwnFields(head[:min(len(head), maxHead)]); err != nil {
		return nil, err
	}
	if len(head) > spool && len(f.all("to")) > 0 {
		raw.Reader = io.MultiReader(bytes.NewReader(head), &lastPart{part: part, parts: parts, raw: raw})
		return raw, nil
	}
	rest, err := io.ReadAll(part)
	if err != nil {
		return nil, brokenForm(err)
	}
	raw.Reader = io.MultiReader(bytes.NewReader(head), bytes.NewReader(rest))
	again, err := f.readUntil(parts, "message")
	if err == nil && again != nil {
		err = compat.Refuse("message", "duplicate", "is given more than once")
	}
	return raw, err
}

// lastPart is the message as it arrives. Nothing may follow it: what does would
// come too late to be heeded.
type lastPart struct {
	part  *multipart.Part
	parts *multipart.Reader
	raw   *rawMessage
}

func (l *lastPart) Read(p []byte) (int, error) {
	if l.raw.err != nil {
		return 0, l.raw.err
	}
	n, err := l.part.Read(p)
	switch err {
	case nil:
		return n, nil
	case io.EOF:
		if _, err = l.parts.NextPart(); err == io.EOF {
			return n, io.EOF
		}
		if err == nil {
			l.raw.err = compat.Refuse("message", "order", "must be the last part of the form, since it is large")
			return n, l.raw.err
		}
	}
	l.raw.err = brokenForm(err)
	return n, l.raw.err
}

// noOwnFields refuses options that are inside the message, where nobody would heed
// them and everybody could read them.
func noOwnFields(head []byte) error {
	header, _, _ := bytes.Cut(bytes.ReplaceAll(head, []byte("\r\n"), []byte("\n")), []byte("\n\n"))
	for line := range bytes.SplitSeq(header, []byte("\n")) {
		if len(line) >= len(ownHeader) && strings.EqualFold(string(line[:len(ownHeader)]), ownHeader) {
			return compat.Unsupported("message", "has X-Mailgun- fields in its header, which are not supported; use the o: and v: fields of the form")
		}
	}
	return nil
}

func rawRequest(f *form, raw *rawMessage) (send.Request, error) {
	o, err := parseOptions(f)
	if err != nil {
		return send.Request{}, err
	}
	for _, p := range f.fields {
		switch {
		case p.Value == "":
		case p.Name == "template":
			return send.Request{}, noTemplates(p.Name)
		case p.Name == "cc", p.Name == "bcc":
			return send.Request{}, compat.Unsupported(p.Name, "is not supported here; name all recipients in to")
		case p.Name == "recipient-variables":
			return send.Request{}, compat.Unsupported(p.Name, "is not supported here; use /messages")
		}
	}
	if len(o.headers) > 0 {
		return send.Request{}, compat.Unsupported("h: fields", "are not supported here; write the fields into the message")
	}
	if len(f.files) > 0 {
		return send.Request{}, compat.Unsupported("files", "are not supported here; put them into the message")
	}
	to, err := mailboxes(f, "to")
	if err != nil {
		return send.Request{}, err
	}
	if len(to) == 0 {
		return send.Request{}, compat.Refuse("to", "required", "parameter is missing")
	}
	r := send.Request{Raw: raw, Operation: "POST /v3/messages.mime"}
	seen := make(map[queue.Address]bool)
	for _, m := range to {
		if !seen[m.Address.Fold()] {
			seen[m.Address.Fold()] = true
			r.RawTo = append(r.RawTo, m.Address)
		}
	}
	o.apply(&r)
	return r, nil
}
