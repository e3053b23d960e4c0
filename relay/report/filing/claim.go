package filing

import (
	"context"
	"fmt"
	"time"

	"postrider/queue"
)

// claim is the right to file, as it was when it was last renewed.
type claim struct {
	fence uint64
	at    time.Time
}

// begin takes or renews the claim. If another node may have filed since, nothing
// is taken for granted of what was read before.
func (f *Filer) begin(ctx context.Context) error {
	now := f.o.Now()
	if old := f.claimed; !old.at.IsZero() && !now.Before(old.at) && now.Sub(old.at) < claimTTL/3 {
		return nil
	}
	fence, err := f.o.Store.Claim(ctx, claimName, f.o.Holder, now, claimTTL)
	if err != nil {
		f.claimed = claim{}
		return err
	}
	if f.claimed.at.IsZero() || fence != f.claimed.fence {
		f.reading, f.trim = reading{}, trimming{}
	}
	f.claimed = claim{fence: fence, at: now}
	return nil
}

// keep renews the claim in time. Should another node have taken over meanwhile, a
// write would do no harm, since it is compared with what is filed; but the
// reader's position must not be moved back.
func (f *Filer) keep(ctx context.Context) error {
	fence := f.claimed.fence
	err := f.begin(ctx)
	if err == nil && f.claimed.fence != fence {
		err = queue.ErrClaimed
	}
	if err != nil {
		return fmt.Errorf("keep the claim on folders: %w", err)
	}
	return nil
}

// unclaim lets the next node begin at once. ctx is over by then.
func (f *Filer) unclaim(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unclaimTime)
	defer cancel()
	if err := f.o.Store.Unclaim(ctx, claimName, f.o.Holder); err != nil {
		f.o.Logger.Debug("claim not given back", "claim", claimName, "error", err)
	}
}
