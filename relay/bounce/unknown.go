package bounce

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"postrider/queue"
)

// UnknownReply is a kind of reply of which no rule knew more than its code.
type UnknownReply struct {
	Text  string // in lower case, with "#" for what differs
	Code  int
	Stage queue.Stage
	Class queue.Class // what it was taken for
	Host  string      // the last one that said so
	Count int
	First time.Time
	Last  time.Time
}

// Bounds of what is counted.
const (
	maxUnknown     = 512
	maxUnknownText = 200 // octets
)

// counters counts unknown replies by their text. When there are too many kinds,
// the rarest of those that were not seen for longest makes room.
type counters struct {
	mu    sync.Mutex
	all   map[unknownKey]*UnknownReply
	total map[queue.Class]int
}

type unknownKey struct {
	stage queue.Stage
	code  int
	text  string
}

func (c *counters) count(a *queue.Attempt, code int, class queue.Class, text string, now time.Time) {
	text = withoutDomains(text)
	if len(text) > maxUnknownText {
		text = strings.ToValidUTF8(text[:maxUnknownText], "")
	}
	key := unknownKey{a.Stage, code, text}
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.all[key]
	if c.all == nil {
		c.all, c.total = make(map[unknownKey]*UnknownReply), make(map[queue.Class]int)
	}
	c.total[class]++
	if u == nil {
		if len(c.all) >= maxUnknown {
			c.makeRoom()
		}
		u = &UnknownReply{Text: strings.Clone(text), Code: code, Stage: a.Stage, Class: class, First: now}
		key.text = u.Text
		c.all[key] = u
	}
	u.Count++
	u.Host, u.Last = a.Host, now
}

// withoutDomains blanks what normal leaves of mail addresses.
func withoutDomains(text string) string {
	if !strings.Contains(text, "#@") {
		return text
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "#@")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteByte('#')
		end := 0
		for end < len(rest) && !isBreak(rest[end]) {
			end++
		}
		text = rest[end:]
	}
}

// makeRoom forgets a quarter of the kinds.
func (c *counters) makeRoom() {
	type entry struct {
		key unknownKey
		u   *UnknownReply
	}
	list := make([]entry, 0, len(c.all))
	for k, u := range c.all {
		list = append(list, entry{k, u})
	}
	slices.SortFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.u.Count, b.u.Count), a.u.Last.Compare(b.u.Last))
	})
	for _, e := range list[:len(list)/4] {
		delete(c.all, e.key)
	}
}

// Unknown returns the n kinds of replies that were counted most and that no rule
// knew, so that somebody may write one.
func (c *Classifier) Unknown(n int) []UnknownReply {
	c.unknown.mu.Lock()
	all := make([]UnknownReply, 0, len(c.unknown.all))
	for _, u := range c.unknown.all {
		all = append(all, *u)
	}
	c.unknown.mu.Unlock()
	slices.SortFunc(all, func(a, b UnknownReply) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.Last.Compare(a.Last), strings.Compare(a.Text, b.Text), cmp.Compare(a.Code, b.Code))
	})
	return all[:min(n, len(all))]
}

// UnknownTotals returns how many unknown replies there were, by the class that
// they were taken for.
func (c *Classifier) UnknownTotals() map[queue.Class]int {
	c.unknown.mu.Lock()
	defer c.unknown.mu.Unlock()
	return maps.Clone(c.unknown.total)
}
