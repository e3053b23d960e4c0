package suppression

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/queue"
)

// maxRecord is how many octets a record of the registry may have.
const maxRecord = 64 << 10

// record is all that is known of one address of one account.
type record struct {
	account string
	address queue.Address
	version uint64
	entries []Entry // by scope, each of which is there once
}

// wireEntry is how an entry is kept; the record's name says whose it is.
type wireEntry struct {
	Scope     string    `json:"scope"`
	Reason    Reason    `json:"reason"`
	Source    string    `json:"source,omitempty"`
	Note      string    `json:"note,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// recordName is the account, which has no slash, and the folded address.
func recordName(account string, a queue.Address) string { return account + "/" + a.String() }

func parseName(name string) (account string, a queue.Address, err error) {
	account, text, ok := strings.Cut(name, "/")
	if !ok || account == "" {
		return "", a, errors.New("its name has no account")
	}
	a, err = queue.ParseAddress(text)
	return account, a, err
}

func (r *record) name() string { return recordName(r.account, r.address) }

// encode writes the record for the registry.
func (r *record) encode() (queue.Record, error) {
	wire := make([]wireEntry, 0, len(r.entries))
	for _, e := range r.entries {
		wire = append(wire, wireEntry{e.Scope, e.Reason, e.Source, e.Note, e.CreatedAt, e.ExpiresAt})
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(wire); err != nil {
		return queue.Record{}, fmt.Errorf("write suppression: %w", err)
	}
	if b.Len() > maxRecord {
		return queue.Record{}, fmt.Errorf("%w: the address has too many scopes: suppress it for all mail (*) instead", ErrInvalid)
	}
	return queue.Record{Kind: queue.RecordSuppression, Name: r.name(), Version: r.version, Value: b.Bytes()}, nil
}

func decode(q queue.Record) (record, error) {
	r := record{version: q.Version}
	var err error
	if r.account, r.address, err = parseName(q.Name); err != nil {
		return r, fmt.Errorf("read suppression %.300q: %w", q.Name, err)
	}
	var wire []wireEntry
	if err := json.Unmarshal(q.Value, &wire); err != nil {
		return r, fmt.Errorf("read suppression %.300q: %w", q.Name, err)
	}
	for _, w := range wire {
		r.entries = append(r.entries, Entry{
			Account: r.account, Address: r.address, Scope: w.Scope, Reason: w.Reason, Source: w.Source, Note: w.Note,
			CreatedAt: w.CreatedAt, ExpiresAt: w.ExpiresAt,
		})
	}
	slices.SortFunc(r.entries, func(x, y Entry) int { return strings.Compare(x.Scope, y.Scope) })
	return r, nil
}

// drop removes the entries that are over.
func (r *record) drop(now time.Time) {
	r.entries = slices.DeleteFunc(r.entries, func(e Entry) bool { return e.Ended(now) })
}

// put adds or strengthens an entry, and returns it as it is now and what was
// done.
func (r *record) put(e Entry) (now Entry, added, changed bool) {
	i, found := slices.BinarySearchFunc(r.entries, e.Scope, func(x Entry, scope string) int { return strings.Compare(x.Scope, scope) })
	if !found {
		r.entries = slices.Insert(r.entries, i, e)
		return e, true, true
	}
	before := r.entries[i]
	r.entries[i] = before.strengthen(e)
	return r.entries[i], false, r.entries[i] != before
}

// take removes an entry, or all if scope is empty, and returns what was there.
func (r *record) take(scope string) (taken []Entry) {
	r.entries = slices.DeleteFunc(r.entries, func(e Entry) bool {
		if scope != "" && e.Scope != scope {
			return false
		}
		taken = append(taken, e)
		return true
	})
	return taken
}

// strongest returns the entry that keeps mail of these scopes back, if any.
func (r *record) strongest(scopes []string, now time.Time) (hit Entry, ok bool) {
	for _, e := range r.entries {
		if e.Ended(now) || e.Scope != Everything && !slices.Contains(scopes, e.Scope) {
			continue
		}
		if !ok || e.Reason.strength() > hit.Reason.strength() {
			hit, ok = e, true
		}
	}
	return hit, ok
}
