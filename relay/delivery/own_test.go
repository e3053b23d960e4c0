package delivery_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"postrider/dkim"
	"postrider/queue"
	"postrider/relay/smtpsim"
)

// panicking is a signer that fails as no signer should, once.
type panicking struct {
	delivered atomic.Int32
}

func (p *panicking) Sign(context.Context, dkim.SignRequest) (dkim.Signature, error) {
	if p.delivered.Add(1) == 1 {
		panic("out of cheese")
	}
	return dkim.Signature{}, dkim.ErrNoKey
}

func TestPanicDefersTheMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{})
	w.options.Signer = &panicking{}
	w.options.Workers = 1
	w.start()
	id := w.queue("joe@a.test")
	if r := w.tried(id, 1); r.State != queue.StateDeferred || r.Class != queue.ClassLocalTemp || r.Last.Stage != queue.StageSign {
		t.Fatalf("%+v, last %+v", r, r.Last)
	}
	w.all(w.queue("ann@a.test"), queue.StateDelivered) // worker and permit are back
	w.clock.add(6 * time.Minute)
	w.all(id, queue.StateDelivered)
	w.logged("panic in delivery", 1)
}

// keyStore keeps generated keys, as the registry does in the relay.
type keyStore struct {
	made   chan struct{} // Create waits for it
	keys   atomic.Pointer[[]dkim.Key]
	listed atomic.Int32
}

func (k *keyStore) Keys(context.Context, string) ([]dkim.Key, error) {
	k.listed.Add(1)
	if p := k.keys.Load(); p != nil {
		return *p, nil
	}
	return nil, nil
}

func (k *keyStore) Create(ctx context.Context, _ string, keys []dkim.Key) ([]dkim.Key, error) {
	select {
	case <-k.made:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	k.keys.Store(&keys)
	return keys, nil
}

func (k *keyStore) List(ctx context.Context) ([]dkim.Key, error) { return k.Keys(ctx, "") }

func (w *world) sign(k *keyStore, autogenerate bool) *dkim.Keyring {
	w.t.Helper()
	ring, err := dkim.NewKeyring(dkim.KeyringOptions{Store: k, Autogenerate: autogenerate, CacheFor: time.Nanosecond})
	if err != nil {
		w.t.Fatal(err)
	}
	ring.Start(w.t.Context())
	w.t.Cleanup(func() { _ = ring.Drain(context.Background()) })
	w.options.Signer, w.options.Keys = dkim.NewSigner(dkim.Options{Keyring: ring}), ring
	return ring
}

func TestMessageWaitsForItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrA, smtpsim.Options{})
	k := &keyStore{made: make(chan struct{})}
	w.sign(k, true)
	w.options.KeyPatience = time.Millisecond
	w.start()
	id := w.queue("joe@a.test")
	r := w.until(id, "put off", func(rs []queue.Recipient) bool { return rs[0].State == queue.StateDeferred })[0]
	if wait := r.Due.Sub(w.clock.Now()); r.Attempts != 0 || wait > 3*time.Second {
		t.Fatalf("%d attempts, due in %v; want none, in 2 s", r.Attempts, wait)
	}
	close(k.made)
	for {
		if err := w.options.Keys.(*dkim.Keyring).Wait(t.Context(), "sender.test"); err == nil {
			break
		} else if !errors.Is(err, dkim.ErrKeyPending) {
			t.Fatal(err)
		}
	}
	w.clock.add(3 * time.Second)
	if r := w.all(id, queue.StateDelivered)[0]; r.Attempts != 1 {
		t.Errorf("%d attempts, want 1", r.Attempts)
	}
	if raw := string(sim.Messages()[0].Raw); len(raw) < 15 || raw[:15] != "DKIM-Signature:" {
		t.Errorf("not signed: %.100s", raw)
	}
}

func TestAKeyThatComesSoonIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{})
	k := &keyStore{made: make(chan struct{})}
	close(k.made)
	w.sign(k, true)
	w.options.KeyPatience = 20 * time.Second
	w.start()
	id := w.queue("joe@a.test")
	w.all(id, queue.StateDelivered)
	h, err := w.store.History(t.Context(), id)
	if err != nil || len(h) != 2 {
		t.Errorf("%d events, want queued and delivered: %v", len(h), err)
	}
}

// counting counts signatures.
type counting struct {
	dkim  *dkim.Signer
	signs atomic.Int32
}

func (c *counting) Sign(ctx context.Context, r dkim.SignRequest) (dkim.Signature, error) {
	c.signs.Add(1)
	return c.dkim.Sign(ctx, r)
}

func TestMessageIsSignedOnceAndAgainAfterRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, Times: 2, Do: smtpsim.Do(smtpsim.Reply(451, "", "later"))}}})
	w.hop(addrB, smtpsim.Options{})
	key := func(at time.Time) *[]dkim.Key {
		k, err := dkim.Generate("sender.test", dkim.Ed25519, at)
		if err != nil {
			t.Fatal(err)
		}
		return &[]dkim.Key{k}
	}
	k := &keyStore{}
	k.keys.Store(key(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	ring := w.sign(k, false)
	c := &counting{dkim: w.options.Signer.(*dkim.Signer)}
	w.options.Signer = c
	w.start()
	id := w.queue("joe@a.test", "joe@b.test", "joe@also-b.test")
	w.until(id, "tried", func(rs []queue.Recipient) bool {
		return rs[0].Attempts == 1 && rs[1].State.Final() && rs[2].State.Final()
	})
	w.clock.add(6 * time.Minute)
	w.tried(id, 2)
	if n := c.signs.Load(); n != 1 {
		t.Errorf("signed %d times for three lanes and two tries, want once", n)
	}
	k.keys.Store(key(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)))
	ring.Invalidate("sender.test")
	w.clock.add(11 * time.Minute)
	w.all(id, queue.StateDelivered)
	if n := c.signs.Load(); n != 2 {
		t.Errorf("signed %d times after the rotation, want twice", n)
	}
	if n := len(a.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// failing is a signer in trouble.
type failing struct{}

func (failing) Sign(context.Context, dkim.SignRequest) (dkim.Signature, error) {
	return dkim.Signature{}, errors.New("key store is unreachable")
}

func TestTroubleWithKeysDefers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrA, smtpsim.Options{})
	w.options.Signer = failing{}
	w.start()
	r := w.tried(w.queue("joe@a.test"), 1)
	if r.State != queue.StateDeferred || r.Class != queue.ClassLocalTemp || r.Last.Stage != queue.StageSign || sim.Counters().Messages != 0 {
		t.Errorf("%+v, last %+v", r, r.Last)
	}
}

func TestHandoff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrA, smtpsim.Options{})
	w.options.Workers = 1
	w.start()
	_, take, ok := w.d.Reserve()
	if !ok {
		t.Fatal("no worker is free")
	}
	if _, _, ok := w.d.Reserve(); ok {
		t.Fatal("the only worker was reserved twice")
	}
	take(nil)
	w.all(w.accept(mail{to: []string{"joe@a.test"}, handoff: true}), queue.StateDelivered)
	if n := sim.Counters().Messages; n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestMoreLeasesThanReservedAreNotLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{})
	w.hop(addrB, smtpsim.Options{})
	w.options.Workers = 1
	w.start()
	r, take, ok := w.d.Reserve()
	if !ok {
		t.Fatal("no worker is free")
	}
	a, b := w.queue("joe@a.test"), w.queue("joe@b.test")
	r.Max, r.Now = 2, w.clock.Now()
	leases, err := w.store.Lease(t.Context(), r)
	if err != nil || len(leases) != 2 {
		t.Fatal(leases, err)
	}
	take(leases)
	w.all(a, queue.StateDelivered)
	w.all(b, queue.StateDelivered)
}

func TestLeasesTakenAfterTheDrainAreReleased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{})
	w.start()
	r, take, ok := w.d.Reserve()
	if !ok {
		t.Fatal("no worker is free")
	}
	if err := w.drain(10 * time.Millisecond); err == nil {
		t.Fatal("drained with a worker still reserved")
	}
	id := w.queue("joe@a.test")
	r.Now = w.clock.Now()
	leases, err := w.store.Lease(t.Context(), r)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	take(leases)
	if r := w.tried(id, 0); r.State != queue.StateQueued {
		t.Errorf("%s, want queued again", r.State)
	}
}
