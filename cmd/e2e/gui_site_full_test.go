//go:build full

package e2e_test

import (
	"context"
	"fmt"
	"mime"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// site is a small shop on a usual day: most of its mail went out, some came back
// and some waits. Mail programs with windows look at it.
type site struct {
	relay *e2etest.Relay
	sent  map[string][]shopMail // by the folder that shows it
}

// entry is what a mail program shows of one.
type entry struct {
	UID           int
	Subject       string
	Author        string
	Keywords      []string
	Read, Starred bool
	Stored        bool // by Thunderbird, with its body
}

// typo is an address that a customer mistyped.
const typo = "lena.hofmann@example.org"

// shopMail is a mail that the shop sent some time ago.
type shopMail struct {
	ago           time.Duration
	from, to      string // to with a name, from as the domain's local part
	subject, text string
}

// day is what the shop has sent so far, by the folder that shows it in the end.
func day() map[string][]shopMail {
	return map[string][]shopMail{
		"Sent": {
			{412 * time.Minute, "hello", "Ines Moreau <ines.moreau@example.org>", "Welcome to Juniper & Pine", "Hello Ines,\n\nthank you for joining us. Your first parcel travels free."},
			{371 * time.Minute, "orders", "Tom Akers <t.akers@example.net>", "Your order #10479 has shipped", "Hello Tom,\n\nyour parcel is on its way: two tins of Lapsang Souchong.\nIt arrives on Friday."},
			{318 * time.Minute, "account", "Noor Haddad <noor.haddad@example.com>", "Reset your password", "Hello Noor,\n\nfollow this link within an hour to choose a new password:\nhttps://juniper-tea.example/reset/7f3a90\n\nIf it was not you, there is nothing to do."},
			{266 * time.Minute, "orders", "Mara Ellison <mara.ellison@example.com>", "Your order #10482 is confirmed", "Hello Mara,\n\nwe have your order:\n\n  1 Darjeeling first flush, 100 g   14.50\n  1 Teapot, cast iron               48.00"},
			{265 * time.Minute, "orders", "Mara Ellison <mara.ellison@example.com>", "Receipt for order #10482", "Paid by card: 62.50\n\nThank you."},
			{140 * time.Minute, "hello", "Caspar Lindqvist <caspar@example.net>", "How did you like the Darjeeling?", "Hello Caspar,\n\na word from you helps others to choose."},
			{95 * time.Minute, "orders", "Ruth Abara <ruth.abara@example.org>", "Your order #10483 is confirmed", "Hello Ruth,\n\nwe have your order:\n\n  1 Gift card   50.00"},
			{94 * time.Minute, "hello", "Yuki Tanabe <yuki@example.com>", "A gift card from Ruth", "Hello Yuki,\n\nRuth sends you a gift card over 50.00."},
			{38 * time.Minute, "account", "Tom Akers <t.akers@example.net>", "Your new address is saved", "Hello Tom,\n\nparcels go to Harbour Street 12 from now on."},
		},
		"Bounced": {
			{203 * time.Minute, "hello", "Björn Aasen <bjorn@fjordmail.example>", "Winter letter: the new oolongs are here", "Hello Björn,\n\nfour oolongs from high gardens have arrived."},
			{77 * time.Minute, "account", "Joan Oakes <jaon.oakes@example.com>", "Confirm your address", "Hello Joan,\n\nplease follow this link:\nhttps://juniper-tea.example/confirm/19c2d4"},
		},
		"Deferred": {
			{121 * time.Minute, "orders", "Peter Okafor <p.okafor@example.net>", "Your subscription renews on 1 December", "Hello Peter,\n\nthree tins a month, as before."},
			{52 * time.Minute, "orders", "Harbour Hotel <office@harbour-hotel.example>", "Invoice 2026-311", "Dear Sir or Madam,\n\nwe thank you for your order and charge 318.00."},
		},
		"Queued": {
			{time.Minute, "orders", "Quarry Café <kitchen@quarry-cafe.example>", "Your order #10484 is confirmed", "Hello,\n\nwe have your order:\n\n  6 Assam, 500 g   96.00"},
		},
	}
}

// openSite starts a relay whose folders show the day.
func openSite(ctx context.Context, t *testing.T) *site {
	t.Helper()
	world := e2etest.NewInternet(t)
	refuse := func(rcpt string, code int, status, text string) smtpsim.Rule {
		return smtpsim.Rule{Stage: smtpsim.Rcpt, Rcpt: rcpt, Do: smtpsim.Do(smtpsim.Reply(code, status, text))}
	}
	for domain, rules := range map[string][]smtpsim.Rule{
		"juniper-tea.example": nil,
		"example.com":         {refuse("jaon.oakes@example.com", 550, "5.1.1", "No mailbox by that name")},
		"example.net":         {refuse("p.okafor@example.net", 452, "4.2.2", "Mailbox full")},
		"example.org":         {refuse(typo, 550, "5.1.1", "No mailbox by that name")},
		"fjordmail.example":   {{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Reply(554, "5.7.1", "Rejected: this looks like spam"))}},
		"quarry-cafe.example": {{Stage: smtpsim.Mail, Do: smtpsim.Do(smtpsim.Stall())}},
	} {
		world.Domain(t, domain, smtpsim.Options{TLS: smtpsim.StartTLS, Rules: rules})
	}
	world.Publish(t, "harbour-hotel.example", "@ MX 10 mx\nmx A "+world.Address()) // nobody listens there
	s := &site{sent: day(), relay: e2etest.Start(t, world.Env(), e2etest.Env{
		"POSTRIDER_HOSTNAME": "relay.juniper-tea.example", "POSTRIDER_RETRY": "2s,1h", "POSTRIDER_DELAY_NOTICE": "1s",
	})}
	s.relay.CLI(ctx, t, "domain", "records", "juniper-tea.example")
	for _, folder := range []string{"Sent", "Bounced", "Deferred", "Queued"} {
		for _, m := range s.sent[folder] {
			s.submit(ctx, t, m)
		}
	}
	s.sent["INBOX"] = slices.Concat(s.sent["Bounced"], s.sent["Deferred"])
	e2etest.Poll(within(t, time.Minute), t, func() error { return s.complete(ctx) })
	return s
}

func (s *site) submit(ctx context.Context, t *testing.T, m shopMail) {
	t.Helper()
	s.relay.Submit(ctx, t, m.from+"@juniper-tea.example", []string{between(m.to, "<", ">")}, m.content())
}

// between is the text between the first open and the next close.
func between(s, open, close string) string {
	_, s, _ = strings.Cut(s, open)
	s, _, _ = strings.Cut(s, close)
	return s
}

// content is as the shop's software writes it.
func (m shopMail) content() []byte {
	name, address, _ := strings.Cut(m.to, " <")
	to := mime.QEncoding.Encode("utf-8", name) + " <" + address
	text := strings.ReplaceAll(m.text+"\n\nJuniper & Pine, tea since 1987\n", "\n", "\r\n")
	return fmt.Appendf(nil, "From: Juniper & Pine <%s@juniper-tea.example>\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%d@juniper-tea.example>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s",
		m.from, to, m.subject, time.Now().Add(-m.ago).UTC().Format(time.RFC1123Z), m.ago/time.Second, text)
}

// mistype sends a mail that comes back at once and is in Bounced and INBOX then.
func (s *site) mistype(ctx context.Context, t *testing.T) {
	t.Helper()
	m := shopMail{0, "orders", "Lena Hofman <" + typo + ">", "Your order #10486 is confirmed", "Hello Lena,\n\nwe have your order:\n\n  2 Sencha, 100 g   19.00"}
	s.submit(ctx, t, m)
	s.sent["INBOX"] = append(s.sent["INBOX"], m)
	s.sent["Bounced"] = append(s.sent["Bounced"], m)
}

// complete says what the folders lack that they should show.
func (s *site) complete(ctx context.Context) error {
	for name, want := range s.sent {
		answer, err := askIMAP(ctx, s.relay.IMAP, "STATUS "+name+" (MESSAGES)")
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("* STATUS \"%s\" (MESSAGES %d)", name, len(want)); !slices.Contains(answer, want) {
			return fmt.Errorf("the server says %q, want %q", answer, want)
		}
	}
	return nil
}

// awaitSeen waits until an independent client sees that an entry has been read, or
// that it has not.
func (s *site) awaitSeen(ctx context.Context, t *testing.T, folder string, uid int, want bool) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		answer, err := askIMAP(ctx, s.relay.IMAP, "EXAMINE "+folder, fmt.Sprintf("UID FETCH %d (FLAGS)", uid))
		if err != nil {
			return err
		}
		i := slices.IndexFunc(answer, func(line string) bool { return strings.Contains(line, " FETCH ") })
		if i < 0 || strings.Contains(answer[i], `\Seen`) != want {
			return fmt.Errorf("the server says %q", answer)
		}
		return nil
	})
}

// reports is what a failure puts in front of the subject.
var reports = regexp.MustCompile(`^(Bounced|Delayed) \([^)]+\): `)

// check compares a folder with what it should show, in any order: all that failed
// or waits longer than usual is a report and unread, and nothing is there twice.
func (s *site) check(t *testing.T, folder string, entries []entry) {
	t.Helper()
	isReport := folder != "Sent" && folder != "Queued"
	var got, want []string
	for _, m := range s.sent[folder] {
		want = append(want, m.subject)
	}
	uids := make(map[int]bool)
	for _, e := range entries {
		front := reports.FindString(e.Subject)
		got = append(got, strings.TrimPrefix(e.Subject, front))
		if (front != "") != isReport || e.Read == isReport {
			t.Errorf("%s shows %+v", folder, e)
		}
		if e.Starred != strings.HasPrefix(front, "Bounced") {
			t.Errorf("%s shows this with the wrong star: %+v", folder, e)
		}
		if uids[e.UID] {
			t.Errorf("%s shows %d twice", folder, e.UID)
		}
		uids[e.UID] = true
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s shows %q, want %q", folder, got, want)
	}
}

// find is the only entry whose subject has this in it.
func find(t *testing.T, entries []entry, subject string) entry {
	t.Helper()
	some := slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return !strings.Contains(e.Subject, subject) })
	if len(some) != 1 {
		t.Fatalf("%d of %+v say %q, want one", len(some), entries, subject)
	}
	return some[0]
}
