package redisstore

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/rules"
)

// A sample of everything that is stored.
func sample() (*Store, queue.Message, queue.Recipient) {
	s := &Store{o: Options{}.withDefaults(), parts: []string{"pr{q0}", "pr{q1}"}}
	id := queue.MessageID{1, 2, 3, 4, 5, 6, 0x70, 8, 0x80, 10, 11}
	at := time.Date(2030, 5, 17, 9, 0, 0, 123456, time.UTC)
	m := queue.Message{
		ID: id, Account: "shop", Priority: queue.PriorityLow, AcceptedAt: at, ExpiresAt: at.Add(72 * time.Hour),
		Envelope: queue.Envelope{ReversePath: queue.Address{Local: "a", Domain: "b.example"}, EnvID: "env", Ret: queue.RetFull},
		Header:   queue.Header{Subject: "Grüße", MessageID: "x@y"},
		Source:   queue.Source{Kind: "smtp", Remote: netip.MustParseAddr("192.0.2.7"), Peer: "client"},
		Content:  queue.ContentRef{Size: 100, HeaderSize: 50},
	}
	r := queue.Recipient{
		ID: id.Recipient(7), Address: queue.Address{Local: "user", Domain: "example.org"}, ORCPT: "rfc822;user@example.org",
		Notify: queue.NotifyFailure, State: queue.StateDeferred, Lane: "example.org", Due: at.Add(time.Hour), Attempts: 2,
		Pending: queue.ActionHold, InDoubt: true, Delayed: true, Class: queue.ClassGreylist, UpdatedAt: at.Add(time.Minute), Events: 3,
		Last: &queue.Attempt{Number: 2, Start: at, Took: time.Second, Site: "site", Host: "mx.example.org", Addr: netip.MustParseAddrPort("198.51.100.4:25")},
	}
	return s, m, r
}

func FuzzDecodeRecord(f *testing.F) {
	s, m, r := sample()
	f.Add(string(s.record(&m, &r)))
	r.Last, r.Due, r.ORCPT, r.UpdatedAt = nil, time.Time{}, "x", m.AcceptedAt
	f.Add(string(s.record(&m, &r)))
	f.Add("")
	f.Fuzz(func(t *testing.T, b string) {
		got, err := decodeRecord(&m, r.ID, b)
		if err != nil {
			return
		}
		again, err := decodeRecord(&m, r.ID, b[:front]+string(s.tail(&m, &got.Recipient)))
		if err != nil {
			t.Fatal(err)
		}
		// What scripts know of the time is rounded up to what they count in.
		if !again.Due.Equal(got.Due) || again.State != got.State || again.Lane != got.Lane || again.Address != got.Address || again.rev != got.rev || again.token != got.token {
			t.Fatalf("%+v became %+v", got, again)
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	_, m, _ := sample()
	f.Add(header(&m), "")
	f.Add("2\xff\xff", "ref")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, h, ref string) {
		got, err := decodeHeader(m.ID, h, ref, 1)
		if err != nil || got.Priority > queue.PriorityLow {
			return
		}
		again, err := decodeHeader(m.ID, header(&got), ref, 1)
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("%+v became %+v, %v", got, again, err)
		}
	})
}

func FuzzContentKey(f *testing.F) {
	ref := contentRef{kind: chunkKind, size: 300_000, group: 1}
	f.Add(contentKey(ref.encode(), 1, queue.MessageID{1}))
	ref = contentRef{kind: inlineKind, size: 5}
	f.Add(contentKey(ref.encode(), 0, queue.MessageID{1}))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, key []byte) {
		text, part, id, ok := splitKey(key)
		if !ok {
			return
		}
		if again := contentKey(text, part, id); !bytes.Equal(again, key) {
			t.Fatalf("%x became %x", key, again)
		}
		if ref, ok := decodeRef(text); ok {
			if again, ok := decodeRef(ref.encode()); !ok || again != ref {
				t.Fatalf("%+v became %+v", ref, again)
			}
			if ref.size < 0 || ref.group < 0 {
				t.Fatalf("%+v", ref)
			}
		}
	})
}

func FuzzParsePosition(f *testing.F) {
	s, _, _ := sample()
	f.Add(string(position([]mark{{1, 2, 3}, {}})))
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, p string) {
		at, err := s.parsePosition(queue.Position(p))
		if err != nil {
			return
		}
		again, err := s.parsePosition(position(at))
		if err != nil || !reflect.DeepEqual(at, again) {
			t.Fatalf("%v became %v, %v", at, again, err)
		}
	})
}

func FuzzParseCursor(f *testing.F) {
	s, m, _ := sample()
	f.Add(string(s.cursor([]place{top, {segment: 3, below: m.ID}})))
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, c string) {
		at, err := s.parseCursor(queue.Cursor(c))
		if err != nil {
			return
		}
		again, err := s.parseCursor(s.cursor(at))
		if err != nil || !reflect.DeepEqual(at, again) {
			t.Fatalf("%v became %v, %v", at, again, err)
		}
	})
}

func FuzzDecodeEvent(f *testing.F) {
	_, m, r := sample()
	v := rules.Event(&m, &r, queue.EventDeferred, r.UpdatedAt)
	f.Add(encodeEvent(&v))
	f.Add("")
	f.Fuzz(func(t *testing.T, b string) {
		got, err := decodeEvent(m.ID, m.Account, b)
		if err != nil {
			return
		}
		if _, err := decodeEvent(m.ID, m.Account, encodeEvent(&got)); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseInfo(f *testing.F) {
	f.Add("# Replication\r\nrole:master\r\nslave0:ip=127.0.0.1,port=6380,state=online,offset=1,lag=0\r\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		for k, v := range parseInfo(text) {
			if bytes.ContainsAny([]byte(k+v), "\n") {
				t.Fatalf("%q: %q", k, v)
			}
		}
		parseFields(text, ",", "=")
	})
}
