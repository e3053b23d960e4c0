package mailgun

import (
	"fmt"
	"mime"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"postrider/api/compat"
	"postrider/api/compose"
	"postrider/api/send"
)

// maxRecipients of one request.
const maxRecipients = 1000

// job is one request, of which messages are made when they are needed.
type job struct {
	*surface
	*options
	key         string
	from        compose.Mailbox
	to          [][]compose.Mailbox // of each message
	cc, bcc     []compose.Mailbox
	subject     string
	text, html  *string
	attachments []compose.Attachment
	// variables by address in lower case: then each recipient gets a message.
	recipient map[string]compat.Pairs
}

func (s *surface) job(f *form, key string) (*job, error) {
	o, err := parseOptions(f)
	if err != nil {
		return nil, err
	}
	j := &job{surface: s, options: o, key: key}
	for _, step := range []func(*form) error{j.unsupported, j.addresses, j.texts, j.files, j.merge} {
		if err := step(f); err != nil {
			return nil, err
		}
	}
	return j, s.Room(len(j.to), j.size())
}

func (j *job) unsupported(f *form) error {
	for _, p := range f.fields {
		switch {
		case p.Value == "":
		case p.Name == "template":
			return noTemplates(p.Name)
		case p.Name == "amp-html":
			return compat.Unsupported(p.Name, "is not supported; send html")
		}
	}
	return nil
}

func (j *job) addresses(f *form) error {
	from, given, err := f.one("from")
	switch {
	case err != nil:
		return err
	case !given || from == "":
		return compat.Refuse("from", "required", "parameter is missing")
	}
	if j.from, err = compat.ParseMailbox("from", from); err != nil {
		return err
	}
	to, err := mailboxes(f, "to")
	if err != nil {
		return err
	}
	if len(to) == 0 {
		return compat.Refuse("to", "required", "parameter is missing")
	}
	j.to = [][]compose.Mailbox{to}
	if j.cc, err = mailboxes(f, "cc"); err != nil {
		return err
	}
	j.bcc, err = mailboxes(f, "bcc")
	return err
}

func mailboxes(f *form, field string) ([]compose.Mailbox, error) {
	var all []compose.Mailbox
	for _, text := range f.all(field) {
		list, err := compat.ParseMailboxes(field, text)
		if err != nil {
			return nil, err
		}
		if all = append(all, list...); len(all) > maxRecipients {
			return nil, compat.Refuse(field, "too_many", fmt.Sprintf("has more than %d addresses", maxRecipients))
		}
	}
	return all, nil
}

// texts takes the empty text that the Go library always sends as none.
func (j *job) texts(f *form) error {
	for _, t := range []struct {
		field string
		into  **string
	}{{"text", &j.text}, {"html", &j.html}} {
		text, given, err := f.one(t.field)
		if err != nil {
			return err
		}
		if given && text != "" {
			*t.into = &text
		}
	}
	if j.text == nil && j.html == nil {
		return compat.Refuse("text", "required", "parameter is missing, and so is html; one of them is needed")
	}
	var err error
	if j.subject, _, err = f.one("subject"); err != nil {
		return err
	}
	for _, h := range append([]compat.Pair{{Name: "subject", Value: j.subject}, {Name: "text", Value: value(j.text)}, {Name: "html", Value: value(j.html)}}, j.headers...) {
		if placeholder(h.Value) {
			return compat.Unsupported("%unsubscribe_url%", "is not supported in texts and headers; write a link of your own")
		}
	}
	return nil
}

// placeholder reports whether Mailgun would put a link of its own into a text.
func placeholder(s string) bool {
	for _, of := range []string{"%", "%tag_", "%mailing_list_"} {
		if strings.Contains(s, of+"unsubscribe_url%") || strings.Contains(s, of+"unsubscribe_email%") {
			return true
		}
	}
	return false
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (j *job) files(f *form) error {
	for _, file := range f.files {
		a := compose.Attachment{Filename: file.name, ContentType: contentType(file.kind), Content: file.content}
		switch file.field {
		case "inline":
			a.Inline, a.ContentID = true, file.name
		case "attachment":
		default:
			return compat.Unsupported("files", "must be named attachment or inline")
		}
		j.attachments = append(j.attachments, a)
	}
	return nil
}

// contentType leaves it to the file's name where the library said what it says of
// every file.
func contentType(kind string) string {
	if t, _, err := mime.ParseMediaType(kind); err != nil || t == "application/octet-stream" {
		return ""
	}
	return kind
}

// merge reads recipient-variables. If they are given at all, even without any,
// each recipient gets a message that names no other.
func (j *job) merge(f *form) error {
	text, given, err := f.one("recipient-variables")
	if err != nil || !given || text == "" {
		return err
	}
	if len(j.cc)+len(j.bcc) > 0 {
		return compat.Unsupported("recipient-variables", "cannot be used together with cc or bcc")
	}
	var raw map[string]jsontext.Value
	if json.Unmarshal([]byte(text), &raw) != nil {
		return compat.Refuse("recipient-variables", "invalid", "must be a JSON object by address")
	}
	j.recipient = make(map[string]compat.Pairs)
	for address, v := range raw {
		var pairs compat.Pairs
		if json.Unmarshal(v, &pairs) != nil {
			return compat.Refuse("recipient-variables", "invalid", "must have an object of texts for each address")
		}
		j.recipient[strings.ToLower(address)] = pairs
	}
	all := j.to[0]
	j.to = nil
	for _, m := range all {
		j.to = append(j.to, []compose.Mailbox{m})
	}
	return nil
}

// size is about that of each message.
func (j *job) size() int64 {
	n := len(value(j.text)) + len(value(j.html))
	for _, a := range j.attachments {
		n += len(a.Content)
	}
	return int64(n)
}

// request makes one message.
func (j *job) request(i int) (send.Request, error) {
	r := send.Request{Operation: "POST /v3/messages", IdempotencyKey: j.key}
	put := func(s string) (string, error) { return s, nil }
	if j.recipient != nil {
		var err error
		if r.IdempotencyKey, err = compat.ItemKey(j.key, i); err != nil {
			return r, err
		}
		put = j.putter(j.to[i][0])
	}
	m, err := j.message(i, put)
	if err != nil {
		return r, err
	}
	r.Message = m
	j.apply(&r)
	for name, v := range r.Labels.Metadata {
		if r.Labels.Metadata[name], err = put(v); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (j *job) message(i int, put func(string) (string, error)) (*compose.Message, error) {
	m := &compose.Message{From: j.from, To: j.to[i], Cc: j.cc, Bcc: j.bcc, Attachments: j.attachments}
	var err error
	if m.Subject, err = put(j.subject); err != nil {
		return nil, err
	}
	if j.text != nil {
		m.HasText = true
		if m.Text, err = put(*j.text); err != nil {
			return nil, err
		}
	}
	if j.html != nil {
		m.HasHTML = true
		if m.HTML, err = put(*j.html); err != nil {
			return nil, err
		}
	}
	for _, h := range j.headers {
		if h.Value, err = put(h.Value); err != nil {
			return nil, err
		}
		if err := compat.AddFields(m, func(string) string { return "h: fields" }, h); err != nil {
			return nil, err
		}
	}
	return m, nil
}
