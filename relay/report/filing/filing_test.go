package filing_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/folders"
	"postrider/queue/logstore"
	"postrider/relay/report/filing"
)

var update = flag.Bool("update", false, "write golden files")

// world is a store, its folders and a clock.
type world struct {
	t     testing.TB
	store *logstore.Store
	book  *folders.Book
	filer *filing.Filer
	now   time.Time
	seq   uint16
}

func newWorld(t testing.TB, change ...func(*filing.Options)) *world {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w := &world{t: t, store: s, now: time.Date(2026, 11, 22, 20, 0, 1, 0, time.UTC)}
	w.book = folders.New(folders.Options{Store: s, Contents: s, Now: w.clock})
	w.filer = w.newFiler(change...)
	return w
}

func (w *world) clock() time.Time { return w.now }

func (w *world) newFiler(change ...func(*filing.Options)) *filing.Filer {
	o := filing.Options{Store: w.store, Book: w.book, Hostname: "relay.example.com", Holder: "one", Now: w.clock}
	for _, c := range change {
		c(&o)
	}
	return filing.New(o)
}

func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

const original = "Received: by relay.example.com; Sun, 22 Nov 2026 20:00:01 +0000\r\n" +
	"From: Shop <shop@site.example>\r\nTo: cust@example.net\r\nSubject: Your order #12345\r\n" +
	"Message-ID: <1@web1>\r\nDate: Sun, 22 Nov 2026 20:00:00 +0000\r\n\r\nThank you for your order.\r\n"

// mail is a message to be enqueued; what is left out is usual.
type mail struct {
	account string
	to      []string
	state   queue.State
	due     time.Time
	labels  queue.Labels
	sandbox bool
	content string
	from    string // author
	subject string
	env     queue.Envelope
	last    *queue.Attempt
	source  string // kind
}

func (w *world) address(s string) queue.Address {
	w.t.Helper()
	a, err := queue.ParseAddress(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// enqueue accepts a message. Its id tells the time and how many came before.
func (w *world) enqueue(m mail) queue.MessageID {
	w.t.Helper()
	if m.account == "" {
		m.account = "shop"
	}
	if m.to == nil {
		m.to = []string{"cust@example.net"}
	}
	if m.state == 0 {
		m.state = queue.StateQueued
	}
	if m.content == "" {
		m.content = original
	}
	if m.from == "" {
		m.from = "shop@site.example"
	}
	if m.subject == "" {
		m.subject = "Your order #12345"
	}
	if m.env.ReversePath.IsNull() {
		m.env.ReversePath = w.address("bounces@site.example")
	}
	if m.source == "" {
		m.source = "smtp"
	}
	w.seq++
	ms := w.now.UnixMilli()
	id := queue.MessageID{byte(ms >> 40), byte(ms >> 32), byte(ms >> 24), byte(ms >> 16), byte(ms >> 8), byte(ms), 0x70, byte(w.seq >> 8), 0x80, byte(w.seq)}
	msg := queue.Message{
		ID: id, Account: m.account, Envelope: m.env, Labels: m.labels, Sandbox: m.sandbox, Priority: queue.PriorityNormal,
		Header:     queue.Header{From: w.address(m.from), Subject: m.subject, MessageID: "1@web1"},
		Source:     queue.Source{Kind: m.source, Remote: netip.MustParseAddr("203.0.113.9")},
		AcceptedAt: w.now, ExpiresAt: w.now.Add(72 * time.Hour),
		Content: queue.ContentRef{Size: int64(len(m.content)), HeaderSize: int64(strings.Index(m.content, "\r\n\r\n") + 4)},
	}
	var rs []queue.Recipient
	for i, to := range m.to {
		a := w.address(to)
		r := queue.Recipient{ID: id.Recipient(i), Address: a, State: m.state, Lane: queue.Lane(a.Domain), Due: w.now, UpdatedAt: w.now, Last: m.last}
		if !m.due.IsZero() {
			r.Due = m.due
		}
		if m.last != nil {
			r.Attempts = m.last.Number
		}
		if m.state == queue.StateSuppressed {
			r.Class = queue.ClassRcptSuppressed
		}
		rs = append(rs, r)
	}
	c, err := w.store.CreateContent(w.t.Context())
	if err == nil {
		_, err = io.WriteString(c, m.content)
	}
	if err == nil {
		_, err = w.store.Enqueue(w.t.Context(), queue.EnqueueRequest{Message: msg, Recipients: rs, Content: c, Now: w.now})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// settle leases what is due in a lane and gives it an outcome; the attempt, if
// there is one, ends now.
func (w *world) settle(lane string, s queue.Settlement) {
	w.t.Helper()
	leases, err := w.store.Lease(w.t.Context(), queue.LeaseRequest{Now: w.now, Holder: "one", TTL: time.Minute, Max: 1, Lane: queue.Lane(lane)})
	if err != nil || len(leases) != 1 {
		w.t.Fatalf("%d leases in %s: %v", len(leases), lane, err)
	}
	var ss []queue.Settlement
	for _, r := range leases[0].Recipients {
		one := s
		one.Recipient = r.ID
		if s.Attempt != nil {
			a := *s.Attempt
			a.Number = r.Attempts + 1
			one.Attempt = &a
		}
		ss = append(ss, one)
	}
	if err := w.store.Settle(w.t.Context(), leases[0], ss); err != nil {
		w.t.Fatal(err)
	}
}

// attempt is one of a second that ends now.
func (w *world) attempt(code int, enhanced queue.Enhanced, text string) *queue.Attempt {
	return &queue.Attempt{
		Start: w.now.Add(-time.Second), Took: time.Second, Site: "example.net", Host: "mx1.example.net", Addr: netip.MustParseAddrPort("192.0.2.1:25"),
		TLS: "TLS1.3 TLS_AES_128_GCM_SHA256", TLSPeer: "verified", Stage: queue.StageRcpt,
		Reply: queue.Reply{Code: code, Enhanced: enhanced, Text: text, Command: "RCPT"},
	}
}

func (w *world) deliver(lane string) {
	w.t.Helper()
	w.settle(lane, queue.Settlement{Outcome: queue.StateDelivered, Attempt: w.attempt(250, queue.Enhanced{2, 0, 0}, "OK 1700 gsmtp")})
}

func (w *world) bounce(lane string) {
	w.t.Helper()
	w.settle(lane, queue.Settlement{Outcome: queue.StateBounced, Class: queue.ClassRcptUnknown, Attempt: w.attempt(550, queue.Enhanced{5, 1, 1}, "<cust@example.net>: Recipient address rejected: User unknown")})
}

func (w *world) deferTo(lane string, class queue.Class, after time.Duration, delayed bool) {
	w.t.Helper()
	w.settle(lane, queue.Settlement{Outcome: queue.StateDeferred, Class: class, Due: w.now.Add(after), Delayed: delayed, Attempt: w.attempt(451, queue.Enhanced{4, 7, 1}, "greylisted")})
}

func (w *world) apply(a queue.Action, id queue.MessageID) {
	w.t.Helper()
	op := queue.Operation{Action: a, Now: w.now, Actor: "admin", Filter: queue.Filter{Messages: []queue.MessageID{id}}}
	if a == queue.ActionReschedule {
		op.Due = w.now.Add(time.Hour)
	}
	if _, err := w.store.Apply(w.t.Context(), op); err != nil {
		w.t.Fatal(err)
	}
}

// round files all there is to file.
func (w *world) round(f ...*filing.Filer) {
	w.t.Helper()
	if f == nil {
		f = append(f, w.filer)
	}
	for {
		more, err := f[0].Round(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if !more {
			return
		}
	}
}

func (w *world) trim() {
	w.t.Helper()
	for {
		more, err := w.filer.Trim(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if !more {
			return
		}
	}
}

func (w *world) view(account ...string) *folders.View {
	w.t.Helper()
	if account == nil {
		account = []string{"shop"}
	}
	v, err := w.book.View(w.t.Context(), account[0])
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// shown is what the account's folders show: their names, but for flags, with how
// many entries and how many of them are unread.
func (w *world) shown(account ...string) string {
	w.t.Helper()
	v := w.view(account...)
	var out []string
	for _, name := range v.Sets() {
		if strings.HasPrefix(name, folders.FlagPrefix) {
			continue
		}
		if s := v.Set(name); !s.IsEmpty() {
			out = append(out, fmt.Sprintf("%s %d/%d", name, s.CountAnd(v.Unseen()), s.Len()))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (w *world) wantShown(want ...string) {
	w.t.Helper()
	slices.Sort(want)
	if got := w.shown(); got != strings.Join(want, ", ") {
		w.t.Errorf("the folders show\n  %s\nwant\n  %s", got, strings.Join(want, ", "))
	}
}

// only returns the one entry of a folder.
func (w *world) only(folder string) (folders.UID, *folders.Entry) {
	w.t.Helper()
	uids := slices.Collect(w.view().Set(folder).All())
	if len(uids) != 1 {
		w.t.Fatalf("%s has %d entries, want one; there are %s", folder, len(uids), w.shown())
	}
	es, err := w.book.Entries(w.t.Context(), "shop", uids)
	if err != nil || es[0] == nil {
		w.t.Fatalf("entry %d of %s: %v", uids[0], folder, err)
	}
	return uids[0], es[0]
}

func (w *world) text(e *folders.Entry) string {
	w.t.Helper()
	src, err := w.book.Open(w.t.Context(), e)
	if err != nil {
		w.t.Fatal(err)
	}
	defer src.Close()
	b, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) flags(uid folders.UID) string {
	flags := w.view().Flags(uid)
	slices.Sort(flags)
	return strings.Join(flags, " ")
}

func (w *world) read(uids ...folders.UID) {
	w.t.Helper()
	_, _, err := w.book.Edit(w.t.Context(), "shop", func(*folders.View) (folders.Edit, error) {
		return folders.Edit{Seen: setOf(uids...)}, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) golden(name string, e *folders.Entry) {
	w.t.Helper()
	got := w.text(e)
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if got != string(want) {
		w.t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

func drain(t *testing.T, f *filing.Filer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.Drain(ctx); err != nil {
		t.Fatal(err)
	}
}
