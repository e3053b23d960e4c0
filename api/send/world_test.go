package send_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/api/access"
	"postrider/api/compose"
	"postrider/api/send"
	"postrider/api/stream"
	"postrider/api/unsubscribe"
	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/suppression"
)

var (
	now      = time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	accepted = now.Add(3 * time.Millisecond) // by the door, which is a little later
)

// door stands in for the relay's: it keeps what it gets, without policy.
type door struct {
	store *logstore.Store
	got   []queue.Submission
	texts []string
	err   error // before the content is read
	hold  bool
	off   []int
}

func (d *door) Submit(ctx context.Context, s queue.Submission) (queue.Submitted, error) {
	d.got = append(d.got, s)
	if d.err != nil {
		return queue.Submitted{}, d.err
	}
	text, err := io.ReadAll(s.Content)
	if err != nil {
		return queue.Submitted{}, err
	}
	d.texts = append(d.texts, string(text))
	c, err := d.store.CreateContent(ctx)
	if err != nil {
		return queue.Submitted{}, err
	}
	defer c.Abort()
	if _, err := c.Write(text); err != nil {
		return queue.Submitted{}, err
	}
	header, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return queue.Submitted{}, err
	}
	r := queue.EnqueueRequest{Now: now, Content: c, Message: queue.Message{
		ID: s.ID, Account: s.Account, Credential: s.Credential, Envelope: s.Envelope, Labels: s.Labels, Sandbox: s.Sandbox, Source: s.Source,
		Header:   queue.Header{MessageID: strings.Trim(header.Header.Get("Message-Id"), "<>")},
		Priority: queue.PriorityNormal, AcceptedAt: accepted, ExpiresAt: now.Add(72 * time.Hour), Content: queue.ContentRef{Size: int64(len(text))},
	}}
	for i, to := range s.Recipients {
		rcpt := queue.Recipient{ID: s.ID.Recipient(i), Address: to.Address, State: queue.StateQueued, Lane: "lane", Due: now}
		switch {
		case slices.Contains(d.off, i):
			rcpt.State = queue.StateSuppressed
		case d.hold:
			rcpt.State = queue.StateHeld
		case !s.NotBefore.IsZero():
			rcpt.State, rcpt.Due = queue.StateScheduled, s.NotBefore
		}
		r.Recipients = append(r.Recipients, rcpt)
	}
	if s.IdempotencyKey != "" {
		r.Idempotency = queue.Idempotency{Key: s.IdempotencyKey, Fingerprint: s.Fingerprint(), ExpiresAt: now.Add(24 * time.Hour)}
	}
	done, err := d.store.Enqueue(ctx, r)
	if errors.Is(err, queue.ErrIdempotencyConflict) {
		err = &queue.Refusal{Code: 554, Kind: queue.RefusedIdempotency, Problem: "This key was used."}
	}
	out := queue.Submitted{ID: done.ID, Duplicate: done.Duplicate}
	if !done.Duplicate {
		out.Held, out.Suppressed, out.AcceptedAt = d.hold, d.off, accepted
	}
	return out, err
}

type world struct {
	t       *testing.T
	store   *logstore.Store
	door    *door
	streams *stream.Book
	keys    *unsubscribe.Keys
	list    *suppression.Book
	desk    *send.Desk
}

func newWorld(t *testing.T, change ...func(*send.Options)) *world {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a test may have closed it
	clock := func() time.Time { return now }
	w := &world{t: t, store: s, door: &door{store: s}, streams: stream.New(s, clock), keys: unsubscribe.NewKeys(s, clock)}
	w.list = suppression.New(suppression.Options{Store: s, Now: clock})
	mint, err := unsubscribe.NewMinter(w.keys, "https://mail.example.net")
	if err != nil {
		t.Fatal(err)
	}
	o := send.Options{
		Submitter: w.door, Messages: s, Streams: w.streams, Linker: mint, Suppressions: w.list, Hostname: "relay.example.net", Now: clock,
	}
	for _, c := range change {
		c(&o)
	}
	w.desk = send.New(o)
	return w
}

var shop = access.Caller{Account: "shop", Credential: "key_1", Scopes: []queue.Scope{queue.ScopeSend}, Remote: netip.MustParseAddr("192.0.2.7")}

func address(s string) queue.Address {
	a, err := queue.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func boxes(list ...string) (out []compose.Mailbox) {
	for _, s := range list {
		out = append(out, compose.Mailbox{Address: address(s)})
	}
	return out
}

func hello() send.Request {
	return send.Request{
		Operation: "POST /v1/messages",
		Message: &compose.Message{
			From: compose.Mailbox{Name: "Shop", Address: address("shop@Example.com")}, To: boxes("bob@example.org"), Subject: "Hello", Text: "Hello\n",
		},
	}
}

func (w *world) send(r send.Request) send.Receipt {
	w.t.Helper()
	receipt, err := w.desk.Send(w.t.Context(), shop, r)
	if err != nil {
		var e *send.Error
		if errors.As(err, &e) {
			w.t.Fatalf("%+v", e)
		}
		w.t.Fatal(err)
	}
	return receipt
}

// refused returns the error that a request must have.
func (w *world) refused(c access.Caller, r send.Request) *send.Error {
	w.t.Helper()
	_, err := w.desk.Send(w.t.Context(), c, r)
	var e *send.Error
	if !errors.As(err, &e) {
		w.t.Fatalf("the error is %v", err)
	}
	return e
}
