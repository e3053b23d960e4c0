package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"postrider/queue"
)

func folderTests(h Harness) []test {
	ts := []test{
		{"a shelf begins with its first commit", foldersBegin},
		{"a commit upon another version changes nothing", foldersVersions},
		{"keys are put, replaced and removed, in both parts", foldersKeys},
		{"rows come in the order asked for", foldersOrder},
		{"keys and values are octets of any kind", foldersOctets},
		{"no account is in another's shelf", foldersApart},
		{"accounts are listed by name and page", foldersAccounts},
		{"what is too large is refused as a whole", foldersLimits},
		{"a dropped shelf is gone, and its versions with it", foldersDrop},
		{"a lineage stays, and others are refused", foldersLineage},
		{"a sweep leaves shelves alone", foldersSweep},
		{"a large shelf is read as it was written", foldersLarge},
		{"of those who commit at once one wins", foldersRace},
		{"nothing is lost between those who try again", foldersCount},
		{"an index is read at one version", foldersWhole},
		{"shelves are what a model says", foldersModel},
		{"every folder call to a closed store is unavailable", foldersClosed},
		{"a cancelled commit is done wholly or not at all", foldersCancelled},
		{"shelves survive a restart", func(e *env) { foldersSurvive(e, e.reopen) }},
	}
	if h.Kill != nil {
		ts = append(ts, test{"shelves survive a kill", func(e *env) {
			foldersSurvive(e, func() { e.s = h.Kill(e.T, e.s) })
		}})
	}
	if h.Crash != nil {
		ts = append(ts, test{"shelves survive a power cut", func(e *env) {
			foldersSurvive(e, func() { e.s = h.Crash(e.T, e.s) })
		}})
	}
	if h.Full != nil {
		ts = append(ts, test{"a full store takes no rows, but notes and removes", foldersFull})
	}
	return ts
}

// folders is the role of the store.
func (e *env) folders() queue.Folders {
	e.Helper()
	f, ok := e.s.(queue.Folders)
	e.want(ok, "%T has no folders", e.s)
	return f
}

// values are keys with theirs, for either part of a shelf.
type values = map[string][]byte

// file commits and returns the new version.
func (e *env) file(account string, version uint64, index, rows values) uint64 {
	e.Helper()
	v, err := e.folders().FolderCommit(e.ctx, account, queue.FolderWrite{Version: version, Index: index, Rows: rows})
	e.ok(err)
	e.want(v > version, "version %d after %d", v, version)
	return v
}

// refuse demands that a commit is refused, and that the shelf stays as it is.
func (e *env) refuse(account string, w queue.FolderWrite, want error) {
	e.Helper()
	before, index := e.index(account)
	rows := e.rows(account, slices.Sorted(maps.Keys(w.Rows))...)
	_, err := e.folders().FolderCommit(e.ctx, account, w)
	if want != nil {
		e.is(err, want)
	} else {
		e.want(err != nil, "it was accepted")
		for _, other := range []error{queue.ErrVersion, queue.ErrFull, queue.ErrUnavailable} {
			e.want(!errors.Is(err, other), "error is %v, which says that it may be tried again", err)
		}
	}
	after, now := e.index(account)
	e.want(before == after, "a refused commit changed %+v to %+v", before, after)
	e.same(now, index, "the index after a refused commit")
	for i, v := range e.rows(account, slices.Sorted(maps.Keys(w.Rows))...) {
		e.want(equal(v, rows[i]), "a refused commit changed a row from %.40q to %.40q", rows[i], v)
	}
}

func (e *env) head(account string) queue.FolderHead {
	e.Helper()
	h, err := e.folders().FolderHead(e.ctx, account)
	e.ok(err)
	e.want(h.Lineage != "", "the lineage is empty")
	return h
}

func (e *env) index(account string) (queue.FolderHead, values) {
	e.Helper()
	h, index, err := e.folders().FolderIndex(e.ctx, account)
	e.ok(err)
	for k, v := range index {
		e.want(v != nil, "the value of %.40q in the index is nil", k)
	}
	return h, index
}

func (e *env) rows(account string, keys ...string) [][]byte {
	e.Helper()
	vs, err := e.folders().FolderRows(e.ctx, account, keys)
	e.ok(err)
	e.want(len(vs) == len(keys), "%d rows for %d keys", len(vs), len(keys))
	return vs
}

// equal tells a value that is empty from one that is not there.
func equal(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func (e *env) same(got, want values, what string) {
	e.Helper()
	e.want(maps.EqualFunc(got, want, equal), "%s is %s, want %s", what, shown(got), shown(want))
}

// shown is m for a message of a failed test.
func shown(m values) string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i == 8 {
			fmt.Fprintf(&b, "and %d more", len(m)-i)
			break
		}
		fmt.Fprintf(&b, "%.20q: %.20q (%d), ", k, m[k], len(m[k]))
	}
	return b.String()
}

// shelf demands all of a shelf. Rows that want has as nil are not there.
func (e *env) shelf(account string, version uint64, index, rows values) {
	e.Helper()
	h, got := e.index(account)
	e.want(h.Version == version, "%s: the index has version %d, want %d", account, h.Version, version)
	e.want(e.head(account) == h, "%s: the head is %+v, with the index %+v", account, e.head(account), h)
	e.same(got, index, "the index of "+account)
	keys := slices.Sorted(maps.Keys(rows))
	for i, v := range e.rows(account, keys...) {
		e.want(equal(v, rows[keys[i]]), "%s: row %.40q is %.40q (nil: %t), want %.40q", account, keys[i], v, v == nil, rows[keys[i]])
	}
}

func text(s string) []byte { return []byte(s) }

func foldersBegin(e *env) {
	e.shelf("shop", 0, nil, values{"r1": nil})
	as, err := e.folders().FolderAccounts(e.ctx, "", 10)
	e.want(err == nil && len(as) == 0, "accounts are %q, %v", as, err)
	e.refuse("shop", queue.FolderWrite{Version: 1, Index: values{"h": text("1")}}, queue.ErrVersion)
	v := e.file("shop", 0, values{"h": text("1")}, values{"r1": text("one")})
	e.shelf("shop", v, values{"h": text("1")}, values{"r1": text("one"), "r2": nil})
	e.shelf("blog", 0, nil, values{"r1": nil})
	only := e.file("blog", 0, nil, nil) // it has nothing yet, but it is there
	e.shelf("blog", only, nil, nil)
	e.refuse("blog", queue.FolderWrite{Rows: values{"r1": text("x")}}, queue.ErrVersion)
	as, err = e.folders().FolderAccounts(e.ctx, "", 10)
	e.want(err == nil && slices.Equal(as, []string{"blog", "shop"}), "accounts are %q, %v", as, err)
}

func foldersVersions(e *env) {
	v1 := e.file("shop", 0, values{"h": text("1")}, values{"r": text("one")})
	v2 := e.file("shop", v1, values{"h": text("2")}, values{"r": text("two")})
	for _, version := range []uint64{0, v1, v2 + 1, v2 + 1<<40} {
		e.refuse("shop", queue.FolderWrite{Version: version, Index: values{"h": text("late"), "x": text("x")}, Rows: values{"r": text("late"), "s": text("s")}}, queue.ErrVersion)
		e.refuse("shop", queue.FolderWrite{Version: version, Index: values{"h": nil}, Rows: values{"r": nil}}, queue.ErrVersion)
		e.refuse("shop", queue.FolderWrite{Version: version}, queue.ErrVersion)
	}
	e.shelf("shop", v2, values{"h": text("2")}, values{"r": text("two"), "s": nil})
}

func foldersKeys(e *env) {
	v := e.file("shop", 0, values{"a": text("1"), "b": text("2"), "gone": nil}, values{"a": text("row"), "c": text("3"), "gone": nil})
	e.shelf("shop", v, values{"a": text("1"), "b": text("2")}, values{"a": text("row"), "b": nil, "c": text("3"), "gone": nil})
	// The same key in the other part is another.
	v = e.file("shop", v, values{"a": nil}, values{"b": text("row b"), "c": nil})
	e.shelf("shop", v, values{"b": text("2")}, values{"a": text("row"), "b": text("row b"), "c": nil})
	// An empty value is one.
	v = e.file("shop", v, values{"b": {}, "e": {}}, values{"a": {}, "e": {}})
	e.shelf("shop", v, values{"b": {}, "e": {}}, values{"a": {}, "b": text("row b"), "e": {}})
	v = e.file("shop", v, values{"b": nil, "e": text("full")}, values{"a": nil, "e": text("full")})
	e.shelf("shop", v, values{"e": text("full")}, values{"a": nil, "e": text("full")})
	v2 := e.file("shop", v, nil, nil)
	e.shelf("shop", v2, values{"e": text("full")}, values{"e": text("full"), "b": text("row b")})
	// What was handed over stays the caller's.
	h, r := text("1234"), text("5678")
	v = e.file("shop", v2, values{"e": h}, values{"e": r})
	copy(h, "xxxx")
	copy(r, "xxxx")
	e.shelf("shop", v, values{"e": text("1234")}, values{"e": text("5678")})
}

func foldersOrder(e *env) {
	rows := values{}
	var keys []string
	for i := range 300 {
		k := fmt.Sprintf("r%03d", i)
		rows[k] = fmt.Appendf(nil, "value %d %s", i, noise(i*7, uint64(i)))
		keys = append(keys, k)
	}
	e.file("shop", 0, nil, rows)
	slices.Reverse(keys)
	keys = append(keys, "r007", "r", "r0071", "r007", "s", "", "r299")
	for i, v := range e.rows("shop", keys...) {
		e.want(equal(v, rows[keys[i]]), "row %q is %.40q, want %.40q", keys[i], v, rows[keys[i]])
	}
	e.rows("shop")
	vs := e.rows("shop", "r001", "r001", "r002")
	vs[0][0] ^= 0xff // what was handed out is the caller's
	e.want(bytes.Equal(e.rows("shop", "r001")[0], rows["r001"]), "a caller changed a row")
}

func foldersOctets(e *env) {
	index, rows := values{}, values{}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
		index[string(all[i:i+1])] = all[i : i+1]
		rows["\x00"+string(all[i:i+1])] = all[:i]
	}
	for _, k := range []string{"\x00", "\x00\x00", "\xff", "\xff\xff", "\xff\xff\xff\x00", "\xc3\x28", "a b\r\n", "{x}", string(all[:queue.MaxFolderKey])} {
		index[k], rows[k] = all, []byte(k)
	}
	v := e.file("shop", 0, index, rows)
	e.shelf("shop", v, index, rows)
	for k := range index {
		if len(k) > 1 {
			index[k] = nil
		}
	}
	v = e.file("shop", v, index, values{"\xff": nil})
	maps.DeleteFunc(index, func(_ string, v []byte) bool { return v == nil })
	rows["\xff"] = nil
	e.shelf("shop", v, index, rows)
}

// alike are names of accounts that a careless engine takes for one another.
var alike = []string{
	"a", "aa", "aaa", "a:", "a:a", "a{a}", "{a}", "{a}{aa}", "a/a", "a a", "a.a", "A", "aA", "ab", "b", "ä", "a%61", "a*", "a?", "[a]", "a\\",
	strings.Repeat("a", 97), strings.Repeat("a", 98), strings.Repeat("a", 255), strings.Repeat("a", 256), "shop@example.com", "1", "11",
}

func foldersApart(e *env) {
	index := func(a string) values { return values{"h": text(a), "a": text(a), "aa": {}, ":a": text(a)} }
	rows := func(a string) values { return values{"r": text("row " + a), "ar": text(a), "a": {}, "a:r": text(a)} }
	versions := map[string]uint64{}
	for _, a := range alike {
		versions[a] = e.file(a, 0, index(a), rows(a))
	}
	for _, a := range alike {
		e.shelf(a, versions[a], index(a), rows(a))
	}
	for i, a := range alike {
		if i%2 == 0 {
			e.ok(e.folders().FolderDrop(e.ctx, a))
		}
	}
	for i, a := range alike {
		if i%2 == 0 {
			e.shelf(a, 0, nil, values{"r": nil, "ar": nil, "a": nil, "a:r": nil})
		} else {
			e.shelf(a, versions[a], index(a), rows(a))
		}
	}
}

func foldersAccounts(e *env) {
	want := slices.Sorted(slices.Values(alike))
	for _, a := range alike {
		v := e.file(a, 0, values{"h": {}, "zz": text("x")}, values{"r": {}})
		e.file(a, v, values{"h": {}}, nil)
	}
	list := func(page int) (all []string) {
		e.Helper()
		for after := ""; ; {
			as, err := e.folders().FolderAccounts(e.ctx, after, page)
			e.ok(err)
			e.want(len(as) <= page, "%d accounts, asked for %d", len(as), page)
			if len(as) == 0 {
				return all
			}
			e.want(as[0] > after, "after %q comes %q", after, as[0])
			all, after = append(all, as...), as[len(as)-1]
		}
	}
	for _, page := range []int{1, 7, len(want), 1000} {
		e.want(slices.Equal(list(page), want), "in pages of %d accounts are %q, want %q", page, list(page), want)
	}
	as, err := e.folders().FolderAccounts(e.ctx, "a0", 3) // which is none
	from, _ := slices.BinarySearch(want, "a0")
	e.want(err == nil && slices.Equal(as, want[from:from+3]), "after a0 come %q, %v, want %q", as, err, want[from:from+3])
	e.ok(e.folders().FolderDrop(e.ctx, want[3]))
	want = slices.Delete(want, 3, 4)
	e.want(slices.Equal(list(5), want), "after a drop accounts are %q, want %q", list(5), want)
	e.put(mail{account: "mail only"})
	e.want(slices.Equal(list(5), want), "an account without a shelf is listed")
}

func foldersLimits(e *env) {
	big, long := noise(queue.MaxFolderValue, 1), strings.Repeat("k", queue.MaxFolderKey)
	index, rows := values{long: big}, values{long: big}
	v := e.file("shop", 0, index, rows)
	e.shelf("shop", v, index, rows)
	for name, w := range map[string]queue.FolderWrite{
		"a key of the index":     {Index: values{long + "k": text("x")}},
		"a key that is removed":  {Index: values{long + "k": nil}},
		"a key of the rows":      {Rows: values{long + "k": text("x")}},
		"a value of the index":   {Index: values{"h": append(big, 'x')}},
		"a value of the rows":    {Rows: values{"r": append(big, 'x')}},
		"one value among others": {Index: values{"h": text("x")}, Rows: values{"a": text("x"), "r": append(big, 'x'), "z": text("x")}},
		"all together":           {Index: filling(queue.MaxFolderCommit/2, "i"), Rows: filling(queue.MaxFolderCommit/2+1, "r")},
	} {
		w.Version = v
		e.Logf("too large: %s", name)
		e.refuse("shop", w, nil)
	}
	index, rows = filling(queue.MaxFolderCommit/2, "i"), filling(queue.MaxFolderCommit/2, "r")
	v = e.file("blog", 0, index, rows)
	e.shelf("blog", v, index, rows)
}

// filling returns keys and values of n octets together.
func filling(n int, prefix string) values {
	m := values{}
	for i := 0; n > 0; i++ {
		k := fmt.Sprintf("%s%07d", prefix, i)
		size := min(queue.MaxFolderValue, n-len(k))
		if left := n - len(k) - size; left > 0 && left < len(k) {
			size -= len(k) // or the last key would not fit
		}
		m[k] = noise(size, uint64(i))
		n -= len(k) + size
	}
	return m
}

func foldersDrop(e *env) {
	e.ok(e.folders().FolderDrop(e.ctx, "shop"))
	e.shelf("shop", 0, nil, nil)
	seen := map[uint64]bool{}
	var last uint64
	for round := range 4 {
		rows := values{}
		for i := range 200 {
			rows[fmt.Sprintf("r%d.%d", round, i)] = noise(100, uint64(i))
		}
		v := e.file("shop", 0, values{fmt.Sprint("h", round): text("x")}, rows)
		for range round {
			e.want(!seen[v], "version %d came back: who read it before the drop could commit upon it", v)
			seen[v] = true
			v = e.file("shop", v, values{"n": text("y")}, nil)
		}
		e.want(!seen[v], "version %d came back: who read it before the drop could commit upon it", v)
		seen[v], last = true, v
		if round == 2 {
			e.reopen()
		}
		e.ok(e.folders().FolderDrop(e.ctx, "shop"))
		for k := range rows {
			rows[k] = nil
		}
		e.shelf("shop", 0, nil, rows)
		e.refuse("shop", queue.FolderWrite{Version: last, Index: values{"h": text("late")}, Rows: values{"r": text("late")}}, queue.ErrVersion)
		v = e.file("shop", 0, nil, nil)
		e.want(!seen[v], "version %d came back after the drop", v)
		seen[v] = true
		e.shelf("shop", v, nil, rows)
		e.ok(e.folders().FolderDrop(e.ctx, "shop"))
		e.ok(e.folders().FolderDrop(e.ctx, "shop"))
	}
	as, err := e.folders().FolderAccounts(e.ctx, "", 10)
	e.want(err == nil && len(as) == 0, "accounts are %q, %v", as, err)
}

func foldersLineage(e *env) {
	first := map[string]string{"shop": e.head("shop").Lineage, "blog": e.head("blog").Lineage}
	same := func(account string) {
		e.Helper()
		h, _ := e.index(account)
		e.want(h.Lineage == first[account] && e.head(account) == h, "lineages are %q and %q, first %q", h.Lineage, e.head(account).Lineage, first[account])
	}
	e.file("shop", 0, values{"h": text("x")}, nil)
	for _, a := range []string{"shop", "blog"} {
		same(a)
	}
	v := e.head("shop").Version
	e.refuse("shop", queue.FolderWrite{Version: v, Lineage: first["shop"] + "x", Index: values{"h": text("late")}}, queue.ErrVersion)
	_, err := e.folders().FolderCommit(e.ctx, "shop", queue.FolderWrite{Version: v, Lineage: first["shop"], Index: values{"h": text("y")}})
	e.ok(err)
	e.reopen()
	e.ok(e.folders().FolderDrop(e.ctx, "shop"))
	for _, a := range []string{"shop", "blog"} {
		same(a)
	}
	e.refuse("shop", queue.FolderWrite{Lineage: first["shop"] + "x", Index: values{"h": text("late")}}, queue.ErrVersion)
}

func foldersSweep(e *env) {
	id := e.put(mail{})
	rows := values{"m" + id.String(): text("x")}
	v := e.file("shop", 0, values{"h": text("1")}, rows)
	e.end(queue.StateDelivered)
	e.pass(1000 * 24 * 3600e9)
	e.sweepAll(queue.Retention{Now: e.now, Sent: e.now, Bounced: e.now, Content: e.now})
	e.want(e.gone(id), "%s is still there", id)
	e.shelf("shop", v, values{"h": text("1")}, rows)
}

func foldersLarge(e *env) {
	index, rows := values{}, values{}
	var v uint64
	for part := range e.scaled(8) {
		is, rs := filling(200<<10, fmt.Sprint("b", part, "\x00")), values{}
		for i := range 250 {
			rs[fmt.Sprintf("r\x00\x00%c%c", part, i)] = noise(1500, uint64(part*1000+i))
		}
		v = e.file("shop", v, is, rs)
		maps.Copy(index, is)
		maps.Copy(rows, rs)
	}
	e.shelf("shop", v, index, rows)
	e.reopen()
	e.shelf("shop", v, index, rows)
}

func foldersClosed(e *env) {
	e.file("shop", 0, values{"h": text("1")}, nil)
	calls := folderCalls(e.folders(), e.head("shop").Version)
	e.reopen()
	for name, call := range calls {
		if err := call(e.ctx); !errors.Is(err, queue.ErrUnavailable) {
			e.Errorf("%s on a closed store: %v", name, err)
		}
	}
	_, index := e.index("shop")
	e.same(index, values{"h": text("1")}, "the index")
}

// folderCalls are all methods of the role.
func folderCalls(f queue.Folders, version uint64) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"FolderHead":     func(ctx context.Context) error { _, err := f.FolderHead(ctx, "shop"); return err },
		"FolderIndex":    func(ctx context.Context) error { _, _, err := f.FolderIndex(ctx, "shop"); return err },
		"FolderRows":     func(ctx context.Context) error { _, err := f.FolderRows(ctx, "shop", []string{"r"}); return err },
		"FolderAccounts": func(ctx context.Context) error { _, err := f.FolderAccounts(ctx, "", 10); return err },
		"FolderDrop":     func(ctx context.Context) error { return f.FolderDrop(ctx, "shop") },
		"FolderCommit": func(ctx context.Context) error {
			_, err := f.FolderCommit(ctx, "shop", queue.FolderWrite{Version: version, Index: values{"h": text("2")}})
			return err
		},
	}
}
