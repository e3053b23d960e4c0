package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"postrider/api"
	v1 "postrider/api/v1"
	"postrider/dkim"
)

// domains answers what a sending domain should publish, and changes its keys.
type domains struct {
	keyring *dkim.Keyring
	rotator *dkim.Rotator // nil: only the keys that sign are known
}

var (
	_ api.Domains   = domains{}
	_ api.Rotations = domains{}
)

// keyWait is how long a request waits for keys that are made on its behalf.
const keyWait = 20 * time.Second

// Records returns the DKIM records of a domain, after making its keys if there
// are none and that is allowed.
func (d domains) Records(ctx context.Context, domain string) ([]v1.Record, error) {
	keys, err := d.keys(ctx, domain)
	if err != nil {
		return nil, err
	}
	var records []v1.Record
	for _, k := range keys {
		r, err := d.record(k)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// keys returns those in every state of the domain whose keys sign for this one.
func (d domains) keys(ctx context.Context, domain string) ([]dkim.Key, error) {
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
	if d.rotator == nil {
		return keys, nil
	}
	return d.rotator.Keys(ctx, keys[0].Domain)
}

func (d domains) record(k dkim.Key) (v1.Record, error) {
	r, err := dkim.RecordFor(k)
	if err != nil {
		return v1.Record{}, fmt.Errorf("DKIM record of %s: %w", k.ID(), err)
	}
	v := v1.Record{
		Purpose: "dkim", Type: "TXT", Name: r.Name, Value: r.Value, Strings: r.Strings(), Zone: r.ZoneFile(),
		State: stateOf(k.State), Note: noteFor(k.Algorithm),
	}
	switch k.State {
	case dkim.Published:
		v.Note += " The next key: publish its record. It signs as soon as the DNS has it, and not before. Where somebody else keeps your keys, a CNAME at this name to such a TXT record does as well."
	case dkim.Retired:
		v.Note += " It signs no more, but mail signed with it is still on its way: leave its record."
		if d.rotator != nil {
			until := d.rotator.Until(k)
			v.Until = &until
		}
	case dkim.Revoked:
		v.Note += " The key was deleted: publish this, with its empty p=, in place of what is there, or remove the record."
	case dkim.Active:
	}
	return v, nil
}

// stateOf is what the state of a key is called outside.
func stateOf(s dkim.State) string {
	switch s {
	case dkim.Published:
		return "next"
	case dkim.Retired:
		return "retiring"
	case dkim.Revoked:
		return "withdrawn"
	}
	return string(s)
}

func noteFor(a dkim.Algorithm) string {
	if a == dkim.Ed25519 {
		return "Ed25519 (RFC 8463): few receivers check it; publish it beside the RSA record."
	}
	return "RSA: every receiver checks it."
}

// Rotate implements api.Rotations.
func (d domains) Rotate(ctx context.Context, domain string, n v1.NewRotation) (v1.Rotation, error) {
	keys, err := d.keys(ctx, domain)
	if err != nil {
		return v1.Rotation{}, err
	}
	out := v1.Rotation{Domain: keys[0].Domain, Done: []string{}, Data: []v1.RotationKey{}}
	if n.Cancel {
		gone, err := d.rotator.Abandon(ctx, out.Domain)
		if err != nil {
			return out, err
		}
		for _, k := range gone {
			out.Done = append(out.Done, string(dkim.Abandoned)+" "+k.Selector)
		}
	} else if err := d.prepare(ctx, &out, keys, n.Algorithm); err != nil {
		return out, err
	}
	found, steps, err := d.rotator.Check(ctx, out.Domain)
	if err != nil {
		return out, err
	}
	for _, s := range steps {
		out.Done = append(out.Done, string(s.Kind)+" "+s.Key.Selector)
	}
	for _, f := range found {
		k, err := d.rotationKey(f)
		if err != nil {
			return out, err
		}
		out.Data = append(out.Data, k)
	}
	return out, nil
}

// prepare makes the next keys and says which are new.
func (d domains) prepare(ctx context.Context, out *v1.Rotation, before []dkim.Key, algorithm string) error {
	var algorithms []dkim.Algorithm
	switch a := dkim.Algorithm(algorithm); a {
	case "":
	case dkim.RSA, dkim.Ed25519:
		algorithms = append(algorithms, a)
	default:
		return fmt.Errorf("%w: the algorithm must be rsa or ed25519", api.ErrInvalid)
	}
	next, err := d.rotator.Prepare(ctx, out.Domain, algorithms...)
	if errors.Is(err, dkim.ErrImported) {
		return fmt.Errorf("%w: the keys of %s were imported from dkim.keys_dir: put a file with another selector there, publish its record, then remove the old file and restart", api.ErrInvalid, out.Domain)
	}
	if err != nil {
		return err
	}
	for _, k := range next {
		if !slices.ContainsFunc(before, func(b dkim.Key) bool { return b.ID() == k.ID() }) {
			out.Done = append(out.Done, string(dkim.Prepared)+" "+k.Selector)
		}
	}
	return nil
}

func (d domains) rotationKey(f dkim.Finding) (v1.RotationKey, error) {
	r, err := d.record(f.Key)
	if err != nil {
		return v1.RotationKey{}, err
	}
	k := v1.RotationKey{Record: r, Algorithm: string(f.Key.Algorithm), Status: string(f.Verdict), Observed: observed(f.Texts)}
	where := "the DNS"
	if f.Where != "" {
		where = f.Where
	}
	switch f.Verdict {
	case dkim.RecordUnknown:
		k.Error = "The DNS gave no answer that can be relied on. It is asked again in some minutes."
	case dkim.RecordWrong:
		k.Error = "What " + where + " has is not the record of this key: " + f.Detail + "."
	case dkim.RecordMissing, dkim.RecordRevoked:
		if f.Key.State != dkim.Revoked {
			k.Error = "The record is not at " + where + " yet."
		}
	case dkim.RecordRight:
	case "": // the key is newer than the look-up
		k.Status, k.Error = string(dkim.RecordUnknown), "It was not looked up yet."
	}
	return k, nil
}

// observed bounds what is told of the DNS, which may hold anything.
func observed(texts []string) []string {
	const most, length = 10, 2048
	out := make([]string, 0, min(len(texts), most))
	for _, t := range texts[:min(len(texts), most)] {
		out = append(out, clipped(t, length))
	}
	return out
}

// Waiting implements api.Rotations.
func (d domains) Waiting(ctx context.Context) (map[string]string, error) {
	waits, err := d.rotator.Waiting(ctx)
	if err != nil {
		return nil, err
	}
	words := map[dkim.Wait]string{
		dkim.WaitsForRecord: "publish_next", dkim.WaitsMissing: "missing", dkim.WaitsForExpiry: "retiring", dkim.WaitsForWithdrawal: "withdraw",
	}
	out := make(map[string]string, len(waits))
	for domain, w := range waits {
		out[domain] = words[w]
	}
	return out, nil
}
