package main

import (
	"encoding/base64"
	"net/http"

	"github.com/sendgrid/sendgrid-go"
	"github.com/sendgrid/sendgrid-go/helpers/mail"
)

func sendgridWith(key string) *sendgrid.Client {
	c := sendgrid.NewSendClient(key)
	c.BaseURL = base + "/v3/mail/send"
	return c
}

// done makes an error of an answer, since the library makes none.
func done(c *sendgrid.Client, m *mail.SGMailV3) (any, error) {
	r, err := c.Send(m)
	if err != nil {
		return nil, err
	}
	if r.StatusCode >= http.StatusBadRequest {
		return nil, &failure{"*rest.Response", r.StatusCode, r.Body}
	}
	return map[string]any{"statusCode": r.StatusCode, "id": http.Header(r.Headers).Get("X-Message-Id"), "body": r.Body}, nil
}

func viaSendGrid() {
	step := steps("github.com/sendgrid/sendgrid-go")
	c := sendgridWith(key)
	from := mail.NewEmail("", "shop@shop.test")
	simple := func(name, to string) *mail.SGMailV3 {
		return mail.NewSingleEmailPlainText(from, name+" sendgrid-go", mail.NewEmail("", to), text)
	}
	step("full", "Send", func() (any, error) {
		m := mail.NewSingleEmail(mail.NewEmail("Shop Ä", "shop@shop.test"), "full sendgrid-go ü", mail.NewEmail("B, Two", "b@customer.test"), text, html)
		m.Personalizations[0].AddCCs(mail.NewEmail("", "c@customer.test"))
		m.Personalizations[0].AddBCCs(mail.NewEmail("", "d@customer.test"))
		m.SetReplyTo(mail.NewEmail("", "r@shop.test"))
		m.SetHeader("X-Order", "42")
		m.AddCategories("receipt")
		m.SetCustomArg("order", "42")
		m.SetTrackingSettings(mail.NewTrackingSettings().SetOpenTracking(mail.NewOpenTrackingSetting().SetEnable(false)))
		m.AddAttachment(mail.NewAttachment().SetFilename("grüße.txt").SetType("text/plain").SetDisposition("attachment").SetContent(base64.StdEncoding.EncodeToString([]byte(file))))
		m.AddAttachment(mail.NewAttachment().SetFilename("logo.png").SetType("image/png").SetDisposition("inline").SetContentID("logo.png").SetContent(base64.StdEncoding.EncodeToString([]byte(logo))))
		return done(c, m)
	})
	step("personal", "Send with personalizations and substitutions", func() (any, error) {
		m := mail.NewV3Mail().SetFrom(from).AddContent(mail.NewContent("text/plain", "Hi -name-\n"))
		m.Subject = "personal sendgrid-go -name-"
		for address, name := range map[string]string{"b@customer.test": "Bee", "c@customer.test": "Cee"} {
			p := mail.NewPersonalization()
			p.AddTos(mail.NewEmail("", address))
			p.SetSubstitution("-name-", name)
			m.AddPersonalizations(p)
		}
		return done(c, m)
	})
	step("schedule", "Send with SendAt", func() (any, error) {
		return done(c, simple("scheduled", "b@customer.test").SetSendAt(int(later().Unix())))
	})
	zipped := sendgridWith(key)
	zipped.Headers["Content-Encoding"] = "gzip"
	step("gzip", "Send with Content-Encoding: gzip", func() (any, error) { return done(zipped, simple("gzip", "b@customer.test")) })
	keyed := sendgridWith(key)
	keyed.Headers["Idempotency-Key"] = "sendgrid-go-1"
	first := step("first", "Send with an Idempotency-Key", func() (any, error) { return done(keyed, simple("once", "b@customer.test")) })
	step("again", "Send with the same key", func() (any, error) {
		v, err := done(keyed, simple("once", "b@customer.test"))
		if err != nil || first == nil {
			return nil, err
		}
		return map[string]bool{"same": v.(map[string]any)["id"] == first.(map[string]any)["id"]}, nil
	})
	step("bad key", "Send with a wrong key", func() (any, error) { return done(sendgridWith("SG.wrong"), simple("never", "b@customer.test")) })
	step("bad address", "Send to a bad address", func() (any, error) { return done(c, simple("never", "nobody")) })
	step("suppressed", "Send to a suppressed address", func() (any, error) { return done(c, simple("never", "gone@customer.test")) })
	step("template", "Send with a template", func() (any, error) { return done(c, simple("never", "b@customer.test").SetTemplateID("d-1")) })
}
