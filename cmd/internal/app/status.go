package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"postrider/api"
	v1 "postrider/api/v1"
	"postrider/queue"
	"postrider/relay/doctor"
	"postrider/relay/intake"
)

// What is looked up of domains for those who send from them.
const (
	lookEvery  = 5 * time.Minute // at most, for one domain
	lookWait   = 5 * time.Second // for the answer; after that it is pending
	lookKeep   = 24 * time.Hour
	lookKept   = 256 // domains whose last look is remembered
	lookPrefix = "doctor/domain/"
)

// sending tells programs how their account stands.
type sending struct {
	policies intake.Policies
	examiner *examiner

	wg     sync.WaitGroup // looks that are under way
	mu     sync.Mutex
	looks  map[string]*look // by domain
	closed bool             // no more looks
}

// look is one look at a domain's records.
type look struct {
	begun time.Time
	stop  context.CancelFunc
	done  chan struct{} // closed when it has ended
}

var _ api.Sending = (*sending)(nil)

func newSending(policies intake.Policies, x *examiner) *sending {
	return &sending{policies: policies, examiner: x, looks: map[string]*look{}}
}

// drain gives up what is looked at.
func (s *sending) drain(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for _, l := range s.looks {
		l.stop()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sending) policy(ctx context.Context, account, credential string) (intake.Policy, error) {
	p, err := s.policies.Policy(ctx, account, credential)
	switch {
	case errors.Is(err, intake.ErrCredential):
		return p, queue.ErrNotFound
	case err != nil:
		return p, fmt.Errorf("policy of an account: %w", err)
	}
	return p, nil
}

// Senders implements api.Sending.
func (s *sending) Senders(ctx context.Context, account, credential string) (v v1.StatusSenders, disabled string, err error) {
	p, err := s.policy(ctx, account, credential)
	if err != nil {
		return v, "", err
	}
	from, instead := p.Sending()
	v = v1.StatusSenders{Any: from == intake.FromAccept, Allowed: append([]string{}, p.Senders.Patterns()...), FromPolicy: string(from)}
	if !instead.IsNull() {
		v.Default = instead.String()
	}
	return v, p.Disabled, nil
}

// Domain implements api.Sending.
func (s *sending) Domain(ctx context.Context, account, credential, domain string) (v v1.StatusDomain, err error) {
	p, err := s.policy(ctx, account, credential)
	if err != nil {
		return v, err
	}
	v = v1.StatusDomain{Name: domain, Findings: []v1.Finding{}}
	if from, _ := p.Sending(); from != intake.FromAccept && !p.Senders.AllowDomain(domain) {
		return v, nil
	}
	v.Allowed = true
	known, err := s.known(ctx, domain)
	if err != nil {
		return v, err
	}
	if known.At.IsZero() || s.examiner.now().Sub(known.At) >= lookEvery {
		if v.Pending = !s.await(ctx, s.look(ctx, domain)); !v.Pending {
			if known, err = s.known(ctx, domain); err != nil {
				return v, err
			}
		}
	}
	tellDomain(&v, known)
	return v, nil
}

// known is what was found last of a domain, by itself or among all.
func (s *sending) known(ctx context.Context, domain string) (v1.Examination, error) {
	x := s.examiner
	all, err := x.Last(ctx)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return all, err
	}
	if !slices.Contains(all.Domains, domain) {
		all = v1.Examination{}
	}
	packed, err := x.cache.CacheGet(ctx, lookPrefix+domain, x.now())
	if errors.Is(err, queue.ErrNotFound) {
		return all, nil
	}
	if err != nil {
		return all, fmt.Errorf("read what is known of a domain: %w", err)
	}
	one, err := unpack(packed)
	if err != nil || one.At.Before(all.At) {
		return all, err
	}
	return one, nil
}

// look begins to look at a domain, unless that was done lately. It returns nil
// where there is no room to remember it.
func (s *sending) look(ctx context.Context, domain string) *look {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.examiner.now()
	if l := s.looks[domain]; l != nil && now.Sub(l.begun) < lookEvery && !now.Before(l.begun) {
		return l
	}
	for name, l := range s.looks {
		if now.Sub(l.begun) >= lookEvery {
			delete(s.looks, name)
		}
	}
	if s.closed || len(s.looks) >= lookKept {
		return nil
	}
	// Who asked may go away: the next one finds what was seen.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), doctorTime)
	l := &look{begun: now, stop: stop, done: make(chan struct{})}
	s.looks[domain] = l
	s.wg.Go(func() {
		defer close(l.done)
		defer stop()
		s.see(ctx, domain)
	})
	return l
}

func (s *sending) await(ctx context.Context, l *look) bool {
	if l == nil {
		return false
	}
	timer := time.NewTimer(lookWait)
	defer timer.Stop()
	select {
	case <-l.done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// see looks, and keeps what it has seen for all nodes.
func (s *sending) see(ctx context.Context, domain string) {
	x := s.examiner
	e, err := x.examineDomain(ctx, domain)
	if err == nil {
		var packed []byte
		if packed, err = pack(e); err == nil {
			err = x.cache.CachePut(ctx, lookPrefix+domain, packed, x.now(), lookKeep)
		}
	}
	if err != nil && ctx.Err() == nil {
		x.log.Warn("records of a domain not looked up for who sends from it", "domain", domain, "error", err)
	}
}

// tellDomain takes from an examination what is of the domain.
func tellDomain(v *v1.StatusDomain, e v1.Examination) {
	if e.At.IsZero() {
		return
	}
	v.Checked = &e.At
	for _, f := range e.Findings {
		if f.Subject != v.Name || !strings.HasPrefix(f.ID, "dom.") {
			continue
		}
		f.Again = "" // a command of the operator's
		v.Findings = append(v.Findings, f)
		for prefix, level := range map[string]*string{"dom.spf": &v.SPF, "dom.dkim": &v.DKIM, "dom.dmarc": &v.DMARC} {
			if strings.HasPrefix(f.ID, prefix) && (*level == "" || worse(f.Level, *level)) {
				*level = f.Level
			}
		}
	}
}

func worse(a, b string) bool {
	return slices.Index(doctor.Levels(), doctor.Level(a)) < slices.Index(doctor.Levels(), doctor.Level(b))
}
