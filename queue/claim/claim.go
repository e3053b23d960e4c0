// Package claim holds a named claim of the store for as long as there is work
// that one node at a time may do.
//
// It promises that whoever asks in time is told when somebody else may have
// worked in between: what was read before is then out of date, and must not be
// written. It leaves to its user what to forget, and when to stop.
package claim

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"postrider/queue"
)

// Options of a Held claim. Store, Name, Holder and TTL are required.
type Options struct {
	Store  queue.Claims
	Name   string
	Holder string        // this process: no other has this name
	TTL    time.Duration // after which another node may begin where nothing is heard of this one

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discard
}

// leaveTime bounds Leave: the claim ends by itself.
const leaveTime = time.Second

// Held is one holder's view of a claim. Its methods are not safe for concurrent
// use, but for Lasts while no other one runs.
type Held struct {
	o     Options
	at    time.Time // when it was last renewed; zero: nothing is known of it
	fence uint64
	maybe bool // the store may think that it is ours
}

// New returns a claim that is not held yet.
func New(o Options) *Held {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Held{o: o}
}

// Keep takes the claim, or renews it if a third of its time has passed. anew says
// that another holder may have had it since the last call: nothing that was known
// before can be relied on. So it is after an error, of which queue.ErrClaimed
// says that another holder has it now.
func (h *Held) Keep(ctx context.Context) (anew bool, err error) {
	now := h.o.Now()
	if h.fresh(now, h.o.TTL/3) {
		return false, nil
	}
	h.maybe = true
	fence, err := h.o.Store.Claim(ctx, h.o.Name, h.o.Holder, now, h.o.TTL)
	if err != nil {
		h.maybe = !errors.Is(err, queue.ErrClaimed)
		h.Forget()
		return false, err
	}
	anew = h.at.IsZero() || fence != h.fence
	h.at, h.fence = now, fence
	return anew, nil
}

// Still is for the middle of work that was begun after Keep: it renews the claim
// likewise, but never takes it up. queue.ErrClaimed says that another holder may
// have had it, so that the work must end here; the next Keep is anew then.
func (h *Held) Still(ctx context.Context) error {
	if h.at.IsZero() {
		return queue.ErrClaimed
	}
	anew, err := h.Keep(ctx)
	if anew {
		h.Forget()
		err = queue.ErrClaimed
	}
	return err
}

// Lasts reports whether the claim is held and not over yet, so that no other node
// can have begun. It does not ask the store.
func (h *Held) Lasts() bool { return h.fresh(h.o.Now(), h.o.TTL) }

// fresh reports whether the claim was renewed less than d ago. With a clock that
// went back nobody knows how long ago that is.
func (h *Held) fresh(now time.Time, d time.Duration) bool {
	return !h.at.IsZero() && !now.Before(h.at) && now.Sub(h.at) < d
}

// Forget makes the next Keep anew, after trouble that what is known may not have
// survived. The store's claim stays.
func (h *Held) Forget() { h.at = time.Time{} }

// Leave gives the claim back, so that the next node begins at once. It takes a
// second at most, also if ctx is over.
func (h *Held) Leave(ctx context.Context) {
	h.Forget()
	if !h.maybe {
		return
	}
	h.maybe = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	if err := h.o.Store.Unclaim(ctx, h.o.Name, h.o.Holder); err != nil {
		h.o.Logger.Debug("claim not given back", "claim", h.o.Name, "error", err)
	}
}
