package filing

import (
	"time"

	"postrider/queue"
)

// maxYoung bounds how many messages are remembered until they are old enough to be
// shown as queued. When there are as many, reading waits for the oldest of them.
const maxYoung = 50_000

// waiting is a message that is to be looked at later.
type waiting struct {
	named
	due time.Time
}

// young are messages that are too young to be shown as queued, in the order in
// which they were read. The position of the reader is held back to the oldest of
// them, so that they are read again after a restart.
type young struct {
	pages []*page
	in    map[queue.MessageID]*page
}

// page is what one reading of the log brought.
type page struct {
	from queue.Position // reading after it brings them again
	list []waiting      // those that were removed meanwhile are no longer in young.in
	left int
	due  time.Time // of the first of them
}

func (y *young) full() bool { return len(y.in) >= maxYoung }

// add remembers messages that were read after a position. Those that are known
// stay where they are.
func (y *young) add(from queue.Position, list []waiting) {
	p := &page{from: from}
	for _, w := range list {
		if y.in[w.id] != nil {
			continue
		}
		if y.in == nil {
			y.in = map[queue.MessageID]*page{}
		}
		y.in[w.id] = p
		if p.left == 0 || w.due.Before(p.due) {
			p.due = w.due
		}
		p.list = append(p.list, w)
		p.left++
	}
	if p.left > 0 {
		y.pages = append(y.pages, p)
	}
}

func (y *young) remove(id queue.MessageID) {
	p := y.in[id]
	if p == nil {
		return
	}
	delete(y.in, id)
	p.left--
	for len(y.pages) > 0 && y.pages[0].left == 0 {
		y.pages = y.pages[1:]
	}
}

// from is the position to go on from after a restart: at, if nobody waits.
func (y *young) from(at queue.Position) queue.Position {
	if len(y.pages) == 0 {
		return at
	}
	return y.pages[0].from
}

// grown returns up to limit of those that are old enough; they stay until they are
// removed.
func (y *young) grown(now time.Time, limit int) (list []named) {
	for _, p := range y.pages {
		if p.left == 0 || p.due.After(now) {
			continue
		}
		for _, w := range p.list {
			if y.in[w.id] != p || w.due.After(now) {
				continue
			}
			if list = append(list, w.named); len(list) == limit {
				return list
			}
		}
	}
	return list
}

// due returns when some of them may be old enough.
func (y *young) due() (first time.Time, ok bool) {
	for _, p := range y.pages {
		if p.left > 0 && (!ok || p.due.Before(first)) {
			first, ok = p.due, true
		}
	}
	return first, ok
}
