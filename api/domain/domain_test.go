package domain_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/api/domain"
	v1 "postrider/api/v1"
	"postrider/queue"
	"postrider/queue/logstore"
)

func TestRecordsAreJudged(t *testing.T) {
	t.Parallel()
	dkim := v1.Record{Purpose: "dkim", Type: "TXT", Name: "p1._domainkey.x.example", Value: "v=DKIM1; k=rsa; p=AbCd"}
	edwards := v1.Record{Purpose: "dkim", Type: "TXT", Name: "p2._domainkey.x.example", Value: "v=DKIM1; k=ed25519; p=Ef"}
	gone := v1.Record{Purpose: "dkim", Type: "TXT", Name: "p0._domainkey.x.example", Value: "v=DKIM1; k=rsa; p=", State: "withdrawn"}
	spf := v1.Record{Purpose: "spf", Type: "TXT", Name: "x.example", Value: "v=spf1 a:relay.example ip4:192.0.2.1 ~all"}
	dmarc := v1.Record{Purpose: "dmarc", Type: "TXT", Name: "_dmarc.x.example", Value: "v=DMARC1; p=none"}
	for name, c := range map[string]struct {
		want     v1.Record
		observed []string
		err      error
		status   string
	}{
		"as it should be":                 {dkim, []string{"v=DKIM1; k=rsa; p=AbCd"}, nil, "verified"},
		"in other words":                  {dkim, []string{"p=Ab Cd;v=DKIM1"}, nil, "verified"},
		"another key":                     {dkim, []string{"v=DKIM1; k=rsa; p=abcd"}, nil, "wrong"},
		"a key that was withdrawn":        {dkim, []string{"v=DKIM1; p="}, nil, "wrong"},
		"another algorithm":               {edwards, []string{"v=DKIM1; p=Ef"}, nil, "wrong"},
		"two keys":                        {dkim, []string{"p=AbCd", "p=Xy"}, nil, "wrong"},
		"withdrawn as it should be":       {gone, []string{"v=DKIM1; p="}, nil, "verified"},
		"withdrawn and removed":           {gone, nil, nil, "verified"},
		"withdrawn and still there":       {gone, []string{"p=AbCd"}, nil, "wrong"},
		"nothing":                         {dkim, nil, nil, "missing"},
		"no answer":                       {dkim, nil, errors.New("timeout"), "temporary_failure"},
		"SPF among others":                {spf, []string{"google=1", "v=spf1 mx ip4:192.0.2.1 +a:relay.example -all"}, nil, "verified"},
		"SPF without us":                  {spf, []string{"v=spf1 a:relay.example -all"}, nil, "wrong"},
		"SPF twice":                       {spf, []string{"v=spf1 -all", "v=spf1 a:relay.example ip4:192.0.2.1"}, nil, "wrong"},
		"no SPF among others":             {spf, []string{"google=1", "v=spf10"}, nil, "missing"},
		"any DMARC policy":                {dmarc, []string{"v=DMARC1; p=reject"}, nil, "verified"},
		"a DMARC record without a policy": {dmarc, []string{"v=DMARC1; rua=mailto:x@x.example"}, nil, "wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lookup := func(_ context.Context, n string) ([]string, error) {
				if n != c.want.Name {
					t.Errorf("asked for %s", n)
				}
				return c.observed, c.err
			}
			got := domain.Check(t.Context(), lookup, []v1.Record{c.want})[0]
			if got.Status != c.status || (got.Error == "") != (c.status == "verified") || got.Observed == nil {
				t.Errorf("%+v, want %s", got, c.status)
			}
		})
	}
}

func TestWhatTheDNSSaysIsBounded(t *testing.T) {
	t.Parallel()
	lookup := func(context.Context, string) ([]string, error) {
		many := make([]string, 100)
		many[0] = strings.Repeat("ü", 5000)
		return many, nil
	}
	got := domain.Check(t.Context(), lookup, []v1.Record{{Purpose: "spf", Name: "x.example"}})[0]
	if len(got.Observed) != 10 || len(got.Observed[0]) > 2100 || strings.ContainsRune(got.Observed[0], '\ufffd') {
		t.Errorf("%d, the first of %d octets", len(got.Observed), len(got.Observed[0]))
	}
}

func TestOnlyTheRecordsOfKeysThatSignAreRequired(t *testing.T) {
	t.Parallel()
	lookup := func(context.Context, string) ([]string, error) { return nil, nil }
	for state, want := range map[string]bool{"": true, "active": true, "next": false, "retiring": false, "withdrawn": false} {
		if got := domain.Check(t.Context(), lookup, []v1.Record{{Purpose: "dkim", Value: "p=x", State: state}})[0]; got.Required != want {
			t.Errorf("%s: %v", state, got.Required)
		}
	}
}

func TestADomainIsJudgedByItsRequiredRecords(t *testing.T) {
	t.Parallel()
	rec := func(required bool, status string) v1.DomainRecord {
		return v1.DomainRecord{Required: required, Status: status}
	}
	for _, c := range []struct {
		records []v1.DomainRecord
		want    string
	}{
		{[]v1.DomainRecord{rec(true, "verified"), rec(false, "missing")}, "verified"},
		{[]v1.DomainRecord{rec(true, "verified"), rec(true, "wrong")}, "partially_verified"},
		{[]v1.DomainRecord{rec(true, "missing")}, "failed"},
		{[]v1.DomainRecord{rec(true, "verified"), rec(true, "temporary_failure")}, "temporary_failure"},
		{nil, "verified"},
	} {
		if got := domain.Judge(c.records); got != c.want {
			t.Errorf("%+v: %s, want %s", c.records, got, c.want)
		}
	}
}

func TestNamesOfDomainsAreOne(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Example.COM.": "example.com", " bücher.example ": "xn--bcher-kva.example", "a.b.c.example": "a.b.c.example",
		"": "", ".": "", "localhost": "", "a b.example": "", "x@y.example": "", "..": "", "a..b": "", strings.Repeat("x", 64) + ".example": "",
	} {
		got, err := domain.Normalize(text)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestTheListOfDomainsIsKept(t *testing.T) {
	t.Parallel()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	now := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	b := domain.NewBook(s, func() time.Time { return now })
	ctx := t.Context()
	for _, name := range []string{"b.example", "a.example"} {
		if _, err := b.Add(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Add(ctx, "A.example"); !errors.Is(err, queue.ErrExists) {
		t.Errorf("added twice: %v", err)
	}
	now = now.Add(time.Hour)
	found := []v1.DomainRecord{{Required: true, Status: "verified"}}
	if d, err := b.Found(ctx, "a.example", found); err != nil || d.Status != "verified" || d.CreatedAt.Equal(now) {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err := b.Found(ctx, "new.example", found); err != nil || d.Status != "verified" {
		t.Errorf("%+v, %v", d, err)
	}
	list, err := b.List(ctx)
	if err != nil || len(list) != 2 || list[0].Name != "a.example" || list[0].Status != "verified" || list[1].Status != "pending" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := b.Remove(ctx, "A.EXAMPLE."); err != nil {
		t.Error(err)
	}
	if _, err := b.Get(ctx, "a.example"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
}
