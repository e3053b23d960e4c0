package sendgrid

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/api/compat"
	"postrider/api/compose"
	"postrider/api/send"
)

// maxTime is the last second that has a year of four digits.
const maxTime = 253402300799

// job is one request, of which messages are made when they are needed: all at once
// would be as many copies of its texts.
type job struct {
	*surface
	mail    *mail
	sandbox bool
	keys    []string // of the messages, for idempotency

	// What all messages have.
	from        *compose.Mailbox // nil: each personalization has its own
	replyTo     []compose.Mailbox
	text, html  *string
	attachments []compose.Attachment
}

func (s *surface) job(m *mail) (*job, error) {
	if err := m.supported(); err != nil {
		return nil, err
	}
	if n := len(m.Personalizations); n == 0 || n > maxPersonalizations {
		return nil, compat.Refuse("personalizations", "required", fmt.Sprintf("must have 1 to %d elements.", maxPersonalizations))
	}
	j := &job{surface: s, mail: m, sandbox: on(m.MailSettings.SandboxMode)}
	for _, step := range []func() error{j.addresses, j.content, j.files} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return j, s.Room(len(m.Personalizations), j.size())
}

func (j *job) addresses() error {
	if j.mail.From != nil {
		from, err := j.mail.From.mailbox("from")
		if err != nil {
			return err
		}
		j.from = &from
	}
	list, field := j.mail.ReplyToList, "reply_to_list"
	if j.mail.ReplyTo != nil && j.mail.ReplyTo.Email != "" {
		if len(list) > 0 {
			return compat.Refuse("reply_to_list", "duplicate", "cannot be used together with reply_to.")
		}
		from, err := j.mail.ReplyTo.mailbox("reply_to")
		j.replyTo = []compose.Mailbox{from}
		return err
	}
	var err error
	j.replyTo, err = mailboxes(field, list)
	return err
}

func (j *job) content() error {
	if len(j.mail.Content) == 0 {
		return compat.Refuse("content", "required", "is required; it needs one element at least.")
	}
	for i := range j.mail.Content {
		c := &j.mail.Content[i]
		kind, _, _ := strings.Cut(strings.ToLower(c.Type), ";")
		into := &j.text
		switch strings.TrimSpace(kind) {
		case "text/plain":
		case "text/html":
			into = &j.html
		default:
			return compat.Unsupported(fmt.Sprintf("content.%d.type", i), "must be text/plain or text/html; send other kinds as attachments.")
		}
		if *into != nil {
			return compat.Refuse(fmt.Sprintf("content.%d.type", i), "duplicate", "is there twice.")
		}
		if c.Value == "" {
			return compat.Refuse(fmt.Sprintf("content.%d.value", i), "required", "must have one character at least.")
		}
		*into = &c.Value
	}
	return nil
}

func (j *job) files() error {
	for i, a := range j.mail.Attachments {
		if !a.Content.Given {
			return compat.Refuse(fmt.Sprintf("attachments.%d.content", i), "required", "is missing.")
		}
		f := compose.Attachment{
			Filename: string(a.Filename), ContentType: string(a.Type), ContentID: compat.ContentID(string(cmp.Or(a.ContentID, a.NodeID))), Content: a.Content.Data,
		}
		switch a.Disposition {
		case "inline":
			f.Inline = true
		case "attachment", "":
		default:
			return compat.Refuse(fmt.Sprintf("attachments.%d.disposition", i), "invalid", "must be inline or attachment.")
		}
		j.attachments = append(j.attachments, f)
	}
	return nil
}

// size is about that of each message.
func (j *job) size() int64 {
	n := 0
	for _, s := range []*string{j.text, j.html} {
		if s != nil {
			n += len(*s)
		}
	}
	for _, a := range j.attachments {
		n += len(a.Content)
	}
	return int64(n)
}

// request makes the message of one personalization.
func (j *job) request(i int) (send.Request, error) {
	p, at := &j.mail.Personalizations[i], fmt.Sprintf("personalizations.%d", i)
	m, err := j.message(p, at)
	if err != nil {
		return send.Request{}, err
	}
	r := send.Request{Message: m, Sandbox: j.sandbox, Operation: "POST /v3/mail/send", IdempotencyKey: j.keys[i]}
	r.Labels.Stream = string(j.mail.IPPoolName)
	for _, category := range append(slices.Clone(j.mail.Categories), p.Categories...) {
		if !slices.Contains(r.Labels.Tags, category) {
			r.Labels.Tags = append(r.Labels.Tags, category)
		}
	}
	for _, args := range []compat.Pairs{j.mail.CustomArgs, p.CustomArgs} {
		for _, a := range args {
			if r.Labels.Metadata == nil {
				r.Labels.Metadata = make(map[string]string)
			}
			r.Labels.Metadata[a.Name] = a.Value
		}
	}
	switch when := cmp.Or(p.SendAt, j.mail.SendAt); {
	case when < 0 || when > maxTime:
		return send.Request{}, compat.Refuse("send_at", "invalid", "must be a Unix time in seconds.")
	case when > 0:
		r.ScheduledAt = time.Unix(when, 0).UTC()
	}
	return r, nil
}

func (j *job) message(p *personalization, at string) (*compose.Message, error) {
	m := &compose.Message{ReplyTo: j.replyTo, Attachments: j.attachments}
	from := j.from
	if p.From != nil {
		own, err := p.From.mailbox(at + ".from")
		if err != nil {
			return nil, err
		}
		from = &own
	}
	if from == nil {
		return nil, compat.Refuse("from", "required", "is required.")
	}
	m.From = *from
	for _, list := range []struct {
		field string
		from  []address
		into  *[]compose.Mailbox
	}{{"to", p.To, &m.To}, {"cc", p.Cc, &m.Cc}, {"bcc", p.Bcc, &m.Bcc}} {
		var err error
		if *list.into, err = mailboxes(at+"."+list.field, list.from); err != nil {
			return nil, err
		}
	}
	if len(m.To) == 0 {
		return nil, compat.Refuse(at+".to", "required", "is required; it needs one address at least.")
	}
	if err := j.texts(m, p); err != nil {
		return nil, err
	}
	return m, compat.AddFields(m, compat.FieldPath, merge(j.mail.Headers, p.Headers)...)
}

// texts writes subject and bodies with the personalization's substitutions.
func (j *job) texts(m *compose.Message, p *personalization) error {
	subject := string(cmp.Or(p.Subject, j.mail.Subject))
	if subject == "" {
		return compat.Refuse("subject", "required", "is required, in the request or in each personalization.")
	}
	replace := func(s string) (string, error) { return s, nil }
	if len(p.Substitutions) > 0 {
		r, err := replacer(p.Substitutions)
		if err != nil {
			return err
		}
		replace = func(s string) (string, error) {
			b := j.Builder()
			_, err := r.WriteString(b, s)
			return b.String(), err
		}
	}
	var err error
	if m.Subject, err = replace(subject); err != nil {
		return err
	}
	if j.text != nil {
		m.HasText = true
		if m.Text, err = replace(*j.text); err != nil {
			return err
		}
	}
	if j.html != nil {
		m.HasHTML = true
		m.HTML, err = replace(*j.html)
	}
	return err
}

// replacer prefers the longest name where one begins another.
func replacer(pairs compat.Pairs) (*strings.Replacer, error) {
	sorted := slices.Clone(pairs)
	slices.SortStableFunc(sorted, func(a, b compat.Pair) int { return cmp.Compare(len(b.Name), len(a.Name)) })
	var list []string
	for _, p := range sorted {
		if p.Name == "" {
			return nil, compat.Refuse("substitutions", "invalid", "has an empty name.")
		}
		list = append(list, p.Name, p.Value)
	}
	return strings.NewReplacer(list...), nil
}

// merge lets a personalization's header fields replace those of all.
func merge(all, own compat.Pairs) compat.Pairs {
	merged := slices.Clone(own)
	for _, f := range all {
		if !slices.ContainsFunc(own, func(o compat.Pair) bool { return strings.EqualFold(o.Name, f.Name) }) {
			merged = append(merged, f)
		}
	}
	return merged
}
