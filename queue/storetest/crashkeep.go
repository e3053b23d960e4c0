package storetest

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"postrider/queue"
)

func crashRegistry() Trial {
	acked := 0
	var v [2]uint64
	name := [2]string{"a", "b"}
	var atLeast uint64
	return Trial{
		Before: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			v = [2]uint64{e.record(queue.RecordSetting, "a", 0, "old"), e.record(queue.RecordSetting, "b", 0, "old")}
			var err error
			atLeast, err = s.RegistryVersion(e.ctx)
			e.ok(err)
		},
		During: func(s queue.Store) {
			e := onStore(nil, s)
			got, err := s.PutRecord(e.ctx, queue.Record{Kind: queue.RecordSetting, Name: "a", Version: v[0], Value: []byte("new")})
			if err != nil {
				return
			}
			acked, atLeast = 1, max(atLeast, got)
			if s.DeleteRecord(e.ctx, queue.Record{Kind: queue.RecordSetting, Name: "b", Version: v[1]}) == nil {
				acked = 2
			}
		},
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			a, err := s.GetRecord(e.ctx, queue.RecordSetting, name[0])
			e.ok(err)
			changed := string(a.Value) == "new"
			e.want(changed && a.Version > v[0] || string(a.Value) == "old" && a.Version == v[0], "record is %+v", a)
			e.want(changed || acked == 0, "an acknowledged record is lost")
			b, err := s.GetRecord(e.ctx, queue.RecordSetting, name[1])
			if errors.Is(err, queue.ErrNotFound) {
				e.want(changed, "deleted before it was asked for")
			} else {
				e.ok(err)
				e.want(b.Version == v[1] && acked < 2, "an acknowledged deletion is lost")
			}
			now, err := s.RegistryVersion(e.ctx)
			e.want(err == nil && now >= atLeast, "the registry's version went from %d to %d, %v", atLeast, now, err)
			got := e.record(queue.RecordSetting, "a", a.Version, "newer")
			e.want(got > a.Version, "version %d after %d", got, a.Version)
		},
	}
}

// crashSweep has old entries, one of which has a content left by a reader,
// and young and open ones that must stay.
func crashSweep() Trial {
	var old, stay []queue.MessageID
	body := noise(100<<10, 3)
	return Trial{
		Before: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			for range 3 {
				old = append(old, e.put(mail{body: body}))
			}
			e.end(queue.StateDelivered)
			w, err := s.CreateContent(e.ctx)
			e.ok(err)
			_, err = w.Write(body)
			e.ok(err)
			w.Abort()
			e.pass(100 * time.Hour)
			stay = append(stay, e.put(mail{body: body, to: []rcpt{{state: queue.StateHeld}}}))
			stay = append(stay, e.put(mail{body: body}))
			e.end(queue.StateBounced)
		},
		During: func(s queue.Store) {
			r := queue.Retention{Now: epoch.Add(100 * time.Hour), Sent: epoch.Add(50 * time.Hour), Bounced: epoch.Add(50 * time.Hour), Max: 2}
			for range 10 {
				if v, err := s.Sweep(onStore(nil, s).ctx, r); err != nil || !v.More {
					return
				}
			}
		},
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			for range 2 {
				for _, id := range old {
					if !e.gone(id) {
						e.states(id, queue.StateDelivered)
						e.want(bytes.Equal(e.read(id), body), "the content differs")
					}
				}
				for _, id := range stay {
					e.want(bytes.Equal(e.read(id), body), "the content of what stays differs")
				}
				e.recount()
				e.now = epoch.Add(200 * time.Hour) // and it can be done again
				e.sweepAll(queue.Retention{Now: e.now, Sent: epoch.Add(50 * time.Hour), Bounced: epoch.Add(50 * time.Hour)})
			}
			for _, id := range old {
				e.want(e.gone(id), "%s is still there", id)
			}
			e.want(len(e.total()) == 2, "counts are %v", e.total())
		},
	}
}

func crashRemove() Trial {
	var id, other queue.MessageID
	removed := false
	body := noise(300<<10, 3)
	return Trial{
		Before: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			id, other = e.put(mail{body: body}), e.put(mail{body: body})
			e.end(queue.StateDelivered)
		},
		During: func(s queue.Store) { removed = s.RemoveContent(onStore(nil, s).ctx, id) == nil },
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			e.states(id, queue.StateDelivered)
			ref := e.entry(id).Message.Content
			if len(ref.Key) > 0 {
				e.want(bytes.Equal(e.read(id), body), "half a content")
			}
			_ = removed // a removal may be repeated: it need not be durable
			e.ok(s.RemoveContent(e.ctx, id))
			_, err := s.OpenContent(e.ctx, ref)
			e.is(err, queue.ErrNotFound)
			e.want(bytes.Equal(e.read(other), body), "the other content differs")
		},
	}
}

func crashClose() Trial {
	var ids []queue.MessageID
	return Trial{
		Before: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			ids = e.busy(10)
		},
		During: func(s queue.Store) { _ = s.Close() },
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			e.agree(ids)
			e.recount()
			e.now = epoch.Add(time.Hour)
			e.put(mail{})
			e.want(len(e.lease(100)) > 0, "nothing is due")
		},
	}
}
