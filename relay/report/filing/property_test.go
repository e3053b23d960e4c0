package filing_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/folders"
	"postrider/relay/report/filing"
)

// history does random things to mail, with two nodes filing, and checks after each
// that nobody's mail program could have noticed anything but new entries and
// entries that left.
type history struct {
	*world
	rand *rand.Rand
	ids  []queue.MessageID
	seen map[folders.UID]string // octets of every entry that was ever shown
	both []*filing.Filer
}

func TestOctetsUnderAUIDNeverChange(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *filing.Options) { o.FolderLimit = 12 })
			h := &history{world: w, rand: rand.New(rand.NewPCG(seed, 1)), seen: map[folders.UID]string{}}
			h.both = []*filing.Filer{w.filer, w.newFiler(func(o *filing.Options) { o.Holder, o.FolderLimit = "two", 12 })}
			for range 250 {
				h.step()
				h.check()
			}
			h.settleDown()
		})
	}
}

func (h *history) step() {
	h.pass(time.Duration(h.rand.IntN(4000)) * time.Millisecond)
	if h.rand.IntN(10) == 0 {
		h.pass(time.Duration(h.rand.IntN(300)) * time.Minute)
	}
	switch h.rand.IntN(12) {
	case 0, 1:
		to := []string{"a@one.example", "b@two.example", "c@three.example"}
		h.ids = append(h.ids, h.enqueue(mail{to: to[:1+h.rand.IntN(3)], content: fmt.Sprintf("Subject: %d\r\n\r\n%d\r\n", len(h.ids), h.seq)}))
	case 2, 3, 4:
		h.attemptSome()
	case 5:
		if id, ok := h.one(); ok {
			h.apply([]queue.Action{queue.ActionHold, queue.ActionRelease, queue.ActionRetry, queue.ActionCancel, queue.ActionExpire, queue.ActionReschedule}[h.rand.IntN(6)], id)
		}
	case 6:
		if id, ok := h.one(); ok {
			h.store.RemoveContent(h.t.Context(), id) // refused while something is open
		}
	case 7:
		h.sweep(queue.Retention{Sent: h.now.Add(-6 * time.Hour), Bounced: h.now.Add(-9 * time.Hour), Content: h.now.Add(-2 * time.Hour)})
	case 8:
		if uid, ok := h.view().Unseen().Max(); ok {
			h.read(uid)
		}
	default:
		f := h.both[h.rand.IntN(2)]
		f.Round(h.t.Context()) // the other one may have the claim
		if h.rand.IntN(4) == 0 {
			f.Trim(h.t.Context())
		}
	}
}

func (h *history) one() (id queue.MessageID, ok bool) {
	if len(h.ids) == 0 {
		return id, false
	}
	return h.ids[h.rand.IntN(len(h.ids))], true
}

func (h *history) attemptSome() {
	leases, err := h.store.Lease(h.t.Context(), queue.LeaseRequest{Now: h.now, Holder: "one", TTL: time.Minute, Max: 3})
	if err != nil {
		h.t.Fatal(err)
	}
	outcomes := []queue.Settlement{
		{Outcome: queue.StateDelivered},
		{Outcome: queue.StateRelayed},
		{Outcome: queue.StateDeferred, Class: queue.ClassGreylist, Due: h.now.Add(time.Minute)},
		{Outcome: queue.StateDeferred, Class: queue.ClassRcptFull, Due: h.now.Add(time.Second), Delayed: true},
		{Outcome: queue.StateBounced, Class: queue.ClassRcptUnknown},
		{Outcome: queue.StateExpired, Class: queue.ClassRcptFull},
		{Outcome: queue.StateHeld},
	}
	for _, l := range leases {
		s := outcomes[h.rand.IntN(len(outcomes))]
		if s.Outcome != queue.StateExpired && h.rand.IntN(5) > 0 {
			s.Attempt = h.attempt(450, queue.Enhanced{4, 0, 0}, "so it is")
		}
		var ss []queue.Settlement
		for _, r := range l.Recipients {
			s.Recipient = r.ID
			ss = append(ss, s)
		}
		if err := h.store.Settle(h.t.Context(), l, ss); err != nil {
			h.t.Fatal(err)
		}
	}
}

// check reads all entries, and compares those that were read before.
func (h *history) check() {
	h.t.Helper()
	v := h.view()
	var all []folders.UID
	for _, name := range v.Sets() {
		all = slices.AppendSeq(all, v.Set(name).All())
	}
	slices.Sort(all)
	all = slices.Compact(all)
	es, err := h.book.Entries(h.t.Context(), "shop", all)
	if err != nil {
		h.t.Fatal(err)
	}
	for i, e := range es {
		if e == nil {
			h.t.Fatalf("there is no entry %d", all[i])
		}
		now := string(e.Front) + "|" + string(e.Content.Key) + "|" + string(e.Back) + string(e.Envelope) + string(e.BodyStructure)
		if was, known := h.seen[all[i]]; known && was != now {
			h.t.Fatalf("entry %d was\n%s\nand is\n%s", all[i], was, now)
		}
		h.seen[all[i]] = now
	}
}

// settleDown lets all that is under way come to rest, and compares the folders with
// the messages.
func (h *history) settleDown() {
	h.t.Helper()
	h.pass(2 * time.Hour)
	h.round(h.both[0])
	h.filer = h.both[0]
	h.pass(2 * time.Hour)
	for range 30 {
		h.round()
		h.trim()
	}
	h.check()
	v := h.view()
	for _, id := range h.ids {
		filed, err := h.book.Filed(h.t.Context(), "shop", []queue.MessageID{id})
		if err != nil {
			h.t.Fatal(err)
		}
		entry, err := h.store.Message(h.t.Context(), id)
		if err != nil {
			if len(filed[0]) > 0 {
				h.t.Errorf("%s is gone, and filed as %v", id, filed[0])
			}
			continue
		}
		h.compare(v, &entry, filed[0])
	}
}

func (h *history) compare(v *folders.View, e *queue.Entry, filed []folders.Filed) {
	h.t.Helper()
	want := map[string]bool{}
	open, sent := false, false
	for _, r := range e.Recipients {
		switch {
		case r.State == queue.StateDelivered, r.State == queue.StateRelayed:
			sent = true
		case r.State.Final():
			want["bounced"] = true
		case r.State == queue.StateDeferred, r.Last != nil:
			open, want["deferred"] = true, true
		default:
			open, want["queued"] = true, true
		}
	}
	if sent && !open {
		want["sent"] = true
	}
	have := map[string]bool{}
	for _, f := range filed {
		kind, _, _ := strings.Cut(f.Key, ";")
		if have[kind] && kind != "bounced" {
			h.t.Errorf("%s is %s twice: %v", e.Message.ID, kind, filed)
		}
		have[kind] = true
		gone := len(e.Message.Content.Key) == 0
		if v.Set("flag:$ContentGone").Has(f.UID) != gone {
			h.t.Errorf("%s is filed as %s; its content is gone: %v", e.Message.ID, f.Key, gone)
		}
	}
	for kind := range want {
		if !have[kind] {
			h.t.Errorf("%s is filed as %v, and not as %s", e.Message.ID, filed, kind)
		}
	}
	for kind := range have {
		if !want[kind] {
			h.t.Errorf("%s is filed as %v, and should not be %s", e.Message.ID, filed, kind)
		}
	}
}
