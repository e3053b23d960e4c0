package filing

import (
	"context"
	"fmt"
)

// begin takes or renews the claim. If another node may have filed since, nothing
// is taken for granted of what was read before.
func (f *Filer) begin(ctx context.Context) error {
	anew, err := f.claim.Keep(ctx)
	if anew {
		f.reading, f.trim = reading{}, trimming{}
	}
	return err
}

// keep renews the claim in time. Should another node have taken over meanwhile, a
// write would do no harm, since it is compared with what is filed; but the
// reader's position must not be moved back.
func (f *Filer) keep(ctx context.Context) error {
	if err := f.claim.Still(ctx); err != nil {
		return fmt.Errorf("keep the claim on folders: %w", err)
	}
	return nil
}
