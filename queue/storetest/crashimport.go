package storetest

import (
	"bytes"
	"slices"
	"testing"

	"postrider/queue"
)

// crashImport imports into a store the messages that it has, under other ids.
func crashImport() Trial {
	var items []queue.Item
	bodies := map[queue.MessageID][]byte{}
	const page = 4
	acked := 0
	load := func(e *env) error {
		for i := 0; i < len(items); i += page {
			some, err := e.written(items[i:min(i+page, len(items))], bodies)
			if err == nil {
				err = e.s.(queue.Archive).Import(e.ctx, some)
			}
			if err != nil {
				return err
			}
			acked = i + page
		}
		return nil
	}
	return Trial{
		Before: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			e.busy(2)
			e.put(mail{body: noise(150<<10, 1), idem: e.key("k", 1)})
			e.ok(s.Acknowledge(e.ctx, "reader", mustLast(e, 1)))
			for _, p := range e.export(1000) {
				for _, it := range p.items {
					if m := it.Message; m != nil {
						bodies[moved(m.Entry.Message.ID)] = e.read(m.Entry.Message.ID)
					}
					items = append(items, movedItem(it))
				}
			}
		},
		During: func(s queue.Store) { _ = load(onStore(nil, s)) },
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			for _, it := range items[:min(acked, len(items))] {
				if it.Message != nil {
					id := it.Message.Entry.Message.ID
					e.want(bytes.Equal(e.read(id), bodies[id]), "%s was imported, and is not whole", id)
				}
			}
			was := acked
			e.ok(load(e))
			acked = was // of each state of the disk
			var ids []queue.MessageID
			for _, v := range e.entries() {
				ids = append(ids, v.Message.ID)
				twin := moved(v.Message.ID)
				e.want(bytes.Equal(e.read(v.Message.ID), e.read(twin)), "%s and its copy differ", v.Message.ID)
			}
			e.want(len(ids) == 6, "%d messages, want 6", len(ids))
			vs, _ := e.events("")
			e.histories(ids, vs)
			e.recount()
			e.want(len(e.unread("new")) == 6 && len(e.unread("copied")) > 0, "readers have %v and %v", e.unread("new"), e.unread("copied"))
		},
	}
}

// written returns the items with new contents.
func (e *env) written(items []queue.Item, bodies map[queue.MessageID][]byte) ([]queue.Item, error) {
	items = slices.Clone(items)
	for i := range items {
		m := items[i].Message
		if m == nil {
			continue
		}
		w, err := e.s.CreateContent(e.ctx)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(bodies[m.Entry.Message.ID]); err != nil {
			w.Abort()
			return nil, err
		}
		items[i].Message = &queue.ArchivedMessage{Entry: m.Entry, Content: w}
	}
	return items, nil
}

// moved is the id of a message's twin, which is its own.
func moved(id queue.MessageID) queue.MessageID {
	id[13] ^= 0xff
	return id
}

// movedItem is the twin of an item.
func movedItem(it queue.Item) queue.Item {
	switch {
	case it.Message != nil:
		v := it.Message.Entry
		v.Message.ID = moved(v.Message.ID)
		v.Recipients = slices.Clone(v.Recipients)
		for i := range v.Recipients {
			v.Recipients[i].ID = v.Message.ID.Recipient(i)
		}
		it.Message = &queue.ArchivedMessage{Entry: v}
	case it.Key != nil:
		k := *it.Key
		k.Account, k.Message = "copied", moved(k.Message)
		it.Key = &k
	case it.Event != nil:
		v := *it.Event
		v.Message = moved(v.Message)
		v.ID[15] ^= 0xff
		if v.Kind == queue.EventQueued {
			v.ID = queue.NewEventID(v.At, queue.RecipientID(v.Message), 0)
		} else {
			v.Recipient = v.Message.Recipient(v.Recipient.Index())
		}
		it.Event = &v
	case it.Reader != nil:
		it.Reader = &queue.ArchivedReader{Name: "copied"}
	}
	return it
}
