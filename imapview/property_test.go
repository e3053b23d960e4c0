package imapview_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/imapview/imaptest"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

// historyTime bounds how long random histories go on.
const historyTime = 6 * time.Second

// Whatever happens to the folders, clients that hear of it in whatever way know in
// the end what is in the store: their mirrors are made of untagged data alone.
func TestMirrorsOfClientsEqualTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := newHistory(t, historyNode{w.book, w.srv.Addrs()[0].String()})
	for start := time.Now(); h.rounds < 3 || time.Since(start) < historyTime; {
		h.round()
	}
	h.finish()
}

// historyNode is a server and the book that it shows.
type historyNode struct {
	book *folders.Book
	addr string
}

// history is what happens at random: editors and clients at once, round by round.
type history struct {
	t      *testing.T
	nodes  []historyNode
	rand   *rand.Rand
	ledger *imaptest.Ledger

	walkers []*imaptest.Walker
	rounds  int
	made    atomic.Int64 // messages
	resets  atomic.Int64
	// troubled: the store does not answer at times, and clients are told so.
	troubled atomic.Bool
}

const (
	historyClients = 8
	historySteps   = 12 // of a client in a round
)

func historyFolders() []string { return []string{"INBOX", "Sent", "Sent/2026-11", "Queued", "Bounced"} }

func newHistory(t *testing.T, nodes ...historyNode) *history {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h := &history{t: t, nodes: nodes, rand: rand.New(rand.NewPCG(seed, 0)), ledger: imaptest.NewLedger()}
	for i := range historyClients {
		w := &imaptest.Walker{
			Rand: rand.New(rand.NewPCG(seed, uint64(i+1))), Folders: historyFolders(), CondStore: i%2 == 0, MaxIdle: 20 * time.Millisecond,
		}
		w.Login = func() (*imaptest.Client, error) {
			return imaptest.Login(nodes[w.Rand.IntN(len(nodes))].addr, account, "secret", h.ledger)
		}
		h.walkers = append(h.walkers, w)
	}
	t.Cleanup(func() {
		for _, w := range h.walkers {
			w.HangUp()
		}
	})
	return h
}

// round lets everybody do something at once, and then compares.
func (h *history) round() {
	h.t.Helper()
	h.rounds++
	h.run(func() {})
	h.check()
	if h.t.Failed() {
		h.t.FailNow()
	}
}

// run is a round without its end; meanwhile something else is done.
func (h *history) run(meanwhile func()) {
	var clients, editors sync.WaitGroup
	todo := make(chan struct{}, historyClients)
	for range 2 {
		r := rand.New(rand.NewPCG(h.rand.Uint64(), 1))
		editors.Go(func() {
			for range todo {
				h.edit(r)
			}
		})
	}
	other := make(chan struct{})
	for _, w := range h.walkers {
		clients.Go(func() { h.walk(w, todo, other) })
	}
	meanwhile()
	close(other)
	clients.Wait()
	close(todo)
	editors.Wait()
}

// walk has a client do its steps, and more until something else is done. With each
// step there are some edits: so clients and editors keep pace.
func (h *history) walk(w *imaptest.Walker, todo chan<- struct{}, other <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-other:
			if n >= historySteps {
				return
			}
		default:
		}
		for range w.Rand.IntN(4) {
			todo <- struct{}{}
		}
		if err := w.Step(); err != nil && !h.forgivable(err) {
			h.t.Errorf("client: %v", err)
			return
		}
	}
}

// forgivable: a session may be ended if folders were made anew.
func (h *history) forgivable(err error) bool {
	return imaptest.IsBye(err) && h.resets.Load() > 0 && strings.Contains(err.Error(), "made anew")
}

// edit makes a change at random.
func (h *history) edit(r *rand.Rand) {
	ctx := context.Background()
	book := h.nodes[r.IntN(len(h.nodes))].book
	if r.IntN(400) == 0 {
		h.resets.Add(1)
		h.tolerate(book.Reset(ctx, account))
		return
	}
	items := h.items(r)
	_, _, err := book.Edit(ctx, account, func(v *folders.View) (folders.Edit, error) {
		return change(rand.New(rand.NewPCG(r.Uint64(), 2)), v, items), nil
	})
	h.tolerate(err)
}

func (h *history) tolerate(err error) {
	if err != nil && !h.troubled.Load() {
		h.t.Errorf("edit: %v", err)
	}
}

// items are some messages that might be filed.
func (h *history) items(r *rand.Rand) (items []folders.Item) {
	n := 1 + r.IntN(4)
	if r.IntN(30) == 0 {
		n = 150
	}
	places := [][]string{
		{"Sent"}, {"Sent", "Sent/2026-11"}, {"Sent", "Sent/2026-11", "Sites/shop.example/Sent"}, {"Queued"}, {"Deferred", "INBOX", "flag:$SoftBounce"},
		{"INBOX", "Bounced", "Bounced/Mailbox full", `flag:\Flagged`, "flag:$HardBounce"}, {"Bounced", "flag:tag-" + fmt.Sprint(r.IntN(5))},
	}
	for range n {
		it := item(fmt.Sprintf("order %d%s", h.made.Add(1), strings.Repeat("\r\nX-Long: yes", r.IntN(20))), places[r.IntN(len(places))]...)
		it.Unseen = r.IntN(2) == 0
		items = append(items, it)
	}
	return items
}

// change chooses an edit of a view: of the whole, it keeps folders small.
func change(r *rand.Rand, v *folders.View, items []folders.Item) (e folders.Edit) {
	names := v.Sets()
	if len(names) == 0 {
		return folders.Edit{Append: items}
	}
	name := names[r.IntN(len(names))]
	some := sample(r, v.Set(name))
	switch r.IntN(12) {
	case 0, 1:
		return folders.Edit{Expunge: some}
	case 2:
		return folders.Edit{Leave: map[string][]folders.UID{name: some}}
	case 3:
		if set := v.Set(name); set.Len() > 200 { // as retention does
			return folders.Edit{Expunge: slices.Collect(set.AndNot(set.Last(50)).All())}
		}
		return folders.Edit{Expunge: some, Append: items}
	case 4:
		return folders.Edit{Seen: bitmap.Of(some...)}
	case 5:
		return folders.Edit{Unseen: bitmap.Of(some...)}
	case 6:
		return folders.Edit{Seen: v.Set(name)}
	case 7:
		return folders.Edit{Hide: map[string]bitmap.Set{account: bitmap.Of(some...)}}
	case 8:
		return folders.Edit{Leave: map[string][]folders.UID{name: some}, Append: items, Seen: bitmap.Of(some...)}
	}
	return folders.Edit{Append: items}
}

func sample(r *rand.Rand, of bitmap.Set) (uids []folders.UID) {
	for range 1 + r.IntN(5) {
		if n := of.Len(); n > 0 {
			uids = append(uids, of.At(r.IntN(n)))
		}
	}
	slices.Sort(uids)
	return slices.Compact(uids)
}

// check compares all clients with the store while nothing changes.
func (h *history) check() {
	h.t.Helper()
	v := h.agreed()
	for i, w := range h.walkers {
		c, err := w.Settle()
		for err != nil && h.forgivable(err) {
			c, err = w.Settle()
		}
		if err == nil {
			err = compare(c, v)
		}
		if err != nil {
			h.t.Errorf("after %d rounds, client %d: %v", h.rounds, i, err)
		}
	}
}

// agreed waits until all nodes see the same, and returns it.
func (h *history) agreed() *folders.View {
	h.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		var views []*folders.View
		for _, n := range h.nodes {
			v, err := n.book.View(context.Background(), account)
			if err == nil {
				views = append(views, v)
			}
		}
		differ := slices.ContainsFunc(views, func(v *folders.View) bool {
			return v.ModSeq != views[0].ModSeq || v.UIDValidity != views[0].UIDValidity
		})
		if len(views) == len(h.nodes) && !differ {
			return views[0]
		}
		if time.Now().After(deadline) {
			h.t.Fatal("the nodes do not agree")
		}
	}
}

// compare holds a client's mirror against the store.
func compare(c *imaptest.Client, v *folders.View) error {
	f := c.Folder
	set := v.Set(f.Name)
	if f.UIDValidity != v.UIDValidity {
		return fmt.Errorf("UIDVALIDITY of %s is %d, want %d", f.Name, f.UIDValidity, v.UIDValidity)
	}
	var uids []folders.UID
	for _, m := range f.Messages {
		uids = append(uids, m.UID)
	}
	if want := slices.Collect(set.All()); !slices.Equal(uids, want) {
		return fmt.Errorf("%s has %v, want %v", f.Name, uids, want)
	}
	for i, m := range f.Messages {
		if want := slices.Sorted(slices.Values(v.Flags(m.UID))); !slices.Equal(m.Flags, want) {
			return fmt.Errorf("message %d of %s, UID %d, has the flags %v, want %v (MODSEQ %d, want %d)", i+1, f.Name, m.UID, m.Flags, want, m.ModSeq, v.ModSeqOf(m.UID))
		}
		// What is kept of old changes is coarser than what was told of them.
		if m.ModSeq > v.ModSeqOf(m.UID) {
			return fmt.Errorf("message %d of %s, UID %d, has MODSEQ %d, want %d", i+1, f.Name, m.UID, m.ModSeq, v.ModSeqOf(m.UID))
		}
	}
	if f.Highest > v.ModSeq {
		return fmt.Errorf("HIGHESTMODSEQ of %s is %d, want %d", f.Name, f.Highest, v.ModSeq)
	}
	return compareAnswers(c, v)
}

// compareAnswers asks what can be asked of the whole folder.
func compareAnswers(c *imaptest.Client, v *folders.View) error {
	set := v.Set(c.Folder.Name)
	if set.IsEmpty() && strings.Contains(c.Folder.Name, "/") {
		return nil // it is there only for those who are in it
	}
	items := map[string]uint64{
		"MESSAGES": uint64(set.Len()), "UIDNEXT": uint64(v.NextIn(c.Folder.Name)), "UIDVALIDITY": uint64(v.UIDValidity),
		"UNSEEN": uint64(set.CountAnd(v.Unseen())), "SIZE": uint64(v.Bytes(c.Folder.Name)),
	}
	if c.CondStore {
		items["HIGHESTMODSEQ"] = v.ModSeq
	}
	a, err := c.Do("STATUS %q (%s)", c.Folder.Name, strings.Join(slices.Sorted(maps.Keys(items)), " "))
	if err != nil || !a.OK() || !maps.Equal(a.Lines[0].Status.Items, items) {
		return fmt.Errorf("STATUS of %s is %v, %w; want %v", c.Folder.Name, a, err, items)
	}
	a, err = c.Do("UID SEARCH UNSEEN")
	if want := slices.Collect(set.And(v.Unseen()).All()); err != nil || !a.OK() || !slices.Equal(a.Lines[0].Search.Numbers, want) {
		return fmt.Errorf("unseen in %s are %v, %w; want %v", c.Folder.Name, a, err, want)
	}
	return nil
}

// finish compares the octets of what is there in the end with the store's.
func (h *history) finish() {
	h.t.Helper()
	v := h.agreed()
	for _, name := range v.Sets() {
		if err := h.compareOctets(name, slices.Collect(v.Set(name).All())); err != nil {
			h.t.Errorf("octets of %s: %v", name, err)
		}
	}
	commands, refusals := 0, map[string]int{}
	for _, w := range h.walkers {
		commands += w.Commands
		for code, n := range w.Refusals {
			refusals[code] += n
		}
	}
	h.t.Logf("%d rounds, %d messages made, %d resets, %d steps, refusals %v, %d items compared", h.rounds, h.made.Load(), h.resets.Load(), commands, refusals, h.ledger.Len())
	for code := range refusals {
		ours := h.troubled.Load() && (code == "UNAVAILABLE" || code == "LIMIT") // a search took too long
		if code != "EXPUNGEISSUED" && code != "NONEXISTENT" && !ours {
			h.t.Errorf("commands were refused with the code %q", code)
		}
	}
}

func (h *history) compareOctets(name string, uids []folders.UID) error {
	book := h.nodes[0].book
	entries, err := book.Entries(context.Background(), account, uids)
	if err != nil {
		return err
	}
	c, err := imaptest.Login(h.nodes[0].addr, account, "secret", h.ledger)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Do("EXAMINE %q", name); err != nil {
		return err
	}
	a, err := c.Do("UID FETCH 1:* (RFC822.SIZE BODY.PEEK[])")
	if err != nil {
		return err
	}
	if len(a.Lines) != len(uids) {
		return fmt.Errorf("there are %d messages, want %d", len(a.Lines), len(uids))
	}
	for i, line := range a.Lines {
		if want := octetsOf(h.t, book, entries[i]); !strings.HasSuffix(string(line.Fetch.Items["BODY[]"]), "}\r\n"+want) {
			return fmt.Errorf("UID %d is %q, want %q", uids[i], line.Fetch.Items["BODY[]"], want)
		}
	}
	return nil
}

func octetsOf(t *testing.T, book *folders.Book, e *folders.Entry) string {
	t.Helper()
	src, err := book.Open(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	all, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}
