package compattest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"postrider/api/access"
	"postrider/api/compose"
	"postrider/api/send"
	"postrider/queue"
)

// Recorder is a Sender that keeps what it is given. A message that cannot be
// composed fails the test: decoders must not make such.
type Recorder struct {
	// Refuse decides about a request; nil: all are accepted.
	Refuse func(r send.Request) error
	// Suppressed are addresses that receipts tell of.
	Suppressed []string
	t          testing.TB
	mu         sync.Mutex
	sent       []Sent
	checked    int
}

// Sent is one request that was accepted.
type Sent struct {
	send.Request
	Caller access.Caller
	Octets []byte // of Raw
	ID     queue.MessageID
}

// Send records.
func (s *Recorder) Send(_ context.Context, c access.Caller, r send.Request) (send.Receipt, error) {
	got := Sent{Request: r, Caller: c, ID: queue.NewMessageID()}
	if r.Raw != nil {
		var err error
		if got.Octets, err = io.ReadAll(r.Raw); err != nil {
			return send.Receipt{}, fmt.Errorf("read message: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse(r); err != nil {
		return send.Receipt{}, err
	}
	s.sent = append(s.sent, got)
	return s.receipt(got), nil
}

// Check refuses what Send would.
func (s *Recorder) Check(_ context.Context, _ access.Caller, r send.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked++
	return s.refuse(r)
}

func (s *Recorder) refuse(r send.Request) error {
	if r.Message != nil {
		for _, p := range r.Message.Check() {
			s.t.Errorf("a decoder made a message that cannot be composed: %+v", p)
		}
	}
	if s.Refuse == nil {
		return nil
	}
	return s.Refuse(r)
}

func (s *Recorder) receipt(got Sent) send.Receipt {
	r := send.Receipt{ID: got.ID, MessageID: got.ID.String() + "@shop.test", Account: got.Caller.Account, Stream: got.Labels.Stream,
		CreatedAt: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC), Scheduled: !got.ScheduledAt.IsZero(), Sandbox: got.Sandbox}
	add := func(kind string, a queue.Address) {
		r.Recipients = append(r.Recipients, send.Recipient{ID: got.ID.Recipient(len(r.Recipients)), Address: a, Type: kind,
			Suppressed: slices.Contains(s.Suppressed, a.String())})
	}
	for _, a := range got.RawTo {
		add("to", a)
	}
	if m := got.Message; m != nil {
		for _, list := range []struct {
			kind string
			of   []compose.Mailbox
		}{{"to", m.To}, {"cc", m.Cc}, {"bcc", m.Bcc}} {
			for _, b := range list.of {
				add(list.kind, b.Address)
			}
		}
	}
	return r
}

// All is what was accepted so far.
func (s *Recorder) All() []Sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// Only is the one request that was accepted since the last call.
func (s *Recorder) Only() Sent {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sent) != 1 {
		s.t.Fatalf("%d messages were accepted, want 1", len(s.sent))
	}
	one := s.sent[0]
	s.sent = nil
	return one
}

// Checked is how many messages were checked.
func (s *Recorder) Checked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checked
}

// Texts are mailboxes as "Name <address>".
func Texts(list []compose.Mailbox) []string {
	var texts []string
	for _, m := range list {
		if m.Name == "" {
			texts = append(texts, m.Address.String())
			continue
		}
		texts = append(texts, m.Name+" <"+m.Address.String()+">")
	}
	return texts
}
