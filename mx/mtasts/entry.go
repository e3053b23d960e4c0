package mtasts

import (
	"container/list"
	"time"
)

// held is a policy as it was fetched. It is not changed.
type held struct {
	mode             Mode
	hosts            []string
	id               string
	fetched, expires time.Time
}

// holds reports whether there is a policy that is still to be followed.
func (h *held) holds(now time.Time) bool { return h != nil && now.Before(h.expires) }

// entry is what is known of a domain.
type entry struct {
	domain  string
	held    *held     // nil: no policy is known
	fault   string    // of the last attempt to fetch
	fails   int       // failed attempts in a row
	checkAt time.Time // until then it is told as it is
	tried   time.Time // the last attempt to fetch
	used    time.Time // when somebody last asked
}

func (e *entry) policy(now time.Time) Policy {
	if !e.held.holds(now) {
		return Policy{Mode: None, Fault: e.fault}
	}
	return Policy{Mode: e.held.mode, Hosts: e.held.hosts, ID: e.held.id, Expires: e.held.expires, Fault: e.fault}
}

// size is about what the entry takes in memory.
func (e *entry) size() int {
	n := 512 + 2*len(e.domain)
	if e.held != nil {
		n += 128
		for _, h := range e.held.hosts {
			n += 16 + len(h)
		}
	}
	return n
}

// lru holds entries, bounded by number and size; what was used longest ago goes
// first. It is not safe for concurrent use.
type lru struct {
	entries, bytes int
	total          int
	byDomain       map[string]*list.Element
	order          *list.List // of *entry; the front is the newest
}

func newLRU(entries, bytes int) *lru {
	return &lru{entries: entries, bytes: bytes, byDomain: make(map[string]*list.Element), order: list.New()}
}

func (l *lru) get(domain string) (entry, bool) {
	el, ok := l.byDomain[domain]
	if !ok {
		return entry{}, false
	}
	return *el.Value.(*entry), true
}

// use is get for somebody who asks at this time.
func (l *lru) use(domain string, now time.Time) (entry, bool) {
	el, ok := l.byDomain[domain]
	if !ok {
		return entry{}, false
	}
	l.order.MoveToFront(el)
	e := el.Value.(*entry)
	e.used = now
	return *e, true
}

func (l *lru) put(e entry) {
	if el, ok := l.byDomain[e.domain]; ok {
		l.remove(el)
	}
	l.byDomain[e.domain] = l.order.PushFront(&e)
	l.total += e.size()
	for l.order.Len() > 1 && (l.order.Len() > l.entries || l.total > l.bytes) {
		l.remove(l.order.Back())
	}
}

func (l *lru) remove(el *list.Element) {
	e := l.order.Remove(el).(*entry)
	delete(l.byDomain, e.domain)
	l.total -= e.size()
}

// due returns the domains with a policy that f picks.
func (l *lru) due(f func(e entry) bool) []string {
	var domains []string
	for el := l.order.Front(); el != nil; el = el.Next() {
		if e := el.Value.(*entry); e.held != nil && f(*e) {
			domains = append(domains, e.domain)
		}
	}
	return domains
}
