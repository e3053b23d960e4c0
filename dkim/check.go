package dkim

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// checkTime bounds the look-ups for one domain.
	checkTime = 30 * time.Second
	// checksAtOnce bounds the domains that are looked up at a time.
	checksAtOnce = 8
	// everyDomain is how often the keys of every domain are looked up, those
	// that wait for nothing included.
	everyDomain = 24 * time.Hour
	// maxServers bounds the name servers asked for one record.
	maxServers = 8
)

// Check looks up the records of a domain's keys, takes the steps that may be
// taken now, and returns what it found and did. The keys are those after the
// steps.
func (r *Rotator) Check(ctx context.Context, domain string) ([]Finding, []Step, error) {
	keys, err := r.Keys(ctx, domain)
	if err != nil {
		return nil, nil, err
	}
	findings := r.findings(ctx, keys)
	if len(keys) == 0 || len(r.importedOf(keys[0].Domain)) > 0 {
		return findings, nil, nil
	}
	found := make(map[string]Finding, len(findings))
	for _, f := range findings {
		found[f.Key.ID()] = f
	}
	var steps []Step
	keys, err = r.change(ctx, keys[0].Domain, func(keys []Key) (out []Key, changed bool) {
		out, steps, changed = advance(keys, found, r.o.Keep, r.o.Now())
		return out, changed
	})
	if err != nil {
		return nil, nil, err
	}
	for _, s := range steps {
		r.tell(ctx, s)
	}
	findings = findings[:0]
	for _, k := range ordered(keys) {
		f := found[k.ID()]
		f.Key = k
		findings = append(findings, f)
	}
	return findings, steps, nil
}

// findings looks up the records of keys, all at once.
func (r *Rotator) findings(ctx context.Context, keys []Key) []Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	findings := make([]Finding, len(keys))
	var all sync.WaitGroup
	for i, k := range keys {
		all.Go(func() { findings[i] = r.look(ctx, k) })
	}
	all.Wait()
	return findings
}

// look asks the resolver and, where a step hangs on the answer, the name servers
// of the zone: a next key must be known to all of those that answer, and an
// active one whose record the resolver does not see is lost only if none of
// them has it.
func (r *Rotator) look(ctx context.Context, k Key) Finding {
	f := lookup(ctx, r.o.Lookup, k)
	right := f.Verdict == RecordRight
	if f.Verdict == RecordUnknown || right != (k.State == Published) {
		return f
	}
	if k.State != Published && k.State != Active {
		return f
	}
	for _, at := range r.atServers(ctx, k) {
		switch {
		case at.Verdict == RecordUnknown:
		case right && at.Verdict != RecordRight:
			return at
		case !right && at.Verdict == RecordRight:
			f.Verdict, f.Err = RecordUnknown, fmt.Errorf("the resolver in use does not have the record, which %s has", at.Where)
			return f
		}
	}
	return f
}

// atServers asks the name servers of a key's zone, none if they cannot be found.
func (r *Rotator) atServers(ctx context.Context, k Key) []Finding {
	if r.o.Servers == nil {
		return nil
	}
	servers, err := r.o.Servers(ctx, k.ID())
	if err != nil {
		r.o.Logger.Debug("name servers of a zone not found, the resolver alone is believed", "domain", k.Domain, "error", err)
		return nil
	}
	findings := make([]Finding, min(len(servers), maxServers))
	var all sync.WaitGroup
	for i := range findings {
		all.Go(func() {
			findings[i] = lookup(ctx, servers[i].Lookup, k)
			findings[i].Where = servers[i].Name
		})
	}
	all.Wait()
	return findings
}

// CheckAll prepares the successors that are due, and checks the domains whose
// keys wait for something: all others once a day. It is meant to be called every
// few minutes, by one node at a time. What fails is logged and done again the
// next time; an error means that the keys could not be listed.
func (r *Rotator) CheckAll(ctx context.Context) error {
	keys, err := r.o.Store.List(ctx)
	if err != nil {
		return fmt.Errorf("list dkim keys: %w", err)
	}
	all := r.dailyDue()
	domains := make(map[string][]Key)
	for _, k := range keys {
		domains[k.Domain] = append(domains[k.Domain], k)
	}
	for _, k := range r.o.Imported {
		delete(domains, k.Domain) // not in use
	}
	slots := make(chan struct{}, checksAtOnce)
	var done sync.WaitGroup
	for domain, keys := range domains {
		if !all && !r.waits(keys) {
			continue
		}
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		done.Go(func() {
			defer func() { <-slots }()
			r.checkOne(ctx, domain, keys)
		})
	}
	done.Wait()
	if all && ctx.Err() == nil {
		r.checkImported(ctx)
		r.mu.Lock()
		r.daily = r.o.Now()
		r.mu.Unlock()
	}
	return ctx.Err()
}

func (r *Rotator) dailyDue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.daily.IsZero() || !r.o.Now().Before(r.daily.Add(everyDomain))
}

// waits reports whether a step of one of the keys may be near.
func (r *Rotator) waits(keys []Key) bool {
	now := r.o.Now()
	for _, k := range keys {
		switch {
		case k.State == Published, !k.Missed.IsZero(), r.old(k, now):
			return true
		case k.State == Retired && !now.Before(k.Since.Add(r.o.Keep)):
			return true
		}
	}
	return false
}

func (r *Rotator) checkOne(ctx context.Context, domain string, keys []Key) {
	if due := r.due(keys); len(due) > 0 {
		if _, err := r.Prepare(ctx, domain, due...); err != nil && ctx.Err() == nil {
			r.o.Logger.Warn("next dkim key not made", "domain", domain, "error", err)
		}
	}
	if _, _, err := r.Check(ctx, domain); err != nil && ctx.Err() == nil {
		r.o.Logger.Warn("dkim keys not checked", "domain", domain, "error", err)
	}
}

// due lists the algorithms whose signing key is old and has no successor.
func (r *Rotator) due(keys []Key) []Algorithm {
	var due []Algorithm
	for _, k := range signing(keys) {
		if _, has := next(keys, k.Algorithm); !has && r.old(k, r.o.Now()) {
			due = append(due, k.Algorithm)
		}
	}
	return due
}

// old reports whether a key wants a successor. One that was never seen in the
// DNS does not: nobody would publish that either.
func (r *Rotator) old(k Key, now time.Time) bool {
	return r.o.Every > 0 && k.State == Active && !k.Seen.IsZero() && !now.Before(k.Created.Add(r.o.Every))
}

// checkImported warns of imported keys whose record is not there, once each
// time that begins.
func (r *Rotator) checkImported(ctx context.Context) {
	for _, k := range r.o.Imported {
		if k.State != Active {
			continue
		}
		look, cancel := context.WithTimeout(ctx, checkTime)
		f := r.look(look, k)
		cancel()
		if f.Verdict == RecordUnknown {
			continue
		}
		r.mu.Lock()
		there, known := r.imported[k.ID()]
		r.imported[k.ID()] = f.Verdict == RecordRight
		r.mu.Unlock()
		switch right := f.Verdict == RecordRight; {
		case !right && (there || !known):
			r.tell(ctx, Step{Vanished, k})
		case right && known && !there:
			r.tell(ctx, Step{Appeared, k})
		}
	}
}
