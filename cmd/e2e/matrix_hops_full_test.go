//go:build full

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// realHop is a mail server of Debian with a domain of its own, and one below it
// to which a route asks for no TLS.
type realHop struct {
	name, domain, maildir string
	tls, utf8             bool   // it can
	accepted              string // what it says of a message, in part
}

// Mail of all kinds to the mail servers of Debian: what becomes of each
// recipient, with which class and words, and what arrives.
func TestMailServersOfDebianAsNextHops(t *testing.T) {
	t.Parallel()
	ctx := within(t, 3*time.Minute)
	world := e2etest.NewInternet(t)
	ip := world.Address()
	restrict := filepath.Join(e2etest.Dir(t), "restrict")
	if err := os.WriteFile(restrict, []byte("/^later/ 450 4.7.1 Greylisted, please try again later\n/^unknown/ 550 5.1.1 User unknown\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	pf := startPostfix(ctx, t, net.JoinHostPort(ip, "0"), "message_size_limit = 6291456",
		"smtpd_sender_restrictions = check_sender_access inline:{ {refused@shop.test = 550 5.7.1 Sender refused here} }",
		"smtpd_recipient_restrictions = check_recipient_access regexp:"+restrict+", permit_mynetworks, reject")
	_, port, _ := net.SplitHostPort(pf.addr)
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	world.Adopt(n)
	publish := func(domain, ip string) {
		world.Publish(t, domain, fmt.Sprintf("@ MX 10 mx\nmx A %s\nplain MX 10 mx\n", ip))
	}
	publish("postfix.test", ip)
	eximIP, smtpdIP := world.Address(), world.Address()
	publish("exim.test", eximIP)
	publish("opensmtpd.test", smtpdIP)
	hops := []*realHop{
		{name: "Postfix", domain: "postfix.test", maildir: pf.maildir, tls: true, utf8: true, accepted: "queued as"},
		{name: "Exim", domain: "exim.test", maildir: startExim(ctx, t, net.JoinHostPort(eximIP, port)), tls: true, utf8: true, accepted: "OK id="},
		// That of Debian 12 offers STARTTLS, and its handshakes fail.
		{name: "OpenSMTPD", domain: "opensmtpd.test", maildir: startOpenSMTPD(ctx, t, net.JoinHostPort(smtpdIP, port)), accepted: "Message accepted for delivery"},
	}
	world.Domain(t, "shop.test", smtpsim.Options{})
	routes := "routes:\n"
	for _, h := range hops {
		routes += fmt.Sprintf("  - {match: plain.%s, tls: none}\n", h.domain)
	}
	file := filepath.Join(e2etest.Dir(t), "postrider.yaml")
	if err := os.WriteFile(file, []byte(routes), 0o644); err != nil {
		t.Fatal(err)
	}
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_CONFIG": file, "POSTRIDER_RETRY": "1h", "POSTRIDER_MAX_MESSAGE_SIZE": "20MiB"})
	for _, h := range hops {
		t.Run(h.name, func(t *testing.T) { // not parallel: they would wait for others in the time of ctx
			h.check(ctx, t, relay)
		})
	}
}

// sentMail is one message of the run.
type sentMail struct {
	id      string
	content []byte
}

func (h *realHop) check(ctx context.Context, t *testing.T, relay *e2etest.Relay) {
	send := func(from, params, subject, body string, to ...string) sentMail {
		t.Helper()
		s := sentMail{content: append(e2etest.Mail(from, to[0], h.name+" "+subject), body...)}
		c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, e2etest.Password)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Do(250, "MAIL FROM:<%s>%s", from, params); err != nil {
			t.Fatal(err)
		}
		for _, rcpt := range to {
			if _, err := c.Do(250, "RCPT TO:<%s>", rcpt); err != nil {
				t.Fatal(err)
			}
		}
		if s.id, err = c.Data(s.content); err != nil {
			t.Fatal(err)
		}
		return s
	}
	const from = "a@shop.test"
	var many []string
	for i := range 90 {
		many = append(many, fmt.Sprintf("r%d@%s", i, h.domain))
	}
	for i := range 10 {
		many = append(many, fmt.Sprintf("unknown%d@%s", i, h.domain))
	}
	long := strings.Repeat("Fifty-five octets and two dots, and then a line end..\r\n", 5<<20/55)
	mails := map[string]sentMail{
		"by STARTTLS": send(from, "", "by STARTTLS", ".\r\n..two dots\r\n.end\r\n", "user@"+h.domain),
		"in plain":    send(from, "", "in plain", "Goodbye.\r\n", "user@plain."+h.domain),
		"8 bit":       send(from, " BODY=8BITMIME", "8 bit", "Grüße aus Köln, ☃\r\n", "user@"+h.domain),
		"utf8":        send(from, " SMTPUTF8 BODY=8BITMIME", "utf8", "Grüße\r\n", "büro@"+h.domain),
		"many":        send(from, "", "many", "", many...),
		"5 MB":        send(from, "", "5 MB", long, "user@"+h.domain),
		"too large":   send(from, "", "too large", long+long, "user@"+h.domain),
		"refused":     send("refused@shop.test", "", "refused", "", "user@"+h.domain),
		"later":       send(from, "", "later", "", "later@"+h.domain),
	}
	states := map[string]*v1.Message{}
	for name, m := range mails {
		e2etest.Poll(ctx, t, func() error {
			msg, err := relay.Admin().Message(ctx, m.id)
			if err != nil {
				return err
			}
			states[name] = &msg
			for _, r := range msg.Recipients {
				if r.Attempts == 0 || r.State == "active" || r.State == "queued" {
					return fmt.Errorf("%s to %s is %s after %d attempts", name, r.Address, r.State, r.Attempts)
				}
			}
			return nil
		})
	}
	h.checkTaken(t, states)
	h.checkRefused(t, states)
	h.checkMany(t, states["many"])
	arrive := []string{"by STARTTLS", "in plain", "8 bit", "5 MB"}
	if h.utf8 {
		arrive = append(arrive, "utf8")
	}
	for _, name := range arrive {
		h.checkArrived(ctx, t, mails[name].content, 1)
	}
	h.checkArrived(ctx, t, mails["many"].content, 90)
}

// only is the one recipient of a message.
func only(t *testing.T, m *v1.Message) *v1.Recipient {
	t.Helper()
	if len(m.Recipients) != 1 || m.Recipients[0].Last == nil || m.Recipients[0].Attempts != 1 {
		t.Fatalf("recipients are %+v, want one after one attempt", m.Recipients)
	}
	return &m.Recipients[0]
}

func (h *realHop) checkTaken(t *testing.T, states map[string]*v1.Message) {
	t.Helper()
	faults := map[string]bool{}
	for _, name := range []string{"by STARTTLS", "in plain", "8 bit", "5 MB"} {
		r := only(t, states[name])
		if r.State != "delivered" || r.Class != "" || r.Last.Code != 250 || !strings.Contains(r.Last.Reply, h.accepted) {
			t.Errorf("%s: %s is %s %s, the last attempt %+v", name, r.Address, r.State, r.Class, r.Last)
		}
		if encrypted := r.Last.TLS != ""; encrypted != (h.tls && name != "in plain") {
			t.Errorf("%s: TLS is %q, fault %q", name, r.Last.TLS, r.Last.TLSFault)
		}
		faults[r.Last.TLSFault] = true
	}
	if faults["validation-failure"] == h.tls { // later mail may go where it is remembered
		t.Errorf("faults of TLS are %v", faults)
	}
}

func (h *realHop) checkRefused(t *testing.T, states map[string]*v1.Message) {
	t.Helper()
	for _, want := range []struct {
		name, state, class, stage string
		code                      int
		enhanced, words           string
	}{
		{"too large", "bounced", "size", "mail", 0, "5.3.4", "the server takes 6291456"},
		{"refused", "bounced", "sender.invalid", "", 550, "5.7.1", "Sender refused here"},
		{"later", "deferred", "greylist", "rcpt", 0, "4.7.1", "Greylisted, please try again later"},
	} {
		r := only(t, states[want.name])
		a := r.Last
		if r.State != want.state || r.Class != want.class || want.stage != "" && a.Stage != want.stage || want.code != 0 && a.Code != want.code ||
			a.Enhanced != want.enhanced || !strings.Contains(a.Reply+a.Error, want.words) || a.InDoubt {
			t.Errorf("%s: %s is %s %s, the last attempt %+v", want.name, r.Address, r.State, r.Class, a)
		}
	}
	r := only(t, states["utf8"])
	if h.utf8 {
		if r.State != "delivered" {
			t.Errorf("SMTPUTF8: %s is %s %s, the last attempt %+v", r.Address, r.State, r.Class, r.Last)
		}
	} else if r.State != "bounced" || r.Class != "content.utf8" || r.Last.Enhanced != "5.6.7" || r.Last.Code != 0 {
		t.Errorf("SMTPUTF8 to one that does not offer it: %s is %s %s, the last attempt %+v", r.Address, r.State, r.Class, r.Last)
	}
}

// checkMany: each recipient has the answer to its own RCPT.
func (h *realHop) checkMany(t *testing.T, m *v1.Message) {
	t.Helper()
	count := map[string]int{}
	for _, r := range m.Recipients {
		unknown := strings.HasPrefix(r.Address, "unknown")
		switch {
		case unknown && (r.State != "bounced" || r.Class != "rcpt.unknown" || r.Last.Code != 550 || r.Last.Enhanced != "5.1.1" || r.Last.Stage != "rcpt"),
			!unknown && (r.State != "delivered" || r.Last.Code != 250 || !strings.Contains(r.Last.Reply, h.accepted)):
			t.Errorf("one of many: %s is %s %s, the last attempt %+v", r.Address, r.State, r.Class, r.Last)
		}
		count[r.State]++
	}
	if count["delivered"] != 90 || count["bounced"] != 10 {
		t.Errorf("of a hundred: %v", count)
	}
}

// checkArrived waits until a message is there as often as it should, octet for
// octet.
func (h *realHop) checkArrived(ctx context.Context, t *testing.T, content []byte, copies int) {
	t.Helper()
	id := messageIDOf(content)
	e2etest.Poll(ctx, t, func() error {
		names, err := filepath.Glob(filepath.Join(h.maildir, "new", "*"))
		if err != nil {
			return err
		}
		found := 0
		for _, name := range names {
			raw, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if !bytes.Contains(raw[:min(len(raw), 8<<10)], id) {
				continue
			}
			if s := takeApart(bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))); !bytes.Equal(s.Content, content) {
				t.Errorf("what arrived of %s differs from what was sent:\n%.2000q\n%.2000q", id, s.Content, content)
			}
			found++
		}
		if found < copies {
			return fmt.Errorf("%s is stored %d times of %d", id, found, copies)
		}
		if found > copies {
			t.Errorf("%s is stored %d times, want %d", id, found, copies)
		}
		return nil
	})
}

func messageIDOf(content []byte) []byte {
	_, rest, _ := bytes.Cut(content, []byte("Message-ID: "))
	id, _, _ := bytes.Cut(rest, []byte("\r\n"))
	return id
}
