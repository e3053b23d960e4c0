package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// scenario is a next hop in trouble, and how mail for it ends.
type scenario struct {
	name string // also the first label of the domain

	hop  smtpsim.Options
	zone func(net *e2etest.Internet) string // of the domain, in place of the hop

	deferred logged // how an attempt on the way is logged; zero: there is none
	end      logged
	report   reported // zero: the sender hears nothing
	copies   int      // arrivals
	inDoubt  bool
	plain    bool // arrives without TLS
}

// logged is what a line of the log says; zero fields are not looked at.
type logged struct {
	msg, code, status, class, stage, text string
}

func (w logged) matches(l e2etest.Line) bool {
	for _, c := range [][2]string{
		{w.msg, l.Attr("msg")}, {w.code, l.Attr("code")}, {w.status, l.Attr("status")}, {w.class, l.Attr("class")}, {w.stage, l.Attr("stage")},
	} {
		if c[0] != "" && c[0] != c[1] {
			return false
		}
	}
	return strings.Contains(l.Text, w.text)
}

// reported is what the DSN says of the recipient.
type reported struct{ status, diagnostic, text string }

func at(stage smtpsim.Stage, actions ...smtpsim.Action) smtpsim.Options {
	return smtpsim.Options{Rules: []smtpsim.Rule{{Name: "trouble", Stage: stage, Do: actions}}}
}

func scenarios() []scenario {
	brokenTLS := at(smtpsim.StartTLSVerb, smtpsim.PlaintextForTLS())
	brokenTLS.TLS = smtpsim.StartTLS
	silentDot := smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Times: 1, Do: smtpsim.Do(smtpsim.LoseReply())}}}
	return []scenario{
		{
			name: "refusal", hop: at(smtpsim.Rcpt, smtpsim.Reply(550, "5.1.1", "No such user here")),
			end:    logged{msg: "bounced", code: "550", status: "5.1.1", class: "rcpt.unknown", stage: "rcpt", text: "No such user here"},
			report: reported{status: "5.1.1", diagnostic: "smtp; 550 5.1.1 No such user here", text: "No such user here"},
		},
		{
			name: "greylisting", hop: at(smtpsim.Rcpt, smtpsim.Greylist(time.Second)),
			deferred: logged{msg: "deferred", code: "451", class: "greylist", stage: "rcpt"},
			end:      logged{msg: "delivered", code: "250"}, copies: 1,
		},
		{
			name: "full", hop: at(smtpsim.Rcpt, smtpsim.Reply(452, "4.2.2", "Mailbox full")),
			deferred: logged{msg: "deferred", code: "452", status: "4.2.2", class: "rcpt.full", stage: "rcpt"},
			end:      logged{msg: "expired", class: "rcpt.full"},
			report:   reported{status: "5.4.7", diagnostic: "smtp; 452 4.2.2 Mailbox full", text: "Mailbox full"},
		},
		{
			name: "full-for-good", hop: at(smtpsim.Dot, smtpsim.Reply(552, "5.2.2", "Over quota")),
			end:    logged{msg: "bounced", code: "552", status: "5.2.2", class: "rcpt.full", stage: "dot"},
			report: reported{status: "5.2.2", diagnostic: "smtp; 552 5.2.2 Over quota", text: "Over quota"},
		},
		{
			name: "dead", zone: func(net *e2etest.Internet) string { return "@ MX 10 mx\nmx A " + net.Address() },
			deferred: logged{msg: "deferred", class: "net.connect", stage: "connect", text: "refused"},
			end:      logged{msg: "expired", class: "net.connect"},
			report:   reported{status: "5.4.7", diagnostic: "refused", text: "refused"},
		},
		{
			name: "null-mx", zone: func(*e2etest.Internet) string { return "@ MX 0 ." },
			end:    logged{msg: "bounced", class: "domain.bad", stage: "route"},
			report: reported{status: "5.1.10", diagnostic: "null MX", text: "null-mx.test"},
		},
		{
			name: "broken-tls", hop: brokenTLS, copies: 1, plain: true,
			end: logged{msg: "delivered", code: "250"},
		},
		{
			name: "stalled", hop: at(smtpsim.Mail, smtpsim.Stall()),
			deferred: logged{msg: "deferred", stage: "mail", class: "system.temp", text: "timed out"},
			end:      logged{msg: "expired", class: "system.temp"},
			report:   reported{status: "5.4.7", diagnostic: "X-Postrider; timed out", text: "mx.stalled.test"},
		},
		{
			name: "silent-dot", hop: silentDot, copies: 2, inDoubt: true,
			deferred: logged{msg: "deferred", stage: "dot", text: `"in_doubt":true`},
			end:      logged{msg: "delivered", code: "250"},
		},
	}
}

// Each trouble of a next hop ends as it should, seen in the log, in the history
// and in what the sender is told.
func TestTroubleEndsAsItShould(t *testing.T) {
	t.Parallel()
	net := e2etest.NewInternet(t)
	sender := net.Domain(t, "shop.test", smtpsim.Options{})
	relay := e2etest.Start(t, net.Env(), e2etest.Env{
		"POSTRIDER_RETRY": "1500ms", "POSTRIDER_LIFETIME": "4s", "POSTRIDER_DELAY_NOTICE": "off",
		"POSTRIDER_TIMEOUT_COMMAND": "700ms", "POSTRIDER_TIMEOUT_FINAL_DOT": "700ms", "POSTRIDER_TIMEOUT_CONNECT": "700ms",
	})
	// Else the first message waits until the key of its domain is made.
	relay.CLI(within(t, time.Minute), t, "domain", "records", "shop.test")
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(within(t, 45*time.Second), t, net, relay, sender)
		})
	}
}

func (s *scenario) run(ctx context.Context, t *testing.T, net *e2etest.Internet, relay *e2etest.Relay, sender *smtpsim.Server) {
	domain := s.name + ".test"
	var hop *smtpsim.Server
	if s.zone != nil {
		net.Publish(t, domain, s.zone(net))
	} else {
		hop = net.Domain(t, domain, s.hop)
	}
	rcpt := "b@" + domain
	from := s.name + "@shop.test"
	id := relay.Submit(ctx, t, from, []string{rcpt}, e2etest.Mail(from, rcpt, "the "+s.name+" scenario"))

	of := func(w logged) func(e2etest.Line) bool {
		return func(l e2etest.Line) bool { return l.Attr("id") == id && l.Attr("rcpt") == rcpt && w.matches(l) }
	}
	relay.Out.Expect(ctx, t, of(s.end))
	if s.deferred != (logged{}) && len(relay.Out.All(of(s.deferred))) == 0 {
		t.Errorf("no line of the log is %+v; there are:\n%s", s.deferred, texts(relay.Out.All(of(logged{}))))
	}
	if s.deferred == (logged{}) {
		if lines := relay.Out.All(of(logged{msg: "deferred"})); len(lines) > 0 {
			t.Errorf("it was deferred on the way:\n%s", texts(lines))
		}
	}
	m, err := relay.Admin().Message(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	s.checkHistory(t, m)
	s.checkArrivals(t, hop)
	s.checkReport(ctx, t, sender, from, rcpt, id)
}

func texts(lines []e2etest.Line) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintln(&b, l.Text)
	}
	return b.String()
}

func (s *scenario) checkHistory(t *testing.T, m v1.Message) {
	t.Helper()
	if r := m.Recipients[0]; r.State != s.end.msg || s.end.class != "" && r.Class != s.end.class {
		t.Errorf("the recipient is %s for %q, want %s for %q", r.State, r.Class, s.end.msg, s.end.class)
	} else if s.end.msg != "delivered" && r.Advice == "" {
		t.Error("the operator gets no advice")
	}
	kinds := make([]string, 0, len(m.Events))
	doubt := false
	for _, e := range m.Events {
		kinds = append(kinds, e.Kind)
		doubt = doubt || e.InDoubt
	}
	if len(kinds) < 2 || kinds[0] != "queued" || kinds[len(kinds)-1] != s.end.msg || slices.Contains(kinds, "deferred") != (s.deferred != logged{}) {
		t.Errorf("the events are %v", kinds)
	}
	if doubt != s.inDoubt {
		t.Errorf("in_doubt is %v, want %v", doubt, s.inDoubt)
	}
}

func (s *scenario) checkArrivals(t *testing.T, hop *smtpsim.Server) {
	t.Helper()
	if hop == nil {
		return
	}
	got := hop.Messages()
	if len(got) != s.copies {
		t.Fatalf("%d copies arrived, want %d", len(got), s.copies)
	}
	if v := hop.Violations(); len(v) > 0 {
		t.Errorf("the next hop saw violations: %v", v)
	}
	if s.plain && (got[0].TLS != nil || hop.Fired("trouble") != 1) {
		t.Errorf("TLS state %v after %d tries of STARTTLS, want none after one", got[0].TLS, hop.Fired("trouble"))
	}
}

// checkReport looks at what came back to the sender's own mail server.
func (s *scenario) checkReport(ctx context.Context, t *testing.T, sender *smtpsim.Server, from, rcpt, id string) {
	t.Helper()
	mine := func() []*smtpsim.Message {
		return slices.DeleteFunc(slices.Clone(sender.Messages()), func(m *smtpsim.Message) bool { return m.Rcpts[0].Address != from })
	}
	if s.report == (reported{}) {
		if got := mine(); len(got) > 0 {
			t.Errorf("the sender was told though nothing failed:\n%s", got[0].Raw)
		}
		return
	}
	e2etest.Poll(ctx, t, func() error {
		if len(mine()) == 0 {
			return fmt.Errorf("no report for %s has come", from)
		}
		return nil
	})
	m := mine()[0]
	if m.From.Address != "" {
		t.Errorf("the report comes from <%s>, want the null reverse-path", m.From.Address)
	}
	d, err := e2etest.ParseDSN(m.Raw)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, m.Raw)
	}
	r := d.Recipients[0]
	for _, c := range []struct{ what, got, want string }{
		{"To", d.Header.Get("To"), from},
		{"Auto-Submitted", d.Header.Get("Auto-Submitted"), "auto-replied"},
		{"Reporting-MTA", d.Message.Get("Reporting-Mta"), "dns; relay.test"},
		{"X-Postrider-Queue-Id", d.Message.Get("X-Postrider-Queue-Id"), id},
		{"Final-Recipient", r.Get("Final-Recipient"), "rfc822; " + rcpt},
		{"Action", r.Get("Action"), "failed"},
		{"Status", r.Get("Status"), s.report.status},
		{"Diagnostic-Code", r.Get("Diagnostic-Code"), s.report.diagnostic},
		{"the text", strings.ReplaceAll(d.Text, "=\r\n", ""), s.report.text},
		{"the text", strings.ReplaceAll(d.Text, "=\r\n", ""), rcpt},
		{"the returned Subject", d.Original.Get("Subject"), "the " + s.name + " scenario"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("%s is %q, want %q in it", c.what, c.got, c.want)
		}
	}
	if len(d.Recipients) != 1 {
		t.Errorf("the report is about %d recipients", len(d.Recipients))
	}
}

func TestNullSenderHearsNothing(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	net := e2etest.NewInternet(t)
	net.Domain(t, "refusal.test", at(smtpsim.Rcpt, smtpsim.Reply(550, "5.1.1", "No such user")))
	sender := net.Domain(t, "shop.test", smtpsim.Options{})
	relay := e2etest.Start(t, net.Env())

	id := relay.Submit(ctx, t, "", []string{"b@refusal.test"}, e2etest.Mail("a@shop.test", "b@refusal.test", "from nobody"))
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("bounced") && l.Attr("id") == id })
	// Reports are written in the order of events: when this one is there,
	// none will come for the first.
	relay.Submit(ctx, t, "a@shop.test", []string{"b@refusal.test"}, e2etest.Mail("a@shop.test", "b@refusal.test", "from somebody"))
	d, err := e2etest.ParseDSN(e2etest.Receive(ctx, t, sender, 1)[0].Raw)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Original.Get("Subject"); got != "from somebody" {
		t.Errorf("the first report is about %q", got)
	}
	if lines := relay.Out.All(func(l e2etest.Line) bool { return l.Is("report written") }); len(lines) != 1 {
		t.Errorf("%d reports were written, want 1:\n%s", len(lines), texts(lines))
	}
}
