package intake_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
	"postrider/queue/suppression"
	"postrider/relay/intake"
)

var morning = time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)

func at(now time.Time) func(*intake.Options) {
	return func(o *intake.Options) { o.Now = func() time.Time { return now } }
}

const letter = "From: shop@example.com\r\nSubject: x\r\n\r\nhi\r\n"

// refusedAs returns the kind of a refusal, or the error in words.
func refusedAs(err error) string {
	var r *queue.Refusal
	switch {
	case err == nil:
		return "accepted"
	case !errors.As(err, &r):
		return err.Error()
	case r.Problem == "" || r.Fix == "":
		return "without a text: " + string(r.Kind)
	}
	return fmt.Sprintf("%d %s", r.Code, r.Kind)
}

func TestEveryRefusalHasItsKind(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	p := policies{
		"shop":   {},
		"strict": {Senders: addresses(t, "example.com"), From: intake.FromReject},
		"off":    {Disabled: "unpaid"},
		"key":    {Recipients: addresses(t, "example.org"), Streams: []string{"receipts"}},
		"slow":   {RatePerMinute: 1, RateKey: "key_1"},
	}
	d := newDoor(t, s, p, at(morning), func(o *intake.Options) { o.MaxSize = 1000 })
	if _, err := d.Submit(t.Context(), func() queue.Submission {
		s := submission(t, letter, "bob@example.org")
		s.IdempotencyKey = "used"
		return s
	}()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(*queue.Submission)
		want string
	}{
		"account gone":     {func(s *queue.Submission) { s.Account = "gone" }, "550 account_disabled"},
		"account disabled": {func(s *queue.Submission) { s.Account = "off" }, "550 account_disabled"},
		"key gone":         {func(s *queue.Submission) { s.Credential = "gone" }, "550 key_expired"},
		"envelope sender":  {func(s *queue.Submission) { s.Account = "strict"; s.Envelope.ReversePath.Domain = "other.example" }, "550 sender_not_allowed"},
		"From": {func(s *queue.Submission) {
			s.Account = "strict"
			s.Content = strings.NewReader("From: a@other.example\n\nx")
		}, "550 sender_not_allowed"},
		"From unreadable":    {func(s *queue.Submission) { s.Account = "strict"; s.Content = strings.NewReader("From: ???\n\nx") }, "550 sender_not_allowed"},
		"nobody":             {func(s *queue.Submission) { s.Recipients = nil }, "554 invalid_address"},
		"unreadable":         {func(s *queue.Submission) { s.Recipients = []queue.SubmittedRecipient{{Raw: "x"}} }, "501 invalid_address"},
		"1001 recipients":    {func(s *queue.Submission) { s.Recipients = make([]queue.SubmittedRecipient, 1001) }, "452 too_many_recipients"},
		"recipient":          {func(s *queue.Submission) { s.Account = "key"; s.Recipients[0].Address.Domain = "other.example" }, "550 recipient_not_allowed"},
		"stream":             {func(s *queue.Submission) { s.Account = "key"; s.Labels.Stream = "news" }, "550 stream_not_allowed"},
		"its own stream":     {func(s *queue.Submission) { s.Account = "key"; s.Labels.Stream = "receipts" }, "accepted"},
		"too large":          {func(s *queue.Submission) { s.Content = strings.NewReader("A: b\n\n" + strings.Repeat("x", 10_000)) }, "552 payload_too_large"},
		"NUL":                {func(s *queue.Submission) { s.Content = strings.NewReader("A: b\n\n\x00") }, "554 invalid_content"},
		"loop":               {func(s *queue.Submission) { s.Content = strings.NewReader(strings.Repeat("Received: x\n", 60) + "\n") }, "554 invalid_content"},
		"endless header":     {func(s *queue.Submission) { s.Content = strings.NewReader(strings.Repeat("A: b\n", 100_000)) }, "552 invalid_content"},
		"long key":           {func(s *queue.Submission) { s.IdempotencyKey = strings.Repeat("x", 256) }, "554 idempotency_key_invalid"},
		"key used":           {func(s *queue.Submission) { s.IdempotencyKey, s.Recipients[0].Address.Local = "used", "carol" }, "554 idempotency_key_reused"},
		"more than a minute": {func(s *queue.Submission) { s.Account = "slow"; s.Recipients = append(s.Recipients, s.Recipients...) }, "550 too_many_recipients"},
		"expired":            {func(s *queue.Submission) { s.ExpiresAt = morning }, "554 "},
		"expires before due": {func(s *queue.Submission) {
			s.NotBefore, s.ExpiresAt = morning.Add(2*time.Hour), morning.Add(2*time.Hour)
		}, "554 "},
		"due in three months": {func(s *queue.Submission) { s.NotBefore = morning.Add(91 * 24 * time.Hour) }, "554 "},
		"due in the past":     {func(s *queue.Submission) { s.NotBefore = morning.Add(-time.Hour) }, "accepted"},
	} {
		sub := submission(t, letter, "bob@example.org")
		c.edit(&sub)
		_, err := d.Submit(t.Context(), sub)
		if got := refusedAs(err); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := d.Submit(t.Context(), submission(t, letter, "bob@example.org"))
	if got := refusedAs(err); got != "451 unavailable" {
		t.Errorf("closed store: %s", got)
	}
}

func TestWhatWasSaidOfAMessageIsKept(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {}})
	sub := submission(t, letter, "bob@example.org")
	sub.Credential, sub.Envelope.RequireTLS = "key_1", true
	sub.Labels = queue.Labels{Stream: "receipts", List: "news", Tags: []string{"a", "b"}, Metadata: map[string]string{"order": "7"}}
	done, err := d.Submit(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := stored(t, s, done.ID)
	m := e.Message
	if m.Credential != "key_1" || !m.Envelope.RequireTLS || fmt.Sprint(m.Labels) != fmt.Sprint(sub.Labels) || m.Sandbox {
		t.Errorf("%+v", m)
	}
	if err := d.CheckSender(t.Context(), "shop", "gone", queue.Address{}); refusedAs(err) != "550 key_expired" {
		t.Errorf("a key that is gone, at MAIL: %v", err)
	}
}

func TestMailWithoutAStreamIsOfTheKeysFirst(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {Streams: []string{"receipts", "news"}}})
	for said, want := range map[string]string{"": "receipts", "news": "news"} {
		sub := submission(t, letter, "bob@example.org")
		sub.Labels.Stream = said
		done, err := d.Submit(t.Context(), sub)
		if err != nil {
			t.Fatal(err)
		}
		if e, _ := stored(t, s, done.ID); e.Message.Labels.Stream != want {
			t.Errorf("%q became %q", said, e.Message.Labels.Stream)
		}
	}
}

func TestAKeysRateCountsRecipientsAtAllNodes(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	now := morning
	p := policies{"shop": {RatePerMinute: 5, RateKey: "key_1"}, "blog": {RatePerMinute: 5, RateKey: "key_2"}}
	clock := func(o *intake.Options) { o.Now = func() time.Time { return now } }
	one, two := newDoor(t, s, p, clock), newDoor(t, s, p, clock)
	send := func(d *intake.Door, account string, n int) error {
		sub := submission(t, letter)
		sub.Account = account
		for i := range n {
			sub.Recipients = append(sub.Recipients, queue.SubmittedRecipient{Address: address(t, fmt.Sprintf("u%d@example.org", i))})
		}
		_, err := d.Submit(t.Context(), sub)
		return err
	}
	for _, d := range []*intake.Door{one, two} {
		if err := send(d, "shop", 2); err != nil {
			t.Fatal(err)
		}
	}
	left := func(want int) {
		t.Helper()
		limit, left, reset, ok := two.Rate(t.Context(), "shop", "key_1")
		if !ok || limit != 5 || left != want || reset != time.Duration(5-want)*time.Minute/5 {
			t.Errorf("of %d recipients %d are left, all after %s, %v; want %d", limit, left, reset, ok, want)
		}
	}
	left(1)
	left(1) // to ask takes nothing
	err := send(one, "shop", 3)
	var r *queue.Refusal
	if !errors.As(err, &r) || r.Code != 450 || r.Enhanced != (queue.Enhanced{4, 7, 0}) || r.Kind != queue.RefusedRate || r.RetryAfter <= 0 || r.RetryAfter > time.Minute {
		t.Fatalf("over the rate: %+v, %v", r, err)
	}
	if err := send(one, "blog", 5); err != nil {
		t.Errorf("another key: %v", err)
	}
	now = now.Add(r.RetryAfter)
	if err := send(two, "shop", 3); err != nil {
		t.Errorf("when it was said to work: %v", err)
	}
	left(0)
	now = now.Add(time.Hour)
	left(5)
}

// limitless is a store that cannot count.
type limitless struct{ intake.Store }

func (limitless) TakeRate(context.Context, string, time.Time, queue.Rate, int) (bool, time.Duration, error) {
	return false, 0, queue.ErrUnavailable
}

func TestARateThatCannotBeCountedRefusesNobody(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {RatePerMinute: 1, RateKey: "key_1"}}, func(o *intake.Options) { o.Store = limitless{s} })
	for range 3 {
		if _, err := d.Submit(t.Context(), submission(t, letter, "bob@example.org")); err != nil {
			t.Error(err)
		}
	}
}

func TestAScheduledMessageLivesFromItsTime(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {}}, at(morning), func(o *intake.Options) { o.Lifetime = 10 * time.Hour })
	for _, c := range []struct{ due, expires, want time.Duration }{
		{0, 0, 10 * time.Hour}, {0, 20 * time.Hour, 10 * time.Hour}, {time.Hour, 0, 11 * time.Hour},
		{20 * time.Hour, 0, 30 * time.Hour}, {20 * time.Hour, 25 * time.Hour, 25 * time.Hour}, {20 * time.Hour, 90 * time.Hour, 30 * time.Hour},
		{90 * 24 * time.Hour, 0, 90*24*time.Hour + 10*time.Hour},
	} {
		sub := submission(t, letter, "bob@example.org")
		if c.due > 0 {
			sub.NotBefore = morning.Add(c.due)
		}
		if c.expires > 0 {
			sub.ExpiresAt = morning.Add(c.expires)
		}
		done, err := d.Submit(t.Context(), sub)
		if err != nil {
			t.Fatal(err)
		}
		if e, _ := stored(t, s, done.ID); !e.Message.ExpiresAt.Equal(morning.Add(c.want)) {
			t.Errorf("%+v: expires at %v", c, e.Message.ExpiresAt)
		}
	}
}

func TestTheKeyOfAScheduledMessageIsKnownUntilADayAfter(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	now := morning
	d := newDoor(t, s, policies{"shop": {}}, func(o *intake.Options) { o.Now = func() time.Time { return now } })
	due := morning.Add(5 * 24 * time.Hour)
	send := func() queue.Submitted {
		sub := submission(t, letter, "bob@example.org")
		sub.IdempotencyKey, sub.NotBefore = "order-1", due
		done, err := d.Submit(t.Context(), sub)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	first := send()
	now = due.Add(24*time.Hour - time.Second)
	if again := send(); again.ID != first.ID || !again.Duplicate {
		t.Errorf("a day after: %+v, first %v", again, first.ID)
	}
	now = due.Add(24 * time.Hour)
	if again := send(); again.Duplicate {
		t.Errorf("for ever: %+v", again)
	}
}

func TestAFingerprintThatIsGivenCounts(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {}})
	send := func(to, print string) (queue.Submitted, error) {
		sub := submission(t, letter, to)
		sub.IdempotencyKey = "order-1"
		sub.Fingerprint = func() [32]byte { return sha256.Sum256([]byte(print)) }
		return d.Submit(t.Context(), sub)
	}
	first, err := send("bob@example.org", "a")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := send("carol@example.org", "a"); err != nil || again.ID != first.ID || !again.Duplicate {
		t.Errorf("the same print: %+v %v", again, err)
	}
	if _, err := send("bob@example.org", "b"); refusedAs(err) != "554 idempotency_key_reused" {
		t.Errorf("another print: %v", err)
	}
}

// engine is a store that tests of the door can look into.
type engine interface {
	intake.Store
	queue.Registry
	queue.Reader
	queue.Events
}

// onBothEngines runs a test on the embedded store and on Redis.
func onBothEngines(t *testing.T, test func(t *testing.T, s engine)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, openStore(t))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		s, err := redisstore.Open(t.Context(), redisstore.Options{Addrs: []string{redistest.StartServer(t).Addr()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		test(t, s)
	})
}

func doorOver(t *testing.T, s engine, p policies) (*intake.Door, *suppression.Book) {
	book := suppression.New(suppression.Options{Store: s})
	return intake.New(intake.Options{
		Store: s, Policies: p, Hostname: "relay.example.com", Suppressions: book,
		Lane: func(_, _, domain string) queue.Lane { return queue.Lane(domain) },
	}), book
}

func TestOneKeyAHundredTimesAtOnceIsOneMessage(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, s engine) {
		doors := make([]*intake.Door, 4)
		for i := range doors {
			doors[i], _ = doorOver(t, s, policies{"shop": {}})
		}
		done := make([]queue.Submitted, 100)
		var wg sync.WaitGroup
		for i := range done {
			sub := submission(t, fmt.Sprintf("From: shop@example.com\r\nMessage-ID: <%d@x>\r\nSubject: Order\r\n\r\n--%d\r\n", i, i), "bob@example.org")
			sub.IdempotencyKey = "order-1"
			sub.Fingerprint = func() [32]byte { return [32]byte{1} }
			wg.Go(func() {
				var err error
				if done[i], err = doors[i%len(doors)].Submit(t.Context(), sub); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		fresh := 0
		for _, d := range done {
			if d.ID != done[0].ID {
				t.Fatalf("one key made %s and %s", done[0].ID, d.ID)
			}
			if !d.Duplicate {
				fresh++
			}
		}
		list, _, err := s.List(t.Context(), queue.Filter{}, "", 10)
		if err != nil || len(list) != 1 || fresh != 1 {
			t.Errorf("%d messages, %d said to be the first, %v", len(list), fresh, err)
		}
	})
}

// What is left of a key's rate is told at MAIL FROM, and asking takes nothing.
func TestASpentRateIsToldAtMail(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {RatePerMinute: 1, RateKey: "key_1"}})
	from := address(t, "shop@example.com")
	for range 3 {
		if err := d.CheckSender(t.Context(), "shop", "key_1", from); err != nil {
			t.Fatalf("before anything was sent: %v", err)
		}
	}
	if _, err := d.Submit(t.Context(), submission(t, "Subject: x\r\n\r\nx\r\n", "bob@example.org")); err != nil {
		t.Fatal(err)
	}
	var r *queue.Refusal
	if err := d.CheckSender(t.Context(), "shop", "key_1", from); !errors.As(err, &r) || r.Kind != queue.RefusedRate || r.RetryAfter <= 0 || r.Fix == "" {
		t.Errorf("when it is spent: %v, %+v", err, r)
	}
}
