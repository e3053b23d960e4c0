package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"testing"

	"postrider/queue"
)

// other is a second store of the same engine, empty, with the same clock.
func (e *env) other() *env {
	e.Helper()
	o := *e
	o.s = e.h.Open(e.T)
	e.Cleanup(func() {
		if err := o.s.Close(); err != nil {
			e.Errorf("close the other store: %v", err)
		}
	})
	return &o
}

func (e *env) archive() queue.Archive {
	e.Helper()
	a, ok := e.s.(queue.Archive)
	e.want(ok, "%T is no queue.Archive", e.s)
	return a
}

// page is what one Export returned, and the cursor it was asked with.
type page struct {
	from  queue.Cursor
	items []queue.Item
}

// export reads everything, in pages of at most limit items.
func (e *env) export(limit int) (pages []page) {
	e.Helper()
	return e.exportFrom("", limit)
}

func (e *env) exportFrom(c queue.Cursor, limit int) (pages []page) {
	e.Helper()
	for range 100_000 {
		items, next, err := e.archive().Export(e.ctx, c, limit)
		e.ok(err)
		e.want(len(items) <= limit, "%d items, asked for %d", len(items), limit)
		pages = append(pages, page{c, items})
		if next == "" {
			return pages
		}
		c = next
	}
	e.Fatal("the export does not end")
	return nil
}

// contents returns the items with their contents written into another store.
func (e *env) contents(to *env, items []queue.Item) ([]queue.Item, error) {
	items = slices.Clone(items)
	for i := range items {
		m := items[i].Message
		if m == nil || len(m.Entry.Message.Content.Key) == 0 {
			continue
		}
		c := *m
		var err error
		if c.Content, err = e.content(to, m.Entry.Message.Content); err != nil {
			return nil, err
		}
		items[i].Message = &c
	}
	return items, nil
}

func (e *env) content(to *env, ref queue.ContentRef) (queue.ContentWriter, error) {
	c, err := e.s.OpenContent(e.ctx, ref)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	w, err := to.s.CreateContent(to.ctx)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, c); err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

// importInto imports items of e into another store.
func (e *env) importInto(to *env, items []queue.Item) error {
	items, err := e.contents(to, items)
	if err != nil {
		return err
	}
	return to.archive().Import(to.ctx, items)
}

// copyTo moves everything.
func (e *env) copyTo(to *env, limit int) (pages []page) {
	e.Helper()
	pages = e.export(limit)
	for _, p := range pages {
		e.ok(e.importInto(to, p.items))
	}
	return pages
}

// archived is an entry as an archive must keep it.
func archived(v queue.Entry) queue.Entry {
	c := canonical(v)
	for i := range c.Recipients {
		c.Recipients[i].UpdatedAt = v.Recipients[i].UpdatedAt.UTC()
	}
	return c
}

// recordKinds are those that tests use.
var recordKinds = []queue.RecordKind{
	queue.RecordAccount, queue.RecordCredential, queue.RecordDKIMKey, queue.RecordDomain, queue.RecordSetting,
}

// sameAs demands that two stores hold the same, as far as a copy goes.
func (e *env) sameAs(o *env) {
	e.Helper()
	mine, err := e.list(queue.Filter{}, 100)
	e.ok(err)
	theirs, err := o.list(queue.Filter{}, 100)
	e.ok(err)
	e.want(len(mine) == len(theirs), "%d messages became %d", len(mine), len(theirs))
	for i, v := range mine {
		id := v.Message.ID
		if a, b := archived(v), archived(theirs[i]); !reflect.DeepEqual(a, b) {
			e.Fatalf("%s:\n was %+v\n is  %+v", id, a, b)
		}
		e.want(slices.Equal(e.lines(id), o.lines(id)), "%s: history\n was %q\n is  %q", id, e.lines(id), o.lines(id))
		e.sameContent(o, v.Message, theirs[i].Message)
	}
	e.sameCounts(o)
	for _, kind := range recordKinds {
		a, err := e.s.ListRecords(e.ctx, kind, "", "", 1000)
		e.ok(err)
		b, err := o.s.ListRecords(o.ctx, kind, "", "", 1000)
		e.ok(err)
		e.want(slices.EqualFunc(a, b, func(a, b queue.Record) bool { return a.Name == b.Name && bytes.Equal(a.Value, b.Value) }),
			"%s records: were %v, are %v", kind, a, b)
	}
	o.recount()
}

func (e *env) lines(id queue.MessageID) (lines []string) {
	e.Helper()
	vs, err := e.s.History(e.ctx, id)
	e.ok(err)
	for _, v := range vs {
		lines = append(lines, eventLine(v))
	}
	return lines
}

func (e *env) sameContent(o *env, a, b queue.Message) {
	e.Helper()
	e.want((len(a.Content.Key) > 0) == (len(b.Content.Key) > 0), "%s: the content is there in one of the stores only", a.ID)
	if len(a.Content.Key) == 0 {
		_, err := o.s.OpenContent(o.ctx, b.Content)
		e.is(err, queue.ErrNotFound)
		return
	}
	e.want(bytes.Equal(e.read(a.ID), o.read(b.ID)), "%s: the content differs", a.ID)
}

func (e *env) sameCounts(o *env) {
	e.Helper()
	a, err := e.s.Counts(e.ctx)
	e.ok(err)
	b, err := o.s.Counts(o.ctx)
	e.ok(err)
	for _, st := range queue.States() {
		x, y := a[st], b[st]
		e.want(x.Recipients == y.Recipients && x.Oldest.Equal(y.Oldest), "%s: count was %+v, is %+v", st, x, y)
	}
}

// unread returns what a reader has before it, by message, of messages that
// are still there.
func (e *env) unread(reader string) map[queue.MessageID][]string {
	e.Helper()
	p, err := e.s.Acknowledged(e.ctx, reader)
	e.ok(err)
	vs, _ := e.events(p)
	per := map[queue.MessageID][]string{}
	there := map[queue.MessageID]bool{}
	for _, v := range vs {
		if _, known := there[v.Message]; !known {
			_, err := e.s.Message(e.ctx, v.Message)
			e.want(err == nil || errors.Is(err, queue.ErrNotFound), "%v", err)
			there[v.Message] = err == nil
		}
		if there[v.Message] {
			per[v.Message] = append(per[v.Message], eventLine(v))
		}
	}
	return per
}

// sameReaders demands that readers go on with the same events.
func (e *env) sameReaders(o *env, readers ...string) {
	e.Helper()
	for _, name := range readers {
		a, b := e.unread(name), o.unread(name)
		e.want(reflect.DeepEqual(a, b), "%s has\n%v\nbefore it, had\n%v", name, b, a)
	}
}

// texts writes items as the suite compares them.
func texts(pages []page) (all []string) {
	for _, p := range pages {
		for _, it := range p.items {
			all = append(all, itemText(it))
		}
	}
	return all
}

func itemText(it queue.Item) string {
	switch {
	case it.Record != nil:
		return fmt.Sprintf("record %s %q %x", it.Record.Kind, it.Record.Name, it.Record.Value)
	case it.Message != nil:
		v := archived(it.Message.Entry)
		text := fmt.Sprintf("message %+v %t", v.Message, len(it.Message.Entry.Message.Content.Key) > 0)
		for _, r := range v.Recipients {
			last := canonicalAttempt(r.Last)
			r.Last = nil
			text += fmt.Sprintf("\n%+v %+v", r, last)
		}
		return text
	case it.Key != nil:
		k := *it.Key
		k.ExpiresAt = k.ExpiresAt.UTC()
		return fmt.Sprintf("key %+v", k)
	case it.Event != nil:
		return "event " + eventLine(*it.Event)
	case it.Reader != nil:
		return "reader " + it.Reader.Name
	}
	return "nothing"
}

// Live makes of an empty store one with something of everything, for the tests
// of what moves stores.
func Live(t *testing.T, s queue.Store) {
	t.Helper()
	onStore(t, s).lived()
}

// Same demands that two stores hold the same, and that their readers go on with
// the same events, as far as a copy goes.
func Same(t *testing.T, a, b queue.Store) {
	t.Helper()
	e, o := onStore(t, a), onStore(t, b)
	e.sameAs(o)
	e.sameReaders(o, livedReaders...)
}
