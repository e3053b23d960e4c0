package archive

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/storetest"
)

var t0 = time.Date(2030, 5, 17, 9, 0, 0, 123456789, time.UTC)

// fullItems have something in every field, octets that are no UTF-8 among it.
func fullItems() []queue.Item {
	id := queue.MessageID{1, 2, 3}
	attempt := &queue.Attempt{
		Number: 7, Start: t0, Took: time.Second, Site: "s", Host: "h\xff", Addr: netip.MustParseAddrPort("[fe80::1%eth0]:25"),
		TLS: "TLS1.3", TLSPeer: "verified", Stage: queue.StageDot,
		Reply: queue.Reply{Code: 550, Enhanced: queue.Enhanced{9, 1000, 1}, Text: "no\nsuch\x80\u2028", Command: "RCPT"}, Error: "e", Reports: true, InDoubt: true,
	}
	m := queue.Message{
		ID: id, Account: "shop \xfe", Priority: queue.PriorityLow,
		Envelope:   queue.Envelope{ReversePath: queue.Address{Local: "a b", Domain: "Example.org"}, EnvID: "env", Ret: queue.RetFull, SMTPUTF8: true, EightBit: true},
		Header:     queue.Header{From: queue.Address{Local: "ü", Domain: "exämple.org"}, Subject: "<Grüße> & mehr", MessageID: "id@x"},
		Source:     queue.Source{Kind: "smtp", Remote: netip.MustParseAddr("::ffff:192.0.2.1"), Peer: "host", Auth: "PLAIN", TLS: "TLS1.3"},
		AcceptedAt: t0, ExpiresAt: time.Date(292277026596, 1, 1, 0, 0, 0, 5, time.UTC), Content: queue.ContentRef{Size: 5, HeaderSize: 2},
	}
	rcpt := queue.Recipient{
		ID: id.Recipient(0), Address: queue.Address{Local: "not an address"}, ORCPT: "rfc822;x@y.z", Notify: queue.NotifyDelay,
		State: queue.StateBounced, Lane: "y.z", Due: time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), Attempts: 7, Pending: queue.ActionHold,
		InDoubt: true, Delayed: true, Class: queue.ClassGreylist, UpdatedAt: t0, Events: 9, Last: attempt,
	}
	labelled := m
	labelled.ID, labelled.Credential, labelled.Sandbox, labelled.Envelope.RequireTLS = queue.MessageID{1, 2, 4}, "key_1", true, true
	labelled.Labels = queue.Labels{
		Stream: "transactional", List: "news", Tags: []string{"z", "ä <b>"}, Metadata: map[string]string{"order": "12", "a": "", "ü": "ö"},
	}
	plain := queue.Recipient{ID: id.Recipient(1), State: queue.StateQueued, Lane: "l"}
	forLabelled := plain
	forLabelled.ID = labelled.ID.Recipient(0)
	return []queue.Item{
		{Record: &queue.Record{Kind: "k", Name: "n\xff", Value: []byte{0, 1, 0xff}}},
		{Message: &queue.ArchivedMessage{Entry: queue.Entry{Message: m, Recipients: []queue.Recipient{rcpt, plain}}}},
		{Key: &queue.ArchivedKey{Account: "shop", Key: "k\xff", Fingerprint: [32]byte{9}, Message: id, ExpiresAt: t0}},
		{Event: &queue.Event{ID: queue.EventID{5}, Kind: queue.EventQueued, At: t0, Account: "shop", Message: id, Recipients: 3}},
		{Event: &queue.Event{
			ID: queue.EventID{6}, Kind: queue.EventDeferred, At: t0, Account: "shop", Message: id, Recipient: id.Recipient(0), Address: rcpt.Address,
			Attempt: attempt, Class: queue.ClassGreylist, Due: t0, Delayed: true, InDoubt: true, Actor: "op", Reason: "why",
		}},
		{Reader: &queue.ArchivedReader{Name: "webhook"}},
		{Message: &queue.ArchivedMessage{Entry: queue.Entry{Message: labelled, Recipients: []queue.Recipient{forLabelled}}}},
	}
}

func TestItemsRoundTrip(t *testing.T) {
	t.Parallel()
	for _, want := range fullItems() {
		place := &wireContent{At: 1, Tail: 2, Size: 3}
		b, err := encodeItem(&want, place)
		if err != nil {
			t.Fatal(err)
		}
		got, where, err := decodeItem(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if !reflect.DeepEqual(got, want) || want.Message != nil && !reflect.DeepEqual(where, place) {
			t.Errorf("%s\ngot  %+v\nwant %+v", b, got, want)
		}
	}
}

// The encoding is stored: it must not change while the version is the same.
func TestDigestIsFixed(t *testing.T) {
	t.Parallel()
	a, b, c := newTally(), newTally(), newTally()
	items := fullItems()
	last := len(items) - 1 // what version 1 did not know
	if _, err := c.add(&items[last], nil); err != nil {
		t.Fatal(err)
	}
	const labelled = "f00af990b60ab87fcc136fdc2443891012d7c9110c793a95b31866c6b5f6a56c"
	if got := c.summary().Digest; got != labelled {
		t.Errorf("the digest of a message with labels is %s, was %s", got, labelled)
	}
	items = items[:last]
	d := &contentDigest{size: 5, sum: [32]byte{1}}
	for i := range items {
		if _, err := a.add(&items[i], d); err != nil {
			t.Fatal(err)
		}
		if _, err := b.add(&items[(i+4)%len(items)], d); err != nil { // but the reader stands elsewhere
			t.Fatal(err)
		}
	}
	const want = "b1bbbaa42312cb12e204f43bcf4458c7f3d4bacf39632e117836257d9d435140"
	if got := a.summary().Digest; got != want {
		t.Errorf("the digest is %s, was %s", got, want)
	}
	if a.summary().Digest == b.summary().Digest {
		t.Error("where a reader stands makes no difference")
	}
}

// fileOf makes an archive of a store with something of everything.
func fileOf(t *testing.T) []byte {
	t.Helper()
	s, err := logstore.Open(context.Background(), logstore.Options{Dir: "data", FS: vfs.NewMem(), ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	storetest.Live(t, s)
	path := filepath.Join(t.TempDir(), "file")
	w, err := Create(path, "there", t0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := Copy(t.Context(), s, w, Options{From: "there"}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readAll reads a file as a restore checks it.
func readAll(ctx context.Context, b []byte) (Summary, error) {
	r, err := newReader("file", bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return Summary{}, err
	}
	return r.Summary(), r.Check(ctx, func(Progress) {})
}

func TestAnyDamageIsFound(t *testing.T) {
	t.Parallel()
	good := fileOf(t)
	if sum, err := readAll(t.Context(), good); err != nil || sum.Messages != 25 {
		t.Fatal(sum, err)
	}
	for at := 0; at < len(good); at += 1 + len(good)/151 {
		bad := bytes.Clone(good)
		bad[at] ^= 1 << (at % 8)
		if _, err := readAll(t.Context(), bad); err == nil && !harmless(good, at) {
			t.Errorf("a bit of octet %d of %d is wrong, and nobody notices", at, len(good))
		}
	}
	for n := 0; n < len(good); n += 1 + len(good)/75 {
		_, err := readAll(t.Context(), good[:n])
		if err == nil || n > maxMagic && (!errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "end")) {
			t.Errorf("cut after %d octets: %v", n, err)
		}
	}
	// A frame that is gone, whole, or comes twice.
	at := int64(len(magic()))
	fs := frames{r: bytes.NewReader(good), end: int64(len(good)) - footerSize}
	for {
		typ, _, next, err := fs.read(at)
		if err != nil {
			t.Fatal(err)
		}
		if typ == frameEnd {
			break
		}
		if typ == frameItem && at%3 == 0 {
			for _, cut := range [][]byte{spliced(good, at, next, 0), spliced(good, at, next, 2)} {
				if _, err := readAll(t.Context(), cut); err == nil {
					t.Errorf("the frame at %d is missing or twice, and nobody notices", at)
				}
			}
		}
		at = next
	}
}

// harmless reports whether readers pass over the frame at an offset: the payload
// of a checkpoint.
func harmless(b []byte, at int) bool {
	fs := frames{r: bytes.NewReader(b), end: int64(len(b)) - footerSize}
	for off := int64(len(magic())); ; {
		typ, _, next, err := fs.read(off)
		if err != nil {
			return false
		}
		if int64(at) < next {
			return typ == frameCheckpoint && int64(at) >= off
		}
		off = next
	}
}

// spliced returns the file with the frame so many times, its end moved.
func spliced(b []byte, from, to int64, times int) []byte {
	end, err := readFooter(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		panic(err)
	}
	out := bytes.Clone(b[:from])
	for range times {
		out = append(out, b[from:to]...)
	}
	out = append(out, b[to:len(b)-footerSize]...)
	return appendFooter(out, end+int64(times-1)*(to-from))
}

func TestFilesOfVersion1AreRead(t *testing.T) {
	t.Parallel()
	b := bytes.Replace(fileOf(t), []byte(magic()), []byte("postrider archive 1\n"), 1)
	if sum, err := readAll(t.Context(), b); err != nil || sum.Messages != 25 {
		t.Error(sum, err)
	}
}

// What an older version began ends as a file of this version.
func TestWhoGoesOnWithAFileMakesItOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	w, err := Create(path, "there", t0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Keep(t.Context(), Checkpoint{}, true); err != nil {
		t.Fatal(err)
	}
	if _, err := w.f.WriteAt([]byte("postrider archive 1\n"), 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w, err = Create(path, "there", t0); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if w.begun == nil {
		t.Fatal("it was begun anew")
	}
	b, err := os.ReadFile(path + partSuffix)
	if err != nil || !bytes.HasPrefix(b, []byte(magic())) || int64(len(b)) != w.offset {
		t.Errorf("it is %q, %v", b, err)
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   "not an archive",
		"From MAILER-DAEMON":                 "not an archive",
		"postrider archive x\n":              "not an archive",
		"postrider archive 3\nand something": "use the newer version",
		"postrider archive 1\nh":             "its end is missing",
		"postrider archive 2\nh":             "its end is missing",
	} {
		if _, err := newReader("file", strings.NewReader(text), int64(len(text))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a directory: %v", err)
	}
	path := filepath.Join(t.TempDir(), "mine")
	if err := os.WriteFile(path+partSuffix, []byte("something of mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, "there", t0); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a file that is not ours: %v", err)
	}
}

func TestContentsOfAFileAreReadInRanges(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "file")
	w, err := Create(path, "there", t0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	sizes := []int{0, 1, pieceSize - 1, pieceSize, pieceSize + 1, 3 * pieceSize, 3*pieceSize + 5}
	var items []queue.Item
	body := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i*7 + i>>8 + n)
		}
		return b
	}
	for i, n := range sizes {
		c, err := w.CreateContent(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(c, bytes.NewReader(body(n))); err != nil {
			t.Fatal(err)
		}
		id := queue.MessageID{byte(i)}
		v := queue.Entry{Message: queue.Message{ID: id}, Recipients: []queue.Recipient{{ID: id.Recipient(0), State: queue.StateHeld}}}
		items = append(items, queue.Item{Message: &queue.ArchivedMessage{Entry: v, Content: c}})
	}
	if err := w.Import(ctx, items); err != nil {
		t.Fatal(err)
	}
	r, err := w.Complete(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got, next, err := r.Export(ctx, "", 100)
	if err != nil || next != "" || len(got) != len(sizes) {
		t.Fatal(len(got), next, err)
	}
	for i, n := range sizes {
		c, err := r.OpenContent(ctx, got[i].Message.Entry.Message.Content)
		if err != nil {
			t.Fatal(err)
		}
		if c.Size() != int64(n) {
			t.Errorf("%d octets became %d", n, c.Size())
		}
		for _, off := range []int{0, n / 2, n - 1, pieceSize - 1, pieceSize, n} {
			if off < 0 || off > n {
				continue
			}
			b := make([]byte, min(1000, n-off))
			if m, err := c.ReadAt(b, int64(off)); m < len(b) || err != nil && err != io.EOF || !bytes.Equal(b, body(n)[off:off+len(b)]) {
				t.Errorf("%d at %d: %d octets, %v", n, off, m, err)
			}
		}
		if b, err := io.ReadAll(c); err != nil || !bytes.Equal(b, body(n)) {
			t.Errorf("%d octets: read %d, %v", n, len(b), err)
		}
	}
}

// FuzzReader feeds whole files: none may panic, or ask for more memory than it
// has octets, and what is read twice is the same.
func FuzzReader(f *testing.F) {
	items := fullItems()
	file := []byte(magic())
	file = appendFrame(file, frameHeader, []byte(`{"from":"there"}`))
	at := len(file)
	file = appendFrame(file, framePiece, []byte("hello"))
	for i := range items {
		b, err := encodeItem(&items[i], &wireContent{Tail: int64(at), Size: 5})
		if err != nil {
			f.Fatal(err)
		}
		file = appendFrame(file, frameItem, b)
	}
	file = appendFrame(file, frameCheckpoint, []byte(`{"from":"there"}`))
	end := int64(len(file))
	file = appendFooter(appendFrame(file, frameEnd, []byte(`{"digest":"00"}`)), end)
	f.Add(file)
	f.Add(file[:len(file)/2])
	long, _ := hex.DecodeString("69ffffff01")
	f.Add(append([]byte(magic()), long...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := newReader("file", bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		var first []queue.Item
		for c, pages := queue.Cursor(""), 0; ; pages++ {
			got, next, err := r.Export(t.Context(), c, 3)
			if err != nil {
				return
			}
			for i := range got {
				if m := got[i].Message; m != nil && len(m.Entry.Message.Content.Key) > 0 {
					if c, err := r.OpenContent(t.Context(), m.Entry.Message.Content); err == nil {
						_, _ = io.Copy(io.Discard, io.LimitReader(c, 1<<20))
					}
				}
			}
			first = append(first, got...)
			if c = next; c == "" {
				break
			}
			if pages > len(b) {
				t.Fatal("it comes to no end")
			}
		}
		for i := range first {
			b, err := encodeItem(&first[i], nil)
			if err != nil {
				t.Fatal(err)
			}
			again, _, err := decodeItem(b)
			if m := first[i].Message; m != nil {
				m.Entry.Message.Content.Key = nil
			}
			if err != nil || !reflect.DeepEqual(again, first[i]) {
				t.Errorf("%+v became %+v, %v", first[i], again, err)
			}
		}
	})
}
