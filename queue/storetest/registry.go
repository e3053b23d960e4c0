package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"postrider/queue"
)

func registryTests(h Harness) []test {
	ts := []test{
		{"records are put, got and deleted by version", registryVersions},
		{"of those who change a record at once one wins", registryRace},
		{"a version never comes back", registryGrows},
		{"listing is by name, prefix and page", registryList},
		{"many are got at once, in the order asked for", registryMany},
		{"values and names may be as large as they may be", registrySizes},
		{"records survive a restart", func(e *env) { registrySurvives(e, e.reopen) }},
	}
	if h.Crash != nil {
		ts = append(ts, test{"records survive a power cut", func(e *env) {
			registrySurvives(e, func() { e.s = h.Crash(e.T, e.s) })
		}})
	}
	return ts
}

func (e *env) record(kind queue.RecordKind, name string, version uint64, value string) uint64 {
	e.Helper()
	v, err := e.s.PutRecord(e.ctx, queue.Record{Kind: kind, Name: name, Version: version, Value: []byte(value)})
	e.ok(err)
	return v
}

func registryVersions(e *env) {
	_, err := e.s.GetRecord(e.ctx, queue.RecordAccount, "shop")
	e.is(err, queue.ErrNotFound)
	_, err = e.s.PutRecord(e.ctx, queue.Record{Kind: queue.RecordAccount, Name: "shop", Version: 3})
	e.is(err, queue.ErrVersion)
	e.want(errors.Is(e.s.DeleteRecord(e.ctx, queue.Record{Kind: queue.RecordAccount, Name: "shop", Version: 3}), queue.ErrVersion), "deleted what is not there")
	v1 := e.record(queue.RecordAccount, "shop", 0, "one")
	e.want(v1 > 0, "version is %d", v1)
	_, err = e.s.PutRecord(e.ctx, queue.Record{Kind: queue.RecordAccount, Name: "shop"})
	e.is(err, queue.ErrVersion)
	e.record(queue.RecordDomain, "shop", 0, "other kind")
	v2 := e.record(queue.RecordAccount, "shop", v1, "two")
	e.want(v2 > v1, "version %d after %d", v2, v1)
	_, err = e.s.PutRecord(e.ctx, queue.Record{Kind: queue.RecordAccount, Name: "shop", Version: v1, Value: []byte("late")})
	e.is(err, queue.ErrVersion)
	e.is(e.s.DeleteRecord(e.ctx, queue.Record{Kind: queue.RecordAccount, Name: "shop", Version: v1}), queue.ErrVersion)
	r, err := e.s.GetRecord(e.ctx, queue.RecordAccount, "shop")
	e.want(err == nil && r.Version == v2 && string(r.Value) == "two" && r.Kind == queue.RecordAccount && r.Name == "shop", "record is %+v, %v", r, err)
	e.ok(e.s.DeleteRecord(e.ctx, r))
	_, err = e.s.GetRecord(e.ctx, queue.RecordAccount, "shop")
	e.is(err, queue.ErrNotFound)
	r, err = e.s.GetRecord(e.ctx, queue.RecordDomain, "shop")
	e.want(err == nil && string(r.Value) == "other kind", "record is %+v, %v", r, err)
}

func registryRace(e *env) {
	const n, rounds = 16, 20
	v := e.record(queue.RecordSetting, "counter", 0, "0")
	for range rounds {
		var wg sync.WaitGroup
		wins := make([]uint64, n)
		errs := make([]error, n)
		for i := range n {
			wg.Go(func() {
				wins[i], errs[i] = e.s.PutRecord(e.ctx, queue.Record{Kind: queue.RecordSetting, Name: "counter", Version: v, Value: fmt.Append(nil, i)})
			})
		}
		wg.Wait()
		winner := -1
		for i, err := range errs {
			if err == nil {
				e.want(winner < 0, "%d and %d both won", winner, i)
				winner = i
			} else {
				e.is(err, queue.ErrVersion)
			}
		}
		e.want(winner >= 0, "nobody won")
		r, err := e.s.GetRecord(e.ctx, queue.RecordSetting, "counter")
		e.want(err == nil && r.Version == wins[winner] && string(r.Value) == fmt.Sprint(winner), "%d won, record is %+v, %v", winner, r, err)
		v = r.Version
	}
}

func registryGrows(e *env) {
	version := func() uint64 {
		v, err := e.s.RegistryVersion(e.ctx)
		e.ok(err)
		return v
	}
	last, all := uint64(0), version()
	grew := func(what string) {
		e.Helper()
		now := version()
		e.want(now > all, "%s: the registry's version is %d after %d", what, now, all)
		all = now
	}
	for range 4 {
		v := e.record(queue.RecordSetting, "x", 0, "value")
		e.want(v > last, "version %d after %d", v, last)
		grew("create")
		e.reopen()
		last = e.record(queue.RecordSetting, "x", v, "value")
		grew("put, after a restart")
		e.ok(e.s.DeleteRecord(e.ctx, queue.Record{Kind: queue.RecordSetting, Name: "x", Version: last}))
		grew("delete")
		_, err := e.s.PutRecord(e.ctx, queue.Record{Kind: queue.RecordSetting, Name: "x", Version: last, Value: nil})
		e.is(err, queue.ErrVersion)
		e.want(version() == all, "a refused change moved the registry's version")
	}
}

func registryMany(e *env) {
	versions := map[string]uint64{}
	for i := range 40 {
		name := fmt.Sprintf("list/%02d", i)
		versions[name] = e.record(queue.RecordSuppression, name, 0, "of "+name)
	}
	e.record(queue.RecordSetting, "list/99", 0, "another kind")
	e.ok(e.s.DeleteRecord(e.ctx, queue.Record{Kind: queue.RecordSuppression, Name: "list/39", Version: versions["list/39"]}))
	delete(versions, "list/39")
	var all, backwards, most []string
	for i := range 40 {
		all = append(all, fmt.Sprintf("list/%02d", i))
	}
	for _, name := range all {
		backwards = append([]string{name}, backwards...)
	}
	for i := range 2000 {
		most = append(most, fmt.Sprintf("list/%02d", i))
	}
	for what, names := range map[string][]string{
		"one": {"list/07"}, "none there": {"list/99", "list/39", ""}, "mixed": {"list/05", "nothing", "list/04", "list/39", "list/03"},
		"all": all, "backwards": backwards, "one twice": {"list/01", "list/02", "list/01"}, "none": {}, "nil": nil, "2000 names": most,
	} {
		var want []string
		for _, name := range names {
			if versions[name] != 0 {
				want = append(want, name)
			}
		}
		rs, err := e.s.GetRecords(e.ctx, queue.RecordSuppression, names)
		e.ok(err)
		var got []string
		for _, r := range rs {
			got = append(got, r.Name)
			e.want(r.Kind == queue.RecordSuppression && r.Version == versions[r.Name] && string(r.Value) == "of "+r.Name, "%s: record is %+v", what, r)
		}
		e.want(slices.Equal(got, want), "%s: got %v, want %v", what, got, want)
	}
}

func registryList(e *env) {
	var want []string
	for i := range 50 {
		name := fmt.Sprintf("key/%02d", i)
		want = append(want, name)
		e.record(queue.RecordCredential, name, 0, name)
	}
	for _, name := range []string{"kex", "key", "key.", "key0", "\xff\xff", "a"} {
		e.record(queue.RecordCredential, name, 0, "not it")
	}
	e.record(queue.RecordAccount, "key/00x", 0, "other kind")
	for _, limit := range []int{1, 7, 50, 1000} {
		var got []string
		after := ""
		for {
			rs, err := e.s.ListRecords(e.ctx, queue.RecordCredential, "key/", after, limit)
			e.want(err == nil && len(rs) <= limit, "%d records, %v", len(rs), err)
			if len(rs) == 0 {
				break
			}
			for _, r := range rs {
				got = append(got, r.Name)
				e.want(string(r.Value) == r.Name && r.Version > 0 && r.Kind == queue.RecordCredential, "record is %+v", r)
			}
			after = rs[len(rs)-1].Name
		}
		e.want(strings.Join(got, " ") == strings.Join(want, " "), "limit %d: %v", limit, got)
	}
	rs, err := e.s.ListRecords(e.ctx, queue.RecordCredential, "", "", 1000)
	e.want(err == nil && len(rs) == 56, "%d records, %v", len(rs), err)
	rs, err = e.s.ListRecords(e.ctx, queue.RecordCredential, "key/", "key/30x", 3)
	e.want(err == nil && len(rs) == 3 && rs[0].Name == "key/31", "after a name that is not there: %v, %v", rs, err)
	rs, err = e.s.ListRecords(e.ctx, "no-such-kind", "", "", 10)
	e.want(err == nil && len(rs) == 0, "%v, %v", rs, err)
}

func registrySizes(e *env) {
	name := strings.Repeat("n", 512)
	value := noise(64<<10, 5)
	v := e.record(queue.RecordDKIMKey, name, 0, string(value))
	e.record(queue.RecordDKIMKey, "empty", 0, "")
	r, err := e.s.GetRecord(e.ctx, queue.RecordDKIMKey, name)
	e.want(err == nil && bytes.Equal(r.Value, value) && r.Version == v, "%d octets, %v", len(r.Value), err)
	r, err = e.s.GetRecord(e.ctx, queue.RecordDKIMKey, "empty")
	e.want(err == nil && len(r.Value) == 0 && r.Version > 0, "%+v, %v", r, err)
}

func registrySurvives(e *env, end func()) {
	versions := map[string]uint64{}
	for i := range 20 {
		name := fmt.Sprint(i)
		v := e.record(queue.RecordDomain, name, 0, "first")
		if i%2 == 0 {
			v = e.record(queue.RecordDomain, name, v, "second")
		}
		versions[name] = v
	}
	e.ok(e.s.DeleteRecord(e.ctx, queue.Record{Kind: queue.RecordDomain, Name: "3", Version: versions["3"]}))
	before, err := e.s.RegistryVersion(e.ctx)
	e.ok(err)
	end()
	after, err := e.s.RegistryVersion(e.ctx)
	e.want(err == nil && after >= before, "registry version %d after %d, %v", after, before, err)
	rs, err := e.s.ListRecords(e.ctx, queue.RecordDomain, "", "", 100)
	e.want(err == nil && len(rs) == 19, "%d records, %v", len(rs), err)
	for _, r := range rs {
		e.want(r.Version == versions[r.Name], "%s has version %d, want %d", r.Name, r.Version, versions[r.Name])
	}
	e.record(queue.RecordDomain, "4", versions["4"], "third")
}
