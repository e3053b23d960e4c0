package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/api"
	v1 "postrider/api/v1"
	"postrider/dkim"
)

// domains answers what a sending domain should publish.
type domains struct {
	keyring *dkim.Keyring
}

// keyWait is how long a request waits for keys that are made on its behalf.
const keyWait = 20 * time.Second

// Records returns the DKIM records of a domain, after making its keys if there
// are none and that is allowed.
func (d domains) Records(ctx context.Context, domain string) ([]v1.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, keyWait)
	defer cancel()
	err := d.keyring.Wait(ctx, domain)
	if errors.Is(err, dkim.ErrNoKey) {
		return nil, fmt.Errorf("%w: there is no DKIM key for %q, and none is made for it: import one into dkim.keys_dir, or turn dkim.autogenerate on and name the domain in the allowed senders", api.ErrInvalid, domain)
	}
	if err != nil {
		return nil, fmt.Errorf("DKIM keys of %s: %w", domain, err)
	}
	keys, err := d.keyring.Keys(ctx, domain)
	if err != nil {
		return nil, fmt.Errorf("DKIM keys of %s: %w", domain, err)
	}
	var records []v1.Record
	for _, k := range keys {
		r, err := dkim.RecordFor(k)
		if err != nil {
			return nil, fmt.Errorf("DKIM record of %s: %w", k.ID(), err)
		}
		records = append(records, v1.Record{
			Purpose: "dkim", Type: "TXT", Name: r.Name, Value: r.Value, Strings: r.Strings(), Zone: r.ZoneFile(),
			Note: noteFor(k.Algorithm),
		})
	}
	return records, nil
}

func noteFor(a dkim.Algorithm) string {
	if a == dkim.Ed25519 {
		return "Ed25519 (RFC 8463): few receivers check it; publish it beside the RSA record."
	}
	return "RSA: every receiver checks it."
}
