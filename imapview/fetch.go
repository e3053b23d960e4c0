package imapview

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strconv"

	"postrider/imapview/syntax"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

// batch is how many rows are read at once.
const batch = 64

// fetchPlan is what FETCH answers for each message.
type fetchPlan struct {
	flags, modSeq                         bool
	date, size, envelope, body, structure bool
	sections                              []syntax.Section
	marks                                 bool // sets \Seen
}

func planOf(items []syntax.FetchItem) (p fetchPlan) {
	for _, i := range items {
		switch i.Kind {
		case syntax.FetchUID: // is in every answer
		case syntax.FetchFlags:
			p.flags = true
		case syntax.FetchModSeq:
			p.modSeq = true
		case syntax.FetchInternalDate:
			p.date = true
		case syntax.FetchSize:
			p.size = true
		case syntax.FetchEnvelope:
			p.envelope = true
		case syntax.FetchBody:
			p.body = true
		case syntax.FetchBodyStructure:
			p.structure = true
		case syntax.FetchSection:
			p.sections = append(p.sections, i.Section)
			p.marks = p.marks || !i.Section.Peek
		}
	}
	return p
}

// needsRows reports whether there is more to it than the folder's sets.
func (p fetchPlan) needsRows() bool {
	return p.date || p.size || p.envelope || p.body || p.structure || len(p.sections) > 0
}

// numbered is a message and its sequence number.
type numbered struct {
	seq uint64
	uid uint32
}

// number returns the members of some with their sequence numbers.
func (b *selected) number(some bitmap.Set) iter.Seq[numbered] {
	return func(yield func(numbered) bool) {
		var at numbered
		for uid := range some.All() {
			if at.seq > 0 && uid == at.uid+1 { // most come in a row
				at.seq++
			} else {
				at.seq = uint64(b.known.Rank(uid))
			}
			at.uid = uid
			if !yield(at) {
				return
			}
		}
	}
}

// targets returns the messages that a command names. UIDs of no message are
// passed over; a sequence number of none is a mistake (RFC 9051 §2.3.1.2), but for
// what "*" stands for in an empty folder.
func (c *conn) targets(cmd syntax.Command, set syntax.Set) (bitmap.Set, bool) {
	switch b := c.box; {
	case set.Saved:
		return b.saved.And(b.known), true
	case cmd.UID:
		return set.UIDs(b.known), true
	default:
		n := uint32(b.known.Len())
		for _, r := range set.Ranges {
			star := r.A == syntax.Star || r.B == syntax.Star
			if !star && max(r.A, r.B) > n {
				c.bad(cmd, "There are only "+utoa(uint64(n))+" messages")
				return bitmap.Set{}, false
			}
		}
		return set.Numbers(b.known), true
	}
}

// doFetch is FETCH and UID FETCH.
func (c *conn) doFetch(ctx context.Context, cmd syntax.Command) {
	a := cmd.Args.(syntax.Fetch)
	want, ok := c.targets(cmd, a.Set)
	if !ok {
		return
	}
	v, err := c.s.o.Book.View(ctx, c.box.account)
	if err != nil {
		c.trouble(cmd, err)
		return
	}
	if c.moveTo(v); c.ended {
		return
	}
	f := fetching{c: c, plan: planOf(a.Items)}
	if f.plan.modSeq || a.ChangedSince != nil {
		c.enableCondStore()
		f.plan.modSeq = true
	}
	if a.ChangedSince != nil {
		want = want.And(c.box.view.ChangedSince(want, *a.ChangedSince))
	}
	f.plan.marks = f.plan.marks && !c.box.readOnly
	there := want.And(c.box.view.Set(c.box.set))
	f.gone = there.Len() < want.Len()
	if err := f.run(ctx, there); err != nil {
		c.trouble(cmd, err)
		return
	}
	f.finish(ctx, cmd)
}

// fetching is one FETCH.
type fetching struct {
	c    *conn
	plan fetchPlan
	gone bool // a message was expunged meanwhile
	lost bool // a message's content was removed
	src  contents

	answered bool // for some message
}

func (f *fetching) run(ctx context.Context, want bitmap.Set) error {
	c := f.c
	if !f.plan.needsRows() {
		c.tellFlagLines(want, f.plan)
		f.told(want, f.plan)
		f.answered = !want.IsEmpty()
		return nil
	}
	f.src = contents{book: c.s.o.Book}
	c.out.before = f.src.close
	defer func() {
		f.src.close()
		c.out.before = nil
	}()
	some := make([]numbered, 0, batch)
	for n := range c.box.number(want) {
		if some = append(some, n); len(some) == batch {
			if err := f.answer(ctx, some); err != nil || c.out.err != nil {
				return err
			}
			some = some[:0]
		}
	}
	return f.answer(ctx, some)
}

// answer answers for a batch of messages.
func (f *fetching) answer(ctx context.Context, some []numbered) error {
	if len(some) == 0 {
		return nil
	}
	c := f.c
	uids := make([]folders.UID, len(some))
	for i, n := range some {
		uids[i] = n.uid
	}
	entries, err := c.s.o.Book.Entries(ctx, c.box.account, uids)
	if err != nil {
		return err
	}
	var marked bitmap.Set
	if f.plan.marks {
		if marked = c.mark(ctx, uids); c.ended {
			return nil
		}
	}
	for i, n := range some {
		e := entries[i]
		if e == nil {
			f.gone = true
			continue
		}
		plan := f.plan
		plan.flags = plan.flags || marked.Has(n.uid)
		plan.modSeq = plan.modSeq || c.condstore && marked.Has(n.uid)
		if err := f.line(ctx, n, e, plan); err != nil {
			return err
		}
		if c.out.err != nil {
			return nil
		}
	}
	return nil
}

// mark sets \Seen, as reading does. What cannot be marked can still be read.
func (c *conn) mark(ctx context.Context, uids []folders.UID) bitmap.Set {
	b := c.box
	unread := bitmap.Of(uids...).And(b.view.Unseen())
	if unread.IsEmpty() {
		return unread
	}
	v, _, err := c.s.o.Book.Edit(ctx, b.account, func(*folders.View) (folders.Edit, error) {
		return folders.Edit{Seen: unread}, nil
	})
	if err != nil {
		c.log(slog.LevelWarn, "cannot mark as read", err)
		return bitmap.Set{}
	}
	c.moveTo(v)
	return unread
}

// line answers for one message, or not at all if its content is gone.
func (f *fetching) line(ctx context.Context, n numbered, e *folders.Entry, plan fetchPlan) error {
	texts := make([]text, len(plan.sections))
	for i, s := range plan.sections {
		var err error
		texts[i], err = f.src.text(ctx, n.uid, e, s)
		if isGone(err) {
			f.lost = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	o := &f.c.out
	o.took(f.c.appendFlagPart(o.spare(512), n, plan))
	f.stored(e, plan)
	for _, t := range texts {
		if err := t.write(ctx, o, &f.src); err != nil {
			// The client waits for octets that will never come.
			f.c.log(slog.LevelWarn, "cannot read a message", err, "id", e.Message.String())
			o.err = errors.Join(o.err, err)
			return nil
		}
	}
	o.say(")\r\n")
	f.answered = true
	if f.c.box.untold.Has(n.uid) {
		f.told(bitmap.Of(n.uid), plan)
	}
	return nil
}

// told notes that the client knows the flags of messages by this answer.
func (f *fetching) told(some bitmap.Set, plan fetchPlan) {
	if plan.flags && (plan.modSeq || !f.c.condstore) {
		f.c.box.untold = f.c.box.untold.AndNot(some)
	}
}

// stored writes what was computed when the entry was filed.
func (f *fetching) stored(e *folders.Entry, plan fetchPlan) {
	o := &f.c.out
	if plan.date {
		o.took(syntax.AppendDate(append(o.spare(64), " INTERNALDATE "...), e.At))
	}
	if plan.size {
		o.took(strconv.AppendInt(append(o.spare(64), " RFC822.SIZE "...), e.Size(), 10))
	}
	if plan.envelope {
		o.say(" ENVELOPE ")
		_, _ = o.Write(e.Envelope)
	}
	if plan.body {
		o.say(" BODY ")
		_, _ = o.Write(e.Body)
	}
	if plan.structure {
		o.say(" BODYSTRUCTURE ")
		_, _ = o.Write(e.BodyStructure)
	}
}

// finish says which of the messages could not be shown any more: it is NO only if
// that goes for all of them, since imapflow, for one, takes NO for the failure of the
// whole (RFC 2180 §4.1, RFC 5530). UIDs of no message are no mistake.
func (f *fetching) finish(ctx context.Context, cmd syntax.Command) {
	if f.c.ended {
		return
	}
	if !f.lost && (!f.gone || cmd.UID) {
		f.c.finish(ctx, cmd, allowed(cmd), "", "That is all")
		return
	}
	state := "NO"
	if f.answered {
		state = "OK"
	}
	f.c.finishAs(ctx, cmd, state, allowed(cmd), "EXPUNGEISSUED", "Some of the messages are gone")
}

// tellFlagLines answers for messages from the folder's sets alone. Millions are
// written like this.
func (c *conn) tellFlagLines(some bitmap.Set, plan fetchPlan) {
	for n := range c.box.number(some) {
		c.flagLine(n, plan)
		if c.out.err != nil {
			return
		}
	}
}

func (c *conn) flagLine(n numbered, plan fetchPlan) {
	b := c.appendFlagPart(c.out.spare(1024), n, plan)
	c.out.took(append(b, ")\r\n"...))
}

// appendFlagPart begins the answer for a message. The UID is in it always, as RFC
// 3501 §7 allows, so that all other items follow a blank.
func (c *conn) appendFlagPart(b []byte, n numbered, plan fetchPlan) []byte {
	v := c.box.view
	b = append(b, "* "...)
	b = strconv.AppendUint(b, n.seq, 10)
	b = append(b, " FETCH (UID "...)
	b = strconv.AppendUint(b, uint64(n.uid), 10)
	if plan.flags {
		b = append(b, " FLAGS ("...)
		b = v.AppendFlags(b, n.uid)
		b = append(b, ')')
	}
	if plan.modSeq {
		b = append(b, " MODSEQ ("...)
		b = strconv.AppendUint(b, v.ModSeqOf(n.uid), 10)
		b = append(b, ')')
	}
	return b
}
