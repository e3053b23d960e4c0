package imapview

import (
	"context"
	"strconv"
	"strings"

	"postrider/imapview/syntax"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

// selected is the folder that a client is in, as it was told of it.
type selected struct {
	place
	readOnly bool
	known    bitmap.Set    // messages that have sequence numbers
	view     *folders.View // whose flags the client knows, but for
	untold   bitmap.Set    // those that it has still to be told of
	flags    string        // as last listed
	saved    bitmap.Set    // the result that "$" stands for (RFC 5182)
}

// doSelect is SELECT and EXAMINE.
func (c *conn) doSelect(ctx context.Context, cmd syntax.Command) {
	a := cmd.Args.(syntax.Select)
	if c.box != nil {
		// RFC 7162 §3.2.11: what was selected is closed, whatever comes of it.
		c.box = nil
		c.out.say("* OK [CLOSED] The folder is closed\r\n")
	}
	p, v, ok := c.open(ctx, cmd, a.Mailbox)
	if !ok {
		return
	}
	c.box = &selected{place: p, view: v, known: v.Set(p.set), readOnly: cmd.Name == "EXAMINE" || c.s.o.SeenOff}
	c.condstore = c.condstore || a.CondStore
	c.tellFlags()
	c.tellFolder()
	code := "READ-WRITE"
	if c.box.readOnly {
		code = "READ-ONLY"
	}
	c.ok(cmd, code, "Selected")
}

// tellFolder is what SELECT answers (RFC 3501 §6.3.1).
func (c *conn) tellFolder() {
	b := c.box
	permanent := `\Seen`
	if b.readOnly {
		permanent = ""
	}
	c.out.say("* OK [PERMANENTFLAGS (", permanent, ")] That is what is kept\r\n")
	c.tellExists()
	c.out.say("* 0 RECENT\r\n")
	if first, ok := b.known.And(b.view.Unseen()).Min(); ok {
		c.out.say("* OK [UNSEEN ", strconv.Itoa(b.known.Rank(first)), "] The first unread\r\n")
	}
	c.out.say("* OK [UIDVALIDITY ", utoa(uint64(b.view.UIDValidity)), "] UIDs are valid\r\n")
	c.out.say("* OK [UIDNEXT ", utoa(uint64(b.view.NextIn(b.place.set))), "] The next UID\r\n")
	c.tellModSeq()
}

func (c *conn) tellExists() {
	c.out.say("* ", strconv.Itoa(c.box.known.Len()), " EXISTS\r\n")
}

func (c *conn) tellModSeq() {
	c.out.say("* OK [HIGHESTMODSEQ ", utoa(highest(c.box.view)), "] As of now\r\n")
}

// highest is HIGHESTMODSEQ, which is never zero (RFC 7162 §3.1.2.1). Anything that
// happens in any folder of the account raises it; nothing that happened is above.
func highest(v *folders.View) uint64 { return max(v.ModSeq, 1) }

// tellFlags lists the flags, if that was not done or others came into use.
func (c *conn) tellFlags() {
	flags := flagsOf(c.box.view)
	if flags != c.box.flags {
		c.box.flags = flags
		c.out.say("* FLAGS (", flags, ")\r\n")
	}
}

// flagsOf names the flags of RFC 3501 §2.3.2 first, even those that no message has:
// there are clients that take what is missing for a fault.
func flagsOf(v *folders.View) string {
	flags := []string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`}
	for _, f := range v.FlagsInUse() {
		if !strings.HasPrefix(f, `\`) {
			flags = append(flags, f)
		}
	}
	return strings.Join(flags, " ")
}

// enableCondStore is what each command does that asks for modification sequences.
// RFC 7162 §3.1.2: within a folder, its own is told then.
func (c *conn) enableCondStore() {
	if c.condstore {
		return
	}
	c.condstore = true
	if c.box != nil {
		c.tellModSeq()
	}
}

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// doStatus is STATUS.
func (c *conn) doStatus(ctx context.Context, cmd syntax.Command) {
	a := cmd.Args.(syntax.Status)
	p, v, ok := c.open(ctx, cmd, a.Mailbox)
	if !ok {
		return
	}
	if c.box == nil || c.box.place != p {
		c.tellStatus(a.Mailbox, p, v, a.Items)
		c.finish(ctx, cmd, expungeToo, "", "That is all")
		return
	}
	// There are clients that go by the counts of the selected folder: what is still
	// to be told comes first.
	if err := c.update(ctx, expungeToo); err != nil {
		c.trouble(cmd, err)
	} else if !c.ended {
		c.tellStatus(a.Mailbox, p, v, a.Items)
		c.ok(cmd, "", "That is all")
	}
}

// tellStatus tells of a folder, of the selected one as the client knows it.
func (c *conn) tellStatus(name string, p place, v *folders.View, items []syntax.StatusItem) {
	set, members := p.set, v.Set(p.set)
	if c.box != nil && c.box.place == p {
		v, members = c.box.view, c.box.known
	}
	c.out.say("* STATUS ", c.mailbox(name), " (")
	for i, item := range items {
		var n uint64
		switch item {
		case syntax.StatusMessages:
			n = uint64(members.Len())
		case syntax.StatusUIDNext:
			n = uint64(v.NextIn(set))
		case syntax.StatusUIDValidity:
			n = uint64(v.UIDValidity)
		case syntax.StatusUnseen:
			n = uint64(members.CountAnd(v.Unseen()))
		case syntax.StatusSize:
			n = uint64(v.Bytes(set))
		case syntax.StatusHighestModSeq:
			c.enableCondStore()
			n = highest(v)
		case syntax.StatusRecent, syntax.StatusDeleted: // there are none
		}
		if i > 0 {
			c.out.say(" ")
		}
		c.out.say(string(item), " ", utoa(n))
	}
	c.out.say(")\r\n")
}
