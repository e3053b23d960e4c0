package report_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/relay/intake"
	"postrider/relay/report"
)

type anything struct{}

func (anything) Policy(context.Context, string, string) (intake.Policy, error) {
	return intake.Policy{}, nil
}

type world struct {
	t     *testing.T
	store *logstore.Store
	door  *intake.Door
	now   time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w := &world{t: t, store: s, now: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)}
	w.door = intake.New(intake.Options{
		Store: s, Policies: anything{}, Hostname: "relay.example.com", Now: func() time.Time { return w.now },
		Lane: func(_, _, domain string) queue.Lane { return queue.Lane(domain) },
	})
	return w
}

func (w *world) maker(change ...func(*report.Options)) *report.Maker {
	o := report.Options{Store: w.store, Submitter: w.door, Hostname: "relay.example.com", Holder: "one", Now: func() time.Time { return w.now }}
	for _, c := range change {
		c(&o)
	}
	return report.New(o)
}

func (w *world) round(m *report.Maker) {
	w.t.Helper()
	for {
		more, err := m.Round(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if !more {
			return
		}
	}
}

func (w *world) address(s string) queue.Address {
	w.t.Helper()
	if s == "" {
		return queue.Address{}
	}
	a, err := queue.ParseAddress(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

const original = "From: Shop <shop@example.com>\r\nDate: Mon, 23 Nov 2026 05:00:00 +0000\r\nMessage-ID: <1@web1>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nthe body\r\n"

func (w *world) submit(from string, env queue.Envelope, rs ...queue.SubmittedRecipient) queue.MessageID {
	w.t.Helper()
	env.ReversePath = w.address(from)
	done, err := w.door.Submit(w.t.Context(), queue.Submission{
		Account: "shop", Source: queue.Source{Kind: "smtp"}, Envelope: env, Recipients: rs, Content: strings.NewReader(original),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return done.ID
}

func (w *world) to(addr string, notify queue.Notify) queue.SubmittedRecipient {
	return queue.SubmittedRecipient{Address: w.address(addr), Notify: notify}
}

// settle leases all that is due of a message and gives each recipient the same
// outcome.
func (w *world) settle(id queue.MessageID, outcome queue.Settlement) {
	w.t.Helper()
	leases, err := w.store.Lease(w.t.Context(), queue.LeaseRequest{Now: w.now, Holder: "one", TTL: time.Minute, Max: 10})
	if err != nil {
		w.t.Fatal(err)
	}
	settled := 0
	for _, l := range leases {
		if l.Message.ID != id {
			continue
		}
		var ss []queue.Settlement
		for _, r := range l.Recipients {
			s := outcome
			s.Recipient = r.ID
			ss = append(ss, s)
			settled++
		}
		if err := w.store.Settle(w.t.Context(), l, ss); err != nil {
			w.t.Fatal(err)
		}
	}
	if settled == 0 {
		w.t.Fatal("nothing was due")
	}
}

func (w *world) attempt(code int, enhanced queue.Enhanced, text string) *queue.Attempt {
	return &queue.Attempt{
		Number: 1, Start: w.now, Took: time.Second, Site: "example.org", Host: "mx.example.org", Stage: queue.StageRcpt,
		Reply: queue.Reply{Code: code, Enhanced: enhanced, Text: text, Command: "RCPT"},
	}
}

type parsed struct {
	entry  queue.Entry
	header mail.Header
	text   string
	status string
	fields []textproto.MIMEHeader
	third  string
	kind   string

	statusKind, statusEncoding, thirdEncoding string
}

// reports finds and takes apart what was submitted to an address.
func (w *world) reports(to string) []parsed {
	w.t.Helper()
	entries, _, err := w.store.List(w.t.Context(), queue.Filter{Recipient: to, Sender: ""}, "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []parsed
	for _, e := range entries {
		if e.Message.Source.Kind == "internal" {
			all = append(all, w.parse(e))
		}
	}
	return all
}

func (w *world) parse(e queue.Entry) parsed {
	w.t.Helper()
	c, err := w.store.OpenContent(w.t.Context(), e.Message.Content)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	m, err := mail.ReadMessage(c)
	if err != nil {
		w.t.Fatal(err)
	}
	p := parsed{entry: e, header: m.Header}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		w.t.Fatalf("content type %s %v, %v", kind, params, err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for i := range 3 {
		part, err := r.NextPart()
		if err != nil {
			w.t.Fatalf("part %d: %v", i+1, err)
		}
		b, err := io.ReadAll(part)
		if err != nil {
			w.t.Fatal(err)
		}
		switch i {
		case 0:
			p.text = string(b)
		case 1:
			p.status, p.statusKind, p.statusEncoding = string(b), part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding")
		case 2:
			p.third, p.kind, p.thirdEncoding = string(b), part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding")
		}
	}
	if _, err := r.NextPart(); err != io.EOF {
		w.t.Fatalf("there is a fourth part, or none ends it: %v", err)
	}
	for block := range strings.SplitSeq(strings.TrimSpace(p.status), "\r\n\r\n") {
		h, err := textproto.NewReader(newReader(block + "\r\n\r\n")).ReadMIMEHeader()
		if err != nil {
			w.t.Fatalf("status block %q: %v", block, err)
		}
		p.fields = append(p.fields, h)
	}
	return p
}

func TestABounceIsReportedToTheSender(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit("shop@example.com", queue.Envelope{EnvID: "env-1"},
		w.to("bob@example.org", 0), w.to("carol@example.org", 0), w.to("never@example.org", queue.NotifyNever))
	w.settle(id, queue.Settlement{Outcome: queue.StateBounced, Class: queue.ClassRcptUnknown, Attempt: w.attempt(550, queue.Enhanced{5, 1, 1}, "No such user\nGo away")})
	w.round(w.maker())

	got := w.reports("shop@example.com")
	if len(got) != 1 {
		t.Fatalf("%d reports, want one", len(got))
	}
	p := got[0]
	if !p.entry.Message.Envelope.ReversePath.IsNull() || p.header.Get("Auto-Submitted") != "auto-replied" || p.header.Get("References") != "<1@web1>" {
		t.Errorf("envelope sender %q, header %v", p.entry.Message.Envelope.ReversePath, p.header)
	}
	dec := mime.WordDecoder{}
	if s, _ := dec.DecodeHeader(p.header.Get("Subject")); s != "Not delivered: Grüße" {
		t.Errorf("subject %q", s)
	}
	for _, want := range []string{"could not be delivered", "bob@example.org", "carol@example.org", "does not exist", "550 5.1.1 No such user Go away", "mx.example.org", id.String()} {
		if !strings.Contains(strings.ReplaceAll(p.text, "=\r\n", ""), want) {
			t.Errorf("the text lacks %q:\n%s", want, p.text)
		}
	}
	if strings.Contains(p.text, "never@") {
		t.Error("NOTIFY=NEVER was reported")
	}
	if len(p.fields) != 3 {
		t.Fatalf("%d status blocks, want 1 + 2", len(p.fields))
	}
	if p.fields[0].Get("Reporting-MTA") != "dns; relay.example.com" || p.fields[0].Get("Original-Envelope-Id") != "env-1" {
		t.Errorf("per message: %v", p.fields[0])
	}
	for name, want := range map[string]string{
		"Final-Recipient": "rfc822; bob@example.org", "Action": "failed", "Status": "5.1.1",
		"Remote-Mta": "dns; mx.example.org", "Diagnostic-Code": "smtp; 550 5.1.1 No such user Go away",
	} {
		if got := p.fields[1].Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if p.kind != "text/rfc822-headers" || !strings.Contains(p.third, "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=") || strings.Contains(p.third, "the body") {
		t.Errorf("third part %s: %q", p.kind, p.third)
	}
	if n := p.entry.Recipients[0].Notify; n != queue.NotifyNever {
		t.Errorf("the report itself could be reported: notify %d", n)
	}
}

func TestWhatIsAskedForIsWhatIsSent(t *testing.T) {
	t.Parallel()
	delayed := queue.Settlement{Outcome: queue.StateDeferred, Class: queue.ClassGreylist, Delayed: true}
	cases := []struct {
		name    string
		from    string
		env     queue.Envelope
		notify  queue.Notify
		outcome queue.Settlement
		taken   bool
		want    string // Action; empty: no report
	}{
		{"failure by default", "shop@example.com", queue.Envelope{}, 0, queue.Settlement{Outcome: queue.StateBounced}, false, "failed"},
		{"expiry", "shop@example.com", queue.Envelope{}, 0, queue.Settlement{Outcome: queue.StateExpired}, false, "failed"},
		{"null sender hears nothing", "", queue.Envelope{}, 0, queue.Settlement{Outcome: queue.StateBounced}, false, ""},
		{"only success asked, failed", "shop@example.com", queue.Envelope{}, queue.NotifySuccess, queue.Settlement{Outcome: queue.StateBounced}, false, ""},
		{"delay by default", "shop@example.com", queue.Envelope{}, 0, delayed, false, "delayed"},
		{"delay not wanted", "shop@example.com", queue.Envelope{}, queue.NotifyFailure, delayed, false, ""},
		{"a deferral is no delay notice", "shop@example.com", queue.Envelope{}, 0, queue.Settlement{Outcome: queue.StateDeferred}, false, ""},
		{"success unasked", "shop@example.com", queue.Envelope{}, 0, queue.Settlement{Outcome: queue.StateDelivered, Delayed: true}, false, ""},
		{"success asked", "shop@example.com", queue.Envelope{}, queue.NotifySuccess, queue.Settlement{Outcome: queue.StateDelivered, Delayed: true}, false, "relayed"},
		{"success asked, next hop reports", "shop@example.com", queue.Envelope{}, queue.NotifySuccess, queue.Settlement{Outcome: queue.StateDelivered, Delayed: true}, true, ""},
		{"cancelled is silent", "shop@example.com", queue.Envelope{}, 0, queue.Settlement{Outcome: queue.StateCancelled}, false, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.submit(c.from, c.env, w.to("bob@example.org", c.notify))
			c.outcome.Attempt = w.attempt(450, queue.Enhanced{4, 7, 1}, "later")
			c.outcome.Attempt.Reports = c.taken
			c.outcome.Due = w.now.Add(time.Hour)
			w.settle(id, c.outcome)
			w.round(w.maker())
			to := c.from
			if to == "" {
				to = "nobody@example.com"
			}
			got := w.reports(to)
			if c.want == "" {
				if len(got) != 0 {
					t.Fatalf("reported: %s", got[0].status)
				}
				return
			}
			if len(got) != 1 || got[0].fields[1].Get("Action") != c.want {
				t.Fatalf("%d reports, want one with action %s", len(got), c.want)
			}
			if c.want == "delayed" && got[0].fields[1].Get("Will-Retry-Until") == "" {
				t.Error("a delay notice says until when")
			}
		})
	}
}

func TestARepeatedRoundReportsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit("shop@example.com", queue.Envelope{}, w.to("bob@example.org", 0))
	w.settle(id, queue.Settlement{Outcome: queue.StateBounced, Attempt: w.attempt(550, queue.Enhanced{5, 1, 1}, "no")})
	w.round(w.maker())
	// A crash before the position was kept: it is read again from the start.
	if err := w.store.Acknowledge(t.Context(), "dsn", ""); err != nil {
		t.Fatal(err)
	}
	w.round(w.maker())
	if got := w.reports("shop@example.com"); len(got) != 1 {
		t.Fatalf("%d reports, want one", len(got))
	}
}

func TestRecipientsOfOneTransactionShareAReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit("shop@example.com", queue.Envelope{}, w.to("bob@example.org", 0), w.to("ok@example.org", 0), w.to("carol@example.org", 0))
	leases, err := w.store.Lease(t.Context(), queue.LeaseRequest{Now: w.now, Holder: "one", TTL: time.Minute, Max: 10})
	if err != nil || len(leases) != 1 || leases[0].Message.ID != id {
		t.Fatalf("leases %v, %v", leases, err)
	}
	var ss []queue.Settlement
	for i, r := range leases[0].Recipients {
		a := w.attempt(550, queue.Enhanced{5, 1, 1}, "no")
		a.Took += time.Duration(i) // as replies come one after the other
		s := queue.Settlement{Recipient: r.ID, Outcome: queue.StateBounced, Attempt: a}
		if r.Address.Local == "ok" {
			s.Outcome = queue.StateDelivered
		}
		ss = append(ss, s)
	}
	if err := w.store.Settle(t.Context(), leases[0], ss); err != nil {
		t.Fatal(err)
	}
	w.round(w.maker())
	got := w.reports("shop@example.com")
	if len(got) != 1 || len(got[0].fields) != 3 {
		t.Fatalf("%d reports, want one about two recipients", len(got))
	}
}

type submitter func(context.Context, queue.Submission) (queue.Submitted, error)

func (f submitter) Submit(ctx context.Context, s queue.Submission) (queue.Submitted, error) {
	return f(ctx, s)
}

// A crash between a report and its position must not hide what joined the group
// meanwhile.
func TestEventsThatCameAfterACrashAreReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit("shop@example.com", queue.Envelope{}, w.to("bob@example.org", 0), w.to("carol@example.net", 0))
	settle := func(domain string) {
		leases, err := w.store.Lease(t.Context(), queue.LeaseRequest{Now: w.now, Holder: "one", TTL: time.Minute, Max: 1, Lane: queue.Lane(domain)})
		if err != nil || len(leases) != 1 || leases[0].Message.ID != id {
			t.Fatalf("leases %v, %v", leases, err)
		}
		s := queue.Settlement{Recipient: leases[0].Recipients[0].ID, Outcome: queue.StateBounced, Attempt: w.attempt(550, queue.Enhanced{5, 1, 1}, "no")}
		if err := w.store.Settle(t.Context(), leases[0], []queue.Settlement{s}); err != nil {
			t.Fatal(err)
		}
	}
	settle("example.org")
	first := submitter(func(ctx context.Context, sub queue.Submission) (queue.Submitted, error) {
		settle("example.net") // after the events were read, before the report is in
		return w.door.Submit(ctx, sub)
	})
	if _, err := w.maker(func(o *report.Options) { o.Submitter = first }).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Acknowledge(t.Context(), "dsn", ""); err != nil {
		t.Fatal(err)
	}
	w.round(w.maker())
	for _, p := range w.reports("shop@example.com") {
		if strings.Contains(p.status, "carol@example.net") {
			return
		}
	}
	t.Fatal("the second bounce was not reported")
}

func TestOnlyOneNodeReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.round(w.maker())
	other := w.maker(func(o *report.Options) { o.Holder = "two" })
	if _, err := other.Round(t.Context()); !errors.Is(err, queue.ErrClaimed) {
		t.Fatalf("a second node went ahead: %v", err)
	}
	w.now = w.now.Add(time.Hour)
	if _, err := other.Round(t.Context()); err != nil {
		t.Fatalf("a dead node's work was not taken over: %v", err)
	}
}

// A node that stood still during its round must not go on with it when another
// one took its place, even if that one has ended since.
func TestANodeThatStoodStillLeavesTheReportsToTheOther(t *testing.T) {
	t.Parallel()
	for name, ended := range map[string]bool{"and is at work": false, "and has ended": true} {
		t.Run("the other took over "+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			bounce := func() {
				id := w.submit("shop@example.com", queue.Envelope{}, w.to("bob@example.org", 0))
				w.settle(id, queue.Settlement{Outcome: queue.StateBounced, Attempt: w.attempt(550, queue.Enhanced{5, 1, 1}, "no")})
			}
			bounce()
			bounce()
			other := w.maker(func(o *report.Options) { o.Holder = "two" })
			var position queue.Position
			stopped := submitter(func(ctx context.Context, sub queue.Submission) (queue.Submitted, error) {
				if position != "" {
					t.Error("it went on with the next report")
				}
				w.now = w.now.Add(time.Hour)
				w.round(other)
				var err error
				if position, err = w.store.Acknowledged(ctx, "dsn"); err != nil {
					return queue.Submitted{}, err
				}
				if ended {
					if err := w.store.Unclaim(ctx, "dsn", "two"); err != nil {
						return queue.Submitted{}, err
					}
				}
				return w.door.Submit(ctx, sub)
			})
			if _, err := w.maker(func(o *report.Options) { o.Submitter = stopped }).Round(t.Context()); !errors.Is(err, queue.ErrClaimed) {
				t.Errorf("the round ended with %v", err)
			}
			if p, err := w.store.Acknowledged(t.Context(), "dsn"); err != nil || p != position {
				t.Errorf("position %q, want %q (%v)", p, position, err)
			}
			if n := len(w.reports("shop@example.com")); n != 2 {
				t.Errorf("%d reports, want 2", n)
			}
		})
	}
}

func TestABounceOfAReportEndsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit("shop@example.com", queue.Envelope{}, w.to("bob@example.org", 0))
	w.settle(id, queue.Settlement{Outcome: queue.StateBounced, Attempt: w.attempt(550, queue.Enhanced{5, 1, 1}, "no")})
	m := w.maker()
	w.round(m)
	dsn := w.reports("shop@example.com")[0].entry.Message.ID
	w.settle(dsn, queue.Settlement{Outcome: queue.StateBounced, Attempt: w.attempt(550, queue.Enhanced{5, 1, 1}, "no")})
	w.round(m)
	entries, _, err := w.store.List(t.Context(), queue.Filter{}, "", 100)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d messages, want the mail and its report: %v", len(entries), err)
	}
}

func TestModesAndReturnedContent(t *testing.T) {
	t.Parallel()
	bounce := func(w *world, env queue.Envelope) {
		id := w.submit("shop@example.com", env, w.to("bob@example.org", 0))
		w.settle(id, queue.Settlement{Outcome: queue.StateBounced, Attempt: w.attempt(550, queue.Enhanced{5, 1, 1}, "no")})
	}
	t.Run("admin", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		bounce(w, queue.Envelope{})
		w.round(w.maker(func(o *report.Options) { o.Mode, o.Admin = report.ToAdmin, w.address("ops@example.com") }))
		if len(w.reports("ops@example.com")) != 1 || len(w.reports("shop@example.com")) != 0 {
			t.Error("reports must go to the operator alone")
		}
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		bounce(w, queue.Envelope{})
		w.round(w.maker(func(o *report.Options) { o.Mode = report.ToNobody }))
		if len(w.reports("shop@example.com")) != 0 {
			t.Error("a report was sent")
		}
	})
	t.Run("RET=FULL", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		bounce(w, queue.Envelope{Ret: queue.RetFull})
		w.round(w.maker())
		if p := w.reports("shop@example.com")[0]; p.kind != "message/rfc822" || !strings.HasSuffix(p.third, "the body\r\n") {
			t.Errorf("third part %s: %q", p.kind, p.third)
		}
	})
	t.Run("hostile reply", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		id := w.submit("shop@example.com", queue.Envelope{}, w.to("bob@example.org", 0))
		w.settle(id, queue.Settlement{Outcome: queue.StateBounced, Attempt: w.attempt(550, queue.Enhanced{5, 1, 1}, "no\r\nAction: delivered\r\n\r\n--x\x1b[31m\u2028"+strings.Repeat("y", 900))})
		w.round(w.maker())
		p := w.reports("shop@example.com")[0]
		if len(p.fields) != 2 || p.fields[1].Get("Action") != "failed" {
			t.Errorf("the reply injected fields: %q", p.status)
		}
		for line := range strings.SplitSeq(p.status, "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n\x1b") {
				t.Errorf("unsafe line %q", line)
			}
		}
	})
}

func TestAMakerRunsUntilDrained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.maker()
	m.Start(t.Context())
	id := w.submit("shop@example.com", queue.Envelope{}, w.to("bob@example.org", 0))
	c, stop := w.store.Notify()
	defer stop()
	w.settle(id, queue.Settlement{Outcome: queue.StateBounced, Attempt: w.attempt(550, queue.Enhanced{5, 1, 1}, "no")})
	for len(w.reports("shop@example.com")) == 0 {
		select {
		case <-c:
		case <-t.Context().Done():
			t.Fatal("no report came")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := m.Drain(ctx); err != nil {
		t.Fatal(err)
	}
}

func newReader(s string) *bufio.Reader { return bufio.NewReader(bytes.NewReader([]byte(s))) }
