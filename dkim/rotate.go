package dkim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
)

// ErrImported says that the keys of a domain came from files: whoever put them
// there rotates them.
var ErrImported = errors.New("the DKIM keys of this domain were imported")

// DefaultKeep is how long the record of a key stays that signs no more: as long
// as signatures made with it are valid.
const DefaultKeep = DefaultLifetime

// A RotationStore is a KeyStore whose keys can be changed.
type RotationStore interface {
	KeyStore

	// Change replaces the keys of a domain by what edit makes of those it has
	// now, and returns what it has then. Without changed nothing is written. It
	// is atomic among all users of the store, who may make edit run more than
	// once, and durable when it returns nil.
	Change(ctx context.Context, domain string, edit func(keys []Key) (_ []Key, changed bool)) ([]Key, error)
}

// A NameServer is one of those that a zone is published at.
type NameServer struct {
	Name string
	// Lookup asks this server alone. As for RotatorOptions.Lookup, no records
	// and no error mean that there are none.
	Lookup LookupTXT
}

// RotatorOptions configure a Rotator. Store and Lookup are required.
type RotatorOptions struct {
	Store RotationStore
	// Imported keys are never changed here. It is only said when their records
	// are not in the DNS.
	Imported []Key
	// Lookup asks the resolver in use. No records and no error mean that there
	// are none, as does a *net.DNSError that says not found.
	Lookup LookupTXT
	// Servers finds the name servers of the zone in which a name lies, so that
	// a record is switched to only when all of them that answer have it. nil, or
	// an error, leaves it to Lookup alone.
	Servers func(ctx context.Context, name string) ([]NameServer, error)
	// Every is the age at which a key whose record was seen in the DNS gets a
	// successor prepared. 0 is never.
	Every time.Duration
	// Keep is how long the record of a key that signs no more has to stay.
	// 0 means DefaultKeep.
	Keep time.Duration
	// Changed is told of every domain whose keys were changed, for
	// Keyring.Invalidate. nil: nobody.
	Changed func(domain string)
	// Told is told of every step, for whoever alerts the operator. It must not
	// block. nil: nobody.
	Told func(Step)
	// Now is the clock. nil means time.Now.
	Now func() time.Time
	// Logger gets a line for every step. nil means none.
	Logger *slog.Logger
}

// A Rotator takes keys through their life: prepared with [Published] state,
// Active as soon as their record is in the DNS, Retired when a successor signs,
// Revoked when no signature of theirs is valid any more. It never signs with a
// key that is not published, and never needs to be hurried: each step is taken
// by whichever [Rotator.Check] finds that it may be. It is safe for concurrent
// use, by several nodes too.
type Rotator struct {
	o RotatorOptions

	mu       sync.Mutex
	daily    time.Time       // when all domains were looked up last
	imported map[string]bool // by key, whether its record was there then
}

// NewRotator returns a Rotator.
func NewRotator(o RotatorOptions) *Rotator {
	o.Keep = cmp.Or(o.Keep, DefaultKeep)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Rotator{o: o, imported: make(map[string]bool)}
}

// Keys returns the keys of a domain in every state, in the order in which an
// operator looks at them. Imported ones stand alone.
func (r *Rotator) Keys(ctx context.Context, domain string) ([]Key, error) {
	domain, err := normalDomain(domain)
	if err != nil {
		return nil, err
	}
	if keys := r.importedOf(domain); len(keys) > 0 {
		return keys, nil
	}
	keys, err := r.o.Store.Keys(ctx, domain)
	if err != nil {
		return nil, fmt.Errorf("look up dkim keys of %s: %w", domain, err)
	}
	return ordered(keys), nil
}

func (r *Rotator) importedOf(domain string) []Key {
	var keys []Key
	for _, k := range r.o.Imported {
		if k.Domain == domain && k.State == Active {
			keys = append(keys, k)
		}
	}
	return keys
}

// ordered sorts by state, RSA before Ed25519, and the newest first.
func ordered(keys []Key) []Key {
	rank := map[State]int{Active: 0, Published: 1, Retired: 2, Revoked: 3}
	keys = slices.Clone(keys)
	slices.SortStableFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), cmp.Compare(b.Algorithm, a.Algorithm), b.Created.Compare(a.Created))
	})
	return keys
}

// Prepare makes the next key of each algorithm, of those that sign now if none
// is named. Where there is one already it stays, so that asking again does no
// harm. It returns the next keys. Their records are to be published; Check does
// the rest. It returns ErrNoKey for a domain that has no active key, and
// ErrImported.
func (r *Rotator) Prepare(ctx context.Context, domain string, algorithms ...Algorithm) ([]Key, error) {
	keys, err := r.Keys(ctx, domain)
	if err != nil {
		return nil, err
	}
	signs := signing(keys)
	if len(signs) == 0 {
		return nil, ErrNoKey
	}
	domain = signs[0].Domain
	if len(r.importedOf(domain)) > 0 {
		return nil, ErrImported
	}
	if len(algorithms) == 0 {
		for _, k := range signs {
			algorithms = append(algorithms, k.Algorithm)
		}
	}
	made, err := r.successors(keys, domain, algorithms)
	if err != nil {
		return nil, err
	}
	var added []Key
	keys, err = r.change(ctx, domain, func(keys []Key) ([]Key, bool) {
		added = added[:0]
		for _, k := range made {
			if _, has := next(keys, k.Algorithm); !has && !taken(keys, k.Selector) {
				keys, added = append(keys, k), append(added, k)
			}
		}
		return keys, len(added) > 0
	})
	if err != nil {
		return nil, err
	}
	for _, k := range added {
		r.tell(ctx, Step{Prepared, k})
	}
	var all []Key
	for _, a := range algorithms {
		if k, ok := next(keys, a); ok {
			all = append(all, k)
		}
	}
	return all, nil
}

// successors makes keys for the algorithms that have no next one. It takes some
// tenths of a second, which is why it is not done inside a change.
func (r *Rotator) successors(keys []Key, domain string, algorithms []Algorithm) ([]Key, error) {
	var made []Key
	for _, a := range algorithms {
		if _, has := next(keys, a); has {
			continue
		}
		now := r.o.Now()
		k, err := generate(domain, freeSelector(keys, a, now), a, Published, now)
		if err != nil {
			return nil, err
		}
		made = append(made, k)
	}
	return made, nil
}

// freeSelector is one that no key has: the record of another may still be in
// caches, and two keys at one name verify nothing.
func freeSelector(keys []Key, a Algorithm, now time.Time) string {
	first := Selector(a, now)
	name := first
	for n := 2; taken(keys, name); n++ {
		name = fmt.Sprintf("%s%d", first, n)
	}
	return name
}

func taken(keys []Key, selector string) bool {
	return slices.ContainsFunc(keys, func(k Key) bool { return k.Selector == selector })
}

func next(keys []Key, a Algorithm) (Key, bool) {
	for _, k := range keys {
		if k.State == Published && k.Algorithm == a {
			return k, true
		}
	}
	return Key{}, false
}

// Abandon forgets the next keys of a domain, which have not signed anything. It
// returns them.
func (r *Rotator) Abandon(ctx context.Context, domain string) ([]Key, error) {
	domain, err := normalDomain(domain)
	if err != nil {
		return nil, err
	}
	var gone []Key
	_, err = r.change(ctx, domain, func(keys []Key) ([]Key, bool) {
		gone = gone[:0]
		kept := slices.DeleteFunc(keys, func(k Key) bool {
			if k.State == Published {
				gone = append(gone, k)
			}
			return k.State == Published
		})
		return kept, len(gone) > 0
	})
	if err != nil {
		return nil, err
	}
	for _, k := range gone {
		r.tell(ctx, Step{Abandoned, k})
	}
	return gone, nil
}

func (r *Rotator) change(ctx context.Context, domain string, edit func([]Key) ([]Key, bool)) ([]Key, error) {
	changed := false
	keys, err := r.o.Store.Change(ctx, domain, func(keys []Key) ([]Key, bool) {
		keys, changed = edit(slices.Clone(keys))
		return keys, changed
	})
	if err != nil {
		return nil, fmt.Errorf("change dkim keys of %s: %w", domain, err)
	}
	if changed && r.o.Changed != nil {
		r.o.Changed(domain)
	}
	return keys, nil
}

// lookup asks one place in the DNS and judges what it says.
func lookup(ctx context.Context, ask LookupTXT, k Key) Finding {
	texts, err := ask(ctx, k.ID())
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		texts, err = nil, nil
	}
	f := Finding{Key: k, Texts: texts, Err: err}
	if err != nil {
		f.Verdict = RecordUnknown
		return f
	}
	f.Verdict, f.Detail = JudgeRecord(k, texts)
	return f
}
