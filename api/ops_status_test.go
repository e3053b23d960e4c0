package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"postrider/api"
	"postrider/api/access"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// pledged is what every account may send.
type pledged struct{ disabled string }

func (p pledged) Senders(_ context.Context, account, _ string) (v1.StatusSenders, string, error) {
	if account == "gone" {
		return v1.StatusSenders{}, "", queue.ErrNotFound
	}
	return v1.StatusSenders{Allowed: []string{account + ".example"}, FromPolicy: "rewrite", Default: "noreply@" + account + ".example"}, p.disabled, nil
}

func (p pledged) Domain(_ context.Context, account, _, domain string) (v1.StatusDomain, error) {
	d := v1.StatusDomain{Name: domain, Allowed: domain == account+".example", Findings: []v1.Finding{}}
	if d.Allowed {
		d.SPF, d.DKIM, d.DMARC = "ok", "fail", "warn"
	}
	return d, nil
}

func TestAKeyThatSendsSeesHowItsMailFares(t *testing.T) {
	t.Parallel()
	w, _ := everything(t)
	w.enqueue("blog", "of-another-account@example.org")
	w.enqueue("shop", "longname@example.org")
	ls, err := w.store.Lease(t.Context(), queue.LeaseRequest{Now: w.now, Holder: "n", TTL: time.Minute, Max: 2})
	if err != nil || len(ls) != 2 {
		t.Fatal(ls, err)
	}
	for _, l := range ls {
		a := &queue.Attempt{Number: 1, Start: w.now, Host: "mx.example.org", Stage: queue.StageRcpt, Reply: queue.Reply{
			Code: 550, Enhanced: queue.Enhanced{5, 1, 1}, Text: "<LongName@example.org>: no mailbox longname here", Command: "RCPT"}}
		if err := w.store.Settle(t.Context(), l, []queue.Settlement{{Recipient: l.Recipients[0].ID, Outcome: queue.StateBounced, Attempt: a, Class: queue.ClassRcptUnknown}}); err != nil {
			t.Fatal(err)
		}
	}
	w.now = w.now.Add(time.Minute)
	oldest := w.now
	w.enqueue("shop", "a@example.org", "b@example.org")
	w.now = w.now.Add(time.Minute)
	w.enqueue("shop", "c@example.org")

	var s v1.Status
	if res, p := w.call("GET", "/v1/status?domain=Shop.Example", sendKey, nil, &s); res.StatusCode != 200 {
		t.Fatalf("%d %+v", res.StatusCode, p)
	}
	if s.Account != "shop" || !s.Accepting || s.AtLeast || len(s.States) != 5 || s.States["held"].Recipients != 0 {
		t.Errorf("%+v", s)
	}
	if q := s.States["queued"]; q.Recipients != 3 || q.Oldest == nil || !q.Oldest.Equal(oldest) {
		t.Errorf("queued are %+v", q)
	}
	if len(s.Failures) != 1 {
		t.Fatalf("failures are %+v", s.Failures)
	}
	f := s.Failures[0]
	if f.Recipient != "l***@example.org" || f.State != "bounced" || f.Class != string(queue.ClassRcptUnknown) || f.Advice == "" || !strings.Contains(f.Reply, "no mailbox l*** here") {
		t.Errorf("%+v", f)
	}
	if text := strings.ToLower(fmt.Sprint(s)); strings.Contains(text, "longname") || strings.Contains(text, "of-another") {
		t.Errorf("it shows an address: %s", text)
	}
	if d := s.Domain; d == nil || d.Name != "shop.example" || !d.Allowed || d.DKIM != "fail" {
		t.Errorf("the domain is %+v", d)
	}
	if s.Senders.Default != "noreply@shop.example" || s.Senders.FromPolicy != "rewrite" {
		t.Errorf("the senders are %+v", s.Senders)
	}
}

func TestAStatusIsOfTheCallersAccountOnly(t *testing.T) {
	t.Parallel()
	w, _ := everything(t, func(o *api.Options) { o.OperatorApart = true; o.Sending = pledged{disabled: "not paid"} })
	w.keys["gone"] = access.Caller{Account: "gone", Scopes: []queue.Scope{queue.ScopeSend}}
	for name, c := range map[string]struct {
		key, query string
		want       int
	}{
		"its own":            {sendKey, "?account=shop", 200},
		"another's":          {sendKey, "?account=blog", 404},
		"a key that reads":   {readKey, "", 403},
		"no key":             {"", "", 401},
		"an account gone":    {"gone", "", 404},
		"no domain":          {sendKey, "?domain=no%20domain", 422},
		"an admin names one": {key, "?account=blog", 200},
		"an admin names no":  {key, "", 422},
	} {
		var raw string
		if res, _ := w.call("GET", "/v1/status"+c.query, c.key, nil, &raw); res.StatusCode != c.want {
			t.Errorf("%s: %d, want %d: %s", name, res.StatusCode, c.want, raw)
		}
	}
	s, err := w.sock.Status(t.Context(), "blog", "elsewhere.example")
	if err != nil || s.Account != "blog" || s.Reason != "not paid" || s.Domain == nil || s.Domain.Allowed || s.Domain.SPF != "" {
		t.Errorf("%v: %+v", err, s)
	}
}

func TestAStatusBoundsItsWork(t *testing.T) {
	t.Parallel()
	w, _ := everything(t)
	for range 1001 {
		w.enqueue("shop", "a@example.org")
	}
	s, err := w.sock.Status(t.Context(), "shop", "")
	if err != nil || !s.AtLeast || s.States["queued"].Recipients != 1000 {
		t.Errorf("%v: %v, %+v", err, s.AtLeast, s.States["queued"])
	}
}
