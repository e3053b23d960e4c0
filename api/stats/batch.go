package stats

import (
	"time"

	"postrider/api/feed"
	"postrider/queue"
)

// batch is what some events add, by day.
type batch struct {
	days map[dayKey]table
	size int // octets that it takes, roughly and at most
	n    int // events
}

func newBatch() *batch { return &batch{days: make(map[dayKey]table)} }

// count adds an event. What is known of its message may be nothing.
func (b *batch) count(e *queue.Event, f *feed.Facts) {
	b.n++
	var c counts
	place, known := placeOf[e.Kind]
	switch {
	case e.Kind == queue.EventQueued:
		c[atAccepted], c[atRecipients] = 1, int64(e.Recipients)
	case known:
		c[place] = 1
	default:
		return // it is not counted
	}
	for _, account := range []string{e.Account, allAccounts} {
		b.put(account, e.At, None, "", &c)
		if f != nil {
			b.split(account, e, f, &c)
		}
		if e.Kind != queue.EventQueued {
			b.put(account, e.At, ByRecipientDomain, e.Address.Fold().Domain, &c)
		}
	}
}

// split counts by what the message is.
func (b *batch) split(account string, e *queue.Event, f *feed.Facts, c *counts) {
	b.put(account, e.At, ByStream, f.Stream, c)
	b.put(account, e.At, ByKey, f.Credential, c)
	b.put(account, e.At, BySenderDomain, queue.Address{Domain: f.From.Domain}.Fold().Domain, c)
	for _, tag := range f.Tags {
		b.put(account, e.At, ByTag, tag, c)
	}
	if e.Kind != queue.EventQueued {
		return
	}
	for _, d := range f.Domains { // a message counts for each of them
		b.put(account, e.At, ByRecipientDomain, d.Name, &counts{atAccepted: 1, atRecipients: int64(d.Recipients)})
	}
}

func (b *batch) put(account string, at time.Time, d Dimension, name string, c *counts) {
	if name == "" && d != None {
		return
	}
	k := dayKey{dayOf(at), account, d == ByRecipientDomain}
	t := b.days[k]
	if t == nil {
		t = make(table)
		b.days[k] = t
		b.size += 64 + len(account)
	}
	if t[d][name] == nil {
		b.size += 16 + 2*len(name) // quotes within are escaped
	}
	h := t.at(d, name)
	if hour := at.UTC().Hour(); h[hour] == nil {
		b.size += 40
	}
	h.at(at.UTC().Hour()).add(c)
}

// fold makes a batch smaller that has more names than a record holds.
func (b *batch) fold() bool {
	folded := false
	for _, t := range b.days {
		folded = t.fold() || folded
	}
	return folded
}
