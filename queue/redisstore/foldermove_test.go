package redisstore_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"testing"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

// numbering gives numbers to rows of some shelves as package queue/folders does,
// and knows what everybody was shown under each.
type numbering struct {
	t     *testing.T
	jumps bool // commits may be lost
	stop  atomic.Bool
	wg    sync.WaitGroup
	n     atomic.Uint64

	mu    sync.Mutex
	shown map[string]string            // by account and number
	acked map[string]string            // likewise
	heads map[string]queue.FolderHead  // the last that was seen, by account
	ways  map[string]map[string]uint64 // the greatest version, by account and lineage
}

// jump is another for each lineage: when two fail-overs follow closely, what was
// given out after the first one's jump may be lost with it, and a jump as far as
// that would lead to the same numbers.
func jump(lineage string) uint64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(lineage))
	return 1000 + uint64(h.Sum32())
}

func startNumbering(t *testing.T, jumps bool, accounts int, nodes ...*redisstore.Store) *numbering {
	n := &numbering{
		t: t, jumps: jumps,
		shown: map[string]string{}, acked: map[string]string{}, heads: map[string]queue.FolderHead{}, ways: map[string]map[string]uint64{},
	}
	for i, s := range nodes {
		for k := range 2 {
			n.wg.Go(func() {
				for a := i + k; !n.stop.Load(); a++ {
					n.add(s, fmt.Sprint("account", a%accounts))
				}
			})
		}
	}
	t.Cleanup(func() { n.stop.Store(true); n.wg.Wait() })
	return n
}

// add adds a row if it can.
func (n *numbering) add(s *redisstore.Store, account string) {
	ctx := context.Background()
	h, index, err := s.FolderIndex(ctx, account)
	if err != nil {
		return
	}
	next := uint64(1)
	if b := index["next"]; b != nil {
		next = binary.BigEndian.Uint64(b)
		last := fmt.Sprint(next - 1)
		if rows, err := s.FolderRows(ctx, account, []string{last}); err == nil && rows[0] != nil {
			n.show(account, last, string(rows[0]))
		}
	}
	if was := index["lineage"]; was != nil && string(was) != h.Lineage {
		next += jump(h.Lineage)
	}
	key, value := fmt.Sprint(next), fmt.Sprint(n.n.Add(1))
	_, err = s.FolderCommit(ctx, account, queue.FolderWrite{
		Version: h.Version, Lineage: h.Lineage,
		Index: map[string][]byte{"next": binary.BigEndian.AppendUint64(nil, next+1), "lineage": []byte(h.Lineage)},
		Rows:  map[string][]byte{key: []byte(value)},
	})
	if err == nil {
		n.show(account, key, value)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.acked[account+" "+key] = value
	}
}

func (n *numbering) show(account, key, value string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := account + " " + key
	if was, ok := n.shown[k]; ok && was != value {
		n.t.Errorf("number %s was shown as %s, and now as %s", k, was, value)
	}
	n.shown[k] = value
}

// watch looks at all heads with one node, which sees one history after the other.
func (n *numbering) watch(s *redisstore.Store, accounts int) error {
	for a := range accounts {
		account := fmt.Sprint("account", a)
		h, err := s.FolderHead(context.Background(), account)
		if err != nil {
			return err
		}
		if n.ways[account] == nil {
			n.ways[account] = map[string]uint64{}
		}
		if h.Version < n.ways[account][h.Lineage] {
			n.t.Errorf("%s is at version %d after %d of the same lineage", account, h.Version, n.ways[account][h.Lineage])
		}
		n.ways[account][h.Lineage], n.heads[account] = h.Version, h
	}
	return nil
}

// await waits until so many more rows were added.
func (n *numbering) await(s *redisstore.Store, accounts, more int) {
	n.t.Helper()
	count := func() int { n.mu.Lock(); defer n.mu.Unlock(); return len(n.acked) }
	for from := count(); count() < from+more; {
		eventually(n.t, func() error { return n.watch(s, accounts) })
	}
}

// finish compares what is there with what was acknowledged.
func (n *numbering) finish(s *redisstore.Store) {
	n.t.Helper()
	n.stop.Store(true)
	n.wg.Wait()
	missing := 0
	for k, value := range n.acked {
		var account, key string
		_, _ = fmt.Sscan(k, &account, &key)
		rows, err := s.FolderRows(n.t.Context(), account, []string{key})
		switch {
		case err != nil:
			n.t.Fatal(err)
		case rows[0] == nil:
			missing++
		case string(rows[0]) != value:
			n.t.Errorf("number %s is %s, acknowledged as %s", k, rows[0], value)
		}
	}
	n.t.Logf("%d rows, %d of them missing", len(n.acked), missing)
	if missing > 0 && !n.jumps {
		n.t.Errorf("%d of %d rows are missing", missing, len(n.acked))
	}
}

// TestNoNumberIsGivenTwiceAfterAFailover loses the master under load. Without a
// replica's word for every commit some are lost, but what took their place has
// other numbers.
func TestNoNumberIsGivenTwiceAfterAFailover(t *testing.T) {
	t.Parallel()
	for _, relaxed := range []bool{false, true} {
		t.Run(fmt.Sprintf("relaxed %t", relaxed), func(t *testing.T) {
			t.Parallel()
			const accounts = 2
			set := redistest.StartSentinels(t, 2)
			o := impatient(redisstore.Options{Topology: redisstore.Sentinel, Addrs: set.Addrs(), Master: set.Name(), Relaxed: relaxed})
			watcher := open(t, o)
			n := startNumbering(t, relaxed, accounts, open(t, o), open(t, o))
			n.await(watcher, accounts, 50)
			was := n.heads["account0"].Lineage
			old := set.Master(t)
			old.Kill()
			set.AwaitFailover(t.Context(), t, old)
			set.RestartAsReplica(t, old)
			n.await(watcher, accounts, 50)
			n.finish(watcher)
			if is := n.heads["account0"].Lineage; is == was {
				t.Error("the lineage stayed")
			}
		})
	}
}

// TestShelvesMove has slots of a Cluster moved under load.
func TestShelvesMove(t *testing.T) {
	t.Parallel()
	const accounts = 12
	set := redistest.StartCluster(t, 3, 0)
	watcher := openCluster(t, set, "pr")
	n := startNumbering(t, false, accounts, openCluster(t, set, "pr"), openCluster(t, set, "pr"))
	n.await(watcher, accounts, 50)
	empty := set.AddMaster(t)
	for _, m := range set.Masters[:3] {
		set.Reshard(t.Context(), t, m, empty, set.UsedSlots(t, m))
	}
	n.await(watcher, accounts, 50)
	n.finish(watcher)
	as, err := watcher.FolderAccounts(t.Context(), "", 100)
	if err != nil || len(as) != accounts {
		t.Errorf("accounts are %q, %v", as, err)
	}
}
