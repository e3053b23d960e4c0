package filing_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
	"postrider/relay/report/filing"
)

func setOf(uids ...folders.UID) bitmap.Set { return bitmap.Of(uids...) }

func TestWhatIsDeliveredSoonIsNeverQueued(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(mail{})
	w.round()
	w.wantShown()
	w.pass(time.Second)
	w.deliver("example.net")
	w.round()
	w.wantShown("Sent 0/1", "Sent/2026-11 0/1", "Sites/site.example/Sent 0/1")
	uid, e := w.only("Sent")
	if uid != 1 {
		t.Errorf("its UID is %d, want 1: nothing was shown before", uid)
	}
	if got := w.flags(uid); got != `$Submitted \Seen` {
		t.Errorf("flags %s", got)
	}
	if !e.At.Equal(w.now) {
		t.Errorf("it is of %v, want when it was delivered", e.At)
	}
	w.golden("sent.eml", e)
}

// They tell what the folders tell, to the same people.
func TestOwnReportsAreNotShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(mail{source: "internal"})
	w.pass(time.Minute)
	w.round()
	w.wantShown()
	w.bounce("example.net")
	w.round()
	w.wantShown()
	w.enqueue(mail{source: "internal"})
	w.deliver("example.net")
	w.round()
	w.wantShown()
}

func TestWhatWaitsIsQueuedAfterFiveSeconds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(mail{})
	w.pass(4 * time.Second)
	w.round()
	w.wantShown()
	w.pass(time.Second)
	w.round()
	w.wantShown("Queued 0/1")
	uid, e := w.only("Queued")
	if got := w.flags(uid); got != `$SubmitPending \Seen` {
		t.Errorf("flags %s", got)
	}
	if got := w.text(e); !strings.HasSuffix(got, original) || !strings.Contains(got, "X-Relay-Status: queued\r\n") {
		t.Errorf("the entry is\n%s", got)
	}
	w.round()
	if again, _ := w.only("Queued"); again != uid {
		t.Error("it was filed again")
	}
	w.deliver("example.net")
	w.round()
	w.wantShown("Sent 0/1", "Sent/2026-11 0/1", "Sites/site.example/Sent 0/1")
}

func TestAHeldMessageIsShownAsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(mail{})
	w.pass(time.Minute)
	w.round()
	first, _ := w.only("Queued")
	w.apply(queue.ActionHold, id)
	w.round()
	held, e := w.only("Queued")
	if held == first || !strings.Contains(w.text(e), "X-Relay-Status: held\r\n") {
		t.Errorf("UID %d after %d:\n%s", held, first, w.text(e))
	}
	w.apply(queue.ActionRelease, id)
	w.round()
	if last, e := w.only("Queued"); last == held || !strings.Contains(w.text(e), "X-Relay-Status: queued\r\n") {
		t.Errorf("it was released, and is shown as\n%s", w.text(e))
	}
}

func TestAScheduledMessageTellsWhen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(mail{state: queue.StateScheduled, due: w.now.Add(24 * time.Hour)})
	w.pass(time.Minute)
	w.round()
	first, e := w.only("Queued")
	if got := w.text(e); !strings.Contains(got, "X-Relay-Status: scheduled\r\n") || !strings.Contains(got, "X-Relay-Next-Attempt: Mon, 23 Nov 2026 20:00:01 +0000\r\n") {
		t.Errorf("the entry is\n%s", got)
	}
	w.apply(queue.ActionReschedule, id)
	w.round()
	if again, _ := w.only("Queued"); again == first {
		t.Error("it has another time, and the entry is the same")
	}
}

func TestADeferredMessageIsAReportInDeferredOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(mail{})
	w.pass(time.Second)
	w.deferTo("example.net", queue.ClassGreylist, 5*time.Minute, false)
	w.round()
	w.wantShown("Deferred 1/1", "Sites/site.example/Deferred 1/1")
	uid, e := w.only("Deferred")
	if got := w.flags(uid); got != `$Deferred $SubmitPending $label2` {
		t.Errorf("flags %s", got)
	}
	w.golden("deferred.eml", e)
}

func TestADelayIsToldAgainOnlyWhenThereIsNews(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		after   time.Duration // since the attempt before
		class   queue.Class
		delayed bool
		again   bool
		unread  bool
		inbox   bool
	}{
		{"first attempt", 0, queue.ClassGreylist, false, true, true, false},
		{"the same soon", 10 * time.Minute, queue.ClassGreylist, false, false, false, false},
		{"another reason", 10 * time.Minute, queue.ClassRcptFull, false, true, true, false},
		{"the first reason again", 10 * time.Minute, queue.ClassGreylist, false, true, true, false},
		{"after an hour", 31 * time.Minute, queue.ClassGreylist, false, true, false, false},
		{"soon after that", 30 * time.Minute, queue.ClassGreylist, false, false, false, false},
		{"the notice is due", 30 * time.Minute, queue.ClassGreylist, true, true, false, true},
		{"after four hours", 2 * time.Hour, queue.ClassGreylist, false, true, false, true},
		{"soon after that", 3 * time.Hour, queue.ClassGreylist, false, false, false, true},
		{"after a day", 17 * time.Hour, queue.ClassGreylist, false, true, false, true},
		{"on the same day", 20 * time.Hour, queue.ClassGreylist, false, false, false, true},
		{"after another day", 4 * time.Hour, queue.ClassGreylist, false, true, false, true},
	}
	w := newWorld(t)
	w.enqueue(mail{})
	var last folders.UID
	for _, c := range cases {
		w.pass(c.after)
		w.deferTo("example.net", c.class, time.Second, c.delayed)
		w.pass(time.Second)
		w.round()
		uid, _ := w.only("Deferred")
		v := w.view()
		if (uid != last) != c.again || v.Unseen().Has(uid) != c.unread || v.Set("INBOX").Has(uid) != c.inbox {
			t.Errorf("%s: UID %d after %d, unread %v, in INBOX %v", c.name, uid, last, v.Unseen().Has(uid), v.Set("INBOX").Has(uid))
		}
		w.read(uid)
		last = uid
	}
}

func TestATriedMessageThatIsHeldStaysInDeferred(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(mail{})
	w.pass(time.Second)
	w.deferTo("example.net", queue.ClassGreylist, time.Hour, false)
	w.round()
	w.apply(queue.ActionHold, id)
	w.round()
	w.wantShown("Deferred 1/1", "Sites/site.example/Deferred 1/1")
	if _, e := w.only("Deferred"); !strings.Contains(w.text(e), "Subject: Delayed (greylisted, held): Your order #12345\r\n") {
		t.Errorf("the entry is\n%s", w.text(e))
	} else if m, err := w.store.Message(t.Context(), id); err != nil {
		t.Error(err)
	} else {
		// The same words as in reports and over HTTP, but for line ends.
		r := &m.Recipients[0]
		advice := queue.Advice(queue.AdviceClass(r), queue.FactsOf(&m.Message, r, r.Last, ""))
		if !strings.Contains(strings.Join(strings.Fields(w.text(e)), " "), advice) || !strings.Contains(advice, "until it is released") {
			t.Errorf("no %q in\n%s", advice, w.text(e))
		}
	}
}

func TestABounceIsAReportInTheInbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(mail{})
	w.pass(time.Second)
	w.deferTo("example.net", queue.ClassGreylist, 5*time.Minute, false)
	w.round()
	w.pass(5 * time.Minute)
	w.bounce("example.net")
	w.round()
	w.wantShown("INBOX 1/1", "Bounced 1/1", "Bounced/Bad address 1/1", "Sites/site.example/Bounced 1/1")
	uid, e := w.only("INBOX")
	if got := w.flags(uid); got != `$Bounced $HardBounce $label1 \Flagged` {
		t.Errorf("flags %s", got)
	}
	w.golden("bounced.eml", e)
}

func TestFailuresAreFoundByTheirReason(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		state   queue.State
		class   queue.Class
		folder  string
		subject string
		flags   string
		inbox   bool
	}{
		{"no such user", queue.StateBounced, queue.ClassRcptUnknown, "Bad address", "Bounced (no such user)", `$Bounced $HardBounce $label1 \Flagged`, true},
		{"mailbox full", queue.StateBounced, queue.ClassRcptFull, "Mailbox full", "Bounced (mailbox full)", `$Bounced $HardBounce $label1 \Flagged`, true},
		{"spam", queue.StateBounced, queue.ClassContentSpam, "Blocked or spam", "Bounced (taken for spam)", `$Bounced $HardBounce $label1 \Flagged`, true},
		{"SPF", queue.StateBounced, queue.ClassAuthSPF, "Policy or auth", "Bounced (SPF failed)", `$Bounced $HardBounce $label1 \Flagged`, true},
		{"unreachable", queue.StateBounced, queue.ClassNetConnect, "DNS or timeout", "Bounced (server not reached)", `$Bounced $HardBounce $label1 \Flagged`, true},
		{"unknown class", queue.StateBounced, "new.one", "Policy or auth", "Bounced (refused)", `$Bounced $HardBounce $label1 \Flagged`, true},
		{"expired", queue.StateExpired, queue.ClassRcptFull, "Expired", "Bounced (out of time, mailbox full)", `$Bounced $SoftBounce $label1`, true},
		{"suppressed", queue.StateSuppressed, queue.ClassRcptSuppressed, "Suppressed", "Bounced (suppressed)", `$Bounced $Suppressed $label1`, true},
		{"staging", queue.StateSuppressed, queue.ClassLocalStaging, "Staging", "Not sent (staging)", `$Bounced $Suppressed \Seen`, false},
		{"cancelled", queue.StateCancelled, "", "Cancelled", "Cancelled", `$Bounced \Seen`, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.enqueue(mail{})
			w.settle("example.net", queue.Settlement{Outcome: c.state, Class: c.class, Attempt: w.attempt(550, queue.Enhanced{5, 0, 0}, "no")})
			w.round()
			uid, e := w.only("Bounced/" + c.folder)
			if !w.view().Set("Bounced").Has(uid) || w.view().Set("INBOX").Has(uid) != c.inbox {
				t.Errorf("the folders show %s", w.shown())
			}
			if got := w.flags(uid); got != c.flags {
				t.Errorf("flags %s, want %s", got, c.flags)
			}
			if got := w.text(e); !strings.Contains(got, "Subject: "+c.subject+": Your order #12345\r\n") {
				t.Errorf("subject of\n%s", got)
			}
		})
	}
}

func TestFailuresOfOnePassShareAnEntryAndLaterOnesGetTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(mail{to: []string{"a@one.example", "b@one.example", "c@two.example", "d@three.example"}})
	w.bounce("one.example")
	w.bounce("two.example")
	w.round()
	uid, e := w.only("Bounced")
	if got := w.text(e); strings.Count(got, "\r\nFinal-Recipient:") != 3 || !strings.Contains(got, `From: "a at one.example and 2 more" <mailer-daemon@relay.example.com>`) {
		t.Errorf("the entry is\n%s", got)
	}
	w.bounce("three.example")
	w.round()
	if b := w.view().Set("Bounced"); b.Len() != 2 || !b.Has(uid) {
		t.Errorf("%d entries; the first is there: %v", b.Len(), b.Has(uid))
	}
}

func TestAMessageIsSentWhenItsLastRecipientIsFinal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(mail{to: []string{"a@one.example", "b@two.example", "c@three.example"}})
	w.deliver("one.example")
	w.bounce("two.example")
	w.round()
	w.wantShown("INBOX 1/1", "Bounced 1/1", "Bounced/Bad address 1/1", "Sites/site.example/Bounced 1/1")
	w.settle("three.example", queue.Settlement{Outcome: queue.StateRelayed, Attempt: w.attempt(250, queue.Enhanced{}, "ok")})
	w.round()
	_, e := w.only("Sent")
	got := strings.ReplaceAll(w.text(e), "\r\n ", " ")
	for _, want := range []string{"X-Relay-Recipient: a@one.example; sent; ", "X-Relay-Recipient: b@two.example; bounced; ", "c@three.example; relayed; ", "a later bounce comes to the envelope sender"} {
		if !strings.Contains(got, want) {
			t.Errorf("the entry lacks %q:\n%s", want, got)
		}
	}
}

func TestAMessageOfWhichNothingWentIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(mail{})
	w.pass(time.Minute)
	w.round()
	w.apply(queue.ActionCancel, id)
	w.round()
	w.wantShown("Bounced 0/1", "Bounced/Cancelled 0/1", "Sites/site.example/Bounced 0/1")
}

func TestSandboxedMailIsShownAsSuch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	last := w.attempt(250, queue.Enhanced{2, 0, 0}, "sandbox: not sent")
	last.Number = 1
	w.enqueue(mail{sandbox: true, state: queue.StateDelivered, last: last})
	w.round()
	if _, e := w.only("Sent"); !strings.Contains(w.text(e), "X-Relay-Sandbox: yes; nothing was sent\r\n") {
		t.Errorf("the entry is\n%s", w.text(e))
	}
}

func TestTagsAreKeywordsAndSitesAreFoldersUpToALimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const many = 70
	for i := range many {
		w.enqueue(mail{from: fmt.Sprintf("a@Site%d.example", i), labels: queue.Labels{Tags: []string{fmt.Sprintf("Tag (%d)", i)}}})
		w.deliver("example.net")
	}
	w.enqueue(mail{from: "a@site1.example", labels: queue.Labels{Tags: []string{"tag (1)", "Tag[1]"}}})
	w.deliver("example.net")
	w.round()
	v := w.view()
	sites, tags := 0, 0
	for _, name := range v.Sets() {
		if strings.HasPrefix(name, "Sites/") {
			sites++
		}
	}
	for _, flag := range v.FlagsInUse() {
		if strings.HasPrefix(flag, "tag-") {
			tags++
		}
	}
	if sites != 64 || tags != 64 {
		t.Errorf("%d sites and %d tags, want 64 of both", sites, tags)
	}
	if n := v.Set("Sites/site1.example/Sent").Len(); n != 2 {
		t.Errorf("%d entries of site1.example, want 2", n)
	}
	if n := v.Set("flag:tag-tag__1_").Len(); n != 2 {
		t.Errorf("%d entries with a tag, want 2: %v", n, v.Sets())
	}
	if n := v.Set("Sent").Len(); n != many+1 {
		t.Errorf("%d sent, want %d", n, many+1)
	}
}

func TestASiteNameCannotMakeFoldersOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(mail{from: "a@[192.0.2.1]", env: queue.Envelope{ReversePath: queue.Address{Local: "x", Domain: "y"}}})
	w.deliver("example.net")
	w.enqueue(mail{from: "a@" + strings.Repeat("long.", 45) + "example"})
	w.deliver("example.net")
	w.round()
	w.wantShown("Sent 0/2", "Sent/2026-11 0/2", "Sites/[192.0.2.1]/Sent 0/1")
}

func TestMailOfOneAccountIsNotShownToAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(mail{})
	w.enqueue(mail{account: "blog"})
	w.deliver("example.net")
	w.deliver("example.net")
	w.round()
	for _, a := range []string{"shop", "blog"} {
		if got := w.shown(a); got != "Sent 0/1, Sent/2026-11 0/1, Sites/site.example/Sent 0/1" {
			t.Errorf("%s sees %s", a, got)
		}
	}
}

func TestAFolderShowsTheNewestAndItsViewsTheRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *filing.Options) { o.FolderLimit = 3 })
	for range 5 {
		w.enqueue(mail{})
		w.deliver("example.net")
		w.enqueue(mail{})
		w.bounce("example.net")
	}
	w.round()
	w.trim()
	w.wantShown("Sent 0/3", "Sent/2026-11 0/5", "Sites/site.example/Sent 0/5",
		"INBOX 3/3", "Bounced 3/3", "Bounced/Bad address 5/5", "Sites/site.example/Bounced 5/5")
	oldest, _ := w.view().Set("Sent/2026-11").Min()
	if w.view().Set("Sent").Has(oldest) {
		t.Error("it is the oldest that go")
	}
	if got := w.flags(oldest); got != `$Submitted \Seen` {
		t.Errorf("flags %s", got)
	}
}
