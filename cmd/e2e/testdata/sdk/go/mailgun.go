package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/mailgun/mailgun-go/v5"
)

func mailgunWith(key string) *mailgun.Client {
	c := mailgun.NewMailgun(key)
	if err := c.SetAPIBase(base); err != nil {
		panic(err)
	}
	return c
}

func viaMailgun() {
	ctx := context.Background()
	step := steps("github.com/mailgun/mailgun-go/v5")
	c := mailgunWith(key)
	simple := func(name, to string) *mailgun.PlainMessage {
		return mailgun.NewMessage("shop.test", "shop@shop.test", name+" mailgun-go", text, to)
	}
	send := func(c *mailgun.Client, m mailgun.Message) func() (any, error) {
		return func() (any, error) {
			r, err := c.Send(ctx, m)
			var refused *mailgun.UnexpectedResponseError
			if errors.As(err, &refused) {
				err = &failure{fmt.Sprintf("%T", refused), refused.Actual, string(refused.Data)}
			}
			return r, err
		}
	}
	full := mailgun.NewMessage("shop.test", "Shop Ä <shop@shop.test>", "full mailgun-go ü", text, `"B, Two" <b@customer.test>`)
	full.AddCC("c@customer.test")
	full.AddBCC("d@customer.test")
	full.SetReplyTo("r@shop.test")
	full.SetHTML(html)
	full.AddHeader("X-Order", "42")
	must(full.AddTag("receipt"))
	must(full.AddVariable("order", "42"))
	full.SetTracking(false)
	full.SetDKIM(true)
	full.AddBufferAttachment("grüße.txt", []byte(file))
	full.AddReaderInline("logo.png", io.NopCloser(strings.NewReader(logo)))
	step("full", "Send", send(c, full))

	each := mailgun.NewMessage("shop.test", "shop@shop.test", "personal mailgun-go %recipient.name%", "Hi %recipient.name%\n")
	must(each.AddRecipientAndVariables("b@customer.test", map[string]any{"name": "Bee"}))
	must(each.AddRecipientAndVariables("c@customer.test", map[string]any{"name": "Cee"}))
	step("variables", "Send with AddRecipientAndVariables", send(c, each))

	mime := "From: shop@shop.test\r\nTo: b@customer.test\r\nSubject: mime mailgun-go\r\nX-Kept: as  it is\r\n\r\nHello\r\n"
	step("mime", "Send of NewMIMEMessage", send(c, mailgun.NewMIMEMessage("shop.test", io.NopCloser(strings.NewReader(mime)), "b@customer.test")))
	large := strings.Replace(mime, "mime mailgun-go", "large mailgun-go", 1) + strings.Repeat("0123456789012345678901234567890123456789012345678901234567890123456789\r\n", 30_000)
	step("large mime", "Send of NewMIMEMessage with 2 MB", send(c, mailgun.NewMIMEMessage("shop.test", io.NopCloser(strings.NewReader(large)), "b@customer.test")))

	scheduled := simple("scheduled", "b@customer.test")
	scheduled.SetDeliveryTime(later())
	step("schedule", "Send with SetDeliveryTime", send(c, scheduled))
	tested := simple("sandboxed", "b@customer.test")
	tested.EnableTestMode()
	step("test mode", "Send with EnableTestMode", send(c, tested))
	keyed := mailgunWith(key)
	keyed.AddOverrideHeader("Idempotency-Key", "mailgun-go-1")
	first := step("first", "Send with an Idempotency-Key", send(keyed, simple("once", "b@customer.test")))
	step("again", "Send with the same key", func() (any, error) {
		v, err := send(keyed, simple("once", "b@customer.test"))()
		return map[string]bool{"same": fmt.Sprint(v) == fmt.Sprint(first)}, err
	})
	step("bad key", "Send with a wrong key", send(mailgunWith("wrong"), simple("never", "b@customer.test")))
	step("bad address", "Send to a bad address", send(c, simple("never", "nobody")))
	step("suppressed", "Send to a suppressed address", send(c, simple("never", "gone@customer.test")))
	templated := simple("never", "b@customer.test")
	templated.SetTemplate("welcome")
	step("template", "Send with SetTemplate", send(c, templated))
	tracked := simple("never", "b@customer.test")
	tracked.SetTracking(true)
	step("tracking", "Send with SetTracking", send(c, tracked))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
