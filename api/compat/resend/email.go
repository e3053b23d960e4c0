package resend

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"postrider/api/compat"
	"postrider/api/compose"
	"postrider/api/send"
)

// email is the body of POST /emails. Libraries send null and empty lists for what
// was not set, and one address as a text or a list.
type email struct {
	From        string         `json:"from"`
	To          compat.Texts   `json:"to"`
	Cc          compat.Texts   `json:"cc"`
	Bcc         compat.Texts   `json:"bcc"`
	ReplyTo     compat.Texts   `json:"reply_to"`
	Subject     *string        `json:"subject"`
	HTML        *string        `json:"html"`
	Text        *string        `json:"text"`
	Headers     compat.Pairs   `json:"headers"`
	Attachments []attachment   `json:"attachments"`
	Tags        []compat.Pairs `json:"tags"`
	ScheduledAt string         `json:"scheduled_at"`
	Template    compat.Any     `json:"template"`
	TopicID     compat.Any     `json:"topic_id"`
}

type attachment struct {
	Content         compat.Content `json:"content"`
	Filename        compat.Text    `json:"filename"` // Node may send false
	Path            compat.Text    `json:"path"`
	ContentType     compat.Text    `json:"content_type"`
	ContentID       compat.Text    `json:"content_id"`
	InlineContentID compat.Text    `json:"inline_content_id"` // its old name
}

// request is what to send; now is for times that are relative to it.
func (e *email) request(now time.Time) (send.Request, error) {
	if err := e.supported(); err != nil {
		return send.Request{}, err
	}
	m, err := e.message()
	if err != nil {
		return send.Request{}, err
	}
	r := send.Request{Message: m}
	if r.Labels.Metadata, r.Labels.Tags, err = e.labels(); err != nil {
		return send.Request{}, err
	}
	if e.ScheduledAt != "" {
		if r.ScheduledAt, err = scheduledAt(e.ScheduledAt, now); err != nil {
			return send.Request{}, err
		}
	}
	return r, nil
}

func (e *email) supported() error {
	switch {
	case e.Template.Given:
		return compat.Unsupported("template", "this relay has no templates; send html or text")
	case e.TopicID.Given:
		return compat.Unsupported("topic_id", "this relay has no topics; leave it out")
	}
	for i, a := range e.Attachments {
		if a.Path != "" {
			return compat.Unsupported(nth("attachments", i, "path"), "this relay fetches no files; send them as content")
		}
		if !a.Content.Given {
			return compat.Refuse(nth("attachments", i, "content"), "required", "is missing")
		}
	}
	return nil
}

func (e *email) message() (*compose.Message, error) {
	switch {
	case e.From == "":
		return nil, compat.Refuse("from", "required", "is missing")
	case len(e.To) == 0:
		return nil, compat.Refuse("to", "required", "is missing")
	case e.Subject == nil:
		return nil, compat.Refuse("subject", "required", "is missing")
	case e.HTML == nil && e.Text == nil:
		return nil, compat.Refuse("html", "required", "is missing, and so is text; one of them is needed")
	}
	m := &compose.Message{Subject: *e.Subject}
	var err error
	if m.From, err = compat.ParseMailbox("from", e.From); err != nil {
		return nil, err
	}
	for _, list := range []struct {
		field string
		texts compat.Texts
		into  *[]compose.Mailbox
	}{{"to", e.To, &m.To}, {"cc", e.Cc, &m.Cc}, {"bcc", e.Bcc, &m.Bcc}, {"reply_to", e.ReplyTo, &m.ReplyTo}} {
		if *list.into, err = mailboxes(list.field, list.texts); err != nil {
			return nil, err
		}
	}
	e.bodies(m)
	if err := compat.AddFields(m, compat.FieldPath, e.Headers...); err != nil {
		return nil, err
	}
	for _, a := range e.Attachments {
		m.Attachments = append(m.Attachments, a.compose())
	}
	return m, nil
}

// bodies takes an empty text beside HTML as Resend does: as the wish for none.
func (e *email) bodies(m *compose.Message) {
	if e.HTML != nil {
		m.HTML = *e.HTML
		m.HasHTML = *e.HTML != "" || e.Text == nil
	}
	if e.Text != nil {
		m.Text = *e.Text
		m.HasText = *e.Text != "" || !m.HasHTML
	}
}

// mailboxes reads a list whose texts hold an address each; one text may hold
// several, as it may with Resend.
func mailboxes(field string, texts compat.Texts) ([]compose.Mailbox, error) {
	var all []compose.Mailbox
	for i, text := range texts {
		at := field
		if len(texts) > 1 {
			at = nth(field, i)
		}
		list, err := compat.ParseMailboxes(at, text)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, compat.Refuse(at, "invalid_address", "is empty")
		}
		all = append(all, list...)
	}
	return all, nil
}

func (a attachment) compose() compose.Attachment {
	id := compat.ContentID(string(cmp.Or(a.ContentID, a.InlineContentID)))
	return compose.Attachment{
		Filename: string(a.Filename), ContentType: string(a.ContentType), ContentID: id, Inline: id != "", Content: a.Content.Data,
	}
}

// labels makes metadata of tags, and tags of their names. A tag without a name
// member is what Symfony sends: {"name":"value"} with any name.
func (e *email) labels() (metadata map[string]string, tags []string, err error) {
	metadata = make(map[string]string)
	for i, t := range e.Tags {
		name, value, named := "", "", false
		for _, p := range t {
			switch p.Name {
			case "name":
				name, named = p.Value, true
			case "value":
				value = p.Value
			}
		}
		if !named && len(t) == 1 {
			name, value = t[0].Name, t[0].Value
		}
		if name == "" {
			return nil, nil, compat.Refuse(nth("tags", i), "required", "needs a name")
		}
		if _, twice := metadata[name]; twice {
			return nil, nil, compat.Refuse(nth("tags", i), "duplicate", "has the name of an earlier tag")
		}
		metadata[name] = value
		tags = append(tags, name)
	}
	if len(tags) == 0 {
		return nil, nil, nil
	}
	return metadata, tags, nil
}

func nth(field string, i int, more ...string) string {
	return compat.Path(append([]string{field, strconv.Itoa(i)}, more...)...)
}

// limited tells what the Go and Ruby libraries read of a 429.
func limited(h http.Header, e *send.Error) {
	if h.Get("RateLimit-Remaining") == "" {
		h.Set("RateLimit-Remaining", "0")
	}
	if h.Get("RateLimit-Reset") == "" {
		h.Set("RateLimit-Reset", strconv.Itoa(compat.RetrySeconds(e)))
	}
}
