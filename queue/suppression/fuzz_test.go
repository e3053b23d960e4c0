package suppression

import (
	"slices"
	"testing"
	"time"

	"postrider/queue"
)

func FuzzParseID(f *testing.F) {
	for _, e := range []Entry{
		{Account: "shop", Address: queue.Address{Local: "bob", Domain: "example.org"}, Scope: Everything},
		{Account: AllAccounts, Address: queue.Address{Local: `a "b`, Domain: "[192.0.2.1]"}, Scope: "news/weekly"},
		{Account: "shop", Address: queue.Address{Local: "jürgen", Domain: "bücher.example"}, Scope: "nouvelles é"},
	} {
		f.Add(e.ID())
	}
	f.Add("sup_")
	f.Add("sup_0000")
	f.Fuzz(func(t *testing.T, id string) {
		account, a, scope, err := ParseID(id)
		if err != nil {
			return
		}
		e := Entry{Account: account, Address: a, Scope: scope, Reason: Manual}
		if _, err := e.tidy(); err != nil {
			t.Fatalf("%q names what cannot be: %v", id, err)
		}
		account2, a2, scope2, err := ParseID(e.ID())
		if err != nil || account2 != account || a2 != a || scope2 != scope {
			t.Fatalf("%q: not stable: %q %q %q %v", id, account2, a2, scope2, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	now := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	r := record{account: "shop", address: queue.Address{Local: "bob", Domain: "example.org"}, entries: []Entry{
		{Account: "shop", Address: queue.Address{Local: "bob", Domain: "example.org"}, Scope: "*", Reason: Complaint, CreatedAt: now, Note: "<>&"},
		{Account: "shop", Address: queue.Address{Local: "bob", Domain: "example.org"}, Scope: "news", Reason: Unsubscribe, CreatedAt: now, ExpiresAt: now.Add(time.Hour)},
	}}
	q, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(q.Name, q.Value)
	f.Add("shop/", []byte("[]"))
	f.Add("/a@b", []byte("null"))
	f.Add("*/a@b.example", []byte(`[{"scope":""},{"scope":""}]`))
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		r, err := decode(queue.Record{Kind: queue.RecordSuppression, Name: name, Value: value})
		if err != nil {
			return
		}
		if _, ok := r.strongest([]string{"news"}, now); ok && len(r.entries) == 0 {
			t.Fatal("a hit of nothing")
		}
		again, err := r.encode()
		if err != nil {
			return // larger than a record may be
		}
		s, err := decode(queue.Record{Name: again.Name, Value: again.Value})
		if err != nil || !slices.EqualFunc(r.entries, s.entries, func(x, y Entry) bool { return x.Scope == y.Scope && x.CreatedAt.Equal(y.CreatedAt) }) {
			t.Fatalf("not stable: %+v, %+v, %v", r, s, err)
		}
	})
}
