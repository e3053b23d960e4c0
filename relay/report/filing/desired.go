package filing

import (
	"slices"
	"time"

	"postrider/queue"
	"postrider/queue/folders"
)

// want is an entry that the folders should have and have not.
type want struct {
	key key
	// old is the entry whose place it takes, and whether that was read; nil if
	// there is none.
	old *folders.Filed
	// news says that it tells of other trouble than the old one, and so is unread.
	news bool
}

// change is what is to be done about one message.
type change struct {
	drop []folders.UID
	add  []want
	// later is when a message that is too young to be shown as queued has to be
	// looked at again; zero if it has not.
	later time.Time
}

// fates are the recipients of a message by what the folders show of them.
type fates struct {
	waiting indexes // for the first attempt
	delayed indexes // for another one
	failed  indexes
	sent    int // delivered or relayed
}

func (f *fates) open() bool { return f.waiting != (indexes{}) || f.delayed != (indexes{}) }

// shownOf is what of a message is shown: nothing of the reports that we make, for
// they tell what the folders tell.
func shownOf(e *queue.Entry) fates {
	if e.Message.Source.Kind == internal {
		return fates{}
	}
	return fatesOf(e.Recipients)
}

// internal is the Source.Kind of the relay's own reports.
const internal = "internal"

// fatesOf sorts recipients. One that was tried is delayed, also while it is held
// or tried again.
func fatesOf(rs []queue.Recipient) (f fates) {
	for i := range rs {
		switch r := &rs[i]; {
		case r.State == queue.StateDelivered, r.State == queue.StateRelayed:
			f.sent++
		case r.State.Final():
			f.failed.add(i)
		case r.State == queue.StateDeferred, r.Attempts > 0, r.Last != nil:
			f.delayed.add(i)
		default:
			f.waiting.add(i)
		}
	}
	return f
}

// filed is an entry that is in the folders, and what it shows.
type filed struct {
	folders.Filed
	key key
}

// difference compares what the folders have of a message with what they should
// have. firstTry says when it was tried first; it is asked seldom.
func difference(e *queue.Entry, have []folders.Filed, now time.Time, queuedAfter time.Duration, firstTry func() (time.Time, error)) (change, error) {
	d := differ{entry: e, fates: shownOf(e), gone: len(e.Message.Content.Key) == 0, now: now}
	for _, f := range have {
		k, ok := parseKey(f.Key)
		if !ok {
			d.drop = append(d.drop, f.UID)
			continue
		}
		d.have = append(d.have, filed{Filed: f, key: k})
	}
	d.queued(queuedAfter)
	if err := d.deferred(firstTry); err != nil {
		return change{}, err
	}
	d.bounced()
	d.sent()
	return d.change, nil
}

// differ is one comparison.
type differ struct {
	entry *queue.Entry
	fates fates
	gone  bool
	have  []filed
	now   time.Time
	change
}

// of returns what is filed of a kind.
func (d *differ) of(k kind) (out []*filed) {
	for i := range d.have {
		if d.have[i].key.kind == k {
			out = append(out, &d.have[i])
		}
	}
	return out
}

// one sees to it that the folders have one entry of a kind: one that is current,
// else what make returns; none if make is nil.
func (d *differ) one(k kind, current func(key) bool, make func(old *filed) (want, error)) error {
	var kept, old *filed
	for _, f := range d.of(k) {
		switch {
		case make != nil && kept == nil && d.fresh(f) && current(f.key):
			kept = f
		default:
			old = f
			d.drop = append(d.drop, f.UID)
		}
	}
	if make == nil || kept != nil {
		return nil
	}
	w, err := make(old)
	if err != nil {
		return err
	}
	w.key.kind, w.key.gone = k, d.gone
	if old != nil {
		w.old = &old.Filed
	}
	d.add = append(d.add, w)
	return nil
}

// fresh reports whether an entry refers to no content that is gone.
func (d *differ) fresh(f *filed) bool { return f.key.gone || !d.gone }

func (d *differ) queued(after time.Duration) {
	if d.fates.waiting == (indexes{}) {
		d.one(kindQueued, nil, nil) // makes nothing, so that nothing fails
		return
	}
	if old := d.entry.Message.AcceptedAt.Add(after); old.After(d.now) {
		d.later = old
		return
	}
	var k key
	for i := range d.fates.waiting.all() {
		switch r := &d.entry.Recipients[i]; r.State {
		case queue.StateHeld:
			k.held = true
		case queue.StateScheduled:
			if due := time.Unix(r.Due.Unix(), 0).UTC(); k.due.IsZero() || due.Before(k.due) {
				k.due = due
			}
		}
	}
	d.one(kindQueued, func(f key) bool {
		return f.held == k.held && f.due.Equal(k.due)
	}, func(*filed) (want, error) { return want{key: k}, nil })
}

func (d *differ) deferred(firstTry func() (time.Time, error)) error {
	if d.fates.delayed == (indexes{}) {
		return d.one(kindDeferred, nil, nil)
	}
	k := key{rcpts: d.fates.delayed, held: true}
	var last time.Time
	for i := range k.rcpts.all() {
		r := &d.entry.Recipients[i]
		k.held = k.held && r.State == queue.StateHeld
		k.noticed = k.noticed || r.Delayed
		if at := lastTry(r); at.After(last) {
			last = at
		}
		if c := digest(r.Class); !slices.Contains(k.classes, c) {
			k.classes = append(k.classes, c)
		}
	}
	slices.Sort(k.classes)
	return d.one(kindDeferred, func(f key) bool {
		return f.held == k.held && f.noticed == k.noticed && stepOf(last.Sub(f.first)) <= f.step &&
			within(k.classes, f.classes) && !grown(f.rcpts, k.rcpts)
	}, func(old *filed) (w want, err error) {
		w.key = k
		w.news = old == nil || !within(k.classes, old.key.classes)
		if old != nil && !old.key.first.IsZero() {
			w.key.first = old.key.first
		} else if w.key.first, err = firstTry(); err != nil {
			return w, err
		}
		w.key.step = stepOf(last.Sub(w.key.first))
		return w, nil
	})
}

// lastTry is when a recipient came to where it is.
func lastTry(r *queue.Recipient) time.Time {
	if r.Last != nil {
		return r.Last.Start.Add(r.Last.Took)
	}
	return r.UpdatedAt
}

// few is how many entries may tell of recipients one by one.
const few = 16

// grown reports whether so many recipients have joined that a new entry should
// tell of them. They come one by one if a message has many domains: then the
// entry is made anew when it has grown by half, not for each.
func grown(told, now indexes) bool {
	left := now.without(told)
	n := left.len()
	return n > 0 && (told.len() < few || 2*n >= told.len())
}

// overdue is how long a failure may wait for others that share its entry.
const overdue = time.Hour

func (d *differ) bounced() {
	var told indexes
	entries := 0
	for _, f := range d.of(kindBounced) {
		k := f.key
		k.rcpts = k.rcpts.without(told) // if two nodes told of one, the first counts
		if k.rcpts == (indexes{}) {
			d.drop = append(d.drop, f.UID)
			continue
		}
		told.join(k.rcpts)
		entries++
		if !d.fresh(f) {
			d.drop = append(d.drop, f.UID)
			k.gone = true
			d.add = append(d.add, want{key: k, old: &f.Filed})
		}
	}
	left := d.fates.failed.without(told)
	if left == (indexes{}) || !d.tell(left, told, entries) {
		return
	}
	d.add = append(d.add, want{key: key{kind: kindBounced, rcpts: left, gone: d.gone}, news: true})
}

// tell reports whether failures that no entry tells of get one now. Those of one
// pass share one. A message with hundreds of domains would get as many; there they
// wait for others, an hour at most, or for the message's end.
func (d *differ) tell(left, told indexes, entries int) bool {
	if !d.fates.open() || entries < few || 4*left.len() >= told.len() {
		return true
	}
	for i := range left.all() {
		if d.now.Sub(d.entry.Recipients[i].UpdatedAt) >= overdue {
			return true
		}
	}
	return false
}

func (d *differ) sent() {
	if d.fates.open() || d.fates.sent == 0 {
		d.one(kindSent, nil, nil)
		return
	}
	d.one(kindSent, func(key) bool { return true }, func(*filed) (want, error) { return want{}, nil })
}
