package intake_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/suppression"
	"postrider/relay/intake"
)

func suppress(t *testing.T, b *suppression.Book, addr, scope string, why suppression.Reason) {
	t.Helper()
	if _, _, err := b.Add(t.Context(), suppression.Entry{Account: "shop", Address: address(t, addr), Scope: scope, Reason: why}); err != nil {
		t.Fatal(err)
	}
}

// fates writes the states of a message's recipients, and its events.
func fates(t *testing.T, s engine, id queue.MessageID) (states, events string, e queue.Entry) {
	t.Helper()
	e, err := s.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	history, err := s.History(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var ss, vs []string
	for _, r := range e.Recipients {
		ss = append(ss, r.State.String())
	}
	for _, v := range history {
		vs = append(vs, string(v.Kind))
		if v.Kind != queue.EventQueued && (!reflect.DeepEqual(v.Attempt, e.Recipients[v.Recipient.Index()].Last) || v.Class != e.Recipients[v.Recipient.Index()].Class) {
			t.Errorf("event %s: attempt %+v, class %q", v.Kind, v.Attempt, v.Class)
		}
	}
	return strings.Join(ss, " "), strings.Join(vs, " "), e
}

func TestSuppressedRecipientsAreAcceptedAndNotSentTo(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, s engine) {
		d, book := doorOver(t, s, policies{"shop": {}})
		suppress(t, book, "bob@example.org", "*", suppression.Complaint)
		suppress(t, book, "carol@example.org", "news", suppression.Unsubscribe)
		suppress(t, book, "dave@example.org", "offers", suppression.Unsubscribe)
		sub := submission(t, letter, "anna@example.org", "Bob@Example.org", "carol@example.org", "dave@example.org")
		sub.Labels = queue.Labels{Stream: "broadcast", List: "news"}
		done, err := d.Submit(t.Context(), sub)
		if err != nil || !slices.Equal(done.Suppressed, []int{1, 2}) {
			t.Fatalf("%+v %v", done, err)
		}
		states, events, e := fates(t, s, done.ID)
		if states != "queued suppressed suppressed queued" || events != "queued suppressed suppressed" {
			t.Errorf("states %s, events %s", states, events)
		}
		today := time.Now().UTC().Format("2 January 2006")
		for i, want := range map[int]string{
			1: "on the suppression list since " + today + ": its owner complained of spam; to send to it again: postrider suppression remove bob@example.org",
			2: "on the suppression list of news since " + today + ": its owner unsubscribed; to send to it again: postrider suppression remove carol@example.org",
		} {
			r := e.Recipients[i]
			if r.Class != queue.ClassRcptSuppressed || r.Last.Error != want || r.Attempts != 0 {
				t.Errorf("recipient %d: %+v, %+v", i, r, r.Last)
			}
		}
		counts, err := s.Counts(t.Context())
		if err != nil || counts[queue.StateSuppressed].Recipients != 2 || counts[queue.StateQueued].Recipients != 2 {
			t.Errorf("%v %v", counts, err)
		}
	})
}

func TestAMessageForSuppressedOnesAloneIsRefusedByHTTPAndReportedBySMTP(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d, book := doorOver(t, s, policies{"shop": {}})
	suppress(t, book, "bob@example.org", "*", suppression.Bounce)
	suppress(t, book, "carol@example.org", "*", suppression.Bounce)
	for _, kind := range []string{"smtp", "socket"} {
		sub := submission(t, letter, "bob@example.org", "carol@example.org")
		sub.Source.Kind = kind
		done, err := d.Submit(t.Context(), sub)
		if err != nil || len(done.Suppressed) != 2 {
			t.Fatalf("%s: %+v %v", kind, done, err)
		}
		if states, events, _ := fates(t, s, done.ID); states != "suppressed suppressed" || events != "queued suppressed suppressed" {
			t.Errorf("%s: %s, %s", kind, states, events)
		}
	}
	sub := submission(t, letter, "bob@example.org", "carol@example.org")
	sub.Source.Kind = "http"
	sub.Content = &failing{} // it is not read
	if _, err := d.Submit(t.Context(), sub); refusedAs(err) != "554 all_recipients_suppressed" {
		t.Errorf("http: %v", err)
	}
	sub = submission(t, letter, "bob@example.org", "anna@example.org")
	sub.Source.Kind = "http"
	if done, err := d.Submit(t.Context(), sub); err != nil || !slices.Equal(done.Suppressed, []int{0}) {
		t.Errorf("http, some: %+v %v", done, err)
	}
}

func TestReportsAreNotChecked(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d, book := doorOver(t, s, policies{"shop": {}})
	suppress(t, book, "owner@example.com", "*", suppression.Bounce)
	sub := submission(t, letter, "owner@example.com")
	sub.Source, sub.Envelope.ReversePath = queue.Source{Kind: "internal"}, queue.Address{}
	done, err := d.Submit(t.Context(), sub)
	if err != nil || len(done.Suppressed) != 0 {
		t.Fatalf("%+v %v", done, err)
	}
}

type unreadable struct{}

func (unreadable) Check(context.Context, string, []string, []queue.Address, time.Time) (map[int]suppression.Entry, error) {
	return nil, errors.New("the disk is on fire")
}

func TestAListThatCannotBeReadLetsNothingIn(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {}}, func(o *intake.Options) { o.Suppressions = unreadable{} })
	_, err := d.Submit(t.Context(), submission(t, letter, "bob@example.org"))
	var r *queue.Refusal
	if refusedAs(err) != "451 unavailable" || !errors.As(err, &r) || strings.Contains(r.Problem, "fire") || !strings.Contains(err.Error(), "fire") {
		t.Errorf("%v", err)
	}
	if list, _, err := s.List(t.Context(), queue.Filter{}, "", 10); err != nil || len(list) != 0 {
		t.Errorf("%d messages, %v", len(list), err)
	}
}

func TestSandboxedMailEndsAtOnceAndIsNeverSent(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, s engine) {
		d, book := doorOver(t, s, policies{"shop": {}, "test": {Sandbox: true, HourlyLimit: 1}})
		suppress(t, book, "listed@example.org", "*", suppression.Manual)
		for _, c := range []struct {
			account string
			sandbox bool
		}{{"shop", true}, {"test", false}, {"test", true}} {
			sub := submission(t, letter, "bob@example.org", "bounce@example.org", "Bounce+1@example.org", "SUPPRESSED@example.org", "bouncer@example.org", "listed@example.org")
			sub.Account, sub.Sandbox, sub.NotBefore = c.account, c.sandbox, time.Now().Add(time.Hour)
			sub.Recipients[0].Notify = queue.NotifySuccess | queue.NotifyFailure
			sub.Recipients = append(sub.Recipients, queue.SubmittedRecipient{Raw: "x"})
			done, err := d.Submit(t.Context(), sub)
			if err != nil || done.Held {
				t.Fatalf("%+v %v", done, err)
			}
			want := "delivered bounced bounced suppressed delivered "
			if c.account == "shop" {
				want += "suppressed bounced"
			} else {
				want += "delivered bounced" // the list is the account's own
			}
			states, events, e := fates(t, s, done.ID)
			if states != want || events != "queued "+want || !e.Message.Sandbox {
				t.Errorf("%+v: states %s, events %s, %+v", c, states, events, e.Message)
			}
			if !slices.Equal(done.Suppressed, suppressedOf(e)) {
				t.Errorf("%+v: said %v", c, done.Suppressed)
			}
			for _, r := range e.Recipients {
				if r.Notify != queue.NotifyNever {
					t.Errorf("%s wants %d", r.Address, r.Notify)
				}
			}
			ok, bad := e.Recipients[0], e.Recipients[1]
			if ok.Last.Stage != queue.StageDot || ok.Last.Host != "sandbox" || ok.Last.Reply.String() != "250 2.0.0 sandbox: not sent" || ok.Attempts != 1 {
				t.Errorf("%+v %+v", ok, ok.Last)
			}
			if bad.Class != queue.ClassRcptUnknown || bad.Last.Reply.Code != 550 || bad.Last.Reply.Enhanced != (queue.Enhanced{5, 1, 1}) {
				t.Errorf("%+v %+v", bad, bad.Last)
			}
		}
		counts, err := s.Counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for state, n := range counts {
			if !state.Final() && n.Recipients != 0 {
				t.Errorf("%d are %s", n.Recipients, state)
			}
		}
		if got := fmt.Sprint(counts[queue.StateDelivered].Recipients, counts[queue.StateBounced].Recipients, counts[queue.StateSuppressed].Recipients); got != "8 9 4" {
			t.Errorf("counted %s", got)
		}
	})
}

func suppressedOf(e queue.Entry) (indexes []int) {
	for i, r := range e.Recipients {
		if r.State == queue.StateSuppressed {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// BenchmarkSubmitAndCheck is BenchmarkSubmit with a list of 10,000 addresses.
func BenchmarkSubmitAndCheck(b *testing.B) {
	for _, n := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("listed=%d", n), func(b *testing.B) {
			s := openStore(b)
			book := suppression.New(suppression.Options{Store: s})
			for i := range n {
				if _, _, err := book.Add(b.Context(), suppression.Entry{Account: "shop", Address: address(b, fmt.Sprintf("u%d@example.org", i)), Reason: suppression.Bounce}); err != nil {
					b.Fatal(err)
				}
			}
			d := newDoor(b, s, policies{"shop": {}}, func(o *intake.Options) { o.Suppressions = book })
			text := "From: shop@example.com\r\nDate: x\r\nMessage-ID: <1@x>\r\nSubject: x\r\n\r\n" + strings.Repeat("a line of mail as people write it, not too long\r\n", 80)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := d.Submit(b.Context(), submission(b, text, "bob@example.org")); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
