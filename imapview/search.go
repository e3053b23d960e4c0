package imapview

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"postrider/imapview/syntax"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

// searchBatch is how many search rows are read at once, in up to so many lanes.
const (
	searchBatch = 1024
	maxLanes    = 4
)

// doSearch is SEARCH and UID SEARCH.
func (c *conn) doSearch(ctx context.Context, cmd syntax.Command) {
	a := cmd.Args.(syntax.Search)
	if !syntax.KnownCharset(a.Charset) {
		c.no(cmd, "BADCHARSET ("+syntax.Charsets+")", "That character set is not known here")
		return
	}
	withModSeq := mentionsModSeq(a.Key)
	if withModSeq {
		c.enableCondStore()
	}
	if err := c.refresh(ctx); err != nil {
		c.trouble(cmd, err)
		return
	}
	if c.ended {
		return
	}
	found, whole, err := c.search(ctx, c.condition(a.Key))
	if err != nil {
		c.box.save(a.Return, bitmap.Set{})
		c.trouble(cmd, err)
		return
	}
	if !whole {
		c.box.save(a.Return, bitmap.Set{}) // RFC 5182 §2.1
	} else {
		c.box.save(a.Return, found)
	}
	if a.Return == nil {
		c.tellSearch(cmd, found, withModSeq)
	} else {
		c.tellESearch(cmd, *a.Return, found, withModSeq)
	}
	if !whole {
		c.finishAs(ctx, cmd, "NO", allowed(cmd), "LIMIT", "Only the newest messages were looked at: narrow the search, such as by SINCE")
		return
	}
	c.finish(ctx, cmd, allowed(cmd), "", "That is all")
}

// refresh goes by the newest view from now on.
func (c *conn) refresh(ctx context.Context) error {
	v, err := c.s.o.Book.View(ctx, c.box.account)
	if err != nil {
		return err
	}
	c.moveTo(v)
	return nil
}

func mentionsModSeq(k syntax.Key) bool {
	return k.Op == syntax.OpModSeq || slices.ContainsFunc(k.Keys, mentionsModSeq)
}

// search returns the messages for which a condition holds. If it had to stop, it
// is not whole: all that it found is right, older ones are missing.
func (c *conn) search(ctx context.Context, cond condition) (found bitmap.Set, whole bool, err error) {
	if cond.needs == needsSets {
		return cond.set, true, nil
	}
	among := c.box.known
	if cond.key.Op == syntax.OpAnd {
		for _, kid := range cond.kids {
			if kid.needs == needsSets {
				among = among.And(kid.set)
			}
		}
	}
	if among.IsEmpty() {
		return among, true, nil
	}
	leave, err := c.s.queues.enter(ctx, c.box.account)
	if err != nil {
		return bitmap.Set{}, false, err
	}
	defer leave()
	s := &scan{c: c, cond: cond, texts: cond.texts(), now: c.s.o.Now(), deadline: time.Now().Add(c.s.o.SearchBudget), src: contents{book: c.s.o.Book}}
	whole, err = s.run(ctx, among)
	slices.Reverse(s.found)
	return bitmap.Of(s.found...), whole, err
}

// scan looks at messages, the newest first.
type scan struct {
	c        *conn
	cond     condition
	texts    []string // see condition.texts
	now      time.Time
	deadline time.Time
	read     int // messages whose octets were read
	src      contents
	found    []uint32 // descending
}

func (s *scan) run(ctx context.Context, among bitmap.Set) (whole bool, err error) {
	lanes := min(runtime.GOMAXPROCS(0), maxLanes)
	var pages []page
	for uid := range among.Backward() {
		last := len(pages) - 1
		if last < 0 || len(pages[last].uids) == searchBatch {
			if len(pages) == lanes {
				if whole, err := s.look(ctx, pages); !whole || err != nil {
					return whole, err
				}
				pages = pages[:0]
			}
			pages = append(pages, page{uids: make([]folders.UID, 0, searchBatch)})
			last = len(pages) - 1
		}
		pages[last].uids = append(pages[last].uids, uid)
	}
	return s.look(ctx, pages)
}

// page is a batch of messages.
type page struct {
	uids []folders.UID // descending, until it was read
	rows []*folders.Search
	err  error
}

func (p *page) read(ctx context.Context, book *folders.Book, account string, texts []string) {
	slices.Reverse(p.uids) // the order in which they lie
	p.rows, p.err = book.SearchesWith(ctx, account, p.uids, texts)
}

// look reads some batches side by side and looks at them, the newest first.
func (s *scan) look(ctx context.Context, pages []page) (whole bool, err error) {
	if time.Now().After(s.deadline) {
		return false, nil
	}
	var reading sync.WaitGroup
	for i := range pages {
		reading.Go(func() { pages[i].read(ctx, s.c.s.o.Book, s.c.box.account, s.texts) })
	}
	reading.Wait()
	for _, p := range pages {
		if p.err != nil {
			return false, p.err
		}
		if whole, err := s.lookAt(ctx, p); !whole || err != nil {
			return whole, err
		}
	}
	return true, nil
}

func (s *scan) lookAt(ctx context.Context, p page) (whole bool, err error) {
	for i, row := range slices.Backward(p.rows) {
		if row == nil {
			continue // it is gone, or has none of the texts
		}
		m := message{uid: p.uids[i], row: row}
		t := s.cond.of(&m, s.now)
		if t == open {
			if t, err = s.readAndDecide(ctx, &m); errors.Is(err, errBudget) {
				return false, nil
			} else if err != nil {
				return false, err
			}
		}
		if t == yes {
			s.found = append(s.found, m.uid)
		}
	}
	return true, nil
}

// tellSearch answers with SEARCH (RFC 3501 §7.2.5), in one line, for that is what
// clients read.
func (c *conn) tellSearch(cmd syntax.Command, found bitmap.Set, withModSeq bool) {
	c.out.say("* SEARCH")
	write := func(n uint32) bool {
		c.out.took(strconv.AppendUint(append(c.out.spare(16), ' '), uint64(n), 10))
		return c.out.err == nil
	}
	if cmd.UID {
		found.All()(write)
	} else {
		c.box.number(found)(func(n numbered) bool { return write(uint32(n.seq)) })
	}
	if withModSeq && !found.IsEmpty() {
		c.out.say(" (MODSEQ ", utoa(c.box.newest(found)), ")") // RFC 7162 §3.1.5
	}
	c.out.say("\r\n")
}

// newest is the greatest modification sequence of messages.
func (b *selected) newest(of bitmap.Set) (modSeq uint64) {
	for uid := range of.All() {
		modSeq = max(modSeq, b.view.ModSeqOf(uid))
	}
	return modSeq
}

// tellESearch answers with ESEARCH (RFC 4731): what was asked for, and nothing but
// the tag if nothing was found. A mere SAVE has no answer (RFC 5182 §2.4).
func (c *conn) tellESearch(cmd syntax.Command, r syntax.Return, found bitmap.Set, withModSeq bool) {
	if r == (syntax.Return{Save: true}) {
		return
	}
	c.out.say("* ESEARCH (TAG ", quoted(cmd.Tag), ")")
	if cmd.UID {
		c.out.say(" UID")
	}
	numbers := c.named(cmd, found)
	if first, ok := numbers.Min(); ok && r.Min {
		c.out.say(" MIN ", utoa(uint64(first)))
	}
	if last, ok := numbers.Max(); ok && r.Max {
		c.out.say(" MAX ", utoa(uint64(last)))
	}
	if r.All && !numbers.IsEmpty() {
		c.out.say(" ALL ")
		_, _ = c.out.Write(syntax.AppendSet(nil, numbers))
	}
	if r.Count {
		c.out.say(" COUNT ", strconv.Itoa(numbers.Len()))
	}
	if withModSeq && !found.IsEmpty() {
		c.out.say(" MODSEQ ", utoa(c.box.newest(extremes(r, found))))
	}
	c.out.say("\r\n")
}

// save keeps a result if the client wants it: of MIN and MAX alone, only those.
func (b *selected) save(r *syntax.Return, found bitmap.Set) {
	if r != nil && r.Save {
		b.saved = extremes(*r, found)
	}
}

// extremes returns what of a result MIN and MAX leave (RFC 5182 §2.1, RFC 7162
// §3.1.5).
func extremes(r syntax.Return, found bitmap.Set) bitmap.Set {
	if r.All || r.Count || !r.Min && !r.Max || found.IsEmpty() {
		return found
	}
	first, _ := found.Min()
	last, _ := found.Max()
	switch {
	case !r.Max:
		return bitmap.Of(first)
	case !r.Min:
		return bitmap.Of(last)
	}
	return bitmap.Of(first, last)
}
