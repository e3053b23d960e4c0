package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/api/feed"
	"postrider/queue"
)

// Store is what this package needs of the queue's store.
type Store interface {
	queue.Events
	queue.Registry
	queue.Cache
	queue.Claims
	feed.MessageReader
	History(ctx context.Context, id queue.MessageID) ([]queue.Event, error)
}

// BookOptions set up a Book. Store and Feed are required.
type BookOptions struct {
	Store        Store
	Feed         *feed.Reader     // finds the end of the log
	AllowPrivate bool             // endpoints may be on private networks, and without TLS
	MaxEach      int              // endpoints of one account; 0: 20
	Now          func() time.Time // nil: time.Now
}

// Book administers endpoints. Its methods are safe for concurrent use. Their
// errors are *Error for what the caller can mend, queue.ErrNotFound, and
// queue.ErrVersion where two changed the same at once; any other is our own
// trouble. An empty account may name the endpoints of all.
type Book struct {
	o       BookOptions
	changed chan struct{} // holds one signal for the Sender of this process
}

// NewBook returns a Book.
func NewBook(o BookOptions) *Book {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxEach <= 0 {
		o.MaxEach = 20
	}
	return &Book{o: o, changed: make(chan struct{}, 1)}
}

func (b *Book) tell() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// NewEndpoint asks for an endpoint.
type NewEndpoint struct {
	Account     string // AllAccounts: of everybody's mail
	URL         string
	Description string
	Events      []feed.Type
	Streams     []string
	AllAttempts bool
	Concurrency int  // 0: 4
	Disabled    bool // it is told of nothing until it is enabled, and then of all since
	Backfill    bool // tell also of what the log still has from before
}

// Create keeps a new endpoint, and returns the secret that its requests are
// signed with, which is shown only here.
func (b *Book) Create(ctx context.Context, n NewEndpoint) (Endpoint, string, error) {
	now := b.o.Now()
	e := &stored{Endpoint: Endpoint{
		ID: queue.NewID(idPrefix), Account: n.Account, URL: n.URL, Description: n.Description, Events: n.Events, Streams: n.Streams,
		AllAttempts: n.AllAttempts, Concurrency: n.Concurrency, Enabled: !n.Disabled, CreatedAt: now.UTC(), UpdatedAt: now.UTC(),
	}, Secrets: []Secret{newSecret(now)}}
	if err := e.check(b.o.AllowPrivate); err != nil {
		return Endpoint{}, "", err
	}
	there, err := b.List(ctx, n.Account)
	if err != nil {
		return Endpoint{}, "", err
	}
	if len(there) >= b.o.MaxEach {
		return Endpoint{}, "", &Error{Status: 409, Code: "conflict", Detail: fmt.Sprintf("An account has at most %d webhooks. Delete one that is not needed.", b.o.MaxEach)}
	}
	if !n.Backfill {
		// Before the endpoint itself, which must not begin with the oldest event.
		end, err := b.o.Feed.End(ctx)
		if err != nil {
			return Endpoint{}, "", err
		}
		if err := b.o.Store.Acknowledge(ctx, readerName(e.ID), end); err != nil {
			return Endpoint{}, "", fmt.Errorf("keep where webhook %s begins: %w", e.ID, err)
		}
	}
	if err := b.put(ctx, e); err != nil {
		return Endpoint{}, "", err
	}
	return e.Endpoint, e.Secrets[0].Value, nil
}

func (b *Book) put(ctx context.Context, e *stored) error {
	r, err := e.record()
	if err != nil {
		return err
	}
	if e.version, err = b.o.Store.PutRecord(ctx, r); err != nil {
		return fmt.Errorf("keep webhook %s: %w", e.ID, err)
	}
	b.tell()
	return nil
}

// Get returns an endpoint.
func (b *Book) Get(ctx context.Context, account, id string) (Endpoint, error) {
	e, err := b.get(ctx, account, id)
	if err != nil {
		return Endpoint{}, err
	}
	return e.Endpoint, nil
}

func (b *Book) get(ctx context.Context, account, id string) (*stored, error) {
	if !isID(id) {
		return nil, fmt.Errorf("read a webhook: %w", queue.ErrNotFound)
	}
	if account != "" {
		r, err := b.o.Store.GetRecord(ctx, queue.RecordWebhook, recordName(account, id))
		if err != nil {
			return nil, fmt.Errorf("read webhook %s: %w", id, err)
		}
		return decodeStored(r)
	}
	all, err := b.list(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if e.ID == id {
			return e, nil
		}
	}
	return nil, fmt.Errorf("read webhook %s: %w", id, queue.ErrNotFound)
}

// List returns endpoints by account, then by age.
func (b *Book) List(ctx context.Context, account string) ([]Endpoint, error) {
	all, err := b.list(ctx, account)
	if err != nil {
		return nil, err
	}
	out := make([]Endpoint, 0, len(all))
	for _, e := range all {
		out = append(out, e.Endpoint)
	}
	return out, nil
}

const listPage = 200

func (b *Book) list(ctx context.Context, account string) ([]*stored, error) {
	prefix := ""
	if account != "" {
		prefix = account + "/"
	}
	var all []*stored
	for r, err := range queue.Records(ctx, b.o.Store, queue.RecordWebhook, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list webhooks: %w", err)
		}
		e, err := decodeStored(r)
		if err != nil {
			return nil, err
		}
		if account == "" || e.Account == account {
			all = append(all, e)
		}
	}
	return all, nil
}

// Change changes what is set.
type Change struct {
	URL         *string
	Description *string
	Events      *[]feed.Type
	Streams     *[]string
	AllAttempts *bool
	Concurrency *int
	// Enabled true also ends the pause of an endpoint that failed: it goes on
	// at once from where it stopped.
	Enabled *bool
}

// Update changes an endpoint.
func (b *Book) Update(ctx context.Context, account, id string, c Change) (Endpoint, error) {
	e, err := b.get(ctx, account, id)
	if err != nil {
		return Endpoint{}, err
	}
	set(&e.URL, c.URL)
	set(&e.Description, c.Description)
	set(&e.Events, c.Events)
	set(&e.Streams, c.Streams)
	set(&e.AllAttempts, c.AllAttempts)
	set(&e.Concurrency, c.Concurrency)
	set(&e.Enabled, c.Enabled)
	if c.Enabled != nil {
		e.DisabledReason = ""
		if err := b.forgetFailure(ctx, id); err != nil {
			return Endpoint{}, err
		}
	}
	if err := e.check(b.o.AllowPrivate); err != nil {
		return Endpoint{}, err
	}
	e.UpdatedAt = b.o.Now().UTC()
	if err := b.put(ctx, e); err != nil {
		return Endpoint{}, err
	}
	return e.Endpoint, nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// forgetFailure lets an endpoint begin as if it had never failed.
func (b *Book) forgetFailure(ctx context.Context, id string) error {
	r, err := b.o.Store.GetRecord(ctx, queue.RecordDelivery, stateName(id))
	if err == nil {
		err = b.o.Store.DeleteRecord(ctx, r)
	}
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return fmt.Errorf("end the pause of webhook %s: %w", id, err)
	}
	return nil
}

// disable turns an endpoint off, whoever changed it meanwhile.
func (b *Book) disable(ctx context.Context, account, id, reason string) error {
	for range 5 {
		e, err := b.get(ctx, account, id)
		if errors.Is(err, queue.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		e.Enabled, e.DisabledReason, e.UpdatedAt = false, reason, b.o.Now().UTC()
		if err = b.put(ctx, e); !errors.Is(err, queue.ErrVersion) {
			return err
		}
	}
	return fmt.Errorf("disable webhook %s: %w", id, queue.ErrVersion)
}

// Rotate returns a new secret. The one before signs beside it for 24 hours.
func (b *Book) Rotate(ctx context.Context, account, id string) (string, error) {
	e, err := b.get(ctx, account, id)
	if err != nil {
		return "", err
	}
	now := b.o.Now()
	e.Secrets, e.UpdatedAt = rotate(e.Secrets, now), now.UTC()
	if err := b.put(ctx, e); err != nil {
		return "", err
	}
	return e.Secrets[0].Value, nil
}

// Delete forgets an endpoint, and what is parked for it.
func (b *Book) Delete(ctx context.Context, account, id string) error {
	e, err := b.get(ctx, account, id)
	if err != nil {
		return err
	}
	r, err := e.record()
	if err != nil {
		return err
	}
	if err := b.o.Store.DeleteRecord(ctx, r); err != nil {
		return fmt.Errorf("delete webhook %s: %w", id, err)
	}
	b.tell()
	return b.clean(ctx, id)
}

// clean removes the records that belong to an endpoint that is gone.
func (b *Book) clean(ctx context.Context, id string) error {
	for {
		rs, err := b.o.Store.ListRecords(ctx, queue.RecordDelivery, id+"/", "", listPage)
		if err != nil {
			return fmt.Errorf("delete what is parked for webhook %s: %w", id, err)
		}
		for _, r := range rs {
			if err := b.o.Store.DeleteRecord(ctx, r); err != nil && !errors.Is(err, queue.ErrNotFound) {
				return fmt.Errorf("delete what is parked for webhook %s: %w", id, err)
			}
		}
		if len(rs) < listPage {
			return nil
		}
	}
}

// Waiting tells how much of an endpoint's events is parked, and how many were
// given up and are kept for a replay.
func (b *Book) Waiting(ctx context.Context, account, id string) (parked, givenUp int, err error) {
	if _, err := b.get(ctx, account, id); err != nil {
		return 0, 0, err
	}
	ps, err := readParked(ctx, b.o.Store, id)
	for _, p := range ps {
		if p.GivenUp {
			givenUp++
		} else {
			parked++
		}
	}
	return parked, givenUp, err
}

// Deliveries returns the last attempts for an endpoint, newest first.
func (b *Book) Deliveries(ctx context.Context, account, id string) ([]Delivery, error) {
	if _, err := b.get(ctx, account, id); err != nil {
		return nil, err
	}
	ds, err := readTrail(ctx, b.o.Store, id, b.o.Now())
	slices.Reverse(ds)
	return ds, err
}

func isParked(name string) bool {
	_, event, ok := strings.Cut(name, "/")
	return ok && strings.HasPrefix(event, "evt_")
}
