package storetest

import (
	"context"
	"fmt"
	"testing"

	"postrider/queue"
)

// crashFolders commits several times under one power cut: each commit changes
// the whole index and all rows, so that half of one is seen.
func crashFolders() Trial {
	const commits = 3
	var version, acked uint64
	last := 0 // the last commit that was acknowledged
	write := func(n int) queue.FolderWrite {
		w := queue.FolderWrite{Index: values{}, Rows: values{fmt.Sprint("n", n): text("x"), fmt.Sprint("n", n-1): nil}}
		for i := range 20 {
			w.Index[fmt.Sprint("k", i)] = fmt.Appendf(noise(300, uint64(i)), "%d", n)
			w.Rows[fmt.Sprint("r", i)] = fmt.Appendf(noise(1500, uint64(i)), "%d", n)
		}
		w.Index[fmt.Sprint("only", n)] = text("x")
		w.Index[fmt.Sprint("only", n-1)] = nil
		return w
	}
	return Trial{
		Before: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			w := write(0)
			version = e.file("shop", 0, w.Index, w.Rows)
			e.file("shop2", 0, values{"h": text("other")}, values{"r0": text("other")})
			acked = version
		},
		During: func(s queue.Store) {
			f, v := s.(queue.Folders), version
			for n := 1; n <= commits; n++ {
				w := write(n)
				w.Version = v
				var err error
				if v, err = f.FolderCommit(context.Background(), "shop", w); err != nil {
					return
				}
				acked, last = v, n
			}
		},
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			h, index := e.index("shop")
			n := last
			for ; n < commits && index[fmt.Sprint("only", n)] == nil; n++ {
			}
			e.want(n == last && h.Version == acked || n > last && h.Version > acked, "commit %d was acknowledged with version %d, there is %d with %d", last, acked, n, h.Version)
			e.want(n <= last+1, "commit %d is there, %d was the last to return", n, last)
			w := write(n)
			delete(w.Index, fmt.Sprint("only", n-1))
			e.shelf("shop", h.Version, w.Index, w.Rows)
			other := e.head("shop2").Version
			e.shelf("shop2", other, values{"h": text("other")}, values{"r0": text("other"), "r1": nil})
			// Whoever goes on builds upon what is there.
			w = write(commits + 1)
			if version != h.Version {
				e.refuse("shop", queue.FolderWrite{Version: version, Index: w.Index, Rows: w.Rows}, queue.ErrVersion)
			}
			w.Index[fmt.Sprint("only", n)], w.Rows[fmt.Sprint("n", n)] = nil, nil
			v := e.file("shop", h.Version, w.Index, w.Rows)
			e.want(v > acked, "version %d after %d", v, acked)
			delete(w.Index, fmt.Sprint("only", n))
			delete(w.Index, fmt.Sprint("only", commits))
			e.shelf("shop", v, w.Index, w.Rows)
		},
	}
}

// crashFirstFolders begins two shelves.
func crashFirstFolders() Trial {
	var acked [2]uint64
	accounts := [2]string{"shop", "shop2"}
	write := func(a string) queue.FolderWrite {
		return queue.FolderWrite{Index: values{"h": text(a), "e": {}}, Rows: values{"r": noise(3000, 1), "a": text(a)}}
	}
	return Trial{
		Before: func(t *testing.T, s queue.Store) { onStore(t, s).put(mail{}) },
		During: func(s queue.Store) {
			for i, a := range accounts {
				var err error
				if acked[i], err = s.(queue.Folders).FolderCommit(context.Background(), a, write(a)); err != nil {
					return
				}
			}
		},
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			for i, a := range accounts {
				w := write(a)
				h := e.head(a)
				e.want(acked[i] == 0 || h.Version == acked[i], "version %d of %s was acknowledged, there is %d", acked[i], a, h.Version)
				if h.Version == 0 {
					e.shelf(a, 0, nil, values{"r": nil, "a": nil})
					h.Version = e.file(a, 0, w.Index, w.Rows)
				}
				e.shelf(a, h.Version, w.Index, w.Rows)
			}
			e.want(e.total()[queue.StateQueued] == 1, "counts are %v", e.total())
		},
	}
}

// crashDrop drops a shelf and begins it anew.
func crashDrop() Trial {
	var version uint64
	steps := 0
	old := func() (index, rows values) {
		index, rows = values{"h": text("old"), "o": text("old")}, values{}
		for i := range 30 {
			rows[fmt.Sprint("r", i)] = noise(1000, uint64(i))
		}
		return index, rows
	}
	return Trial{
		Before: func(t *testing.T, s queue.Store) {
			index, rows := old()
			version = onStore(t, s).file("shop", 0, index, rows)
		},
		During: func(s queue.Store) {
			f := s.(queue.Folders)
			if f.FolderDrop(context.Background(), "shop") != nil {
				return
			}
			steps = 1
			if _, err := f.FolderCommit(context.Background(), "shop", queue.FolderWrite{Index: values{"h": text("new")}, Rows: values{"r0": text("new")}}); err == nil {
				steps = 2
			}
		},
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			index, rows := old()
			h, got := e.index("shop")
			if h.Version == version {
				e.want(steps == 0, "an acknowledged drop is lost")
				e.shelf("shop", version, index, rows)
				e.ok(e.folders().FolderDrop(e.ctx, "shop"))
				h, got = e.index("shop")
			}
			for k := range rows {
				rows[k] = nil
			}
			if h.Version == 0 {
				e.want(steps < 2, "an acknowledged commit is lost")
				e.shelf("shop", 0, nil, rows)
				h.Version = e.file("shop", 0, values{"h": text("new")}, values{"r0": text("new")})
				_, got = e.index("shop")
			}
			e.want(h.Version != version, "version %d came back", version)
			e.same(got, values{"h": text("new")}, "the index")
			rows["r0"] = text("new")
			e.shelf("shop", h.Version, got, rows)
		},
	}
}
