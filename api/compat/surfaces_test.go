package compat_test

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"postrider/api/access"
	"postrider/api/compat"
	"postrider/api/compat/compattest"
	"postrider/api/compat/mailgun"
	"postrider/api/compat/postmark"
	"postrider/api/compat/resend"
	"postrider/api/compat/sendgrid"
	"postrider/api/send"
)

// all mounts every surface at one root, where no path may hide another.
func all(r chi.Router, o compat.Options) {
	for _, routes := range []func(chi.Router, compat.Options){resend.Routes, postmark.Routes, sendgrid.Routes, mailgun.Routes} {
		routes(r, o)
	}
}

// Without a key each surface refuses in its own form, which tells who answered.
func TestSurfacesShareARoot(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, all)
	for path, form := range map[string]string{
		"/emails": `{"statusCode":401,"name":`, "/emails/batch": `{"statusCode":401,"name":`, "/emails/x/cancel": `{"statusCode":401,"name":`,
		"/email": `{"ErrorCode":10,`, "/email/batch": `{"ErrorCode":10,`,
		"/v3/mail/send":          `{"errors":[{"message":`,
		"/v3/shop.test/messages": `{"message":`, "/v3/mail/messages": `{"message":`, "/v3/mail.test/messages.mime": `{"message":`,
	} {
		if a := w.Do("POST", path, "", "Authorization", ""); a.Status != 401 || !strings.HasPrefix(a.Body, form) {
			t.Errorf("%s: %d %s, want %s", path, a.Status, a.Body, form)
		}
	}
}

func TestTheCallerIsWhoProxiesSayAndIsToldItsLimits(t *testing.T) {
	t.Parallel()
	remote := netip.MustParseAddr("203.0.113.7")
	w := compattest.New(t, all, func(o *compat.Options) {
		o.Remote = func(*http.Request) netip.Addr { return remote }
		o.Rate = func(_ context.Context, h http.Header, c access.Caller) { h.Set("RateLimit-Limit", c.Account) }
	})
	a := w.Do("POST", "/emails", `{"from":"a@shop.test","to":"b@x.test","subject":"s","text":"t"}`)
	if s := w.Sender.Only(); s.Caller.Remote != remote || a.Header.Get("RateLimit-Limit") != "shop" {
		t.Errorf("%v, %v", s.Caller, a.Header)
	}
	// Without that it is the peer of the connection.
	w = compattest.New(t, all)
	w.Do("POST", "/emails", `{"from":"a@shop.test","to":"b@x.test","subject":"s","text":"t"}`)
	if s := w.Sender.Only(); !s.Caller.Remote.IsLoopback() {
		t.Errorf("%v", s.Caller)
	}
}

// What breaks in one message of several is one message's trouble, and the
// process lives on.
func TestAPanicInOneOfSeveralIsOneMessagesTrouble(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, all)
	w.Sender.Refuse = func(r send.Request) error {
		if r.Message.To[0].Address.Local == "c" {
			panic("a secret")
		}
		return nil
	}
	const mail = `{"From":"a@shop.test","To":"b@x.test","TextBody":"t"}`
	a := w.Do("POST", "/email/batch", "["+mail+","+strings.Replace(mail, "b@", "c@", 1)+"]")
	a.Says(t, 200, `"ErrorCode":0`, `{"ErrorCode":100,"Message":"The relay cannot answer`)
	if strings.Contains(a.Body, "secret") {
		t.Errorf("the cause is told: %s", a.Body)
	}
}
