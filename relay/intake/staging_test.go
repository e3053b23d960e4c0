package intake_test

import (
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/intake"
)

// fateOf is the states of a message's recipients, with their addresses.
func fateOf(e queue.Entry) string {
	var all []string
	for _, r := range e.Recipients {
		all = append(all, r.Address.String()+" "+r.State.String())
	}
	return strings.Join(all, ", ")
}

func TestStagingDecidesWhoGetsMail(t *testing.T) {
	t.Parallel()
	qa := address(t, "qa@example.com")
	for _, c := range []struct {
		name     string
		staging  intake.Staging
		internal bool
		to       []string
		want     string
	}{
		{"no staging", intake.Staging{}, false, []string{"a@real.example"}, "a@real.example queued"},
		{"only some may get mail", intake.Staging{Allow: addresses(t, "test.example", "joe@real.example")}, false, []string{"a@real.example", "x@test.example", "Joe@REAL.example", "x@sub.test.example"},
			"a@real.example suppressed, x@test.example queued, Joe@REAL.example queued, x@sub.test.example suppressed"},
		{"all goes to one address", intake.Staging{Redirect: qa}, false, []string{"a@real.example", "b@real.example"}, "a@real.example suppressed, b@real.example suppressed, qa@example.com queued"},
		{"but who has it already gets no second one", intake.Staging{Redirect: qa}, false, []string{"a@real.example", "QA@example.com"}, "a@real.example suppressed, QA@example.com queued"},
		{"some get theirs, the rest goes to one", intake.Staging{Redirect: qa, Allow: addresses(t, "test.example")}, false, []string{"a@real.example", "x@test.example"}, "a@real.example suppressed, x@test.example queued, qa@example.com queued"},
		{"all may get theirs", intake.Staging{Redirect: qa, Allow: addresses(t, "test.example")}, false, []string{"x@test.example"}, "x@test.example queued"},
		{"nothing leaves", intake.Staging{Discard: true}, false, []string{"a@real.example", "qa@example.com"}, "a@real.example suppressed, qa@example.com suppressed"},
		{"a report to a sender is mail as any other", intake.Staging{Redirect: qa}, true, []string{"sender@real.example"}, "sender@real.example suppressed, qa@example.com queued"},
		{"a report to the operator goes on", intake.Staging{Allow: addresses(t, "test.example"), Operators: []queue.Address{{}, address(t, "boss@real.example")}}, true, []string{"boss@real.example"}, "boss@real.example queued"},
		{"a program's mail to the operator does not", intake.Staging{Allow: addresses(t, "test.example"), Operators: []queue.Address{address(t, "boss@real.example")}}, false, []string{"boss@real.example"}, "boss@real.example suppressed"},
		{"and nothing is nothing", intake.Staging{Discard: true, Operators: []queue.Address{address(t, "boss@real.example")}}, true, []string{"boss@real.example"}, "boss@real.example suppressed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t)
			d := newDoor(t, s, policies{"shop": {}}, func(o *intake.Options) { o.Staging = c.staging })
			m := submission(t, "From: shop@example.com\r\nX-Original-To: old@example.com\r\n\r\nx", c.to...)
			if c.internal {
				m.Source.Kind = "internal"
			}
			done, err := d.Submit(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if len(done.Suppressed) > 0 {
				t.Errorf("the program is told that %v are suppressed", done.Suppressed)
			}
			e, text := stored(t, s, done.ID)
			if got := fateOf(e); got != c.want {
				t.Errorf("it became %s\nwant %s", got, c.want)
			}
			for _, r := range e.Recipients {
				staged := r.State == queue.StateSuppressed
				if staged != (r.Class == queue.ClassLocalStaging) || staged && (r.Notify != queue.NotifyNever || !strings.HasPrefix(r.Last.Error, "staging: ")) {
					t.Errorf("%s has %+v", r.Address, r)
				}
				redirected := staged && !c.staging.Redirect.IsNull()
				if redirected != strings.Contains(text, "\r\nX-Original-To: "+r.Address.String()+"\r\n") {
					t.Errorf("of %s the header says:\n%s", r.Address, text)
				}
			}
		})
	}
}

// A relay that is set to staging must not be told apart by programs, and must bear
// what real mail does.
func TestStagingKeepsTheRestOfThePolicy(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {}}, func(o *intake.Options) { o.Staging = intake.Staging{Redirect: address(t, "qa@example.com")} })
	later := submission(t, "From: shop@example.com\r\n\r\nx", "a@real.example")
	later.NotBefore = time.Now().Add(time.Hour)
	done, err := d.Submit(t.Context(), later)
	if err != nil {
		t.Fatal(err)
	}
	if e, _ := stored(t, s, done.ID); fateOf(e) != "a@real.example suppressed, qa@example.com scheduled" || !e.Recipients[1].Due.Equal(later.NotBefore) {
		t.Errorf("scheduled mail became %s", fateOf(e))
	}
	sandboxed := submission(t, "From: shop@example.com\r\n\r\nx", "a@real.example")
	sandboxed.Sandbox = true
	if done, err = d.Submit(t.Context(), sandboxed); err != nil {
		t.Fatal(err)
	}
	if e, _ := stored(t, s, done.ID); fateOf(e) != "a@real.example delivered" {
		t.Errorf("sandboxed mail became %s", fateOf(e))
	}
	bad := submission(t, "From: shop@example.com\r\n\r\nx", "a@real.example")
	bad.Recipients = append(bad.Recipients, queue.SubmittedRecipient{Raw: "no address"})
	if done, err = d.Submit(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	if e, _ := stored(t, s, done.ID); fateOf(e) != "a@real.example suppressed, \"no address\"@invalid bounced, qa@example.com queued" {
		t.Errorf("mail to what is no address became %s", fateOf(e))
	}
	many := submission(t, "From: shop@example.com\r\n\r\nx", strings.Split(strings.Repeat("a@real.example ", queue.MaxRecipients-1), " ")[:queue.MaxRecipients-1]...)
	if done, err = d.Submit(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	e, text := stored(t, s, done.ID)
	if len(e.Recipients) != queue.MaxRecipients || strings.Count(text, "X-Original-To:") != 101 || !strings.Contains(text, "X-Original-To: (and 899 more)\r\n") {
		t.Errorf("%d recipients, %d fields", len(e.Recipients), strings.Count(text, "X-Original-To:"))
	}
	many = submission(t, "From: shop@example.com\r\n\r\nx", strings.Split(strings.Repeat("a@real.example ", queue.MaxRecipients), " ")[:queue.MaxRecipients]...)
	if _, err = d.Submit(t.Context(), many); err == nil {
		t.Error("a message has more recipients than there may be")
	}
}

func TestHostNamesAreHiddenInSenders(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	hide := []intake.Masquerade{{Domain: "lists.example.com", Except: true}, {Domain: "example.com"}}
	d := newDoor(t, s, policies{"shop": {Senders: addresses(t, "example.com", "lists.example.com"), From: intake.FromReject}}, func(o *intake.Options) { o.Masquerade = hide })
	for _, c := range []struct{ name, from, header, wantFrom, wantHeader string }{
		{"below the domain", "root@Web1.Example.com", "From: Root <root@web1.example.com>\r\n", "root@example.com", "From: Root <root@example.com>\r\n"},
		{"further below", "root@a.b.example.com", "From: \"A, B\" <root@a.b.example.com>,\r\n c@example.com\r\nReply-To: x@web1.example.com\r\n", "root@example.com", "From: \"A, B\" <root@example.com>,\r\n\t<c@example.com>\r\nReply-To: <x@example.com>\r\n"},
		{"the domain itself", "root@example.com", "From: root@example.com (Root)\r\n", "root@example.com", "From: root@example.com (Root)\r\n"},
		{"an exception", "root@x.lists.example.com", "From: root@lists.example.com\r\n", "", ""},
		{"the exception itself", "root@lists.example.com", "From: root@lists.example.com\r\n", "root@lists.example.com", "From: root@lists.example.com\r\n"},
		{"what only looks like it", "root@notexample.com", "From: root@example.com\r\n", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := submission(t, c.header+"\r\nx", "joe@example.org")
			m.Envelope.ReversePath = address(t, c.from)
			early := d.CheckSender(t.Context(), "shop", "", m.Envelope.ReversePath)
			done, err := d.Submit(t.Context(), m)
			if (err != nil) != (c.wantFrom == "") || (early != nil) != (err != nil) {
				t.Fatalf("MAIL is answered %v, the message %v", early, err)
			}
			if err != nil {
				return
			}
			e, text := stored(t, s, done.ID)
			if e.Message.Envelope.ReversePath.String() != c.wantFrom || !strings.Contains(text, "\r\n"+c.wantHeader) {
				t.Errorf("it is from %s:\n%s", e.Message.Envelope.ReversePath, text)
			}
		})
	}
}
