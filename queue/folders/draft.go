package folders

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"postrider/queue"
	"postrider/queue/bitmap"
)

// draft is the next view of an account in the making, with the rows that go with
// it.
type draft struct {
	book *Book
	old  *View
	next *View
	rows map[string][]byte
	uids []UID // of the items, in their order

	gone    bitmap.Set // what is expunged
	flagged bitmap.Set // whose flags changed
	moved   bool       // something came into a folder or left it
	hidden  bool       // something from POP3
	facts   map[UID]fact
	filed   map[queue.MessageID][]filed // of the messages that are touched
	added   map[queue.MessageID]bool    // of which something was added
}

// draft does an edit in memory. It reads the rows that it must, and writes
// nothing.
func (b *Book) draft(ctx context.Context, v *View, e *Edit) (*draft, error) {
	d := &draft{book: b, old: v, next: v.clone(), rows: map[string][]byte{}, added: map[queue.MessageID]bool{}}
	if err := d.remove(ctx, e); err != nil {
		return nil, err
	}
	d.flag(e)
	d.hide(e)
	if err := d.file(ctx, e.Append); err != nil {
		return nil, err
	}
	if err := d.next.subscribe(e); err != nil {
		return nil, err
	}
	d.sequence()
	return d, nil
}

// clone returns a view that may be changed until others see it.
func (v *View) clone() *View {
	return &View{
		Account: v.Account, UIDValidity: v.UIDValidity, UIDNext: v.UIDNext, ModSeq: v.ModSeq,
		head: v.head, boxes: maps.Clone(v.boxes), history: v.history, chosen: v.chosen, names: v.names,
	}
}

func (d *draft) change(name string, fn func(box) box) {
	b := fn(d.next.boxes[name])
	if b.over(name) {
		delete(d.next.boxes, name)
		return
	}
	d.next.boxes[name] = b
}

// remove takes entries out of folders, and altogether where that was the last.
func (d *draft) remove(ctx context.Context, e *Edit) (err error) {
	d.gone = d.old.alive(bitmap.Of(e.Expunge...))
	left := map[string]bitmap.Set{}
	var leaving bitmap.Set
	for name, uids := range e.Leave {
		if isFolder(name) {
			left[name] = d.old.Set(name).And(bitmap.Of(uids...)).AndNot(d.gone)
			leaving = leaving.Or(left[name])
		}
	}
	var stay bitmap.Set
	for name, b := range d.old.folders() {
		stay = stay.Or(b.set.And(leaving).AndNot(left[name]))
	}
	d.gone = d.gone.Or(leaving.AndNot(stay))
	all := d.gone.Or(leaving)
	if all.IsEmpty() {
		return nil
	}
	d.moved = true
	if d.facts, err = d.book.facts(ctx, d.old.Account, slices.Collect(all.All())); err != nil {
		return err
	}
	for name, b := range d.old.boxes {
		if cut := b.set.And(d.gone.Or(left[name])); !cut.IsEmpty() {
			d.change(name, func(b box) box { return box{b.set.AndNot(cut), b.bytes - d.sum(name, cut), b.last} })
		}
	}
	for uid := range d.gone.All() {
		removeRow(d.rows, uidKey(prefixEntry, uid), d.facts[uid].more)
		removeRow(d.rows, uidKey(prefixSearch, uid), d.facts[uid].moreSearch)
	}
	return nil
}

// sum returns what entries weigh in a folder.
func (d *draft) sum(name string, uids bitmap.Set) (n int64) {
	if isFolder(name) {
		for uid := range uids.All() {
			n += d.facts[uid].size
		}
	}
	return n
}

func (d *draft) flag(e *Edit) {
	before := d.next.Unseen()
	seen := before.And(e.Seen).AndNot(e.Unseen)
	unseen := d.next.alive(e.Unseen).AndNot(before)
	d.flagged = seen.Or(unseen)
	if !d.flagged.IsEmpty() {
		d.change(setUnseen, func(b box) box { return box{set: b.set.AndNot(seen).Or(unseen)} })
	}
}

func (d *draft) hide(e *Edit) {
	for login, uids := range e.Hide {
		uids = d.next.alive(uids).AndNot(d.next.Hidden(login))
		d.hidden = d.hidden || !uids.IsEmpty()
		d.change(hiddenPrefix+login, func(b box) box { return box{set: b.set.Or(uids)} })
	}
}

// file adds entries, and keeps what is filed of each message that is touched.
func (d *draft) file(ctx context.Context, items []Item) error {
	if err := d.readFiled(ctx, items); err != nil {
		return err
	}
	sets := map[string][]UID{}
	bytes := map[string]int64{}
	for i := range items {
		it := &items[i]
		list := d.filed[it.Entry.Message]
		if at := slices.IndexFunc(list, func(f filed) bool { return f.key == it.Key }); at >= 0 {
			d.uids = append(d.uids, list[at].uid)
			continue
		}
		uid, err := d.add(it)
		if err != nil {
			return err
		}
		for _, name := range it.sets() {
			sets[name] = append(sets[name], uid)
			bytes[name] += it.Entry.Size()
		}
	}
	for name, uids := range sets {
		d.change(name, func(b box) box {
			if isFolder(name) {
				b.bytes += bytes[name]
				b.last = uids[len(uids)-1]
			}
			b.set = b.set.With(uids...)
			return b
		})
	}
	return d.writeFiled()
}

// readFiled reads what is filed of the messages of items, and of those that are
// gone.
func (d *draft) readFiled(ctx context.Context, items []Item) error {
	d.filed = map[queue.MessageID][]filed{}
	for i := range items {
		d.filed[items[i].Entry.Message] = nil
	}
	for uid := range d.gone.All() {
		if f, ok := d.facts[uid]; ok {
			d.filed[f.message] = nil
		}
	}
	ms := slices.Collect(maps.Keys(d.filed))
	lists, err := d.book.filed(ctx, d.old.Account, ms)
	if err != nil {
		return err
	}
	for i, m := range ms {
		d.filed[m] = slices.DeleteFunc(lists[i], func(f filed) bool { return !d.next.isAlive(f.uid) })
	}
	return nil
}

// writeFiled leaves a message alone of which only some entries were removed: what
// is not in the view is passed over, and a full store takes no rows.
func (d *draft) writeFiled() error {
	for m, list := range d.filed {
		if len(list) == 0 {
			removeRow(d.rows, messageKey(m), 0)
		}
		if !d.added[m] {
			continue
		}
		if putRow(d.rows, messageKey(m), encodeFiled(list)) > 0 {
			return fmt.Errorf("message %s with %d entries: %w", m, len(list), ErrTooLarge)
		}
	}
	return nil
}

// add gives an item its UID and writes its rows.
func (d *draft) add(it *Item) (UID, error) {
	if d.next.UIDNext > lastUID {
		return 0, fmt.Errorf("file message %s: %w", it.Entry.Message, ErrExhausted)
	}
	uid := d.next.UIDNext
	d.next.UIDNext++
	d.moved = true
	d.uids = append(d.uids, uid)
	d.added[it.Entry.Message] = true
	d.filed[it.Entry.Message] = append(d.filed[it.Entry.Message], filed{uid, it.Key})
	s := it.Search
	s.At, s.Size = it.Entry.At, it.Entry.Size()
	f := fact{message: it.Entry.Message}
	f.more = putRow(d.rows, uidKey(prefixEntry, uid), it.Entry.encode())
	putRow(d.rows, uidKey(prefixSearch, uid), encodeSearch(f, &s))
	return uid, nil
}

// sets returns all sets that the item is put into, once each.
func (it *Item) sets() []string {
	names := slices.Clone(it.Sets)
	for _, name := range it.Sets {
		if kind := kindOf(name); kind != "" {
			names = append(names, kind)
		}
	}
	if it.Unseen {
		names = append(names, setUnseen)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// sequence gives the commit its modification sequence.
func (d *draft) sequence() {
	switch {
	case d.next.UIDNext != d.old.UIDNext:
		d.next.ModSeq = addedAt(d.next.UIDNext - 1)
	case d.moved || !d.flagged.IsEmpty():
		d.next.advance()
	}
	d.next.history = rewrite(d.next.history, d.gone, d.flagged, d.next.ModSeq)
}

// changed reports whether there is anything to commit.
func (d *draft) changed() bool {
	return d.moved || d.hidden || !d.flagged.IsEmpty() || d.next.chosen != d.old.chosen || !slices.Equal(d.next.names, d.old.names)
}

// write returns what is to be committed, and how many octets it has.
func (d *draft) write() (w queue.FolderWrite, octets int) {
	w = queue.FolderWrite{Version: d.old.head.Version, Lineage: d.old.head.Lineage, Index: d.next.since(d.old), Rows: d.rows}
	for key, value := range w.Index {
		octets += len(key) + len(value)
	}
	for key, value := range w.Rows {
		octets += len(key) + len(value)
	}
	return w, octets
}
