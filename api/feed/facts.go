package feed

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"postrider/queue"
)

// Facts are what an event does not say of its message. They never change.
type Facts struct {
	Credential string
	From       queue.Address // the author; without one, the reverse-path
	Subject    string
	MessageID  string // without angle brackets
	Stream     string
	Tags       []string
	Metadata   map[string]string
	Sandbox    bool
	Recipients int
	To         []string // the first maxTo recipients
	Domains    []Domain // of the recipients, the first maxDomains of them
	ExpiresAt  time.Time

	message queue.Message // what advice needs of it, and no more
}

// Domain is how many recipients of a message are at a domain.
type Domain struct {
	Name       string // in lower case
	Recipients int
}

// These keep what a message with a thousand recipients costs small.
const (
	maxTo      = 50
	maxDomains = 100
)

// MessageReader reads messages.
type MessageReader interface {
	// Message returns queue.ErrNotFound once the message was forgotten.
	Message(ctx context.Context, id queue.MessageID) (queue.Entry, error)
}

// Messages knows the facts of messages, and remembers those that were asked for
// last. Its methods are safe for concurrent use.
type Messages struct {
	store MessageReader
	max   int

	mu    sync.Mutex
	order *list.List // of *known, the one used last in front
	byID  map[queue.MessageID]*list.Element
}

type known struct {
	id    queue.MessageID
	facts *Facts // nil: the message was forgotten
}

const defaultRemembered = 2048

// NewMessages returns a Messages that remembers up to max of them; 0: 2048.
func NewMessages(store MessageReader, max int) *Messages {
	if max <= 0 {
		max = defaultRemembered
	}
	return &Messages{store: store, max: max, order: list.New(), byID: make(map[queue.MessageID]*list.Element)}
}

// readers is how many messages are read at once: an engine may be a network away.
const readers = 8

// Facts returns the facts of messages; those that were forgotten are not in it.
func (m *Messages) Facts(ctx context.Context, ids []queue.MessageID) (map[queue.MessageID]*Facts, error) {
	out := make(map[queue.MessageID]*Facts, len(ids))
	var missing []queue.MessageID
	asked := make(map[queue.MessageID]bool)
	for _, id := range ids {
		f, ok := m.recall(id)
		switch {
		case ok && f != nil:
			out[id] = f
		case !ok && !asked[id]:
			asked[id] = true
			missing = append(missing, id)
		}
	}
	found, err := m.read(ctx, missing)
	if err != nil {
		return nil, err
	}
	for i, id := range missing {
		m.remember(id, found[i])
		if found[i] != nil {
			out[id] = found[i]
		}
	}
	return out, nil
}

func (m *Messages) read(ctx context.Context, ids []queue.MessageID) ([]*Facts, error) {
	found, errs := make([]*Facts, len(ids)), make([]error, len(ids))
	var wg sync.WaitGroup
	workers := min(readers, len(ids))
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(ids); i += workers {
				found[i], errs[i] = m.readOne(ctx, ids[i])
			}
		})
	}
	wg.Wait()
	return found, errors.Join(errs...)
}

func (m *Messages) readOne(ctx context.Context, id queue.MessageID) (*Facts, error) {
	e, err := m.store.Message(ctx, id)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read message %s of an event: %w", id, err)
	}
	f := &Facts{
		Credential: e.Message.Credential, From: e.Message.Header.From, Subject: e.Message.Header.Subject,
		MessageID: e.Message.Header.MessageID, Stream: e.Message.Labels.Stream, Tags: e.Message.Labels.Tags,
		Metadata: e.Message.Labels.Metadata, Sandbox: e.Message.Sandbox, Recipients: len(e.Recipients), ExpiresAt: e.Message.ExpiresAt,
	}
	if f.From.IsNull() {
		f.From = e.Message.Envelope.ReversePath
	}
	f.message = queue.Message{
		Envelope: queue.Envelope{ReversePath: e.Message.Envelope.ReversePath}, Header: queue.Header{From: e.Message.Header.From},
		Content: queue.ContentRef{Size: e.Message.Content.Size}, AcceptedAt: e.Message.AcceptedAt, ExpiresAt: e.Message.ExpiresAt,
	}
	for _, r := range e.Recipients[:min(maxTo, len(e.Recipients))] {
		f.To = append(f.To, r.Address.String())
	}
	f.Domains = domains(e.Recipients)
	return f, nil
}

func domains(rs []queue.Recipient) []Domain {
	var out []Domain
	place := make(map[string]int)
	for i := range rs {
		name := rs[i].Address.Fold().Domain
		at, ok := place[name]
		if !ok && len(out) == maxDomains {
			continue
		}
		if !ok {
			at = len(out)
			place[name] = at
			out = append(out, Domain{Name: name})
		}
		out[at].Recipients++
	}
	return out
}

func (m *Messages) recall(id queue.MessageID) (*Facts, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.byID[id]
	if !ok {
		return nil, false
	}
	m.order.MoveToFront(e)
	return e.Value.(*known).facts, true
}

func (m *Messages) remember(id queue.MessageID, f *Facts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.byID[id]; ok {
		return // another call was faster, with the same
	}
	m.byID[id] = m.order.PushFront(&known{id, f})
	for m.order.Len() > m.max {
		last := m.order.Remove(m.order.Back()).(*known)
		delete(m.byID, last.id)
	}
}
