package oldertest

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/queue"
)

// Fill does to an empty store, of any engine, what was done to the older one.
func Fill(t testing.TB, s queue.Store) {
	t.Helper()
	for _, l := range Letters() {
		f := filler{t: t, s: s, l: l, now: l.AcceptedAt}
		f.enqueue()
		f.attempts()
		f.operate()
		if l.Removed {
			f.ok(s.RemoveContent(context.Background(), l.ID))
		}
	}
	acknowledged(t, s)
}

// filler sees one letter through its life.
type filler struct {
	t   testing.TB
	s   queue.Store
	l   Letter
	now time.Time
}

func (f *filler) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatalf("letter %s: %v", f.l.ID, err)
	}
}

func (f *filler) address(s string) queue.Address {
	f.t.Helper()
	a, err := queue.ParseAddress(s)
	f.ok(err)
	return a
}

// lane is one that no other letter waits in.
func (f *filler) lane() queue.Lane {
	_, domain, _ := strings.Cut(f.l.To[0].Address, "@")
	return queue.Lane(domain + "/" + f.l.ID.String())
}

func (f *filler) enqueue() {
	f.t.Helper()
	l := &f.l
	from := f.address(l.From)
	r := queue.EnqueueRequest{
		Message: queue.Message{
			ID: l.ID, Account: l.Account, Priority: queue.PriorityNormal, Labels: l.Labels,
			Envelope:   queue.Envelope{ReversePath: from, Ret: queue.RetHeaders, EightBit: strings.Contains(l.Content, "\u2014")},
			Header:     queue.Header{From: from, Subject: l.Subject, MessageID: "x@" + from.Domain},
			Source:     queue.Source{Kind: "smtp", Remote: netip.MustParseAddr("192.0.2.7"), Peer: "web1", Auth: "PLAIN", TLS: "TLS1.3"},
			AcceptedAt: f.now, ExpiresAt: f.now.Add(72 * time.Hour),
			Content: queue.ContentRef{Size: int64(len(l.Content)), HeaderSize: int64(strings.Index(l.Content, "\r\n\r\n") + 4)},
		},
		Now: f.now,
	}
	for i, to := range l.To {
		rc := queue.Recipient{
			ID: l.ID.Recipient(i), Address: f.address(to.Address), Notify: queue.NotifyFailure | queue.NotifyDelay,
			State: queue.StateQueued, Lane: f.lane(), Due: f.now, UpdatedAt: f.now,
		}
		switch to.State {
		case queue.StateSuppressed:
			rc.State, rc.Class = to.State, to.Class
		case queue.StateScheduled:
			rc.State, rc.Due = to.State, f.now.Add(48*time.Hour)
			r.Message.NotBefore = rc.Due
		}
		r.Recipients = append(r.Recipients, rc)
	}
	w, err := f.s.CreateContent(context.Background())
	f.ok(err)
	_, err = bytes.NewReader([]byte(l.Content)).WriteTo(w)
	f.ok(err)
	r.Content = w
	_, err = f.s.Enqueue(context.Background(), r)
	f.ok(err)
}

// attempts makes those that the letter's recipients had, an hour apart.
func (f *filler) attempts() {
	f.t.Helper()
	ctx := context.Background()
	tries := 0
	for _, to := range f.l.To {
		tries = max(tries, to.Tries)
	}
	for try := 1; try <= tries; try++ {
		f.now = f.now.Add(time.Hour)
		ls, err := f.s.Lease(ctx, queue.LeaseRequest{Now: f.now, Holder: "node", TTL: time.Minute, Max: 1, Lane: f.lane()})
		f.ok(err)
		if len(ls) != 1 {
			f.t.Fatalf("letter %s: %d leases", f.l.ID, len(ls))
		}
		var ss []queue.Settlement
		for _, r := range ls[0].Recipients {
			if to := f.l.To[r.ID.Index()]; to.Tries >= try {
				ss = append(ss, f.settlement(r.ID, to, try))
			}
		}
		f.ok(f.s.Settle(ctx, ls[0], ss))
		f.ok(f.s.Release(ctx, ls[0], f.now, nil))
	}
}

func (f *filler) settlement(r queue.RecipientID, to Addressee, try int) queue.Settlement {
	a := &queue.Attempt{
		Number: try, Start: f.now, Took: 420 * time.Millisecond, Site: "mx.example", Host: "mx1.customer.example",
		Addr: netip.MustParseAddrPort("198.51.100.4:25"), TLS: "TLS1.3 TLS_AES_128_GCM_SHA256", TLSPeer: "verified",
		Stage: queue.StageDot, Reply: to.Reply,
	}
	s := queue.Settlement{Recipient: r, Outcome: to.State, Attempt: a}
	if to.Reply != accepted {
		s.Class, a.Stage = to.Class, queue.StageRcpt
	}
	if to.State == queue.StateDeferred || try < to.Tries || to.State == queue.StateExpired {
		s.Outcome, s.Due = queue.StateDeferred, f.now.Add(time.Hour)
		s.Delayed = try == to.Tries // of those that are late by now
	}
	if s.Outcome == queue.StateDeferred && to.Reply == accepted {
		s.Class, a.Reply, a.Stage = queue.ClassGreylist, greylisted, queue.StageRcpt
	}
	return s
}

// operate does what operators did.
func (f *filler) operate() {
	f.t.Helper()
	actions := map[queue.State]queue.Action{
		queue.StateHeld: queue.ActionHold, queue.StateCancelled: queue.ActionCancel, queue.StateExpired: queue.ActionExpire,
	}
	for i, to := range f.l.To {
		if a := actions[to.State]; a != queue.ActionNone {
			_, err := f.s.Apply(context.Background(), queue.Operation{
				Action: a, Filter: queue.Filter{Recipients: []queue.RecipientID{f.l.ID.Recipient(i)}},
				Now: f.now.Add(30 * time.Minute), Actor: "operator", Reason: "asked by the owner",
			})
			f.ok(err)
		}
	}
}

// acknowledged leaves a reader that has seen all of it, as a running program has
// some.
func acknowledged(t testing.TB, s queue.Store) {
	t.Helper()
	ctx := context.Background()
	var p queue.Position
	for {
		vs, next, err := s.ReadEvents(ctx, p, 100)
		if err != nil {
			t.Fatal(err)
		}
		if p = next; len(vs) == 0 {
			break
		}
	}
	if err := s.Acknowledge(ctx, "dsn", p); err != nil {
		t.Fatal(err)
	}
}
