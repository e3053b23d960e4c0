package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"postrider/queue"
)

func foldersRace(e *env) {
	const n = 12
	v := e.file("shop", 0, values{"h": text("0")}, nil)
	for round := range e.scaled(20) {
		var wg sync.WaitGroup
		wins, errs := make([]uint64, n), make([]error, n)
		for i := range n {
			wg.Go(func() {
				mine := fmt.Appendf(nil, "%d.%d", round, i)
				wins[i], errs[i] = e.folders().FolderCommit(e.ctx, "shop", queue.FolderWrite{
					Version: v, Index: values{"h": mine, fmt.Sprint("i", i): mine}, Rows: values{"r": mine, fmt.Sprint("r", round, ".", i): mine},
				})
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
		mine := fmt.Appendf(nil, "%d.%d", round, winner)
		rows := values{"r": mine}
		for i := range n {
			rows[fmt.Sprint("r", round, ".", i)] = nil
		}
		rows[fmt.Sprint("r", round, ".", winner)] = mine
		h, index := e.index("shop")
		e.want(h.Version == wins[winner], "%d won with version %d, the shelf has %d", winner, wins[winner], h.Version)
		e.want(equal(index["h"], mine) && equal(index[fmt.Sprint("i", winner)], mine), "%d won, the index is %s", winner, shown(index))
		e.shelf("shop", h.Version, index, rows)
		v = h.Version
	}
}

// foldersCount has writers that each add rows by the number of the shelf, as
// whoever gives UIDs does.
func foldersCount(e *env) {
	const writers = 6
	each := e.scaled(15)
	accounts := []string{"a", "aa"}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := e.append(accounts[(w+i)%len(accounts)], fmt.Appendf(nil, "%d.%d", w, i)); err != nil {
					e.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, a := range accounts {
		_, index := e.index(a)
		n := binary.BigEndian.Uint32(index["next"])
		for uid := range n {
			row := e.rows(a, uidKey(uid))[0]
			e.want(row != nil && !seen[string(row)], "row %d of %d in %s is %q", uid, n, a, row)
			seen[string(row)] = true
		}
		e.want(e.rows(a, uidKey(n))[0] == nil, "%s has a row %d that nobody counted", a, n)
	}
	e.want(len(seen) == writers*each, "%d rows, want %d", len(seen), writers*each)
}

func uidKey(n uint32) string { return string(binary.BigEndian.AppendUint32([]byte("r"), n)) }

// append gives a row the next number, as often as it takes.
func (e *env) append(account string, row []byte) error {
	for {
		h, index, err := e.folders().FolderIndex(e.ctx, account)
		if err != nil {
			return err
		}
		var next uint32
		if b := index["next"]; b != nil {
			next = binary.BigEndian.Uint32(b)
		}
		_, err = e.folders().FolderCommit(e.ctx, account, queue.FolderWrite{
			Version: h.Version, Index: values{"next": binary.BigEndian.AppendUint32(nil, next+1)}, Rows: values{uidKey(next): row},
		})
		if !errors.Is(err, queue.ErrVersion) {
			return err
		}
	}
}

// foldersWhole has one writer that changes all of a shelf's index each time, and
// readers who look whether it is of one commit, and never goes back.
func foldersWhole(e *env) {
	const keys = 40
	write := func(v uint64, n int) uint64 {
		index, row := values{}, fmt.Appendf(nil, "%08d", n)
		for i := range keys {
			if i%7 == n%7 {
				index[fmt.Sprint("k", i)] = nil
			} else {
				index[fmt.Sprint("k", i)] = row
			}
		}
		v, err := e.folders().FolderCommit(e.ctx, "shop", queue.FolderWrite{Version: v, Index: index, Rows: values{"r": row}})
		if err != nil {
			e.Errorf("commit %d: %v", n, err)
		}
		return v
	}
	v := write(0, 0)
	ctx, cancel := context.WithCancel(e.ctx)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var last queue.FolderHead
			for ctx.Err() == nil {
				last = e.look(keys, last)
			}
		})
	}
	for n := range e.scaled(150) {
		v = write(v, n+1)
	}
	cancel()
	wg.Wait()
}

// look reads the shelf of foldersWhole and returns its head.
func (e *env) look(keys int, last queue.FolderHead) queue.FolderHead {
	h, index, err := e.folders().FolderIndex(e.ctx, "shop")
	if err != nil || h.Version < last.Version {
		e.Errorf("version %d after %d, %v", h.Version, last.Version, err)
		return last
	}
	distinct := map[string]bool{}
	for _, v := range index {
		distinct[string(v)] = true
	}
	if len(distinct) != 1 || len(index) < keys-keys/7-1 || len(index) > keys-keys/7 {
		e.Errorf("an index of %d keys has values of %d commits", len(index), len(distinct))
	}
	rows, err := e.folders().FolderRows(e.ctx, "shop", []string{"r"})
	if err != nil || len(rows) != 1 {
		e.Errorf("rows: %v", err)
		return h
	}
	for v := range distinct {
		if string(rows[0]) < v {
			e.Errorf("the row is of commit %s, the index of %s", rows[0], v)
		}
	}
	return h
}

// foldersModel does at random what is to be done, and compares.
func foldersModel(e *env) {
	rng := rand.New(rand.NewPCG(11, 3))
	accounts := []string{"a", "a\x00", "aa"}
	type model struct {
		version     uint64
		index, rows values
	}
	want := map[string]*model{}
	for _, a := range accounts {
		want[a] = &model{index: values{}, rows: values{}}
	}
	keys := make([]string, 24)
	for i := range keys {
		keys[i] = string(noise(1+i%5, uint64(i)))
	}
	change := func(m values) values {
		w := values{}
		for range rng.IntN(6) {
			k := keys[rng.IntN(len(keys))]
			if w[k] = nil; rng.IntN(3) > 0 {
				w[k] = noise(rng.IntN(300), rng.Uint64())
			}
		}
		for k, v := range w {
			if v == nil {
				delete(m, k)
			} else {
				m[k] = v
			}
		}
		return w
	}
	for range e.scaled(300) {
		a := accounts[rng.IntN(len(accounts))]
		m := want[a]
		switch n := rng.IntN(40); {
		case n == 0:
			e.ok(e.folders().FolderDrop(e.ctx, a))
			*m = model{index: values{}, rows: values{}}
		case n == 1:
			e.reopen()
		case n < 6:
			e.refuse(a, queue.FolderWrite{Version: m.version + 1 + rng.Uint64N(5), Index: change(values{}), Rows: change(values{})}, queue.ErrVersion)
		default:
			m.version = e.file(a, m.version, change(m.index), change(m.rows))
		}
		rows := maps.Clone(m.rows)
		for _, k := range keys {
			rows[k] = m.rows[k]
		}
		e.shelf(a, m.version, m.index, rows)
	}
}

func foldersCancelled(e *env) {
	var v uint64
	for n := range e.scaled(60) {
		ctx, cancel := context.WithCancel(e.ctx)
		row := fmt.Appendf(nil, "%d", n)
		done := make(chan error, 1)
		go func() {
			_, err := e.folders().FolderCommit(ctx, "shop", queue.FolderWrite{Version: v, Index: values{"h": row}, Rows: values{"r": row}})
			done <- err
		}()
		if n%3 > 0 { // else it may be cancelled under way
			cancel()
		}
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, context.Canceled) {
				e.Fatalf("a cancelled commit: %v", err)
			}
		case <-time.After(10 * time.Second):
			e.Fatal("a cancelled commit does not return")
		}
		cancel()
		h, index := e.index("shop")
		e.want(h.Version == v || equal(index["h"], row), "version %d, was %d, with %q of %q", h.Version, v, index["h"], row)
		e.shelf("shop", h.Version, index, values{"r": index["h"]})
		v = h.Version
	}
}

func foldersSurvive(e *env, again func()) {
	type state struct {
		version     uint64
		index, rows values
	}
	want := map[string]state{}
	for i, a := range alike[:6] {
		index := values{"h": text(a), "e": {}, "x": text("1")}
		rows := values{"r": noise(2000, uint64(i)), "s": text("s"), "e": {}, "x": text("1")}
		v := e.file(a, 0, index, rows)
		v = e.file(a, v, values{"x": nil}, values{"x": nil, "s": text("new")})
		delete(index, "x")
		rows["x"], rows["s"] = nil, text("new")
		want[a] = state{v, index, rows}
	}
	e.ok(e.folders().FolderDrop(e.ctx, "aa"))
	want["aa"] = state{0, nil, values{"r": nil, "s": nil, "e": nil, "x": nil}}
	again()
	for a, s := range want {
		e.shelf(a, s.version, s.index, s.rows)
	}
	as, err := e.folders().FolderAccounts(e.ctx, "", 100)
	e.want(err == nil && len(as) == len(want)-1 && !slices.Contains(as, "aa"), "accounts are %q, %v", as, err)
	v := e.file("a", want["a"].version, values{"h": text("after")}, nil)
	e.shelf("a", v, values{"h": text("after"), "e": {}}, want["a"].rows)
	e.file("aa", 0, values{"h": text("anew")}, nil)
	again()
	e.shelf("a", v, values{"h": text("after"), "e": {}}, want["a"].rows)
}

func foldersFull(e *env) {
	index, rows := values{"h": text("1"), "x": text("x")}, values{"r": text("r"), "s": text("s")}
	v := e.file("shop", 0, index, rows)
	e.file("blog", 0, index, rows)
	room := e.h.Full(e.T, e.s)
	e.refuse("shop", queue.FolderWrite{Version: v, Rows: values{"t": noise(1000, 1)}}, queue.ErrFull)
	e.refuse("shop", queue.FolderWrite{Version: v, Index: values{"h": text("2")}, Rows: values{"r": nil, "t": {}}}, queue.ErrFull)
	e.refuse("new", queue.FolderWrite{Rows: values{"t": noise(1000, 1)}}, queue.ErrFull)
	e.refuse("shop", queue.FolderWrite{Version: v - 1, Index: values{"h": text("2")}}, queue.ErrVersion)
	// What somebody has read, and what is over, is noted all the same.
	v = e.file("shop", v, values{"h": text("2"), "x": nil, "y": text("y")}, values{"r": nil})
	e.shelf("shop", v, values{"h": text("2"), "y": text("y")}, values{"r": nil, "s": text("s"), "t": nil})
	e.ok(e.folders().FolderDrop(e.ctx, "blog"))
	e.shelf("blog", 0, nil, values{"r": nil, "s": nil})
	e.file("new", 0, values{"h": text("1")}, nil)
	room()
	v = e.file("shop", v, nil, values{"t": text("t")})
	e.shelf("shop", v, values{"h": text("2"), "y": text("y")}, values{"r": nil, "s": text("s"), "t": text("t")})
}
