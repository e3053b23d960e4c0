package api

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/api/compat"
	"postrider/api/compose"
	"postrider/api/send"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// reader turns a message of the API into a request to send it, and gathers all
// that is wrong. Pointers are below base.
type reader struct {
	base  string
	max   int64 // octets of text and files, decoded
	wrong []v1.FieldError
}

func (r *reader) add(pointer, code, detail string) {
	r.wrong = append(r.wrong, v1.FieldError{Pointer: r.base + pointer, Code: code, Detail: detail})
}

// failure returns what is wrong; nil if nothing is.
func (r *reader) failure() *failure {
	if len(r.wrong) == 0 {
		return nil
	}
	f := refusal(http.StatusUnprocessableEntity, "validation_failed", "The message is not as it must be: see errors.")
	f.problem.Errors = r.wrong
	if slices.ContainsFunc(r.wrong, func(e v1.FieldError) bool { return e.Code == "payload_too_large" }) {
		f.problem.Status, f.problem.Code, f.problem.Title = http.StatusRequestEntityTooLarge, "payload_too_large", http.StatusText(http.StatusRequestEntityTooLarge)
		f.problem.Type = problemURN + "payload_too_large"
	}
	return f
}

// request reads a message.
func (r *reader) request(m *v1.NewMessage) send.Request {
	c := &compose.Message{
		From: r.mailbox("/from", m.From), Subject: m.Subject, Text: m.Text, HTML: m.HTML, HasText: m.Text != "", HasHTML: m.HTML != "",
		To: r.mailboxes("/to", m.To), Cc: r.mailboxes("/cc", m.Cc), Bcc: r.mailboxes("/bcc", m.Bcc), ReplyTo: r.mailboxes("/reply_to", m.ReplyTo),
	}
	if m.Sender != nil {
		s := r.mailbox("/sender", *m.Sender)
		c.Sender = &s
	}
	q := send.Request{
		Message: c, Labels: queue.Labels{Stream: m.Stream, Tags: m.Tags, Metadata: m.Metadata}, Priority: r.priority(m.Priority),
		ScheduledAt: instant(m.ScheduledAt), ExpiresAt: instant(m.ExpiresAt), RequireTLS: r.requiresTLS(m.TLS), Sandbox: m.Sandbox,
		Unsubscribe: r.unsubscribe(m.Unsubscribe),
	}
	if m.EnvelopeFrom != nil {
		a := r.mailbox("/envelope_from", *m.EnvelopeFrom).Address
		q.EnvelopeFrom = &a
	}
	for _, name := range sortedNames(m.Headers) {
		c.Fields = append(c.Fields, compose.Field{Name: name, Value: m.Headers[name]})
	}
	if m.Tracking != nil && (m.Tracking.Opens || m.Tracking.Clicks) {
		r.add("/tracking", "not_supported", "This relay tracks neither opens nor clicks: leave it out.")
	}
	c.Attachments = r.attachments(m)
	switch {
	case c.HasText || c.HasHTML:
	case len(c.Attachments) > 0:
		c.HasText = true
	default:
		r.add("/text", "required", "Give a text, or html, or both.")
	}
	return q
}

func (r *reader) mailbox(pointer string, a v1.Address) compose.Mailbox {
	text, whole := a.Text()
	if whole {
		b, err := compat.ParseMailbox("", text)
		if err != nil {
			r.add(pointer, "invalid_address", "This is not a valid mail address. Want user@example.com or Name <user@example.com>.")
		}
		return b
	}
	if a.Email == "" {
		code, at := "required", pointer+"/email"
		if a.Name == "" {
			at = pointer
		}
		r.add(at, code, "Give a mail address.")
		return compose.Mailbox{}
	}
	address, err := queue.ParseAddress(a.Email)
	if err != nil {
		r.add(pointer+"/email", "invalid_address", "This is not a valid mail address: "+addressTrouble(err)+".")
	}
	return compose.Mailbox{Name: a.Name, Address: address}
}

func (r *reader) mailboxes(pointer string, list v1.Addresses) []compose.Mailbox {
	if len(list) > queue.MaxRecipients {
		r.add(pointer, "too_many", fmt.Sprintf("At most %d addresses.", queue.MaxRecipients))
		return nil
	}
	var all []compose.Mailbox
	for i, a := range list {
		all = append(all, r.mailbox(pointer+"/"+strconv.Itoa(i), a))
	}
	return all
}

func (r *reader) priority(name string) queue.Priority {
	switch name {
	case "", "normal":
		return queue.PriorityNormal
	case "high":
		return queue.PriorityHigh
	case "low":
		return queue.PriorityLow
	}
	r.add("/priority", "not_one_of", "Want high, normal or low.")
	return 0
}

func (r *reader) requiresTLS(name string) bool {
	switch name {
	case "", "opportunistic":
		return false
	case "require":
		return true
	}
	r.add("/tls", "not_one_of", "Want opportunistic or require.")
	return false
}

func (r *reader) unsubscribe(u *v1.Unsubscribe) *send.Unsubscribe {
	if u == nil {
		return nil
	}
	switch mode := send.UnsubscribeMode(u.Mode); mode {
	case send.UnsubscribeNone, send.UnsubscribeOneClick, send.UnsubscribeCustom:
		return &send.Unsubscribe{Mode: mode, List: u.List, URL: u.URL, Mailto: u.Mailto}
	}
	r.add("/unsubscribe/mode", "not_one_of", "Want one_click, custom or none.")
	return nil
}

// attachments decodes the files. What they and the texts have together is bounded.
func (r *reader) attachments(m *v1.NewMessage) []compose.Attachment {
	left := r.max - int64(len(m.Text)) - int64(len(m.HTML))
	var all []compose.Attachment
	for i, a := range m.Attachments {
		at := "/attachments/" + strconv.Itoa(i)
		if a.URL != "" {
			r.add(at+"/url", "not_supported", "The relay fetches no files: give the content, as base64.")
			continue
		}
		content, err := compat.DecodeBase64([]byte(a.Content))
		if err != nil {
			r.add(at+"/content", "invalid_base64", "This is not base64.")
			continue
		}
		left -= int64(len(content))
		all = append(all, compose.Attachment{
			Filename: a.Filename, ContentType: a.ContentType, ContentID: compat.ContentID(a.ContentID), Inline: r.inline(at, a), Content: content,
		})
	}
	if left < 0 {
		r.add("/attachments", "payload_too_large", fmt.Sprintf("Text and files together have more than the %d octets that are taken.", r.max))
		return nil
	}
	return all
}

func (r *reader) inline(at string, a v1.Attachment) bool {
	switch a.Disposition {
	case "":
		return a.ContentID != ""
	case "inline":
		return true
	case "attachment":
		return false
	}
	r.add(at+"/disposition", "not_one_of", "Want attachment or inline.")
	return false
}

func instant(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func sortedNames(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a)+a, strings.ToLower(b)+b) })
	return names
}

// receiptOf tells what became of a message.
func receiptOf(r send.Receipt) v1.Receipt {
	v := v1.Receipt{
		ID: r.ID.String(), MessageID: "<" + r.MessageID + ">", CreatedAt: r.CreatedAt.UTC(), Stream: r.Stream, Sandbox: r.Sandbox,
		Status: "queued", Recipients: make([]v1.ReceiptRecipient, 0, len(r.Recipients)),
	}
	switch {
	case r.Held:
		v.Status = queue.StateHeld.String()
	case r.Scheduled:
		v.Status = queue.StateScheduled.String()
	}
	for _, to := range r.Recipients {
		status := v.Status
		if to.Suppressed {
			status = queue.StateSuppressed.String()
		}
		v.Recipients = append(v.Recipients, v1.ReceiptRecipient{ID: to.ID.String(), Email: to.Address.String(), Type: to.Type, Status: status})
	}
	if len(v.Recipients) > 0 && !slices.ContainsFunc(v.Recipients, func(r v1.ReceiptRecipient) bool { return r.Status != queue.StateSuppressed.String() }) {
		v.Status = queue.StateSuppressed.String()
	}
	return v
}
