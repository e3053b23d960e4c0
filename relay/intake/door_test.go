package intake_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/relay/intake"
)

type policies map[string]intake.Policy

func (p policies) Policy(_ context.Context, account, credential string) (intake.Policy, error) {
	if credential == "gone" {
		return intake.Policy{}, intake.ErrCredential
	}
	if policy, ok := p[account]; ok {
		return policy, nil
	}
	return intake.Policy{}, queue.ErrNotFound
}

func openStore(t testing.TB) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func addresses(t testing.TB, patterns ...string) intake.Addresses {
	t.Helper()
	s, err := intake.ParseAddresses(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func address(t testing.TB, s string) queue.Address {
	t.Helper()
	a, err := queue.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newDoor(t testing.TB, s *logstore.Store, p policies, change ...func(*intake.Options)) *intake.Door {
	t.Helper()
	o := intake.Options{
		Store: s, Policies: p, Hostname: "relay.example.com",
		Lane: func(_, _, domain string) queue.Lane { return queue.Lane(domain) },
	}
	for _, c := range change {
		c(&o)
	}
	return intake.New(o)
}

func submission(t testing.TB, text string, rcpts ...string) queue.Submission {
	t.Helper()
	s := queue.Submission{
		Account: "shop", Source: queue.Source{Kind: "smtp", Peer: "web1"},
		Envelope: queue.Envelope{ReversePath: address(t, "shop@example.com")}, Content: strings.NewReader(text),
	}
	for _, r := range rcpts {
		s.Recipients = append(s.Recipients, queue.SubmittedRecipient{Address: address(t, r)})
	}
	return s
}

func stored(t testing.TB, s *logstore.Store, id queue.MessageID) (queue.Entry, string) {
	t.Helper()
	e, err := s.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.OpenContent(t.Context(), e.Message.Content)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != e.Message.Content.Size {
		t.Fatalf("content has %d octets, its entry says %d", len(b), e.Message.Content.Size)
	}
	return e, string(b)
}

func TestWhatWentInIsStoredOctetByOctet(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {}})
	head := "From: Shop <shop@example.com>\r\nDate: Mon, 23 Nov 2026 05:00:00 +0000\r\nMessage-ID: <1@web1>\r\nSubject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\n folded\r\n\r\n"
	for _, size := range []int{0, 39, 100, 40_000, 300_000, 5 << 20} {
		body := strings.Repeat("a line of text \xc3\xbc that is long enough\r\n", size/39)
		done, err := d.Submit(t.Context(), submission(t, head+body, "bob@example.org"))
		if err != nil {
			t.Fatal(err)
		}
		e, text := stored(t, s, done.ID)
		trace, rest, _ := strings.Cut(text, "From: ")
		if !strings.HasPrefix(trace, "Received: from web1 (local) by relay.example.com with ESMTP id "+done.ID.String()+";\r\n\t") {
			t.Errorf("trace field is %q", trace)
		}
		if sha256.Sum256([]byte("From: "+rest)) != sha256.Sum256([]byte(head+body)) {
			t.Errorf("%d octets came out changed", size)
		}
		if want := int64(len(trace) + len(head)); e.Message.Content.HeaderSize != want {
			t.Errorf("header size %d, want %d", e.Message.Content.HeaderSize, want)
		}
		if e.Message.Header.Subject != "Grüße folded" || e.Message.Header.From != address(t, "shop@example.com") || e.Message.Header.MessageID != "1@web1" {
			t.Errorf("facts: %+v", e.Message.Header)
		}
		if e.Message.Envelope.EightBit != strings.Contains(body, "\xc3") {
			t.Errorf("%d octets: EightBit %v", size, e.Message.Envelope.EightBit)
		}
	}
}

func TestRewriteMovesTheVisitorToReplyTo(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {Senders: addresses(t, "example.com"), From: intake.FromRewrite}})
	sub := submission(t, "From: Bob <bob@gmail.com>\nSubject: hi\n\nbody\n", "owner@example.com")
	sub.Envelope.ReversePath = address(t, "www-data@web1")
	done, err := d.Submit(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	e, text := stored(t, s, done.ID)
	if !strings.Contains(text, "\r\nFrom: Bob <noreply@example.com>\r\n") || !strings.Contains(text, "\r\nReply-To: <bob@gmail.com>\r\n") {
		t.Errorf("stored header: %q", text)
	}
	if got := e.Message.Envelope.ReversePath.String(); got != "noreply@example.com" {
		t.Errorf("reverse-path %s", got)
	}
}

func TestHeaderThatBreaksOffMayHaveAnyBody(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {}})
	body := "this line is no field\r\n" + strings.Repeat("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg==\r\n", 6000)
	done, err := d.Submit(t.Context(), submission(t, "Subject: no empty line follows\r\n"+body, "bob@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	e, text := stored(t, s, done.ID)
	if e.Message.Header.Subject != "no empty line follows" || !strings.HasSuffix(text, "\r\n\r\n"+body) {
		t.Errorf("subject %q, the body came out changed", e.Message.Header.Subject)
	}
	_, err = d.Submit(t.Context(), submission(t, strings.Repeat("X-Field: "+strings.Repeat("y", 900)+"\r\n", 400)+"\r\nx", "bob@example.org"))
	var r *queue.Refusal
	if !errors.As(err, &r) || r.Enhanced != (queue.Enhanced{5, 3, 4}) {
		t.Errorf("a header of 360 KB: %v, want it refused", err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{
		"shop":   {},
		"strict": {Senders: addresses(t, "example.com"), From: intake.FromReject},
		"off":    {Disabled: "unpaid"},
	}, func(o *intake.Options) { o.MaxSize = 10_000 })
	loop := strings.Repeat("Received: from a by b; Mon, 23 Nov 2026 05:00:00 +0000\r\n", 51)
	cases := []struct {
		name, account, from, text string
		code                      int
		enhanced                  queue.Enhanced
	}{
		{"unknown account", "gone", "a@example.com", "x", 550, queue.Enhanced{5, 7, 1}},
		{"disabled account", "off", "a@example.com", "x", 550, queue.Enhanced{5, 7, 1}},
		{"foreign envelope sender", "strict", "a@gmail.com", "x", 550, queue.Enhanced{5, 7, 1}},
		{"foreign From", "strict", "a@example.com", "From: b@gmail.com\n\nx", 550, queue.Enhanced{5, 7, 1}},
		{"mail loop", "shop", "a@example.com", loop + "\r\nx", 554, queue.Enhanced{5, 4, 6}},
		{"too large", "shop", "a@example.com", "Subject: x\n\n" + strings.Repeat("y", 20_000), 552, queue.Enhanced{5, 3, 4}},
		{"NUL", "shop", "a@example.com", "Subject: x\n\na\x00b", 554, queue.Enhanced{5, 6, 0}},
		{"NUL in the header", "shop", "a@example.com", "Subject: x\x00\n\nb", 554, queue.Enhanced{5, 6, 0}},
		{"header without end", "shop", "a@example.com", strings.Repeat("X-Y: z\n", 60_000), 552, queue.Enhanced{5, 3, 4}},
	}
	for _, c := range cases {
		sub := submission(t, c.text, "bob@example.org")
		sub.Account, sub.Envelope.ReversePath = c.account, address(t, c.from)
		_, err := d.Submit(t.Context(), sub)
		var r *queue.Refusal
		if !errors.As(err, &r) || r.Code != c.code || r.Enhanced != c.enhanced {
			t.Errorf("%s: %v, want %d %s", c.name, err, c.code, c.enhanced)
		} else if r.Problem == "" || r.Fix == "" {
			t.Errorf("%s: a refusal needs what and fix: %+v", c.name, r)
		}
	}
	counts, err := s.Counts(t.Context())
	if err != nil || counts[queue.StateQueued].Recipients != 0 {
		t.Errorf("refused mail was stored: %v, %v", counts, err)
	}
}

type failing struct{ after int }

func (f *failing) Read(b []byte) (int, error) {
	if f.after == 0 {
		return 0, errors.New("connection reset")
	}
	n := min(len(b), f.after)
	for i := range b[:n] {
		b[i] = 'x'
	}
	f.after -= n
	return n, nil
}

func TestAClientThatGoesAwayLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {}})
	for _, n := range []int{0, 10, 100_000, 2 << 20} {
		sub := submission(t, "", "bob@example.org")
		sub.Content = io.MultiReader(strings.NewReader("Subject: x\r\n\r\n"), &failing{n})
		if _, err := d.Submit(t.Context(), sub); err == nil {
			t.Fatal("half a message was accepted")
		}
	}
	if counts, err := s.Counts(t.Context()); err != nil || len(counts) != 0 && counts[queue.StateQueued].Recipients != 0 {
		t.Errorf("%v, %v", counts, err)
	}
}

func TestTheIdempotencyKeyOfTheHeaderCounts(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {}, "blog": {}})
	text := func(boundary string) string {
		return "X-Idempotency-Key: order-1\r\nFrom: shop@example.com\r\nMessage-ID: <" + boundary + "@x>\r\nSubject: Order\r\n\r\n--" + boundary + "\r\n"
	}
	ids := make([]queue.MessageID, 50)
	var wg sync.WaitGroup
	for i := range ids {
		sub := submission(t, text(strings.Repeat("b", i+1)), "bob@example.org")
		wg.Go(func() {
			done, err := d.Submit(t.Context(), sub)
			if err != nil {
				t.Error(err)
			}
			ids[i] = done.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("one key made %s and %s", ids[0], id)
		}
	}
	if _, text := stored(t, s, ids[0]); strings.Contains(text, "Idempotency") {
		t.Error("the key's field was not removed")
	}
	other := submission(t, text("x"), "carol@example.org")
	var r *queue.Refusal
	if _, err := d.Submit(t.Context(), other); !errors.As(err, &r) || r.Code != 554 {
		t.Errorf("the same key for another recipient: %v", err)
	}
	foreign := submission(t, text("x"), "bob@example.org")
	foreign.Account = "blog"
	if done, err := d.Submit(t.Context(), foreign); err != nil || done.ID == ids[0] {
		t.Errorf("another account's key: %v, %v", done, err)
	}
}

func TestBadRecipientsAmongGoodOnesBounce(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {}})
	sub := submission(t, "Subject: x\r\n\r\nhi\r\n", "bob@example.org")
	sub.Recipients = append(sub.Recipients, queue.SubmittedRecipient{Raw: "not an address"})
	done, err := d.Submit(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := stored(t, s, done.ID)
	bad := e.Recipients[1]
	if e.Recipients[0].State != queue.StateQueued || bad.State != queue.StateBounced || bad.Class != queue.ClassRcptSyntax || bad.Last.Reply.Enhanced != (queue.Enhanced{5, 1, 3}) {
		t.Errorf("recipients: %+v", e.Recipients)
	}
	alone := submission(t, "x")
	alone.Recipients = sub.Recipients[1:]
	var r *queue.Refusal
	if _, err := d.Submit(t.Context(), alone); !errors.As(err, &r) || r.Code != 501 {
		t.Errorf("alone: %v", err)
	}
}

func TestSurgeHoldsMail(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {HourlyLimit: 2}})
	for i := range 3 {
		done, err := d.Submit(t.Context(), submission(t, "Subject: x\r\n\r\nhi\r\n", "bob@example.org"))
		if err != nil || done.Held != (i == 2) {
			t.Fatalf("message %d: %+v, %v", i+1, done, err)
		}
	}
	if counts, err := s.Counts(t.Context()); err != nil || counts[queue.StateHeld].Recipients != 1 {
		t.Errorf("%v, %v", counts, err)
	}
}

func TestAnAccountsHourlyLimitCountsAtAllNodes(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	now := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	const limit, nodes = 300, 3
	node := func() *intake.Door {
		return newDoor(t, s, policies{"shop": {HourlyLimit: limit}}, func(o *intake.Options) { o.Now = func() time.Time { return now } })
	}
	doors := make([]*intake.Door, nodes)
	for i := range doors {
		doors[i] = node()
	}
	hour := func() (free int) {
		for i := range 2 * limit {
			done, err := doors[i%nodes].Submit(t.Context(), submission(t, "Subject: x\r\n\r\nhi\r\n", "bob@example.org"))
			if err != nil {
				t.Fatal(err)
			}
			if !done.Held {
				free++
			}
		}
		return free
	}
	for range 3 {
		if free := hour(); free < limit-limit/50 || free > limit {
			t.Errorf("%d messages of an hour were not held, want about %d", free, limit)
		}
		now = now.Add(time.Hour)
	}
}

func TestLifetimesAndSchedules(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	now := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	d := newDoor(t, s, policies{"shop": {}}, func(o *intake.Options) {
		o.Now = func() time.Time { return now }
		o.Lifetime = 10 * time.Hour
	})
	sub := submission(t, "Subject: x\r\n\r\nhi\r\n", "bob@example.org")
	sub.ExpiresAt, sub.NotBefore = now.Add(time.Hour), now.Add(time.Minute)
	done, err := d.Submit(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := stored(t, s, done.ID)
	if !e.Message.ExpiresAt.Equal(now.Add(time.Hour)) || e.Recipients[0].State != queue.StateScheduled || !e.Recipients[0].Due.Equal(now.Add(time.Minute)) {
		t.Errorf("%+v", e)
	}
	sub = submission(t, "Subject: x\r\n\r\nhi\r\n", "bob@example.org")
	sub.ExpiresAt = now.Add(100 * time.Hour)
	if done, err = d.Submit(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	if e, _ := stored(t, s, done.ID); !e.Message.ExpiresAt.Equal(now.Add(10 * time.Hour)) {
		t.Errorf("expires %v", e.Message.ExpiresAt)
	}
}

func BenchmarkSubmit(b *testing.B) {
	s := openStore(b)
	d := newDoor(b, s, policies{"shop": {}})
	text := "From: shop@example.com\r\nDate: x\r\nMessage-ID: <1@x>\r\nSubject: x\r\n\r\n" + strings.Repeat("a line of mail as people write it, not too long\r\n", 80)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := d.Submit(b.Context(), submission(b, text, "bob@example.org")); err != nil {
				b.Error(err)
			}
		}
	})
}
