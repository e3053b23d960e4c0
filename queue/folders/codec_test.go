package folders

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/bitmap"
)

func FuzzEntry(f *testing.F) {
	x := Entry{Message: queue.MessageID{1}, At: time.Unix(1, 2).UTC(), Front: []byte("f"), Content: queue.ContentRef{Key: []byte{1}, Size: 5},
		Envelope: []byte("()"), Parts: []Part{{Path: "1.2", Header: 1, Body: 2, End: 3, Inner: 4}}}
	f.Add(x.encode())
	f.Add([]byte{format})
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := decodeEntry(b)
		if err != nil {
			return
		}
		again, err := decodeEntry(x.encode())
		if err != nil || !reflect.DeepEqual(x, again) {
			t.Fatalf("%+v became %+v, %v", x, again, err)
		}
	})
}

func FuzzSearch(f *testing.F) {
	f.Add(encodeSearch(fact{more: 1, message: queue.MessageID{2}, size: 3}, &Search{At: time.Unix(1, 2).UTC(), Size: 3, Subject: "s", Other: "o"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, again Search
		if decodeSearch(b, &s) != nil {
			return
		}
		d := decoder(b)
		x := decodeFact(d)
		if err := decodeSearch(encodeSearch(x, &s), &again); err != nil || s != again || d.Err != nil || x.size != s.Size {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}

func FuzzFiled(f *testing.F) {
	f.Add(encodeFiled([]filed{{1, "sent"}, {2, ""}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodeFiled(b)
		if err != nil {
			return
		}
		if again, err := decodeFiled(encodeFiled(list)); err != nil || !reflect.DeepEqual(list, again) {
			t.Fatalf("%+v became %+v, %v", list, again, err)
		}
	})
}

// FuzzIndex reads one value of an index beside a proper head.
func FuzzIndex(f *testing.F) {
	v := newView("a", queue.FolderHead{Version: 1, Lineage: "l"}, 7)
	v.history = rewrite(nil, bitmap.Set{}, bitmap.Of(1, 5000), 9)
	v.boxes["INBOX"] = box{bitmap.Of(1, 5000), 7, 5000}
	v.chosen, v.names = true, []string{"INBOX"}
	for key, value := range v.since(nil) {
		f.Add(key, value)
	}
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		head := queue.FolderHead{Version: 1, Lineage: "l"}
		index := map[string][]byte{keyHead: newView("a", head, 7).encodeHead()}
		index[key] = value
		v, err := load("a", head, index, nil)
		if err != nil {
			return
		}
		again, err := load("a", head, v.since(nil), nil)
		if err != nil || again.UIDNext != v.UIDNext || again.ModSeq != v.ModSeq || !reflect.DeepEqual(again.names, v.names) ||
			!reflect.DeepEqual(again.history, v.history) || len(again.boxes) != len(v.boxes) {
			t.Fatalf("%+v became %+v, %v", v, again, err)
		}
		for name, b := range v.boxes {
			if !again.Set(name).Equal(b.set) || again.boxes[name].bytes != b.bytes || again.boxes[name].last != b.last {
				t.Fatalf("%s is another", name)
			}
		}
	})
}

func TestAMillionCommitsWithoutAnEntryUseUpAUID(t *testing.T) {
	t.Parallel()
	v := newView("a", queue.FolderHead{}, 7)
	last := v.ModSeq
	for range 1<<modSeqBits + 10 {
		if v.advance(); v.ModSeq <= last || v.ModSeq>>modSeqBits != uint64(v.UIDNext)-1 {
			t.Fatalf("%d comes after %d, UIDNEXT %d", v.ModSeq, last, v.UIDNext)
		}
		last = v.ModSeq
	}
	if v.UIDNext != 2 {
		t.Error(v.UIDNext)
	}
}

func TestTheKindOfAnEntryFollowsFromItsFolders(t *testing.T) {
	t.Parallel()
	for folder, want := range map[string]string{
		"INBOX": "", "Sent": "kind:Sent", "Sent/2026-11": "kind:Sent", "Bounced/Mailbox full": "kind:Bounced", "Queued": "kind:Queued",
		"Sites/shop.example/Deferred": "kind:Deferred", "Sites": "", "Sites/x": "", "Sentences": "",
	} {
		if got := kindOf(folder); got != want {
			t.Errorf("%s: %q", folder, got)
		}
	}
}

func TestIdleAccountsAreForgottenAndUsedOnesKept(t *testing.T) {
	t.Parallel()
	c := newCache()
	used := c.hold("used")
	for n := range 3 * maxIdle {
		c.release(c.hold(string(rune('a'+n%26)) + time.Duration(n).String()))
	}
	if c.idle.Len() != maxIdle || len(c.shelves) != maxIdle+1 || c.hold("used") != used {
		t.Error(c.idle.Len(), len(c.shelves))
	}
	for n := range 20 {
		s := c.hold(time.Duration(n).String())
		v := newView("x", queue.FolderHead{}, 1)
		for k := range 100 {
			v.boxes[time.Duration(k).String()] = box{set: bitmap.Range(0, 1<<19)}
		}
		s.put(v, time.Time{}, 0)
		c.release(s)
	}
	if c.octets > maxIdleOctets || c.idle.Len() == 0 {
		t.Error(c.octets, c.idle.Len())
	}
}

// What was once written is read for good: these octets were made by format 1.
func TestStoredValuesOfEarlierProgramsAreRead(t *testing.T) {
	t.Parallel()
	x := Entry{Message: queue.MessageID{1}, At: time.Unix(1, 2).UTC(), Front: []byte("f"), Content: queue.ContentRef{Key: []byte{9}, Size: 5, HeaderSize: 2},
		Back: []byte("b"), Envelope: []byte("(e)"), Body: []byte("(b)"), BodyStructure: []byte("(s)"), Parts: []Part{{Path: "1", Header: 1, Body: 2, End: 4, Inner: 3}}}
	s := Search{At: time.Unix(1, 2).UTC(), Size: 7, Subject: "s", From: "f", To: "t", Cc: "c", Bcc: "b", MessageID: "m", Recipients: "r", Other: "o"}
	v := newView("a", queue.FolderHead{Lineage: "l"}, 7)
	v.history = rewrite(nil, bitmap.Set{}, bitmap.Of(1, 3), 9)
	for name, c := range map[string]struct{ got, want string }{
		"entry":   {fmt.Sprintf("%x", x.encode()), "01010000000000000000000000000000000302016601090a04016203286529032862290328732901013102020406"},
		"search":  {fmt.Sprintf("%x", encodeSearch(fact{more: 2, message: queue.MessageID{1}}, &s)), "0102010000000000000000000000000000000e03020001730166017401630162016d0172016f"},
		"filed":   {fmt.Sprintf("%x", encodeFiled([]filed{{300, "sent"}})), "0101ac020473656e74"},
		"head":    {fmt.Sprintf("%x", v.encodeHead()), "01070101016c"},
		"history": {fmt.Sprintf("%x", v.history[0].encode()), "010109020101"},
		"names":   {fmt.Sprintf("%x", encodeNames([]string{"x"})), "01010178"},
		"octets":  {fmt.Sprintf("%x", box{bytes: 300, last: 300}.encodeTotals()), "01d804ac02"},
	} {
		if c.got != c.want {
			t.Errorf("%s is written as %s", name, c.got)
		}
	}
}
