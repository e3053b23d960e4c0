package imapview

import (
	"context"
	"slices"
	"strings"

	"postrider/imapview/syntax"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

// doStore is STORE and UID STORE. \Seen is kept; other flags are passed over
// (RFC 3501 §7.1, PERMANENTFLAGS), and the answer says what is.
func (c *conn) doStore(ctx context.Context, cmd syntax.Command) {
	if c.box.readOnly {
		c.no(cmd, "READ-ONLY", "The folder is open for reading")
		return
	}
	a := cmd.Args.(syntax.Store)
	want, ok := c.targets(cmd, a.Set)
	if !ok {
		return
	}
	if a.UnchangedSince != nil {
		c.enableCondStore()
	}
	st := storing{want: want, args: a}
	v, _, err := c.s.o.Book.Edit(ctx, c.box.account, st.edit(c.box.set))
	if err != nil {
		c.trouble(cmd, err)
		return
	}
	if c.moveTo(v); c.ended {
		return
	}
	c.tellStored(st)
	code := ""
	if !st.modified.IsEmpty() {
		code = "MODIFIED " + string(syntax.AppendSet(nil, c.named(cmd, st.modified)))
	}
	if st.gone && !cmd.UID {
		c.finishAs(ctx, cmd, "NO", noExpunge, "EXPUNGEISSUED", "Some of the messages are gone")
		return
	}
	c.finish(ctx, cmd, allowed(cmd), code, "Done")
}

// storing is one STORE.
type storing struct {
	want bitmap.Set
	args syntax.Store

	there    bitmap.Set // that could be stored
	modified bitmap.Set // that others changed since (RFC 7162 §3.1.3)
	seen     bool       // the command says whether they are \Seen
	gone     bool
}

// edit decides upon the account as it is when the change is made.
func (st *storing) edit(set string) func(v *folders.View) (folders.Edit, error) {
	return func(v *folders.View) (folders.Edit, error) {
		st.there = st.want.And(v.Set(set))
		st.gone = st.there.Len() < st.want.Len()
		st.modified = bitmap.Set{}
		if since := st.args.UnchangedSince; since != nil {
			st.modified = v.ChangedSince(st.there, *since)
			st.there = st.there.AndNot(st.modified)
		}
		var e folders.Edit
		seen := slices.ContainsFunc(st.args.Flags, func(f string) bool { return strings.EqualFold(f, `\Seen`) })
		switch {
		case seen && st.args.Mode != syntax.StoreRemove:
			e.Seen, st.seen = st.there.And(v.Unseen()), true
		case seen || st.args.Mode == syntax.StoreReplace:
			e.Unseen, st.seen = st.there.AndNot(v.Unseen()), true
		}
		return e, nil
	}
}

// tellStored tells how the flags are now. RFC 7162 §3.1.3: even a silent STORE
// learns the modification sequences.
func (c *conn) tellStored(st storing) {
	b := c.box
	plan := fetchPlan{flags: !st.args.Silent, modSeq: c.condstore}
	if plan.flags || plan.modSeq {
		c.tellFlagLines(st.there, plan)
	}
	if plan.flags || st.seen {
		b.untold = b.untold.AndNot(st.there)
	}
}

// named returns messages as the command names them.
func (c *conn) named(cmd syntax.Command, uids bitmap.Set) bitmap.Set {
	if cmd.UID {
		return uids
	}
	return c.box.sequence(uids)
}

// sequence returns the sequence numbers of messages.
func (b *selected) sequence(uids bitmap.Set) bitmap.Set {
	if uids.Len() == b.known.Len() {
		if uids.IsEmpty() {
			return uids
		}
		return bitmap.Range(1, uint32(uids.Len()))
	}
	seqs := make([]uint32, 0, uids.Len())
	for n := range b.number(uids) {
		seqs = append(seqs, uint32(n.seq))
	}
	return bitmap.Of(seqs...)
}
