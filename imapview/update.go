package imapview

import (
	"cmp"
	"context"
	"slices"

	"postrider/imapview/syntax"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

// expunges says whether messages may lose their sequence numbers before an answer
// (RFC 3501 §7.4.1).
type expunges bool

const (
	expungeToo expunges = true
	noExpunge  expunges = false // FETCH, STORE and SEARCH by sequence number
)

// allowed is for commands that have two forms.
func allowed(cmd syntax.Command) expunges { return expunges(cmd.UID) }

// finish tells what changed in the folder and ends a command.
func (c *conn) finish(ctx context.Context, cmd syntax.Command, ex expunges, code, text string) {
	c.finishAs(ctx, cmd, "OK", ex, code, text)
}

func (c *conn) finishAs(ctx context.Context, cmd syntax.Command, state string, ex expunges, code, text string) {
	if c.box != nil {
		if err := c.update(ctx, ex); err != nil {
			c.trouble(cmd, err)
			return
		}
	}
	if !c.ended {
		c.tagged(cmd.Tag, state, code, text)
	}
}

// update tells what changed since the client was told last.
func (c *conn) update(ctx context.Context, ex expunges) error {
	v, err := c.s.o.Book.View(ctx, c.box.account)
	if err != nil {
		return err
	}
	c.moveTo(v)
	if !c.ended {
		c.tellChanges(ex)
	}
	return nil
}

// moveTo goes on to a newer view. Which flags changed in between is remembered.
func (c *conn) moveTo(v *folders.View) {
	b := c.box
	switch {
	case v == b.view:
	case v.UIDValidity != b.view.UIDValidity:
		// RFC 3501 §2.3.1.1: that cannot change within a session.
		c.bye("The folders were made anew, come back to see them")
	case v.ModSeq < b.view.ModSeq: // somebody else was quicker to ask
	default:
		b.untold = b.untold.Or(v.ChangedSince(b.known, b.view.ModSeq))
		b.view = v
	}
}

// tellChanges tells of messages that went, came, and have other flags now.
func (c *conn) tellChanges(ex expunges) {
	b := c.box
	gone, come := bitmap.Diff(b.known, b.view.Set(b.set))
	if bool(ex) && !gone.IsEmpty() {
		c.tellGone(gone)
	}
	if first, ok := come.Min(); ok {
		if last, _ := b.known.Max(); first < last {
			// Sequence numbers would move up, for which there is no answer.
			c.bye("The folder was put into another order, come back to see it")
			return
		}
		b.known = b.known.Or(come)
		c.tellFlags()
		c.tellExists()
		c.out.say("* 0 RECENT\r\n")
	}
	if untold := b.untold.And(b.known).And(b.view.Set(b.set)); !untold.IsEmpty() {
		c.tellFlags()
		c.tellSeen(untold)
	}
	b.untold = bitmap.Set{}
}

// tellGone writes the expunges, the last first: so the numbers in front stay.
func (c *conn) tellGone(gone bitmap.Set) {
	b := c.box
	n := b.known.Len() + 1
	var above uint32 // the last one that was looked at
	for uid := range gone.Backward() {
		if above == uid+1 {
			n-- // most go in a row
		} else {
			n = b.known.Rank(uid)
		}
		above = uid
		c.out.say("* ")
		c.out.number(uint64(n))
		c.out.say(" EXPUNGE\r\n")
		if c.out.err != nil {
			return
		}
	}
	b.known = b.known.AndNot(gone)
	b.saved = b.saved.AndNot(gone)
}

// tellSeen tells of flags. With modification sequences, the older changes come
// first: a client that is cut off in the middle asks again from the last it saw.
func (c *conn) tellSeen(uids bitmap.Set) {
	if !c.condstore {
		c.tellFlagLines(uids, fetchPlan{flags: true})
		return
	}
	order := make([]uint32, 0, uids.Len())
	for uid := range uids.All() {
		order = append(order, uid)
	}
	v := c.box.view
	slices.SortStableFunc(order, func(a, b uint32) int { return cmp.Compare(v.ModSeqOf(a), v.ModSeqOf(b)) })
	for _, uid := range order {
		c.flagLine(numbered{uint64(c.box.known.Rank(uid)), uid}, fetchPlan{flags: true, modSeq: true})
	}
}
