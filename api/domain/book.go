// Package domain keeps the sending domains of a relay and what was found in the
// DNS about them.
//
// It leaves to others which records a domain should publish and how names are
// looked up: see Check, which judges what was found.
package domain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/idna"

	v1 "postrider/api/v1"
	"postrider/queue"
)

// ErrInvalid is wrapped by errors whose text may be told to whoever asked.
var ErrInvalid = errors.New("not a valid domain")

// The states of a domain.
const (
	Pending   = "pending" // not looked up yet
	Verified  = "verified"
	Partially = "partially_verified"
	Failed    = "failed"
	Temporary = "temporary_failure"
)

// Book is the list of sending domains. It is safe for concurrent use, by several
// nodes too.
type Book struct {
	store queue.Registry
	now   func() time.Time
}

// NewBook returns the book that a registry keeps. now nil: time.Now.
func NewBook(store queue.Registry, now func() time.Time) *Book {
	if now == nil {
		now = time.Now
	}
	return &Book{store: store, now: now}
}

// Normalize writes a domain's name in lower case and A-labels.
func Normalize(name string) (string, error) {
	name = strings.TrimSuffix(strings.TrimSpace(name), ".")
	ascii, err := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(true), idna.VerifyDNSLength(true)).ToASCII(name)
	if err != nil || !strings.Contains(ascii, ".") {
		return "", fmt.Errorf("%w: want a name such as example.com", ErrInvalid)
	}
	return ascii, nil
}

// Add puts a domain on the list; queue.ErrExists if it is there.
func (b *Book) Add(ctx context.Context, name string) (v1.Domain, error) {
	name, err := Normalize(name)
	if err != nil {
		return v1.Domain{}, err
	}
	d := v1.Domain{Name: name, Status: Pending, CreatedAt: b.now().UTC().Truncate(time.Millisecond)}
	err = b.put(ctx, d, 0)
	if errors.Is(err, queue.ErrVersion) {
		err = queue.ErrExists
	}
	return d, err
}

func (b *Book) put(ctx context.Context, d v1.Domain, version uint64) error {
	value, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write domain: %w", err)
	}
	if _, err := b.store.PutRecord(ctx, queue.Record{Kind: queue.RecordDomain, Name: d.Name, Version: version, Value: value}); err != nil {
		return fmt.Errorf("keep domain: %w", err)
	}
	return nil
}

// Get returns a domain with its records as they were found last;
// queue.ErrNotFound if it is not on the list.
func (b *Book) Get(ctx context.Context, name string) (v1.Domain, error) {
	d, _, err := b.get(ctx, name)
	return d, err
}

func (b *Book) get(ctx context.Context, name string) (d v1.Domain, version uint64, err error) {
	if name, err = Normalize(name); err != nil {
		return d, 0, err
	}
	r, err := b.store.GetRecord(ctx, queue.RecordDomain, name)
	if err != nil {
		return d, 0, fmt.Errorf("look up domain: %w", err)
	}
	d, err = read(r)
	return d, r.Version, err
}

func read(r queue.Record) (d v1.Domain, err error) {
	if err = json.Unmarshal(r.Value, &d); err != nil {
		return d, fmt.Errorf("read domain %s: %w", r.Name, err)
	}
	return d, nil
}

// List returns the domains by name, without their records.
func (b *Book) List(ctx context.Context) ([]v1.Domain, error) {
	list := []v1.Domain{}
	for r, err := range queue.Records(ctx, b.store, queue.RecordDomain, "") {
		if err != nil {
			return nil, fmt.Errorf("list domains: %w", err)
		}
		d, err := read(r)
		if err != nil {
			return nil, err
		}
		d.Records = nil
		list = append(list, d)
	}
	return list, nil
}

// Remove takes a domain off the list; queue.ErrNotFound if it is not there.
func (b *Book) Remove(ctx context.Context, name string) error {
	_, version, err := b.get(ctx, name)
	if err != nil {
		return err
	}
	name, _ = Normalize(name)
	if err := b.store.DeleteRecord(ctx, queue.Record{Kind: queue.RecordDomain, Name: name, Version: version}); err != nil {
		return fmt.Errorf("remove domain: %w", err)
	}
	return nil
}

// Found notes what was found of a domain's records. A domain that is not on the
// list is judged all the same, and not kept.
func (b *Book) Found(ctx context.Context, name string, records []v1.DomainRecord) (v1.Domain, error) {
	name, err := Normalize(name)
	if err != nil {
		return v1.Domain{}, err
	}
	for {
		d, version, err := b.get(ctx, name)
		known := err == nil
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return d, err
		}
		now := b.now().UTC().Truncate(time.Millisecond)
		if !known {
			d = v1.Domain{Name: name, CreatedAt: now}
		}
		d.Status, d.CheckedAt, d.Records = Judge(records), &now, records
		if !known {
			return d, nil
		}
		if err = b.put(ctx, d, version); !errors.Is(err, queue.ErrVersion) {
			return d, err
		}
	}
}

// Judge says what the state of a domain with such records is.
func Judge(records []v1.DomainRecord) string {
	good, required, unknown := 0, 0, 0
	for _, r := range records {
		if !r.Required {
			continue
		}
		required++
		switch r.Status {
		case RecordVerified:
			good++
		case RecordTemporary:
			unknown++
		}
	}
	switch {
	case unknown > 0:
		return Temporary
	case good == required:
		return Verified
	case good > 0:
		return Partially
	}
	return Failed
}
