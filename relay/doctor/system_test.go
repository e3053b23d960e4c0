package doctor_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/doctor"
	"postrider/relay/smtpsim"
)

// bare is a world in which only the machine itself is looked at.
func bare(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, good, goodReverse)
	w.c.Domains = nil
	return w
}

func listen(t *testing.T, o smtpsim.Options) *smtpsim.Server {
	t.Helper()
	s, err := smtpsim.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestOpenRelays(t *testing.T) {
	t.Parallel()
	refuse := smtpsim.Rule{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(550, "5.7.1", "relaying denied"))}
	for _, tt := range []struct {
		name    string
		o       smtpsim.Options
		tls     doctor.TLSMode
		trusted []netip.Prefix
		want    expectation
	}{
		{"one that asks for a password", smtpsim.Options{Users: map[string]string{"a": "b"}, RequireAuth: true}, doctor.NoTLS, nil,
			expectation{id: "sys.relay", level: doctor.OK, found: "16 attempts were refused"}},
		{"one that refuses strangers", smtpsim.Options{Rules: []smtpsim.Rule{refuse}}, doctor.NoTLS, nil,
			expectation{id: "sys.relay", level: doctor.OK, found: "16 attempts were refused"}},
		{"one that takes anything", smtpsim.Options{}, doctor.NoTLS, nil,
			expectation{id: "sys.relay", level: doctor.Fail, found: "this is an open relay", where: "configuration"}},
		{"one that falls for the percent sign", smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, RcptDomain: "example.org", Do: refuse.Do}}}, doctor.NoTLS, nil,
			expectation{id: "sys.relay", level: doctor.Fail, found: "RCPT TO:<relay-test%example.org@[127.0.0.1]> was accepted"}},
		{"one that takes anything over TLS", smtpsim.Options{TLS: smtpsim.StartTLS}, doctor.StartTLS, nil,
			expectation{id: "sys.relay", level: doctor.Fail, found: "this is an open relay"}},
		{"one that ends sessions of who errs", smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Mail, Do: smtpsim.Do(smtpsim.Reply(421, "4.7.0", "too many errors"))}}}, doctor.NoTLS, nil,
			expectation{id: "sys.relay", level: doctor.Unknown, found: "answers no more"}},
		{"one that trusts this machine", smtpsim.Options{}, doctor.NoTLS, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			expectation{id: "sys.relay", level: doctor.Unknown, found: "connections from 127.0.0.1 are trusted"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := bare(t)
			s := listen(t, tt.o)
			w.c.Listeners, w.c.Trusted = []doctor.Listener{{Service: "submission", Addr: s.Addr(), TLS: tt.tls}}, tt.trusted
			tt.want.check(t, w.examine(t))
			if n := len(s.Messages()); n != 0 {
				t.Errorf("%d messages were sent", n)
			}
		})
	}
	t.Run("none runs", func(t *testing.T) {
		t.Parallel()
		expectation{id: "sys.relay", level: doctor.Unknown, found: "no listener"}.check(t, bare(t).examine(t))
	})
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	for _, tt := range []struct {
		name  string
		host  string
		later time.Duration // the clock is this far ahead, before the end if negative
		roots bool
		want  expectation
		mark  string
	}{
		{"a good one", "mail.example.com", -100 * day, true, expectation{id: "tls.server", level: doctor.OK, found: "for mail.example.com"}, ""},
		{"for another name", "other.example.com", -100 * day, true, expectation{id: "tls.server", level: doctor.Warn, found: "not for mail.example.com"}, "name"},
		{"of an authority that nobody knows", "mail.example.com", -100 * day, false, expectation{id: "tls.server", level: doctor.Warn, found: "does not lead to an authority"}, "chain"},
		{"with three weeks left", "mail.example.com", -20 * day, true, expectation{id: "tls.server", level: doctor.Warn, found: "expires in 20 days"}, "21"},
		{"with a week left", "mail.example.com", -6 * day, true, expectation{id: "tls.server", level: doctor.Warn, found: "expires in 6 days"}, "7"},
		{"with a day left", "mail.example.com", -12 * time.Hour, true, expectation{id: "tls.server", level: doctor.Fail, found: "expires in 12 hours"}, "1"},
		{"expired", "mail.example.com", day, true, expectation{id: "tls.server", level: doctor.Fail, found: "it expired on"}, "expired"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := bare(t)
			s := listen(t, smtpsim.Options{TLS: smtpsim.StartTLS, Hostname: tt.host, Users: map[string]string{"a": "b"}, RequireAuth: true})
			leaf := s.Certificate()
			w.options.Now = func() time.Time { return leaf.NotAfter.Add(tt.later) }
			w.options.Roots = x509.NewCertPool()
			if tt.roots {
				w.options.Roots = s.RootCAs()
			}
			if tt.later < -30*day && leaf.NotAfter.Sub(leaf.NotBefore) < 100*day {
				w.options.Now = func() time.Time { return leaf.NotBefore.Add(time.Minute) }
			}
			w.c.Listeners = []doctor.Listener{{Service: "submission", Addr: s.Addr(), TLS: doctor.StartTLS}}
			r := w.examine(t)
			tt.want.check(t, r)
			if f := findings(r, "tls.server")[0]; f.Mark != tt.mark {
				t.Errorf("the mark is %q, want %q", f.Mark, tt.mark)
			}
		})
	}
	t.Run("none, behind a listener that others reach", func(t *testing.T) {
		t.Parallel()
		w := bare(t)
		w.c.Listeners = []doctor.Listener{{Service: "submission", Addr: "203.0.113.7:1"}}
		w.options.CheckTime = 100 * time.Millisecond
		expectation{id: "tls.server", level: doctor.Warn, found: "cross the network readable"}.check(t, w.examine(t))
	})
	t.Run("none that a listener can show, because nothing runs", func(t *testing.T) {
		t.Parallel()
		w := bare(t)
		w.c.Certificate = []*x509.Certificate{listen(t, smtpsim.Options{TLS: smtpsim.StartTLS, Hostname: "other.example.com"}).Certificate()}
		expectation{id: "tls.server", level: doctor.Warn, found: ""}.check(t, w.examine(t))
	})
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		o    *doctor.Outcomes
		want []expectation
	}{
		{"none", nil, []expectation{{id: "tls.out", level: doctor.Unknown, found: "no counters"}, {id: "rep.rate", level: doctor.Unknown, found: "no counters"}}},
		{"all well", &doctor.Outcomes{Over: 24 * time.Hour, Delivered: 1000, Encrypted: 1000, Tried: 1000, HardBounced: 5}, []expectation{
			{id: "tls.out", level: doctor.OK, found: "all of 1000"}, {id: "rep.rate", level: doctor.OK, found: "0.5 %"}}},
		{"some in the clear", &doctor.Outcomes{Delivered: 1000, Encrypted: 990, Plain: []string{"mx.small.test"}}, []expectation{
			{id: "tls.out", level: doctor.OK, found: "99.0 % of 1000; not to mx.small.test"}, {id: "rep.rate", level: doctor.Unknown, found: "too little"}}},
		{"Gmail in the clear", &doctor.Outcomes{Delivered: 1000, Encrypted: 990, Plain: []string{"gmail-smtp-in.l.google.com"}}, []expectation{
			{id: "tls.out", level: doctor.Warn, found: "google.com"}}},
		{"bad addresses", &doctor.Outcomes{Tried: 1000, HardBounced: 30, Sites: []doctor.Site{{Name: "big.test", Tried: 200, Deferred: 100}, {Name: "small.test", Tried: 3, Deferred: 3}}}, []expectation{
			{id: "rep.rate", level: doctor.Warn, found: "3.0 %"}, {id: "rep.rate", level: doctor.Warn, found: "50.0 % of 200 recipients were put off"}}},
		{"very bad addresses", &doctor.Outcomes{Tried: 1000, HardBounced: 300}, []expectation{{id: "rep.rate", level: doctor.Fail, found: "30.0 %"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := bare(t)
			w.c.Outcomes = tt.o
			r := w.examine(t)
			for _, e := range tt.want {
				e.check(t, r)
			}
			if slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.Subject == "small.test" }) {
				t.Error("three recipients are judged")
			}
		})
	}
}

func TestStores(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		c    *queue.Condition
		want expectation
	}{
		{"closed", nil, expectation{id: "sys.store", level: doctor.Unknown, found: "it is locked"}},
		{"full", &queue.Condition{Reason: "the disk is full"}, expectation{id: "sys.store", level: doctor.Fail, found: "the disk is full"}},
		{"nearly full", &queue.Condition{Accepting: true, Free: 300 << 20}, expectation{id: "sys.store", level: doctor.Warn, found: "300 MiB"}},
		{"roomy", &queue.Condition{Accepting: true, Free: 30 << 30}, expectation{id: "sys.store", level: doctor.OK, found: "30 GiB"}},
		{"elsewhere", &queue.Condition{Accepting: true, Free: -1}, expectation{id: "sys.store", level: doctor.OK, found: "takes mail"}},
	} {
		w := bare(t)
		w.c.Store, w.c.NoStore = tt.c, "it is locked"
		tt.want.check(t, w.examine(t))
	}
}

func TestClocks(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Date", date.Format(http.TimeFormat)) }))
	t.Cleanup(s.Close)
	for off, want := range map[time.Duration]expectation{
		time.Second:                  {id: "sys.clock", level: doctor.OK, found: "within"},
		40 * time.Second:             {id: "sys.clock", level: doctor.Fail, found: "seconds off"},
		-3*time.Hour - time.Second/2: {id: "sys.clock", level: doctor.Fail, found: "3 hours off"},
	} {
		w := bare(t)
		w.options.ClockURL, w.options.Now = s.URL, func() time.Time { return date.Add(off) }
		want.check(t, w.examine(t))
	}
}

// sampleList is a Samples.
type sampleList []doctor.Sample

func (l sampleList) Recent(_ context.Context, domain string, n int) ([]doctor.Sample, error) {
	var out []doctor.Sample
	for _, s := range l {
		if s.From == domain && len(out) < n {
			out = append(out, s)
		}
	}
	return out, nil
}

func TestMessages(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	const head = "From: a@example.com\r\nTo: b@example.net\r\nSubject: x\r\nDate: Fri, 1 May 2026 12:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
	const way = "List-Unsubscribe: <https://example.com/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
	for _, tt := range []struct {
		name, text string
		bulk       bool
		want       []expectation
	}{
		{"a good one", head + "\r\nHello\r\n", false, []expectation{{id: "msg.lint", level: doctor.OK, found: "1 message looked at"}}},
		{"two Subjects and no Date", strings.Replace(head, "Date: Fri, 1 May 2026 12:00:00 +0000", "Subject: y", 1) + "\r\nHello\r\n", false,
			[]expectation{{id: "msg.lint", level: doctor.Warn, found: "no Date (1 of 1, such as msg_1); more than one Subject"}}},
		{"a Date of yesterday", strings.Replace(head, "1 May", "30 Apr", 1) + "\r\n", false, []expectation{{id: "msg.lint", level: doctor.Warn, found: "more than an hour"}}},
		{"raw letters in the header", strings.Replace(head, "x\r\n", "gr\u00fc\u00dfe\r\n", 1) + "\r\n", false, []expectation{{id: "msg.lint", level: doctor.Warn, found: "RFC 2047"}}},
		{"letters that are none", strings.Replace(head, "x\r\n", "gr\xfc\xdfe\r\n", 1) + "\r\n", false, []expectation{{id: "msg.lint", level: doctor.Warn, found: "no UTF-8"}}},
		{"a long line", head + "\r\n" + strings.Repeat("x", 999) + "\r\n", false, []expectation{{id: "msg.lint", level: doctor.Warn, found: "longer than 998"}}},
		{"a very long line", head + "\r\n" + strings.Repeat("x", 200<<10), false, []expectation{{id: "msg.lint", level: doctor.Warn, found: "longer than 998"}}},
		{"a long header", head + strings.Repeat("X-Y: z\r\n", 10<<10) + "\r\n", false, []expectation{{id: "msg.lint", level: doctor.Warn, found: "a header of more than"}}},
		{"HTML alone", head + "Content-Type: text/html\r\n\r\n<p>", false, []expectation{{id: "msg.lint", level: doctor.Warn, found: "HTML without"}}},
		{"HTML beside text", head + "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n", false, []expectation{{id: "msg.lint", level: doctor.OK}}},
		{"marketing with a way out", head + way + "\r\nHello\r\n", true, []expectation{{id: "msg.unsub", level: doctor.OK, found: "1 message with one-click"}}},
		{"marketing without", head + "\r\nHello\r\n", true, []expectation{{id: "msg.unsub", level: doctor.Fail, found: "1 of 1", where: "program"}}},
		{"marketing with a link in the clear", head + strings.Replace(way, "https", "http", 1) + "\r\n", true, []expectation{{id: "msg.unsub", level: doctor.Fail, found: "1 of 1"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, good, goodReverse)
			w.options.Samples = sampleList{{ID: "msg_1", From: "example.com", Bulk: tt.bulk, Accepted: at, Open: func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader(tt.text)), nil
			}}}
			r := w.examine(t)
			for _, e := range tt.want {
				e.check(t, r)
			}
			if !tt.bulk && len(findings(r, "msg.unsub")) > 0 {
				t.Error("mail that nobody called marketing is asked for a way out")
			}
		})
	}
}

func TestMessagesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good, goodReverse)
	expectation{id: "msg.lint", level: doctor.Unknown, found: "no messages are at hand"}.check(t, w.examine(t))
	w.options.Samples = sampleList{}
	expectation{id: "msg.lint", level: doctor.Unknown, found: "no message from it"}.check(t, w.examine(t))
	w.options.Samples = sampleList{{ID: "msg_1", From: "example.com", Open: func(context.Context) (io.ReadCloser, error) { return nil, errors.New("gone") }}}
	expectation{id: "msg.lint", level: doctor.Unknown, found: "gone"}.check(t, w.examine(t))
}

func TestAnExaminationEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good, goodReverse)
	w.options.WholeTime, w.options.Parallel = 50*time.Millisecond, 1
	block := make(chan struct{})
	w.options.Samples = blockedSamples{block}
	defer close(block)
	w.c.Domains = append(w.c.Domains, doctor.Domain{Name: "example.net"})
	r := w.examine(t)
	if r.Count(doctor.Unknown) == 0 {
		t.Error("nothing is said of what there was no time for")
	}
	expectation{id: "sys.store", level: doctor.Unknown, found: "no time left"}.check(t, r)
}

// blockedSamples answers when its time is over.
type blockedSamples struct{ c chan struct{} }

func (b blockedSamples) Recent(ctx context.Context, _ string, _ int) ([]doctor.Sample, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestACheckThatBreaksIsOurOwnTrouble(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good, goodReverse)
	w.options.Samples = brokenSamples{}
	expectation{id: "msg.lint", level: doctor.Unknown, found: "the check itself failed"}.check(t, w.examine(t))
}

type brokenSamples struct{}

func (brokenSamples) Recent(context.Context, string, int) ([]doctor.Sample, error) { panic("broken") }

func TestTheWorstComesFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, instead(good, "_dmarc"), goodReverse)
	r := w.examine(t)
	levels := doctor.Levels()
	for i := 1; i < len(r.Findings); i++ {
		if slices.Index(levels, r.Findings[i-1].Level) > slices.Index(levels, r.Findings[i].Level) {
			t.Fatalf("%s comes before %s", r.Findings[i-1].Level, r.Findings[i].Level)
		}
	}
	if r.Level() != doctor.Fail {
		t.Errorf("the level is %s", r.Level())
	}
}
