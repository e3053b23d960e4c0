package filing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"postrider/queue"
	"postrider/queue/folders"
	"postrider/relay/report/skeleton"
	"postrider/relay/report/status"
)

const (
	// maxHeld is up to which size a content is read once for all entries of its
	// message; larger ones are read as a stream for each.
	maxHeld = 256 << 10
	// maxRow is how many octets an entry may have in the store, and what searches
	// look at likewise: both have to fit into one commit. Only a message with
	// thousands of parts comes near it.
	maxRow = queue.MaxFolderCommit / 4
	// maxOther bounds what searches find beside header and recipients.
	maxOther = 8 << 10
)

// errContent is wrapped by errors of a content that cannot be read.
var errContent = errors.New("content cannot be read")

// message is a message that is being filed, with what was read of it so far.
type message struct {
	f       *Filer
	entry   queue.Entry
	history []queue.Event
	body    []byte // if it was read, and is small; its octets are the Filer's
}

// events reads the history once.
func (m *message) events(ctx context.Context) ([]queue.Event, error) {
	if m.history != nil {
		return m.history, nil
	}
	h, err := m.f.o.Store.History(ctx, m.entry.Message.ID)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return nil, fmt.Errorf("read history of %s: %w", m.entry.Message.ID, err)
	}
	m.history = h
	return h, nil
}

// firstTry is when the message was attempted first, or deferred without an
// attempt.
func (m *message) firstTry(ctx context.Context) (time.Time, error) {
	h, err := m.events(ctx)
	if err != nil {
		return time.Time{}, err
	}
	for i := range h {
		switch v := &h[i]; {
		case v.Attempt != nil:
			return v.Attempt.Start, nil
		case v.Kind == queue.EventDeferred:
			return v.At, nil
		}
	}
	return m.entry.Message.AcceptedAt, nil
}

// item makes the entry that is wanted. A content that cannot be read, or that is
// of more parts than a row has room for, is left out: k is then another one.
func (m *message) item(ctx context.Context, k *key) (folders.Item, error) {
	it, err := m.compose(ctx, *k)
	switch {
	case k.gone, err == nil && entrySize(&it.Entry) <= maxRow:
		return it, err
	case err == nil, errors.Is(err, errContent) && errors.Is(err, queue.ErrNotFound):
	case !errors.Is(err, errContent), ctx.Err() != nil, !m.f.giveUp(m.entry.Message.ID):
		return it, err
	}
	m.f.o.Logger.Warn("message is shown without its body", "id", m.entry.Message.ID, "error", err)
	k.gone = true
	return m.compose(ctx, *k)
}

func entrySize(e *folders.Entry) int {
	n := len(e.Front) + len(e.Back) + len(e.Envelope) + len(e.Body) + len(e.BodyStructure)
	for i := range e.Parts {
		n += len(e.Parts[i].Path) + 24
	}
	return n
}

// compose renders an entry and takes it apart for the views.
func (m *message) compose(ctx context.Context, k key) (folders.Item, error) {
	it := folders.Item{Key: k.String()}
	e := &it.Entry
	e.Message, e.At = m.entry.Message.ID, m.eventTime(k)
	if !k.gone {
		e.Content = m.entry.Message.Content
	}
	words, err := m.render(ctx, k, e)
	if err != nil {
		return it, err
	}
	s, err := m.takeApart(ctx, e)
	if err != nil {
		return it, err
	}
	e.Envelope, e.Body, e.BodyStructure, e.Parts = s.Envelope(), s.Body(), s.BodyStructure(), s.Parts()
	it.Search = s.Search()
	m.search(&it.Search, k, words)
	it.Search.At, it.Search.Size = e.At, e.Size()
	return it, nil
}

// render writes front and back of an entry, and returns the words of a report.
func (m *message) render(ctx context.Context, k key, e *folders.Entry) (words string, err error) {
	if k.kind == kindQueued || k.kind == kindSent {
		who := m.concerned(k)
		e.Front = original(&m.entry, k, &who)
		return "", nil
	}
	r := report{
		hostname: m.f.o.Hostname, entry: &m.entry, key: k, who: k.rcpts, at: e.At,
		delayed: k.kind == kindDeferred, held: k.held,
	}
	if r.history, err = m.events(ctx); err != nil {
		return "", err
	}
	words = r.explain()
	e.Front, e.Back = r.render(words)
	return words, nil
}

// concerned are the recipients that an entry tells of.
func (m *message) concerned(k key) (who indexes) {
	switch k.kind {
	case kindQueued:
		return fatesOf(m.entry.Recipients).waiting
	case kindSent:
		for i := range m.entry.Recipients {
			who.add(i)
		}
		return who
	}
	return k.rcpts
}

// eventTime is when what the entry tells of happened: the last change of those
// whom it concerns.
func (m *message) eventTime(k key) time.Time {
	at := m.entry.Message.AcceptedAt
	if k.kind == kindQueued && !k.held {
		return at
	}
	who := m.concerned(k)
	for i := range who.all() {
		r := &m.entry.Recipients[i]
		last := r.UpdatedAt
		if k.kind == kindDeferred && !k.held {
			last = lastTry(r)
		}
		if last.After(at) {
			at = last
		}
	}
	return at
}

// takeApart reads the whole entry.
func (m *message) takeApart(ctx context.Context, e *folders.Entry) (*skeleton.Message, error) {
	front, back := bytes.NewReader(e.Front), bytes.NewReader(e.Back)
	if len(e.Content.Key) == 0 {
		return m.f.parser.Parse(io.MultiReader(front, back))
	}
	if m.body != nil {
		return m.f.parser.Parse(io.MultiReader(front, bytes.NewReader(m.body), back))
	}
	c, err := m.f.o.Store.OpenContent(ctx, e.Content)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errContent, err)
	}
	defer c.Close()
	if e.Content.Size > maxHeld {
		s, err := m.f.parser.Parse(io.MultiReader(front, io.LimitReader(c, e.Content.Size), back))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errContent, err)
		}
		return s, nil
	}
	body := slices.Grow(m.f.body[:0], int(e.Content.Size))[:e.Content.Size]
	m.f.body = body
	if n, err := io.ReadFull(io.NewSectionReader(c, 0, e.Content.Size), body); err != nil {
		return nil, fmt.Errorf("%w: after %d of %d octets: %w", errContent, n, e.Content.Size, err)
	}
	m.body = body
	return m.f.parser.Parse(io.MultiReader(front, bytes.NewReader(body), back))
}

// search fills in what the header does not tell.
func (m *message) search(s *folders.Search, k key, words string) {
	msg := &m.entry.Message
	var b strings.Builder
	add := func(t string) {
		if t = clean(t); t != "" && b.Len() < maxOther {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(clipText(t, maxOther-b.Len()))
		}
	}
	add(msg.ID.String())
	add(msg.Envelope.ReversePath.String())
	add(msg.Labels.Stream)
	add(msg.Labels.List)
	for _, t := range msg.Labels.Tags {
		add(t)
	}
	who := m.concerned(k)
	if words != "" { // a report is from its first recipient, in a way
		for i := range who.all() {
			s.From += " " + strings.ToLower(clean(m.entry.Recipients[i].Address.String()))
			break
		}
	}
	for i := range who.all() {
		if b.Len() >= maxOther {
			break
		}
		if a := m.entry.Recipients[i].Last; a != nil {
			add(a.Host + " " + status.Said(a, ""))
		}
	}
	add(strings.Join(strings.Fields(words), " "))
	s.Other = strings.ToLower(b.String())
	room := maxRow - len(s.Subject) - len(s.From) - len(s.To) - len(s.Cc) - len(s.Bcc) - len(s.MessageID) - len(s.Other)
	s.Recipients = recipientWords(&m.entry, &who, room)
}

// recipientWords are addresses for searches, as many as there is room for.
func recipientWords(e *queue.Entry, who *indexes, room int) string {
	var b strings.Builder
	for i := range who.all() {
		a := clean(e.Recipients[i].Address.String())
		if b.Len()+len(a)+1 > room {
			break
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(a)
	}
	return strings.ToLower(b.String())
}
