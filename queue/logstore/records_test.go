package logstore

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/rules"
)

// fullEnqueue has something in every field.
func fullEnqueue() *enqueueRecord {
	m := queue.Message{
		ID: queue.MessageID{1, 2, 3}, Account: "shop", Priority: queue.PriorityLow,
		Envelope: queue.Envelope{
			ReversePath: queue.Address{Local: "a b", Domain: "Example.org"}, EnvID: "env", Ret: queue.RetFull, SMTPUTF8: true, EightBit: true,
		},
		Header:     queue.Header{From: queue.Address{Local: "ü", Domain: "exämple.org"}, Subject: "Grüße", MessageID: "id@x"},
		Source:     queue.Source{Kind: "smtp", Remote: netip.MustParseAddr("2001:db8::1"), Peer: "host", Auth: "PLAIN", TLS: "TLS1.3"},
		AcceptedAt: t0.Add(123456789), ExpiresAt: time.Date(9999, 1, 1, 0, 0, 0, 5, time.UTC),
		Content: queue.ContentRef{Size: 5, HeaderSize: 2},
	}
	m.Content.Key = m.ID[:]
	rcpt := queue.Recipient{
		ID: m.ID.Recipient(0), Address: queue.Address{Local: "x", Domain: "y.z"}, ORCPT: "rfc822;x@y.z", Notify: queue.NotifyDelay,
		State: queue.StateBounced, Lane: "y.z", Due: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), Attempts: 7, Pending: queue.ActionHold,
		InDoubt: true, Delayed: true, Class: queue.ClassGreylist, UpdatedAt: t0, Events: 9,
		Last: &queue.Attempt{
			Number: 7, Start: t0, Took: time.Second, Site: "s", Host: "h", Addr: netip.MustParseAddrPort("192.0.2.1:25"),
			TLS: "TLS1.3", TLSPeer: "verified", Stage: queue.StageDot,
			Reply: queue.Reply{Code: 550, Enhanced: queue.Enhanced{5, 1, 1}, Text: "no\nsuch", Command: "RCPT"}, Error: "e", InDoubt: true,
		},
	}
	r := newEnqueueRecord(&queue.EnqueueRequest{
		Message: m, Recipients: []queue.Recipient{rcpt}, Now: t0,
		Idempotency: queue.Idempotency{Key: "k", Fingerprint: [32]byte{9}, ExpiresAt: t0.Add(time.Hour)},
	})
	r.message.Content.Key = m.ID[:]
	r.events[0].Attempt = rcpt.Last
	r.events[0].Actor, r.events[0].Reason, r.events[0].Due = "op", "why", t0
	r.content = place{exists: true, size: 5, piece: 2, at: nil}
	r.content.at = append(r.content.at, 300, 100, 200)
	return r
}

func TestEnqueueRecordRoundTrip(t *testing.T) {
	t.Parallel()
	want := fullEnqueue()
	got, err := decodeEnqueue(want.encode())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func fullChanges() []changeSet {
	r := fullEnqueue()
	c := newChangeSet(&r.message)
	old := r.recipients[0]
	old.State, old.Due = queue.StateQueued, t0
	c.add(&old, &r.recipients[0], &r.events[0])
	c.add(&old, &r.recipients[0], nil)
	c.changes[1].asked = &rules.Asked{Actor: "op", Reason: "why", At: t0}
	return []changeSet{c, c}
}

func TestChangesRoundTrip(t *testing.T) {
	t.Parallel()
	want := fullChanges()
	got, err := decodeChanges(encodeChanges(want))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestKeysSortAsTimesDo(t *testing.T) {
	t.Parallel()
	times := []time.Time{{}, time.Date(1, 2, 3, 4, 5, 6, 7, time.UTC), time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC), t0, t0.Add(1), t0.Add(time.Hour)}
	var last []byte
	for i, at := range times {
		k := appendOrdered(nil, nanos(at))
		if c := bytes.Compare(last, k); c > 0 || c == 0 && i > 2 {
			t.Errorf("%s does not sort after %s", at, times[i-1])
		}
		last = k
	}
	k := flowKey{"l", queue.PriorityHigh, "acc"}
	it := item{nanos(t0), queue.RecipientID{1, 2}}
	b := dueKey(nil, k, it)
	if got, ok := readFlowKey(b); !ok || got != k || readItem(b) != it {
		t.Errorf("%v and %v became %v and %v", k, it, got, readItem(b))
	}
}

// FuzzDecode feeds all decoders of the store's own records: none may panic, and what is accepted must be
// the same after writing and reading it again.
func FuzzDecode(f *testing.F) {
	r := fullEnqueue()
	x := edits{live: 5, forgotten: 7, forgottenEvents: 2}
	x.put([]byte("k"), []byte("v"))
	x.drop([]byte("d"))
	x.count(queue.StateQueued, -3)
	m := storedMessage{message: r.message, content: r.content, at: 5, enqueued: t0, recipients: 3, facts: r.facts}
	move := moveRecord{message: r.message.ID, value: m, pieces: []int{2, 0}}
	reg := registryRecord{kind: "k", name: "n", value: []byte("v")}
	past := pastRecord{events: r.events, readers: []string{"webhook"}}
	shelf := newFolderRecord("shop", queue.FolderWrite{
		Index: map[string][]byte{"h": {1, 2}, "gone": nil, "": {}}, Rows: map[string][]byte{"r\x00\xff": bytes.Repeat([]byte{7}, 300)},
	})
	for i, seed := range [][]byte{r.encode(), encodeChanges(fullChanges()), x.encode(), m.encode(nil), move.encode(), reg.encode(), past.encode(), shelf.encode()} {
		f.Add(byte(i), seed)
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		again := func(first, second any, err error) {
			t.Helper()
			if err != nil || !reflect.DeepEqual(first, second) {
				t.Errorf("%+v became %+v, %v", first, second, err)
			}
		}
		switch id := (queue.MessageID{1, 2, 3}); kind % 8 {
		case 0:
			if v, err := decodeEnqueue(b); err == nil {
				v2, err := decodeEnqueue(v.encode())
				again(v, v2, err)
			}
		case 1:
			if v, err := decodeChanges(b); err == nil {
				v2, err := decodeChanges(encodeChanges(v))
				again(v, v2, err)
			}
		case 2:
			if v, err := decodeEdits(b); err == nil {
				v2, err := decodeEdits(v.encode())
				again(v, v2, err)
			}
		case 3:
			if v, err := decodeMessage(id, b); err == nil {
				v2, err := decodeMessage(id, v.encode(nil))
				again(v, v2, err)
			}
		case 4:
			if v, err := decodeMove(b); err == nil {
				v2, err := decodeMove(v.encode())
				again(v, v2, err)
			}
		case 5:
			if v, err := decodeRegistry(b); err == nil {
				v2, err := decodeRegistry(v.encode())
				again(v, v2, err)
			}
		case 6:
			if v, err := decodePast(b); err == nil {
				v2, err := decodePast(v.encode())
				again(v, v2, err)
			}
		case 7:
			if v, err := decodeFolder(b); err == nil {
				v2, err := decodeFolder(v.encode())
				again(v, v2, err)
			}
		}
	})
}
