package redisstore_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

// TestRefusedButStored lets the server do what it was asked for after its client
// was told no. Without a key the message goes, so that the second try is the only
// one; with a key it stays, since the second try is told of it.
func TestRefusedButStored(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	s := open(t, impatient(redisstore.Options{Addrs: []string{on.Addr()}}))
	now := time.Now()
	plain, keyed := request(1, now, 1), request(2, now, 1)
	keyed.Idempotency = queue.Idempotency{Key: "order 17", ExpiresAt: now.Add(time.Hour)}
	// Connections are there, so that what is sent next reaches the server.
	warm := make(chan error, 8)
	for i := range cap(warm) {
		go func() {
			r := request(uint64(10+i), now, 1)
			r.Recipients[0].State = queue.StateHeld
			_, err := s.Enqueue(t.Context(), r)
			warm <- err
		}()
	}
	for range cap(warm) {
		if err := <-warm; err != nil {
			t.Fatal(err)
		}
	}
	on.Pause(t)
	errs := make(chan error, 2)
	for _, r := range []queue.EnqueueRequest{plain, keyed} {
		go func() {
			_, err := s.Enqueue(t.Context(), r)
			errs <- err
		}()
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, queue.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	on.Resume(t)
	again := request(3, now, 1) // accounts go by the number
	again.Idempotency, again.Message.Account = keyed.Idempotency, keyed.Message.Account
	first := keyed.Message.ID
	eventually(t, func() error {
		out, err := s.Enqueue(t.Context(), again)
		if err == nil && (!out.Duplicate || out.ID != first) {
			return fmt.Errorf("the second try is %+v", out)
		}
		return err
	})
	eventually(t, func() error {
		if _, err := s.Message(t.Context(), plain.Message.ID); !errors.Is(err, queue.ErrNotFound) {
			return fmt.Errorf("the message without key is there: %w", err)
		}
		return nil
	})
	if _, err := s.Message(t.Context(), first); err != nil {
		t.Fatalf("the message that the second try was told of: %v", err)
	}
	if ls, err := s.Lease(t.Context(), queue.LeaseRequest{Now: time.Now(), Holder: "n", TTL: time.Minute, Max: 9}); err != nil || len(ls) != 1 || ls[0].Message.ID != first {
		t.Fatalf("leased %v, %v", ls, err)
	}
}
