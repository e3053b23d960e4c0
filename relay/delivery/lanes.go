package delivery

import (
	"slices"
	"sync"
	"time"

	"postrider/queue"
)

// lanes remembers which site each lane led to, and which lanes wait for a busy
// site.
//
// A lane that waits is parked in the store, which serves it to nobody but those
// who name it: the lessor does, for as many permits as the site has to give. So
// what is queued for a busy site is neither leased in vain nor in the way. What
// holds: a lane is in the book as waiting from before it is parked until after
// it is unparked. The park ends by itself after parkedFor, and then the lane is
// found busy again.
//
// A site here is what has limits of its own: a key of Limits.
type lanes struct {
	mu      sync.Mutex
	sites   recent[queue.Lane, string]
	closed  recent[string, closure]
	waiting map[queue.Lane]string // to the site
	urgent  map[queue.Lane]int    // of those: how many turns they have before others of their account
	queues  map[string]*waitList
	ready   []string // sites at which a permit may be had; each once
	opening int      // of queues: those whose opens is set
}

// closure is why nothing goes to a site, and until when.
type closure struct {
	class queue.Class
	until time.Time
}

// waitList are the lanes that wait for one site: accounts in turn, so that one
// with many lanes does not keep the others waiting, and the lanes of each.
type waitList struct {
	accounts []string
	lanes    map[string][]queue.Lane
	ready    bool
	opens    time.Time // when a permit may be had although none is released; zero: not known
}

const (
	// knownLanes is how many lanes' sites are remembered, knownClosed how many
	// sites that are closed.
	knownLanes  = 16384
	knownClosed = 4096
	// waitingLanes is how many lanes may wait; others are looked at again soon.
	waitingLanes = 65536
	// parkedFor is how long a lane is parked for a busy site at most.
	parkedFor = 30 * time.Second
	// parkedBriefly is for lanes beyond waitingLanes.
	parkedBriefly = time.Second
)

func newLanes() *lanes {
	return &lanes{
		sites:   newRecent[queue.Lane, string](knownLanes),
		closed:  newRecent[string, closure](knownClosed),
		waiting: make(map[queue.Lane]string),
		urgent:  make(map[queue.Lane]int),
		queues:  make(map[string]*waitList),
	}
}

func (b *lanes) siteOf(l queue.Lane) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	site, ok := b.sites.get(l)
	return site, ok && site != ""
}

func (b *lanes) learn(l queue.Lane, site string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sites.put(l, site)
}

// close notes why a site is paused.
func (b *lanes) close(site string, c closure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed.put(site, c)
}

// reopen takes out all lanes that wait for a site, and returns them with those
// that led to it lately: whatever is parked for it is among them.
func (b *lanes) reopen(site string) []queue.Lane {
	all := b.leaveAll(site)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed.forget(site)
	// Those that lead there still are found below.
	all = slices.DeleteFunc(all, func(l queue.Lane) bool { return b.sites.m[l] == site })
	for l, s := range b.sites.m {
		if s == site {
			all = append(all, l)
		}
	}
	return all
}

// closedBy returns the class of failure for which the site of a lane is paused,
// if it is.
func (b *lanes) closedBy(l queue.Lane, now time.Time) queue.Class {
	b.mu.Lock()
	defer b.mu.Unlock()
	site, _ := b.sites.get(l)
	return b.why(site, now)
}

// whyClosed returns the class of failure for which a site is paused, if it is.
func (b *lanes) whyClosed(site string, now time.Time) queue.Class {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.why(site, now)
}

func (b *lanes) why(site string, now time.Time) queue.Class {
	if c, ok := b.closed.get(site); ok && now.Before(c.until) {
		return c.class
	}
	return queue.ClassNone
}

// anyClosed reports whether it is worth asking closedBy.
func (b *lanes) anyClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.closed.m) > 0
}

// wait enters a lane that is about to be parked, and returns for how long.
func (b *lanes) wait(l queue.Lane, site, account string, urgent bool) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, waits := b.waiting[l]; waits {
		if urgent {
			b.hurry(l)
		}
		return parkedFor
	}
	if len(b.waiting) >= waitingLanes {
		return parkedBriefly
	}
	b.waiting[l] = site
	w := b.queues[site]
	if w == nil {
		w = &waitList{lanes: make(map[string][]queue.Lane)}
		b.queues[site] = w
	}
	w.push(l, account)
	if urgent {
		b.hurry(l)
	}
	return parkedFor
}

// urge gives a lane that waits a turn before the others of its account, and
// reports whether it waits.
func (b *lanes) urge(l queue.Lane) (site string, waits bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if site, waits = b.waiting[l]; waits {
		b.hurry(l)
	}
	return site, waits
}

// hurry brings a lane that waits to the front. With b.mu held.
func (b *lanes) hurry(l queue.Lane) {
	b.urgent[l]++
	w := b.queues[b.waiting[l]]
	for _, ls := range w.lanes {
		if i := slices.Index(ls, l); i >= 0 {
			copy(ls[1:i+1], ls[:i])
			ls[0] = l
			return
		}
	}
}

func (w *waitList) push(l queue.Lane, account string) {
	if len(w.lanes[account]) == 0 {
		w.accounts = append(w.accounts, account)
	}
	w.lanes[account] = append(w.lanes[account], l)
}

// turn returns the lane whose turn it is and sends it to the end.
func (b *lanes) turn(site string) (l queue.Lane, account string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.queues[site]
	if w == nil {
		return "", "", false
	}
	account = w.accounts[0]
	l = w.lanes[account][0]
	if b.urgent[l]--; b.urgent[l] <= 0 {
		delete(b.urgent, l)
		w.lanes[account] = append(w.lanes[account][1:], l)
	}
	w.accounts = append(w.accounts[1:], account)
	return l, account, true
}

// waitingFor is how many lanes wait for a site.
func (b *lanes) waitingFor(site string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w := b.queues[site]; w != nil {
		for _, ls := range w.lanes {
			n += len(ls)
		}
	}
	return n
}

// leave takes a lane out; it is to be unparked then. ok is false if it did not
// wait.
func (b *lanes) leave(l queue.Lane) (ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	site, ok := b.waiting[l]
	if !ok {
		return false
	}
	delete(b.waiting, l)
	delete(b.urgent, l)
	w := b.queues[site]
	w.remove(l)
	if len(w.accounts) == 0 {
		b.drop(site)
	}
	return true
}

func (w *waitList) remove(l queue.Lane) {
	for i, account := range w.accounts {
		for j, other := range w.lanes[account] {
			if other != l {
				continue
			}
			w.lanes[account] = append(w.lanes[account][:j:j], w.lanes[account][j+1:]...)
			if len(w.lanes[account]) == 0 {
				delete(w.lanes, account)
				w.accounts = append(w.accounts[:i:i], w.accounts[i+1:]...)
			}
			return
		}
	}
}

// leaveAll takes all lanes of a site out and returns them.
func (b *lanes) leaveAll(site string) []queue.Lane {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.queues[site]
	if w == nil {
		return nil
	}
	var all []queue.Lane
	for _, ls := range w.lanes {
		all = append(all, ls...)
	}
	for _, l := range all {
		delete(b.waiting, l)
		delete(b.urgent, l)
	}
	b.drop(site)
	return all
}

func (b *lanes) drop(site string) {
	if !b.queues[site].opens.IsZero() {
		b.opening--
	}
	delete(b.queues, site)
	for i, s := range b.ready {
		if s == site {
			b.ready = append(b.ready[:i:i], b.ready[i+1:]...)
			return
		}
	}
}

// freed notes that a permit of the site may be had, and reports whether anybody
// waits for it.
func (b *lanes) freed(site string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.queues[site]
	if w == nil {
		return false
	}
	if !w.ready {
		w.ready = true
		b.ready = append(b.ready, site)
	}
	return true
}

// opensAt notes when a permit of a site may be had without one being released,
// and reports whether anybody waits for it.
func (b *lanes) opensAt(site string, at time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.queues[site]
	if w == nil {
		return false
	}
	if w.opens.IsZero() {
		b.opening++
	}
	w.opens = at
	return true
}

// open makes the sites ready whose time has come, and returns when the next one
// opens; the zero time if none does.
func (b *lanes) open(now time.Time) (next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opening == 0 {
		return time.Time{}
	}
	for site, w := range b.queues {
		switch {
		case w.opens.IsZero():
		case w.opens.After(now):
			if next.IsZero() || w.opens.Before(next) {
				next = w.opens
			}
		default:
			w.opens = time.Time{}
			b.opening--
			if !w.ready {
				w.ready = true
				b.ready = append(b.ready, site)
			}
		}
	}
	return next
}

// nextReady takes a site at which a permit may be had.
func (b *lanes) nextReady() (site string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ready) == 0 {
		return "", false
	}
	site = b.ready[0]
	b.ready = b.ready[1:]
	b.queues[site].ready = false
	return site, true
}

func (b *lanes) parked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}
