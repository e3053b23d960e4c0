package oldertest

import (
	"context"
	"errors"
	"io"
	"testing"

	"postrider/queue"
)

// Check demands that all letters are in a store as Letters says.
func Check(t testing.TB, s queue.Store) {
	t.Helper()
	for _, l := range Letters() {
		e, err := s.Message(context.Background(), l.ID)
		if err != nil {
			t.Errorf("letter %s: %v", l.ID, err)
			continue
		}
		if m := e.Message; m.Account != l.Account || m.Header.Subject != l.Subject || !m.AcceptedAt.Equal(l.AcceptedAt) || m.Labels.Stream != l.Labels.Stream {
			t.Errorf("letter %s is %+v", l.ID, m)
		}
		if len(e.Recipients) != len(l.To) {
			t.Errorf("letter %s has %d recipients, want %d", l.ID, len(e.Recipients), len(l.To))
			continue
		}
		for i, r := range e.Recipients {
			checkRecipient(t, r, l.To[i])
		}
		checkContent(t, s, l, e.Message.Content)
	}
}

func checkRecipient(t testing.TB, r queue.Recipient, to Addressee) {
	t.Helper()
	if r.Address.String() != to.Address || r.State != to.State || r.Class != to.Class || r.Attempts != to.Tries {
		t.Errorf("recipient %s is %+v, want %+v", r.ID, r, to)
	}
	if to.Tries > 0 && (r.Last == nil || r.Last.Reply != to.Reply) {
		t.Errorf("the last attempt of %s is %+v, want the reply %s", r.ID, r.Last, to.Reply)
	}
}

func checkContent(t testing.TB, s queue.Store, l Letter, ref queue.ContentRef) {
	t.Helper()
	c, err := s.OpenContent(context.Background(), ref)
	if l.Removed {
		if !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("the content of %s: %v, want that it is gone", l.ID, err)
		}
		return
	}
	if err != nil {
		t.Errorf("the content of %s: %v", l.ID, err)
		return
	}
	defer c.Close()
	if b, err := io.ReadAll(c); err != nil || string(b) != l.Content {
		t.Errorf("the content of %s is %q, %v", l.ID, b, err)
	}
}
