package postmark

import (
	"fmt"
	"strings"

	"postrider/api/compat"
	"postrider/api/compose"
	"postrider/api/send"
)

// email is the body of POST /email.
type email struct {
	From          compat.Text  `json:"From"`
	To            compat.Texts `json:"To"` // one text by its documentation; some send a list
	Cc            compat.Texts `json:"Cc"`
	Bcc           compat.Texts `json:"Bcc"`
	ReplyTo       compat.Texts `json:"ReplyTo"`
	Subject       compat.Text  `json:"Subject"`
	HTMLBody      *string      `json:"HtmlBody"`
	TextBody      *string      `json:"TextBody"`
	Tag           compat.Text  `json:"Tag"`
	Metadata      compat.Pairs `json:"Metadata"`
	Headers       []header     `json:"Headers"`
	Attachments   []attachment `json:"Attachments"`
	MessageStream compat.Text  `json:"MessageStream"`
	TrackOpens    compat.Flag  `json:"TrackOpens"`
	TrackLinks    compat.Text  `json:"TrackLinks"`
	TemplateID    compat.Any   `json:"TemplateId"`
	TemplateAlias compat.Any   `json:"TemplateAlias"`
	TemplateModel compat.Any   `json:"TemplateModel"`
}

type header struct {
	Name  string      `json:"Name"`
	Value compat.Text `json:"Value"`
}

type attachment struct {
	Name        compat.Text    `json:"Name"`
	Content     compat.Content `json:"Content"`
	ContentType compat.Text    `json:"ContentType"`
	ContentID   compat.Text    `json:"ContentID"`
}

func (e *email) request() (send.Request, error) {
	if err := e.supported(); err != nil {
		return send.Request{}, err
	}
	m, err := e.message()
	if err != nil {
		return send.Request{}, err
	}
	r := send.Request{Message: m}
	r.Labels.Stream = stream(string(e.MessageStream))
	if e.Tag != "" {
		r.Labels.Tags = []string{string(e.Tag)}
	}
	for _, p := range e.Metadata {
		if r.Labels.Metadata == nil {
			r.Labels.Metadata = make(map[string]string)
		}
		r.Labels.Metadata[p.Name] = p.Value
	}
	return r, nil
}

// stream is ours for the one that every Postmark server has.
func stream(id string) string {
	if id == "outbound" {
		return ""
	}
	return id
}

func (e *email) supported() error {
	switch {
	case e.TemplateID.Given || e.TemplateAlias.Given || e.TemplateModel.Given:
		return compat.Unsupported("TemplateId", "this relay has no templates; send HtmlBody or TextBody")
	case bool(e.TrackOpens):
		return compat.Unsupported("TrackOpens", "this relay does not track who opens mail; leave it out or send false")
	case e.TrackLinks != "" && !strings.EqualFold(string(e.TrackLinks), "None"):
		return compat.Unsupported("TrackLinks", "this relay does not track links; leave it out or send None")
	}
	return nil
}

func (e *email) message() (*compose.Message, error) {
	switch {
	case e.From == "":
		return nil, compat.Refuse("From", "required", "is missing")
	case e.HTMLBody == nil && e.TextBody == nil:
		return nil, compat.Refuse("HtmlBody", "required", "is missing, and so is TextBody; one of them is needed")
	}
	m := &compose.Message{Subject: string(e.Subject)}
	var err error
	if m.From, err = compat.ParseMailbox("From", string(e.From)); err != nil {
		return nil, err
	}
	for _, list := range []struct {
		field string
		texts compat.Texts
		into  *[]compose.Mailbox
	}{{"To", e.To, &m.To}, {"Cc", e.Cc, &m.Cc}, {"Bcc", e.Bcc, &m.Bcc}, {"ReplyTo", e.ReplyTo, &m.ReplyTo}} {
		for _, text := range list.texts {
			some, err := compat.ParseMailboxes(list.field, text)
			if err != nil {
				return nil, err
			}
			*list.into = append(*list.into, some...)
		}
	}
	if len(m.To)+len(m.Cc)+len(m.Bcc) == 0 {
		return nil, compat.Refuse("To", "required", "is missing; name a recipient in To, Cc or Bcc")
	}
	if e.HTMLBody != nil {
		m.HTML, m.HasHTML = *e.HTMLBody, *e.HTMLBody != ""
	}
	if e.TextBody != nil {
		m.Text, m.HasText = *e.TextBody, *e.TextBody != "" || !m.HasHTML
	}
	m.HasHTML = m.HasHTML || !m.HasText
	return m, e.parts(m)
}

func (e *email) parts(m *compose.Message) error {
	for i, h := range e.Headers {
		at := fmt.Sprintf("Headers[%d]", i)
		if err := compat.AddFields(m, func(string) string { return at }, compat.Pair{Name: h.Name, Value: string(h.Value)}); err != nil {
			return err
		}
	}
	for i, a := range e.Attachments {
		if !a.Content.Given {
			return compat.Refuse(fmt.Sprintf("Attachments[%d].Content", i), "required", "is missing")
		}
		id := compat.ContentID(string(a.ContentID))
		m.Attachments = append(m.Attachments, compose.Attachment{
			Filename: string(a.Name), ContentType: string(a.ContentType), ContentID: id, Inline: id != "", Content: a.Content.Data,
		})
	}
	return nil
}
