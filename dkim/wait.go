package dkim

import (
	"context"
	"fmt"
	"time"
)

// Wait is what the keys of a domain wait for, the most urgent first.
type Wait int

// What they wait for.
const (
	WaitsForNothing    Wait = iota
	WaitsMissing            // the record of an active key, seen before, is gone
	WaitsForRecord          // the record of a next key
	WaitsForWithdrawal      // an empty p= in the record of a key that is gone
	WaitsForExpiry          // the time after which the last key is deleted
)

// Waiting says what the keys of domains wait for, without asking the DNS. Domains
// whose keys wait for nothing are left out.
func (r *Rotator) Waiting(ctx context.Context) (map[string]Wait, error) {
	keys, err := r.o.Store.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list dkim keys: %w", err)
	}
	waits := make(map[string]Wait)
	for _, k := range keys {
		w := k.wait()
		if have := waits[k.Domain]; w != WaitsForNothing && (have == WaitsForNothing || w < have) {
			waits[k.Domain] = w
		}
	}
	return waits, nil
}

func (k Key) wait() Wait {
	switch k.State {
	case Active:
		if !k.Missed.IsZero() {
			return WaitsMissing
		}
	case Published:
		return WaitsForRecord
	case Retired:
		return WaitsForExpiry
	case Revoked:
		return WaitsForWithdrawal
	}
	return WaitsForNothing
}

// Until is how long the record of a retired key has to stay.
func (r *Rotator) Until(k Key) time.Time {
	since := k.Since
	if since.IsZero() {
		since = r.o.Now()
	}
	return since.Add(r.o.Keep)
}
