package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/queue"
)

func archiveTests() []test {
	return []test{
		{"a copy is like the store it was made of", func(e *env) { archiveCopy(e, 50) }},
		{"pages may be of any size", archivePages},
		{"readers go on where they were", archiveReaders},
		{"what is imported again, from any earlier cursor, changes nothing", archiveAgain},
		{"an import that broke off after any page is made good", archiveBreaks},
		{"what differs is refused", archiveDiffers},
		{"what was due is delivered by the copy, in doubt as it was", archiveDue},
		{"what is leased is exported as before its lease", archiveLeased},
		{"what was forgotten is not exported", archiveForgotten},
		{"a copy is swept like any other store", archiveSwept},
		{"a copy can be copied", archiveTwice},
		{"a copy survives a restart and takes new mail", archiveLives},
		{"a cursor is good after a restart, and nonsense is refused", archiveCursors},
		{"contents of any size, and none, come out as they went in", archiveContents},
	}
}

// lived makes a store with something of everything.
func (e *env) lived() (ids []queue.MessageID) {
	e.Helper()
	ids = e.busy(20)
	e.pass(ttl + time.Second) // what was left leased waits again
	ids = append(ids,
		e.put(mail{account: "états", idem: e.key("k", 7), facts: labelled, to: []rcpt{
			{addr: `"two words"@Example.ORG`, lane: "route:1"},
			{addr: "grün@münchen.example", state: queue.StateHeld},
			{addr: "later@example.org", state: queue.StateScheduled, due: e.now.Add(time.Hour)},
			{addr: "bad@example.org", state: queue.StateBounced},
			{addr: "no@example.org", state: queue.StateSuppressed},
		}}),
		e.put(mail{account: "a", idem: e.key("k", 8), priority: queue.PriorityLow, to: many(queue.MaxRecipients, "bulk"), body: noise(700<<10, 1)}),
	)
	e.ok(e.s.Acknowledge(e.ctx, "early", mustLast(e, 5)))
	// One in doubt, one with a delay notice, one whose content is gone.
	doubt := e.put(mail{account: "doubt", to: lanes("doubt")})
	l := e.leaseOf("doubt")
	e.ok(e.s.Mark(e.ctx, l, []queue.RecipientID{doubt.Recipient(0)}))
	e.pass(ttl + time.Second)
	delayed := e.put(mail{account: "delayed", to: lanes("delayed")})
	l = e.leaseOf("delayed")
	ss := e.settlements(l, queue.StateDeferred, e.now.Add(time.Hour))
	ss[0].Delayed, ss[0].Attempt.InDoubt = true, true
	e.ok(e.s.Settle(e.ctx, l, ss))
	e.ok(e.s.Acknowledge(e.ctx, "middle", mustLast(e, 0)))
	removed := e.put(mail{account: "removed", to: lanes("removed")})
	e.ok(e.outcome(e.leaseOf("removed"), queue.StateRelayed, time.Time{}))
	e.ok(e.s.RemoveContent(e.ctx, removed))
	for i := range 30 {
		e.record(queue.RecordAccount, fmt.Sprintf("account %d \xff", i), 0, string(noise(i*20, uint64(i))))
	}
	e.record(queue.RecordSetting, "", 0, "")
	v := e.record(queue.RecordDKIMKey, "example.org", 0, "one")
	e.record(queue.RecordDKIMKey, "example.org", v, "two")
	e.ok(e.s.Acknowledge(e.ctx, "end", mustLast(e, 0)))
	e.ok(e.s.Acknowledge(e.ctx, "also at the end", mustLast(e, 0)))
	e.ok(e.s.Acknowledge(e.ctx, "nothing yet", ""))
	return append(ids, doubt, delayed, removed)
}

// livedReaders are the readers of lived, and one that is none.
var livedReaders = []string{"early", "middle", "end", "also at the end", "nothing yet", "unknown"}

// mustLast returns the position of the last event but n.
func mustLast(e *env, n int) queue.Position {
	e.Helper()
	vs, _ := e.events("")
	return vs[len(vs)-1-n].Position
}

// leaseOf demands the one lease of a lane.
func (e *env) leaseOf(lane queue.Lane) queue.Lease {
	e.Helper()
	q := e.ask(1)
	q.Lane = lane
	ls, err := e.s.Lease(e.ctx, *q)
	e.ok(err)
	e.want(len(ls) == 1, "%d leases in %s, want 1", len(ls), lane)
	return ls[0]
}

func archiveCopy(e *env, limit int) {
	ids := e.lived()
	o := e.other()
	e.copyTo(o, limit)
	e.sameAs(o)
	e.sameReaders(o, livedReaders...)
	o.agree(ids)
	for print, want := range map[byte]error{7: nil, 9: queue.ErrIdempotencyConflict} {
		out, err := o.try(mail{account: "états", idem: o.key("k", print)})
		o.is(err, want)
		o.want(err != nil || out.Duplicate && out.ID == ids[20], "the key leads to %+v", out)
	}
	e.sameAs(o)
}

func archivePages(e *env) {
	e.lived()
	want := texts(e.export(100_000))
	for _, limit := range []int{1, 3, 17} {
		got := texts(e.export(limit))
		e.want(slices.Equal(got, want), "by %d: %d items, want %d", limit, len(got), len(want))
	}
	kinds := ""
	for _, s := range want {
		kind, _, _ := strings.Cut(s, " ")
		if kind == "reader" {
			kind = "event"
		}
		if !strings.HasSuffix(kinds, kind+" ") {
			kinds += kind + " "
		}
	}
	e.want(kinds == "record message key event ", "the order is %s", kinds)
}

func archiveReaders(e *env) {
	e.busy(12)
	all, _ := e.events("")
	var readers []string
	for i := range all {
		name := fmt.Sprint("reader ", i)
		readers = append(readers, name)
		e.ok(e.s.Acknowledge(e.ctx, name, all[i].Position))
	}
	o := e.other()
	e.copyTo(o, 7)
	e.sameReaders(o, readers...)
	o.reopen()
	e.sameReaders(o, readers...)
	// One that reads on in the copy is not put back, nor forward.
	vs, p, err := o.s.ReadEvents(o.ctx, "", 5)
	o.want(err == nil && len(vs) == 5, "%d events, %v", len(vs), err)
	o.ok(o.s.Acknowledge(o.ctx, "reader 20", p))
	e.copyTo(o, 100)
	now, err := o.s.Acknowledged(o.ctx, "reader 20")
	o.want(err == nil && now == p, "the reader stands at %q, stood at %q, %v", now, p, err)
}

func archiveAgain(e *env) {
	ids := e.lived()
	o := e.other()
	pages := e.copyTo(o, 40)
	for i := 0; i < len(pages); i += 1 + len(pages)/5 {
		for _, p := range e.exportFrom(pages[i].from, 9) {
			e.ok(e.importInto(o, p.items))
		}
		e.sameCounts(o)
	}
	o.reopen()
	e.copyTo(o, 100_000)
	e.sameAs(o)
	e.sameReaders(o, livedReaders...)
	o.agree(ids)
	e.copyTo(e, 33) // nor into itself
	e.sameAs(o)
	e.agree(ids)
}

func archiveBreaks(e *env) {
	e.lived()
	pages := e.export(60)
	step := max(len(pages)/e.scaled(6), 1)
	for broken := 1; broken < len(pages); broken += step {
		o := e.other()
		for _, p := range pages[:broken] {
			e.ok(e.importInto(o, p.items))
		}
		o.reopen()
		// Half of the next page came through, and nobody knows.
		e.ok(e.importInto(o, pages[broken].items[:len(pages[broken].items)/2]))
		for _, p := range pages[max(broken-2, 0):] {
			e.ok(e.importInto(o, p.items))
		}
		e.sameAs(o)
		e.sameReaders(o, livedReaders...)
	}
}

func archiveDiffers(e *env) {
	id := e.put(mail{to: many(2, "a")})
	e.record(queue.RecordDomain, "example.org", 0, "one")
	items := e.export(100)[0].items
	o := e.other()
	e.copyTo(o, 100)
	e.ok(e.importInto(o, items))
	message := func(change func(v *queue.Entry)) {
		e.Helper()
		for _, it := range items {
			if it.Message == nil {
				continue
			}
			m := *it.Message
			m.Entry.Recipients = slices.Clone(m.Entry.Recipients)
			change(&m.Entry)
			e.is(e.importInto(o, []queue.Item{{Message: &m}}), queue.ErrExists)
		}
	}
	message(func(v *queue.Entry) { v.Message.Account = "other" })
	message(func(v *queue.Entry) { v.Message.Envelope.EnvID = "other" })
	message(func(v *queue.Entry) { v.Recipients[1].State = queue.StateHeld })
	message(func(v *queue.Entry) { v.Recipients[1].Due = e.now.Add(time.Second) })
	message(func(v *queue.Entry) { v.Recipients = v.Recipients[:1] })
	message(func(v *queue.Entry) { v.Message.Content.Key = nil })
	r := queue.Record{Kind: queue.RecordDomain, Name: "example.org", Value: []byte("two")}
	e.is(o.archive().Import(o.ctx, []queue.Item{{Record: &r}}), queue.ErrExists)
	for _, bad := range [][]queue.Item{
		{{}},
		{{Record: &r, Reader: &queue.ArchivedReader{Name: "both"}}},
		{{Event: &queue.Event{ID: queue.EventID{1}, Kind: queue.EventHeld, Message: e.nextID()}}},
	} {
		e.want(o.archive().Import(o.ctx, bad) != nil, "%+v was imported", bad)
	}
	e.sameAs(o)
	o.states(id, queue.StateQueued, queue.StateQueued)
}

func archiveDue(e *env) {
	e.lived()
	o := e.other()
	e.copyTo(o, 50)
	e.pass(2 * time.Hour)
	o.now = e.now
	want := map[queue.RecipientID]string{}
	for _, s := range []*env{e, o} {
		got := map[queue.RecipientID]string{}
		for ls := s.lease(50); len(ls) > 0; ls = s.lease(50) {
			for _, l := range ls {
				for _, r := range l.Recipients {
					got[r.ID] = fmt.Sprint(l.Lane, r.InDoubt, r.Delayed, r.Attempts, r.Events, l.Message.Account, l.Message.Priority)
				}
				s.ok(s.outcome(l, queue.StateDelivered, time.Time{}))
			}
		}
		if s == e {
			want = got
			continue
		}
		s.want(len(got) == len(want), "%d recipients are due in the copy, %d in the store", len(got), len(want))
		for id, is := range got {
			s.want(is == want[id], "%s is leased as %s, was %s", id, is, want[id])
		}
	}
	// Both did the same, and so are the same still.
	e.sameAs(o)
	e.act(queue.ActionRelease)
	o.act(queue.ActionRelease)
	e.sameAs(o)
}

func archiveLeased(e *env) {
	ids := []queue.MessageID{e.put(mail{to: many(3, "a")}), e.put(mail{to: lanes("b")}), e.put(mail{to: lanes("c")})}
	e.want(len(e.lease(10)) == 3, "too few leases")
	o := e.other()
	e.copyTo(o, 10)
	o.states(ids[0], queue.StateQueued, queue.StateQueued, queue.StateQueued)
	o.want(len(o.lease(10)) == 3, "what was leased cannot be leased in the copy")
	o.recount()
	// What is asked for meanwhile may be pending, and ends all the same.
	e.act(queue.ActionCancel, ids[1])
	p := e.other()
	e.copyTo(p, 10)
	p.reopen()
	if p.entry(ids[1]).Recipients[0].State != queue.StateCancelled {
		for _, l := range p.lease(10) {
			p.ok(p.outcome(l, queue.StateDeferred, p.now.Add(time.Hour)))
		}
	}
	p.states(ids[1], queue.StateCancelled)
	p.recount()
}

func archiveForgotten(e *env) {
	old := e.busy(10)
	e.end(queue.StateDelivered)
	e.pass(time.Hour)
	e.end(queue.StateDelivered)
	e.act(queue.ActionCancel)
	young := e.busy(10)
	e.sweepAll(queue.Retention{Now: e.now, Sent: e.now.Add(-30 * time.Minute), Bounced: e.now.Add(-30 * time.Minute)})
	o := e.other()
	e.copyTo(o, 13)
	e.sameAs(o)
	for _, id := range slices.Concat(old, young) {
		e.want(e.gone(id) == o.gone(id), "%s is in one of the stores", id)
	}
	vs, _ := o.events("")
	for _, v := range vs {
		o.want(!o.gone(v.Message), "an event of %s is there, which is gone", v.Message)
	}
}

func archiveSwept(e *env) {
	e.lived()
	o := e.other()
	e.copyTo(o, 50)
	for _, r := range []queue.Retention{
		{Content: e.now.Add(time.Minute)}, {Sent: e.now.Add(time.Minute)},
		{Bounced: e.now.Add(time.Minute)}, {Now: e.now.Add(2 * time.Hour)},
	} {
		if r.Now.IsZero() {
			r.Now = e.now
		}
		a, b := e.sweepAll(r), o.sweepAll(r)
		e.want(a.Entries == b.Entries && a.Contents == b.Contents, "swept %+v, the copy %+v", a, b)
		e.sameAs(o)
	}
	e.want(!strings.Contains(fmt.Sprint(texts(o.export(100))), "key {"), "a key that has ended is there")
}

func archiveTwice(e *env) {
	e.lived()
	o, p := e.other(), e.other()
	want := texts(e.copyTo(o, 50))
	got := texts(o.copyTo(p, 21))
	slices.Sort(want)
	slices.Sort(got)
	e.want(slices.Equal(got, want), "%d items became %d", len(want), len(got))
	e.sameAs(p)
	e.sameReaders(p, livedReaders...)
}

func archiveLives(e *env) {
	ids := e.lived()
	o := e.other()
	e.copyTo(o, 50)
	o.reopen()
	e.sameAs(o)
	e.sameReaders(o, livedReaders...)
	o.now = e.now.Add(time.Minute)
	ids = append(ids, o.put(mail{account: "new"}))
	_, err := o.try(mail{account: "new"})
	o.ok(err)
	vs, err := o.list(queue.Filter{Account: "new"}, 10)
	o.want(err == nil && len(vs) == 2, "%d new messages, %v", len(vs), err)
	o.ordered(vs)
	old := o.leaseSoon(5)
	o.want(len(old) > 0, "nothing is due")
	o.ok(o.outcome(old[0], queue.StateBounced, time.Time{}))
	o.recount()
	ids = append(ids, vs[0].Message.ID)
	o.agree(ids)
	o.reopen()
	o.agree(ids)
	o.recount()
	since, err := o.list(queue.Filter{Until: e.now.Add(time.Second)}, 50)
	o.want(err == nil && len(since) == len(ids)-2, "%d messages before the copy, want %d, %v", len(since), len(ids)-2, err)
}

func archiveCursors(e *env) {
	e.lived()
	pages := e.export(45)
	want := texts(pages)
	e.reopen()
	skip := 0
	for _, p := range pages {
		got := texts(e.exportFrom(p.from, 1000))
		e.want(slices.Equal(got, want[skip:]), "from %q: %d items, want %d", p.from, len(got), len(want)-skip)
		skip += len(p.items)
	}
	for _, c := range []queue.Cursor{"garbage!", "0", queue.Cursor(noise(200, 1))} {
		_, _, err := e.archive().Export(e.ctx, c, 10)
		e.is(err, queue.ErrFilter)
	}
	_, _, err := e.archive().Export(e.ctx, "", 0)
	e.is(err, queue.ErrFilter)
}

func archiveContents(e *env) {
	for i, n := range []int{0, 1, 4 << 10, 256 << 10, 256<<10 + 1, 3 << 20} {
		e.put(mail{body: noise(n, uint64(i))})
	}
	o := e.other()
	e.copyTo(o, 100)
	e.sameAs(o)
	// What is imported again leaves nothing behind.
	e.copyTo(o, 100)
	o.sweepAll(queue.Retention{Now: o.now.Add(time.Hour)})
	o.want(o.sweepAll(queue.Retention{Now: o.now.Add(time.Hour)}).Orphans == 0, "orphans come again")
	e.sameAs(o)
	// A content belongs to one message, and ends with a refused import too.
	w, err := o.s.CreateContent(o.ctx)
	o.ok(err)
	_, err = w.Write([]byte("x"))
	o.ok(err)
	bad := e.export(1)[0].items[0].Message.Entry
	bad.Message.Account = "differs"
	o.is(o.archive().Import(o.ctx, []queue.Item{{Message: &queue.ArchivedMessage{Entry: bad, Content: w}}}), queue.ErrExists)
	_, err = w.Write([]byte("y"))
	o.want(err != nil, "a content can be written after its import")
	w.Abort()
}
