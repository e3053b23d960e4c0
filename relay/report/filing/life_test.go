package filing_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/folders"
	"postrider/relay/report/filing"
)

func (w *world) sweep(r queue.Retention) {
	w.t.Helper()
	r.Now = w.now
	for {
		done, err := w.store.Sweep(w.t.Context(), r)
		if err != nil {
			w.t.Fatal(err)
		}
		if !done.More {
			return
		}
	}
}

func TestWhatTheStoreForgotLeavesTheFolders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 40 {
		w.enqueue(mail{})
		w.deliver("example.net")
		w.enqueue(mail{})
		w.bounce("example.net")
	}
	w.round()
	w.trim()
	w.pass(10 * time.Minute)
	w.enqueue(mail{})
	w.deliver("example.net")
	w.sweep(queue.Retention{Sent: w.now.Add(-time.Minute)})
	w.round()
	w.trim()
	w.wantShown("Sent 0/1", "Sent/2026-11 0/1", "Sites/site.example/Sent 0/1",
		"INBOX 40/40", "Bounced 40/40", "Bounced/Bad address 40/40", "Sites/site.example/Bounced 40/40")
	w.pass(10 * time.Minute)
	w.sweep(queue.Retention{Sent: w.now, Bounced: w.now})
	w.trim()
	w.wantShown()
	if got, err := w.book.Accounts(t.Context()); err != nil || !slices.Equal(got, []string{"shop"}) {
		t.Errorf("accounts %v, want the shelf to stay: %v", got, err)
	}
}

// The oldest entries are looked at each minute; one in the middle is found when
// all are.
func TestWhatIsForgottenInTheMiddleLeavesWithinTheHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []queue.MessageID
	for range 30 {
		ids = append(ids, w.enqueue(mail{}))
		w.deliver("example.net")
	}
	w.round()
	w.trim()
	if err := w.store.RemoveContent(t.Context(), ids[15]); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	w.trim()
	if n := w.view().Set("flag:$ContentGone").Len(); n != 0 {
		t.Errorf("%d entries were made anew by a look at the oldest", n)
	}
	w.pass(time.Hour)
	w.trim()
	if n := w.view().Set("flag:$ContentGone").Len(); n != 1 {
		t.Errorf("%d entries were made anew, want 1", n)
	}
}

// A million entries are not looked at in one go, which would take a minute of all
// that the machine has; and an account that has as many keeps no other waiting.
func TestManyEntriesAreLookedAtSomeWithEachPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.filer.SetWalkBudget(12)
	of := map[string][]queue.MessageID{}
	for _, a := range []string{"blog", "news", "shop"} {
		for range 30 {
			of[a] = append(of[a], w.enqueue(mail{account: a}))
			w.deliver("example.net")
		}
	}
	w.round()
	for a, i := range map[string]int{"blog": 10, "news": 14, "shop": 29} {
		if err := w.store.RemoveContent(t.Context(), of[a][i]); err != nil {
			t.Fatal(err)
		}
	}
	gone := func() (out []int) {
		for _, a := range []string{"blog", "news", "shop"} {
			out = append(out, w.view(a).Set("flag:$ContentGone").Len())
		}
		return out
	}
	for pass, want := range []string{"[1 0 0]", "[1 0 0]", "[1 0 0]", "[1 0 0]", "[1 1 0]", "[1 1 0]", "[1 1 0]", "[1 1 1]"} {
		w.trim()
		if got := fmt.Sprint(gone()); got != want {
			t.Errorf("after pass %d %s were made anew, want %s", pass+1, got, want)
		}
		w.pass(time.Minute)
	}
	w.trim()
	if err := w.store.RemoveContent(t.Context(), of["news"][20]); err != nil {
		t.Fatal(err)
	}
	w.trim()
	w.trim()
	w.trim()
	if got := fmt.Sprint(gone()); got != "[1 1 1]" {
		t.Errorf("within the hour they were looked at again: %s", got)
	}
}

func TestAMessageWithoutItsBodyIsShownByWhatIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sent := w.enqueue(mail{})
	w.deliver("example.net")
	read := w.enqueue(mail{})
	w.bounce("example.net")
	w.round()
	was, _ := w.only("Sent")
	old, _ := w.only("INBOX")
	w.read(old)
	unread := w.enqueue(mail{subject: "Grüße"})
	w.bounce("example.net")
	w.round()
	for _, id := range []queue.MessageID{sent, read, unread} {
		if err := w.store.RemoveContent(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	w.trim()
	w.wantShown("Sent 0/1", "Sent/2026-11 0/1", "Sites/site.example/Sent 0/1",
		"INBOX 1/1", "Bounced 1/2", "Bounced/Bad address 1/2", "Sites/site.example/Bounced 1/2")
	uid, e := w.only("Sent")
	got := w.text(e)
	for _, want := range []string{"X-Relay-Status: sent\r\n", "From: <shop@site.example>\r\n", "Subject: Your order #12345\r\n", "Message-ID: <1@web1>\r\n", "no longer kept"} {
		if !strings.Contains(got, want) {
			t.Errorf("the entry lacks %q:\n%s", want, got)
		}
	}
	if uid == was || len(e.Content.Key) > 0 {
		t.Error("it is the entry of before")
	}
	_, e = w.only("INBOX")
	w.golden("gone.eml", e)
	w.trim()
	w.round()
	if again, _ := w.only("Sent"); again != uid {
		t.Error("it was made anew once more")
	}
}

// damaged is a store with a content that cannot be read.
type damaged struct {
	filing.Store
	of queue.MessageID
}

func (s damaged) OpenContent(ctx context.Context, ref queue.ContentRef) (queue.Content, error) {
	c, err := s.Store.OpenContent(ctx, ref)
	if err == nil && string(ref.Key) == string(s.of[:]) {
		return short{c}, nil
	}
	return c, err
}

type short struct{ queue.Content }

func (short) ReadAt([]byte, int64) (int, error) { return 0, errors.New("checksum is wrong") }
func (short) Read([]byte) (int, error)          { return 0, errors.New("checksum is wrong") }

func TestADamagedMessageIsFiledWithoutItsBodyAndHindersNoOther(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 300_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.enqueue(mail{content: original + strings.Repeat(strings.Repeat("x", 70)+"\r\n", size/72)})
			w.deliver("example.net")
			w.enqueue(mail{})
			w.deliver("example.net")
			f := w.newFiler(func(o *filing.Options) { o.Store = damaged{w.store, id} })
			failed := 0
			for ; failed < 10; failed++ {
				if _, err := f.Round(t.Context()); err != nil {
					continue
				}
				if w.view().Set("Sent").Len() == 2 {
					break
				}
				failed--
			}
			if failed == 0 || failed > 3 {
				t.Errorf("%d rounds failed, want a few", failed)
			}
			if v := w.view(); v.Set("Sent").Len() != 2 || v.Set("flag:$ContentGone").Len() != 1 {
				t.Errorf("the folders show %s", w.shown())
			}
		})
	}
}

// sick is a store that cannot tell of one message.
type sick struct {
	filing.Store
	of queue.MessageID
}

func (s sick) Message(ctx context.Context, id queue.MessageID) (queue.Entry, error) {
	if id == s.of {
		return queue.Entry{}, queue.ErrUnavailable
	}
	return s.Store.Message(ctx, id)
}

func TestAMessageThatCannotBeReadHindersNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(mail{})
	w.deliver("example.net")
	w.enqueue(mail{})
	w.deliver("example.net")
	f := w.newFiler(func(o *filing.Options) { o.Store = sick{w.store, id} })
	for range 10 {
		f.Round(t.Context()) // some of them fail
	}
	w.wantShown("Sent 0/1", "Sent/2026-11 0/1", "Sites/site.example/Sent 0/1")
}

// full is a store of folders without room.
type full struct {
	queue.Folders
	yes bool
}

func (s *full) FolderCommit(ctx context.Context, account string, w queue.FolderWrite) (uint64, error) {
	if s.yes && len(w.Rows) > 0 {
		return 0, queue.ErrFull
	}
	return s.Folders.FolderCommit(ctx, account, w)
}

func TestAFullStoreIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shelf := &full{w.store, true}
	w.book = folders.New(folders.Options{Store: shelf, Contents: w.store, Now: w.clock})
	w.filer = w.newFiler()
	w.enqueue(mail{})
	w.deliver("example.net")
	var err error
	for range 10 {
		if _, err = w.filer.Round(t.Context()); err != nil {
			break
		}
	}
	if !errors.Is(err, queue.ErrFull) {
		t.Fatalf("rounds end with %v", err)
	}
	shelf.yes = false
	w.round()
	w.wantShown("Sent 0/1", "Sent/2026-11 0/1", "Sites/site.example/Sent 0/1")
}

func TestARestartLooksAgainAtWhoWasTooYoung(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(mail{})
	w.deliver("example.net")
	w.enqueue(mail{to: []string{"a@slow.example"}})
	w.round()
	for range 700 { // more than a batch
		w.enqueue(mail{})
		w.deliver("example.net")
	}
	w.round()
	if n := w.view().Set("Sent").Len(); n != 701 {
		t.Fatalf("%d sent", n)
	}
	w.filer = w.newFiler()
	w.round()
	if n := w.view().Set("Sent").Len(); n != 701 {
		t.Errorf("%d sent after the restart", n)
	}
	w.pass(5 * time.Second)
	w.round()
	if n := w.view().Set("Queued").Len(); n != 1 {
		t.Errorf("%d queued, want the one that waits", n)
	}
}

func TestThePositionIsKeptOnceNobodyIsTooYoung(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.round()
	kept := func() queue.Position {
		p, err := w.store.Acknowledged(t.Context(), "folders")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	before := kept()
	w.enqueue(mail{})
	w.round()
	if kept() != before {
		t.Error("a restart would not look at it again")
	}
	w.deliver("example.net")
	w.round()
	if left, _, err := w.store.ReadEvents(t.Context(), kept(), 10); err != nil || len(left) > 0 {
		t.Errorf("%d events would be read again: %v", len(left), err)
	}
}

func TestASecondNodeWaitsAndTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.round()
	other := w.newFiler(func(o *filing.Options) { o.Holder = "two" })
	if _, err := other.Round(t.Context()); !errors.Is(err, queue.ErrClaimed) {
		t.Fatalf("a second node went ahead: %v", err)
	}
	if _, err := other.Trim(t.Context()); !errors.Is(err, queue.ErrClaimed) {
		t.Fatalf("a second node went ahead: %v", err)
	}
	w.enqueue(mail{})
	w.deliver("example.net")
	w.pass(time.Hour)
	w.round(other)
	w.wantShown("Sent 0/1", "Sent/2026-11 0/1", "Sites/site.example/Sent 0/1")
	if _, err := w.filer.Round(t.Context()); !errors.Is(err, queue.ErrClaimed) {
		t.Errorf("the first node did not notice: %v", err)
	}
}

// intruder lets something happen when a message has been read.
type intruder struct {
	filing.Store
	then func()
}

func (s *intruder) Message(ctx context.Context, id queue.MessageID) (queue.Entry, error) {
	e, err := s.Store.Message(ctx, id)
	if then := s.then; then != nil {
		s.then = nil
		then()
	}
	return e, err
}

// A node that stood still after it read a message must not undo what another one
// filed of it since.
func TestANodeThatStoodStillUndoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(mail{})
	w.pass(time.Minute)
	w.deferTo("example.net", queue.ClassGreylist, time.Second, false)
	slow := &intruder{Store: w.store}
	first := w.newFiler(func(o *filing.Options) { o.Store = slow })
	other := w.newFiler(func(o *filing.Options) { o.Holder = "two" })
	slow.then = func() {
		w.pass(time.Hour)
		w.deliver("example.net")
		w.round(other)
	}
	var err error
	for more := true; more && err == nil; {
		more, err = first.Round(t.Context())
	}
	if !errors.Is(err, queue.ErrClaimed) {
		t.Errorf("the round ended with %v", err)
	}
	w.wantShown("Sent 0/1", "Sent/2026-11 0/1", "Sites/site.example/Sent 0/1")
}

func TestWhatIsReadWhileItIsFiledAnewStaysRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(mail{})
	w.pass(time.Second)
	w.deferTo("example.net", queue.ClassGreylist, time.Second, false)
	slow := &intruder{Store: w.store}
	w.filer = w.newFiler(func(o *filing.Options) { o.Store = slow })
	w.round()
	first, _ := w.only("Deferred")
	w.pass(2 * time.Hour)
	w.deferTo("example.net", queue.ClassGreylist, time.Second, false)
	slow.then = func() { w.read(first) }
	w.round()
	if again, _ := w.only("Deferred"); again == first || w.view().Unseen().Has(again) {
		t.Errorf("UID %d after %d, unread %v", again, first, w.view().Unseen().Has(again))
	}
}

// A store that was never filed is filled by the first run, the oldest first, also
// with messages whose events are no longer kept.
func TestAStoreOfBeforeIsFiled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const days = 3
	for d := range days {
		for i := range 150 {
			w.pass(time.Minute)
			w.enqueue(mail{content: original + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 300)})
			if i%3 == 0 {
				w.bounce("example.net")
			} else {
				w.deliver("example.net")
			}
		}
		w.pass(24 * time.Hour)
		if d == 0 {
			w.sweep(queue.Retention{Content: w.now, Sent: w.now.Add(-30 * 24 * time.Hour), Bounced: w.now.Add(-30 * 24 * time.Hour)})
		}
	}
	if events, _, err := w.store.ReadEvents(t.Context(), "", 1); err != nil || !events[0].At.After(time.Date(2026, 11, 22, 20, 30, 0, 0, time.UTC)) {
		t.Fatalf("the log still has the first events: %v, %v", events, err)
	}
	// The first run is interrupted.
	for range 4 {
		if _, err := w.filer.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.filer = w.newFiler()
	w.round()
	v := w.view()
	if v.Set("Sent").Len() != days*100 || v.Set("Bounced").Len() != days*50 || v.Set("flag:$ContentGone").Len() != 150 {
		t.Fatalf("the folders show %s", w.shown())
	}
	if n := v.Unseen().Len(); n != 0 {
		t.Errorf("%d entries of days ago call for attention", n)
	}
	if v.UIDNext != days*150+1 {
		t.Errorf("UIDNEXT %d: something was filed twice", v.UIDNext)
	}
	uids := slices.Collect(v.Set("Sent").All())
	es, err := w.book.Entries(t.Context(), "shop", uids)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(es, func(a, b *folders.Entry) int { return a.At.Compare(b.At) }) {
		t.Error("the entries are not in the order of their time")
	}
}

func TestAFilerRunsUntilDrained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.newFiler(func(o *filing.Options) { o.Now, o.Pause = time.Now, time.Millisecond })
	news, stop := w.book.Watch("shop")
	defer stop()
	f.Start(t.Context())
	w.enqueue(mail{})
	w.deliver("example.net")
	for w.view().Set("Sent").IsEmpty() {
		select {
		case <-news:
		case <-t.Context().Done():
			t.Fatal("nothing was filed")
		}
	}
	drain(t, f)
}

func TestAMessageOfAThousandDomainsMakesFewEntries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var to []string
	const n = 300
	for i := range n {
		to = append(to, fmt.Sprintf("a@d%d.example", i))
	}
	w.enqueue(mail{to: to})
	w.pass(time.Minute)
	deferred := map[folders.UID]bool{}
	for i := range n - 1 {
		lane := fmt.Sprintf("d%d.example", i)
		if i%2 == 0 {
			w.bounce(lane)
		} else {
			w.deferTo(lane, queue.ClassGreylist, time.Hour, false)
		}
		w.round()
		for uid := range w.view().Set("Deferred").All() {
			deferred[uid] = true
		}
	}
	if len(deferred) > 40 {
		t.Errorf("%d revisions of the delay", len(deferred))
	}
	if b := w.view().Set("Bounced").Len(); b < 10 || b > 40 {
		t.Errorf("%d bounces", b)
	}
	w.pass(2 * time.Hour)
	w.bounce(fmt.Sprintf("d%d.example", n-1))
	w.round()
	told := 0
	es, err := w.book.Entries(t.Context(), "shop", slices.Collect(w.view().Set("Bounced").All()))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		told += strings.Count(w.text(e), "\r\nFinal-Recipient:")
	}
	if told != n/2+1 {
		t.Errorf("%d failures are told of, want %d", told, n/2+1)
	}
}

func TestForeignTextStaysInItsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	evil := "no\r\nX-Evil: yes\r\n\r\n--=_x\x1b[31m\u202e\u2028" + strings.Repeat("ü", 400) + "\xff\"\\"
	w.enqueue(mail{account: "shop", subject: evil[:200], to: []string{`"a\"b;\\"@exämple.net`, "b@exämple.net"}, from: "ü@exämple.com",
		env: queue.Envelope{SMTPUTF8: true, EightBit: true, ReversePath: w.address("ö@exämple.com"), EnvID: evil[:29]}, labels: queue.Labels{Tags: []string{evil[:29]}}})
	a := w.attempt(550, queue.Enhanced{5, 1, 1}, evil)
	a.Host = "mx\r\nX-Evil: 1"
	w.settle("exämple.net", queue.Settlement{Outcome: queue.StateBounced, Class: queue.ClassRcptUnknown, Attempt: a, Reason: evil[:29]})
	w.round()
	_, e := w.only("Bounced")
	front := string(e.Front)
	if strings.Contains(front, "\nX-Evil") || strings.Contains(front, "\x1b") || strings.Contains(front, "\u202e") {
		t.Errorf("something came through:\n%s", front)
	}
	header, _, _ := strings.Cut(front, "\r\n\r\n")
	for line := range strings.SplitSeq(front, "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") {
			t.Errorf("unsafe line %q", line)
		}
	}
	for line := range strings.SplitSeq(header, "\r\n") {
		if strings.IndexFunc(line, func(r rune) bool { return r > '~' || r < ' ' }) >= 0 || strings.TrimSpace(line) == "" {
			t.Errorf("unsafe header line %q", line)
		}
	}
	if !strings.Contains(front, "Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n") {
		t.Errorf("the original's part of\n%s", front)
	}
	if len(e.Parts) < 4 {
		t.Errorf("%d parts", len(e.Parts))
	}
}

func TestSearchesFindRecipientsAndReplies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(mail{to: []string{"Cust@Example.NET"}, labels: queue.Labels{Tags: []string{"Spring"}}})
	w.bounce("Example.NET")
	w.round()
	uid, _ := w.only("Bounced")
	s, err := w.book.Searches(t.Context(), "shop", []folders.UID{uid})
	if err != nil {
		t.Fatal(err)
	}
	if s[0].Recipients != "cust@example.net" {
		t.Errorf("recipients %q", s[0].Recipients)
	}
	if !strings.Contains(s[0].From, "cust@example.net") || !strings.Contains(s[0].From, "mailer-daemon") {
		t.Errorf("it is from %q", s[0].From)
	}
	for _, want := range []string{id.String(), "bounces@site.example", "spring", "user unknown", "was not delivered"} {
		if !strings.Contains(s[0].Other, want) {
			t.Errorf("%q is not in %q", want, s[0].Other)
		}
	}
}

// useUp lets an account have given out nearly all of its numbers. What it rewrites
// is the head of the index, as queue/folders keeps it.
func (w *world) useUp(account string) {
	w.t.Helper()
	head, index, err := w.store.FolderIndex(w.t.Context(), account)
	if err != nil {
		w.t.Fatal(err)
	}
	d := codec.Decoder{B: index["h"]}
	e := codec.Encoder{B: []byte{d.Byte()}}
	e.Uint(d.Uint())
	d.Uint()
	e.Uint(1<<32/10*9 + 1)
	e.Uint(d.Uint())
	e.String(d.String())
	if err := d.Done(); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.FolderCommit(w.t.Context(), account, queue.FolderWrite{Version: head.Version, Index: map[string][]byte{"h": e.B}}); err != nil {
		w.t.Fatal(err)
	}
}

func TestAnAccountWhoseNumbersAreUsedUpIsFiledAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 {
		w.enqueue(mail{})
		w.deliver("example.net")
	}
	w.enqueue(mail{account: "blog"})
	w.deliver("example.net")
	w.round()
	was := w.view()
	w.useUp("shop")
	w.pass(10 * time.Second)
	w.enqueue(mail{})
	w.deliver("example.net")
	w.round()
	v := w.view()
	if v.UIDValidity <= was.UIDValidity || v.UIDNext != 5 {
		t.Errorf("UIDVALIDITY %d after %d, UIDNEXT %d", v.UIDValidity, was.UIDValidity, v.UIDNext)
	}
	w.wantShown("Sent 0/4", "Sent/2026-11 0/4", "Sites/site.example/Sent 0/4")
	if got := w.shown("blog"); got != "Sent 0/1, Sent/2026-11 0/1, Sites/site.example/Sent 0/1" {
		t.Errorf("the other account sees %s", got)
	}
}
