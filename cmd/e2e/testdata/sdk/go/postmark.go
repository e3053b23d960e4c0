package main

import (
	"context"
	"encoding/base64"

	"github.com/mrz1836/postmark"
)

func postmarkWith(token string) *postmark.Client {
	c := postmark.NewClient(token, "")
	c.BaseURL = base
	return c
}

func viaPostmark() {
	ctx := context.Background()
	step := steps("github.com/mrz1836/postmark")
	c := postmarkWith(key)
	simple := func(name, to string) postmark.Email {
		return postmark.Email{From: "shop@shop.test", To: to, Subject: name + " postmark-go", TextBody: text}
	}
	send := func(c *postmark.Client, e postmark.Email) func() (any, error) {
		return func() (any, error) {
			r, err := c.SendEmail(ctx, e)
			return map[string]any{"To": r.To, "ErrorCode": r.ErrorCode, "Message": r.Message, "id": r.MessageID, "dated": !r.SubmittedAt.IsZero()}, err
		}
	}
	step("full", "SendEmail", send(c, postmark.Email{
		From: "Shop Ä <shop@shop.test>", To: `"B, Two" <b@customer.test>`, Cc: "c@customer.test", Bcc: "d@customer.test", ReplyTo: "r@shop.test",
		Subject: "full postmark-go ü", TextBody: text, HTMLBody: html, Headers: []postmark.Header{{Name: "X-Order", Value: "42"}}, Tag: "receipt", Metadata: map[string]string{"order": "42"},
		TrackLinks: "None",
		Attachments: []postmark.Attachment{
			{Name: "grüße.txt", Content: base64.StdEncoding.EncodeToString([]byte(file)), ContentType: "text/plain"},
			{Name: "logo.png", Content: base64.StdEncoding.EncodeToString([]byte(logo)), ContentType: "image/png", ContentID: "cid:logo.png"},
		},
	}))
	step("batch", "SendEmailBatch with a bad address", func() (any, error) {
		return c.SendEmailBatch(ctx, []postmark.Email{simple("batch1", "b@customer.test"), simple("never", "nobody"), simple("never", "gone@customer.test")})
	})
	step("partly suppressed", "SendEmail with a suppressed address beside a good one", send(c, simple("partly", "b@customer.test, gone@customer.test")))
	step("suppressed", "SendEmail to a suppressed address", send(c, simple("never", "gone@customer.test")))
	step("bad key", "SendEmail with a wrong token", send(postmarkWith("wrong"), simple("never", "b@customer.test")))
	step("bad address", "SendEmail to a bad address", send(c, simple("never", "nobody")))
	step("template", "SendTemplatedEmail", func() (any, error) {
		return c.SendTemplatedEmail(ctx, postmark.TemplatedEmail{From: "shop@shop.test", To: "b@customer.test", TemplateAlias: "welcome"})
	})
	tracked := simple("never", "b@customer.test")
	tracked.TrackOpens = true
	step("tracking", "SendEmail with TrackOpens", send(c, tracked))
}
