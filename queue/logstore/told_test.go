package logstore

import (
	"testing"
	"time"

	"postrider/queue"
)

// Who is told of an event a moment before it can be read finds nothing, and is not
// told again.
func TestWhoIsToldOfAnEventCanReadIt(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{})
	c, stop := s.Notify()
	defer stop()
	at := queue.Position("")
	for range 2000 {
		r := mail{rcpts: 1}.request(t, s)
		done := make(chan error, 1)
		go func() {
			_, err := s.Enqueue(t.Context(), r)
			done <- err
		}()
		select {
		case <-c:
		case <-time.After(10 * time.Second):
			t.Fatal("nobody is told of new mail")
		}
		events, next, err := s.ReadEvents(t.Context(), at, 10)
		if err != nil || len(events) == 0 {
			t.Fatalf("%d events when they are told of, %v", len(events), err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		at = next
	}
}
