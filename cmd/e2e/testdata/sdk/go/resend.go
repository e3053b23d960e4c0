package main

import (
	"context"
	"net/url"
	"time"

	"github.com/resend/resend-go/v3"
)

func resendWith(key string) *resend.Client {
	c := resend.NewClient(key)
	u, err := url.Parse(base + "/") // without the slash the last part of a path would be lost
	if err != nil {
		panic(err)
	}
	c.BaseURL = u
	return c
}

func viaResend() {
	ctx := context.Background()
	step := steps("github.com/resend/resend-go/v3")
	c := resendWith(key)
	simple := func(name string, to ...string) *resend.SendEmailRequest {
		if to == nil {
			to = []string{"b@customer.test"}
		}
		return &resend.SendEmailRequest{From: "shop@shop.test", To: to, Subject: name + " resend-go", Text: text}
	}
	once := &resend.SendEmailOptions{IdempotencyKey: "resend-go-1"}

	step("full", "Emails.Send", func() (any, error) {
		return c.Emails.Send(&resend.SendEmailRequest{
			From: "Shop Ä <shop@shop.test>", To: []string{`"B, Two" <b@customer.test>`}, Cc: []string{"c@customer.test"}, Bcc: []string{"d@customer.test"}, ReplyTo: "r@shop.test",
			Subject: "full resend-go ü", Text: text, Html: html, Headers: map[string]string{"X-Order": "42"}, Tags: []resend.Tag{{Name: "category", Value: "receipt"}},
			Attachments: []*resend.Attachment{{Filename: "grüße.txt", Content: []byte(file), ContentType: "text/plain"}, {Filename: "logo.png", Content: []byte(logo), ContentId: "logo.png"}},
		})
	})
	first, _ := step("first", "Emails.SendWithOptions with IdempotencyKey", func() (any, error) { return c.Emails.SendWithOptions(ctx, simple("once"), once) }).(*resend.SendEmailResponse)
	step("again", "Emails.SendWithOptions with the same key", func() (any, error) {
		r, err := c.Emails.SendWithOptions(ctx, simple("once"), once)
		return map[string]bool{"same": err == nil && first != nil && r.Id == first.Id}, err
	})
	step("other", "Emails.SendWithOptions with the same key and another text", func() (any, error) { return c.Emails.SendWithOptions(ctx, simple("other"), once) })
	step("batch", "Batch.Send", func() (any, error) {
		return c.Batch.Send([]*resend.SendEmailRequest{simple("batch1"), simple("batch2")})
	})
	step("batch strict", "Batch.Send with a bad address", func() (any, error) {
		return c.Batch.Send([]*resend.SendEmailRequest{simple("never"), simple("never", "nobody")})
	})
	step("batch permissive", "Batch.SendWithOptions with a bad address, permissive", func() (any, error) {
		return c.Batch.SendWithOptions(ctx, []*resend.SendEmailRequest{simple("batch3"), simple("never", "nobody")}, &resend.BatchSendEmailOptions{BatchValidation: resend.BatchValidationPermissive})
	})
	scheduled := simple("scheduled")
	scheduled.ScheduledAt = later().Format(time.RFC3339)
	waiting, _ := step("schedule", "Emails.Send with ScheduledAt", func() (any, error) { return c.Emails.Send(scheduled) }).(*resend.SendEmailResponse)
	if waiting == nil {
		waiting = &resend.SendEmailResponse{}
	}
	step("move", "Emails.Update", func() (any, error) {
		return c.Emails.Update(&resend.UpdateEmailRequest{Id: waiting.Id, ScheduledAt: later().Format(time.RFC3339)})
	})
	step("get", "Emails.Get", func() (any, error) {
		e, err := c.Emails.Get(waiting.Id)
		if err != nil {
			return nil, err
		}
		return map[string]any{"from": e.From, "to": e.To, "subject": e.Subject, "last_event": e.LastEvent, "text": e.Text, "object": e.Object}, nil
	})
	step("cancel", "Emails.Cancel", func() (any, error) { return c.Emails.Cancel(waiting.Id) })
	step("list", "Emails.ListWithOptions", func() (any, error) {
		limit := 2
		l, err := c.Emails.ListWithOptions(ctx, &resend.ListOptions{Limit: &limit})
		return map[string]any{"object": l.Object, "more": l.HasMore, "count": len(l.Data)}, err
	})
	step("bad key", "Emails.Send with a wrong key", func() (any, error) { return resendWith("re_wrong").Emails.Send(simple("never")) })
	step("bad address", "Emails.Send to a bad address", func() (any, error) { return c.Emails.Send(simple("never", "nobody")) })
	step("suppressed", "Emails.Send to a suppressed address", func() (any, error) { return c.Emails.Send(simple("never", "gone@customer.test")) })
	step("template", "Emails.Send with a Template", func() (any, error) {
		r := simple("never")
		r.Template = &resend.EmailTemplate{Id: "welcome"}
		return c.Emails.Send(r)
	})
}
