package folders_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"postrider/queue"
	"postrider/queue/folders"
)

func filled(t *testing.T, text string) (folders.Opener, queue.ContentRef) {
	t.Helper()
	s := openStore(t)
	w, err := s.CreateContent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	m := queue.Message{ID: queue.NewMessageID(), Account: account, Priority: queue.PriorityNormal, AcceptedAt: start, ExpiresAt: start.Add(1e15)}
	m.Content.Size = int64(len(text))
	to := queue.Address{Local: "bob", Domain: "example.org"}
	_, err = s.Enqueue(t.Context(), queue.EnqueueRequest{
		Message: m, Content: w, Now: start,
		Recipients: []queue.Recipient{{ID: m.ID.Recipient(0), Address: to, State: queue.StateQueued, Lane: "example.org", Due: start}},
	})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := s.Message(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	return s, kept.Message.Content
}

type removed struct{ opened int }

func (r *removed) OpenContent(context.Context, queue.ContentRef) (queue.Content, error) {
	r.opened++
	return nil, queue.ErrNotFound
}

func TestASourceReadsWhatIsInFrontTheContentAndWhatIsBehind(t *testing.T) {
	t.Parallel()
	contents, ref := filled(t, "the content")
	b := folders.New(folders.Options{Store: newMemory(), Contents: contents})
	for name, e := range map[string]*folders.Entry{
		"front, content and back": {Front: []byte("front "), Content: ref, Back: []byte(" back")},
		"content":                 {Content: ref},
		"front alone":             {Front: []byte("front ")},
		"front and back":          {Front: []byte("front "), Back: []byte(" back")},
	} {
		want := string(e.Front)
		if len(e.Content.Key) > 0 {
			want += "the content"
		}
		want += string(e.Back)
		s, err := b.Open(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if s.Size() != int64(len(want)) {
			t.Errorf("%s: %d octets", name, s.Size())
		}
		if err := iotest.TestReader(io.NewSectionReader(s, 0, s.Size()), []byte(want)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n, err := s.ReadAt(make([]byte, 4), s.Size()-2); n != 2 || err != io.EOF {
			t.Errorf("%s: %d, %v at the end", name, n, err)
		}
		if _, err := s.ReadAt(nil, -1); err == nil {
			t.Errorf("%s: reads ahead of its start", name)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARemovedContentIsMissedOnlyByWhoReadsIt(t *testing.T) {
	t.Parallel()
	var gone removed
	b := folders.New(folders.Options{Store: newMemory(), Contents: &gone})
	s, err := b.Open(t.Context(), &folders.Entry{Front: []byte("front "), Content: queue.ContentRef{Key: []byte{1}, Size: 10}, Back: []byte(" back")})
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 6)
	if _, err := s.ReadAt(p, 0); err != nil || !bytes.Equal(p, []byte("front ")) || gone.opened != 0 {
		t.Errorf("%q, %v, opened %d times", p, err, gone.opened)
	}
	if n, err := s.ReadAt(p, 5); n != 1 || !errors.Is(err, queue.ErrNotFound) {
		t.Error(n, err)
	}
	if _, err := s.ReadAt(p[:5], 16); err != nil || string(p[:5]) != " back" {
		t.Errorf("%q, %v", p, err)
	}
}

func TestAContentThatIsShorterThanItShouldIsAnError(t *testing.T) {
	t.Parallel()
	contents, ref := filled(t, "short")
	ref.Size += 3
	b := folders.New(folders.Options{Store: newMemory(), Contents: contents})
	s, err := b.Open(t.Context(), &folders.Entry{Content: ref, Back: []byte("back")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.ReadAt(make([]byte, 10), 0); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}
