package report_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"postrider/queue"
	"postrider/relay/report"
)

const unicodeMail = "From: Laden <läden@example.com>\r\nDate: Mon, 23 Nov 2026 05:00:00 +0000\r\nMessage-ID: <1@web1>\r\nSubject: Grüße\r\n\r\nein Körper\r\n"

// bounced submits a text and lets its only recipient bounce.
func (w *world) bounced(from, to, text string, env queue.Envelope) queue.MessageID {
	w.t.Helper()
	env.ReversePath = w.address(from)
	done, err := w.door.Submit(w.t.Context(), queue.Submission{
		Account: "shop", Source: queue.Source{Kind: "smtp"}, Envelope: env,
		Recipients: []queue.SubmittedRecipient{w.to(to, 0)}, Content: strings.NewReader(text),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle(done.ID, queue.Settlement{Outcome: queue.StateBounced, Class: queue.ClassRcptUnknown, Attempt: w.attempt(550, queue.Enhanced{5, 1, 1}, "No such user")})
	return done.ID
}

// only returns the one report to an address.
func (w *world) only(to string) parsed {
	w.t.Helper()
	got := w.reports(to)
	if len(got) != 1 {
		w.t.Fatalf("%d reports, want one", len(got))
	}
	return got[0]
}

// RFC 6533: the forms for SMTPUTF8 are used where the report needs SMTPUTF8
// itself; a sender with an ASCII address gets what every host takes.
func TestReportsAboutMailInOtherAlphabets(t *testing.T) {
	t.Parallel()
	t.Run("to a sender with an ASCII address", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.bounced("shop@example.com", "jörg@exämple.org", unicodeMail, queue.Envelope{SMTPUTF8: true})
		w.round(w.maker())
		p := w.only("shop@example.com")
		if e := p.entry.Message.Envelope; e.SMTPUTF8 || e.EightBit {
			t.Errorf("the report needs SMTPUTF8 or 8BITMIME: %+v", e)
		}
		if p.statusKind != "message/delivery-status" || p.fields[1].Get("Final-Recipient") != `utf-8; j\x{F6}rg@ex\x{E4}mple.org` {
			t.Errorf("%s: %v", p.statusKind, p.fields[1])
		}
		b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(p.third, "\r\n", ""))
		if err != nil || p.kind != "message/global-headers" || p.thirdEncoding != "base64" || !strings.Contains(string(b), "Subject: Grüße\r\n") || strings.Contains(string(b), "Körper") {
			t.Errorf("%s, %s, %v: %s", p.kind, p.thirdEncoding, err, b)
		}
	})
	t.Run("to a sender with another one", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.bounced("läden@example.com", "jörg@exämple.org", unicodeMail, queue.Envelope{SMTPUTF8: true})
		w.round(w.maker())
		p := w.only("läden@example.com")
		if e := p.entry.Message.Envelope; !e.SMTPUTF8 || p.header.Get("Content-Transfer-Encoding") != "8bit" {
			t.Errorf("envelope %+v, header %v", e, p.header)
		}
		if p.statusKind != "message/global-delivery-status" || p.statusEncoding != "8bit" || p.fields[1].Get("Final-Recipient") != "utf-8; jörg@exämple.org" {
			t.Errorf("%s, %s: %v", p.statusKind, p.statusEncoding, p.fields[1])
		}
		if p.kind != "message/global-headers" || p.thirdEncoding != "8bit" || !strings.Contains(p.third, "Subject: Grüße\r\n") {
			t.Errorf("%s, %s: %s", p.kind, p.thirdEncoding, p.third)
		}
	})
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.bounced("shop@example.com", "bob@example.org", unicodeMail, queue.Envelope{SMTPUTF8: true, Ret: queue.RetFull})
		w.round(w.maker())
		p := w.only("shop@example.com")
		if b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(p.third, "\r\n", "")); err != nil || p.kind != "message/global" || !strings.HasSuffix(string(b), "ein Körper\r\n") {
			t.Errorf("%s, %v: %s", p.kind, err, p.third)
		}
	})
	t.Run("only where needed", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.bounced("shop@example.com", "bob@example.org", original, queue.Envelope{SMTPUTF8: true})
		w.round(w.maker())
		p := w.only("shop@example.com")
		if p.statusKind != "message/delivery-status" || p.kind != "text/rfc822-headers" || p.thirdEncoding != "" || p.header.Get("Content-Transfer-Encoding") != "" {
			t.Errorf("%s, %s, %s", p.statusKind, p.kind, p.thirdEncoding)
		}
	})
	t.Run("a body of eight bits", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.bounced("shop@example.com", "bob@example.org", strings.Replace(original, "the body", "der K\xf6rper", 1), queue.Envelope{Ret: queue.RetFull})
		w.round(w.maker())
		p := w.only("shop@example.com")
		if p.kind != "message/rfc822" || p.thirdEncoding != "8bit" || p.header.Get("Content-Transfer-Encoding") != "8bit" || !strings.HasSuffix(p.third, "K\xf6rper\r\n") {
			t.Errorf("%s, %s: %q", p.kind, p.thirdEncoding, p.third)
		}
	})
}

// RFC 8689 §5.
func TestAReportAboutMailForTLSOnlyIsForTLSOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bounced("shop@example.com", "bob@example.org", original, queue.Envelope{RequireTLS: true, Ret: queue.RetFull})
	w.round(w.maker(func(o *report.Options) { o.Full = true }))
	p := w.only("shop@example.com")
	if !p.entry.Message.Envelope.RequireTLS {
		t.Error("the report may go without TLS")
	}
	if p.kind != "text/rfc822-headers" || strings.Contains(p.third, "the body") {
		t.Errorf("%s: %q", p.kind, p.third)
	}
}

func TestNothingIsReturnedWholeThatIsLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bounced("shop@example.com", "bob@example.org", original+strings.Repeat("many lines of text\r\n", 3000), queue.Envelope{Ret: queue.RetFull})
	w.round(w.maker())
	if p := w.only("shop@example.com"); p.kind != "text/rfc822-headers" || p.entry.Message.Content.Size > 10_000 {
		t.Errorf("%s in %d octets", p.kind, p.entry.Message.Content.Size)
	}
}

// A report must never be answered by another one, whoever answers it.
func TestReportsCannotGoRound(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(w *world){
		"an automatic reply that cannot be delivered": func(w *world) {
			w.bounced("shop@example.com", "bob@example.org", "auto-submitted: Auto-Replied; x=1\r\n"+original, queue.Envelope{})
		},
		"an answer to a report": func(w *world) {
			w.bounced("shop@example.com", "mailer-daemon@Relay.example.com", original, queue.Envelope{})
		},
		"mail that this relay made": func(w *world) {
			done, err := w.door.Submit(w.t.Context(), queue.Submission{
				Account: "shop", Source: queue.Source{Kind: "internal"}, Envelope: queue.Envelope{ReversePath: w.address("shop@example.com")},
				Recipients: []queue.SubmittedRecipient{w.to("bob@example.org", 0)}, Content: strings.NewReader(original),
			})
			if err != nil {
				w.t.Fatal(err)
			}
			w.settle(done.ID, queue.Settlement{Outcome: queue.StateBounced, Attempt: w.attempt(550, queue.Enhanced{5, 1, 1}, "no")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			send(w)
			w.round(w.maker())
			if entries, _, err := w.store.List(t.Context(), queue.Filter{}, "", 10); err != nil || len(entries) != 1 {
				t.Fatalf("%d messages, %v: it was reported", len(entries), err)
			}
		})
	}
	t.Run("mail that a program sent first is reported", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.bounced("shop@example.com", "bob@example.org", "Auto-Submitted: auto-generated\r\n"+original, queue.Envelope{})
		w.round(w.maker())
		p := w.only("shop@example.com")
		if n := len(p.header["Received"]); n > 1 {
			t.Errorf("the report begins with %d Received fields", n)
		}
	})
}

// Reports are signed as any mail is, for the domain of their From.
func TestAReportIsFromTheRelaysDomain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bounced("shop@example.com", "bob@example.org", original, queue.Envelope{})
	w.round(w.maker())
	if m := w.only("shop@example.com").entry.Message; m.Header.From.String() != "MAILER-DAEMON@relay.example.com" || !m.Envelope.ReversePath.IsNull() {
		t.Errorf("from %s, return path %s", m.Header.From, m.Envelope.ReversePath)
	}
}

// The advice is that of the API and of the folders, and stands beside the reply.
func TestTheTextSaysWhatToDoAndWhoCanDoIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit("shop@example.com", queue.Envelope{}, w.to("bob@example.org", 0))
	a := w.attempt(554, queue.Enhanced{5, 7, 1}, "192.0.2.1 is\x1b[31m listed\u202e, see https://check.spamhaus.org/?ip=192.0.2.1")
	w.settle(id, queue.Settlement{Outcome: queue.StateBounced, Class: queue.ClassBlockIP, Attempt: a})
	w.round(w.maker())
	entry, err := w.store.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	r := entry.Recipients[0]
	text := w.only("shop@example.com").text
	for _, want := range []string{
		queue.Advice(queue.AdviceClass(&r), queue.FactsOf(&entry.Message, &r, r.Last, "")),
		"Who can mend it: you.", "see https://check.spamhaus.org/?ip=192.0.2.1 and ask",
		"mx.example.org said: 554 5.7.1 192.0.2.1 is[31m listed, see", "From:      shop@example.com",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("control characters in %q", text)
	}
}
