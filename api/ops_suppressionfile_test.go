package api_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"postrider/api/client"
	"postrider/api/listfile"
	v1 "postrider/api/v1"
)

// A list that is exported and read in elsewhere is the same list: nobody gets mail
// again, or none for longer, because of a move.
func TestAnExportedListIsTheSameElsewhere(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 5, 4, 3, 217e6, time.UTC)
	end := at.AddDate(10, 0, 0)
	list := []v1.NewSuppression{
		{Email: "bob@example.org", Account: "shop", Reason: "bounce", Source: "msg_01m8cakjaxfqdsg6tjwz5er000", Note: "the mailbox does not exist; mx.example.org said: 550 5.1.1 <bob@example.org>, no; \"user\"", CreatedAt: &at},
		{Email: "carol@example.org", Account: "shop", Reason: "bounce", Note: "the mailbox is full, 3 times within 14 days", CreatedAt: &at, ExpiresAt: &end},
		{Email: "carol@example.org", Account: "shop", Reason: "unsubscribe", Scope: "news, and offers"},
		{Email: "dave@bücher.example", Account: "*", Reason: "complaint", CreatedAt: &at},
		{Email: "+x=y@example.org", Account: "blog", Reason: "manual", Note: "=1+1", Source: "'@'", Scope: "-list"},
	}
	for _, format := range []listfile.Format{listfile.CSV, listfile.NDJSON} {
		from, to := newOps(t), newOps(t)
		for _, n := range list {
			if _, err := from.sock.Suppress(t.Context(), n); err != nil {
				t.Fatal(n.Email, err)
			}
		}
		var out bytes.Buffer
		if err := from.sock.ExportSuppressions(t.Context(), &out, format, client.SuppressionFilter{}); err != nil {
			t.Fatal(err)
		}
		r, err := to.sock.ImportSuppressions(t.Context(), bytes.NewReader(out.Bytes()), format, "", nil)
		if err != nil || r.Added != len(list) || r.Failed != 0 {
			t.Fatalf("%s: %+v, %v", format, r, err)
		}
		for _, f := range []client.SuppressionFilter{{}, {Reason: "bounce"}, {Account: "shop", Scope: "*"}} {
			was, err := from.sock.Suppressions(t.Context(), f, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			is, err := to.sock.Suppressions(t.Context(), f, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(was.Data) == 0 || !reflect.DeepEqual(was.Data, is.Data) {
				t.Errorf("%s, %+v:\n was %+v\n is  %+v", format, f, was.Data, is.Data)
			}
		}
	}
}
