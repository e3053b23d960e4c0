package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"postrider/queue"
	"postrider/relay/intake"
)

// Account is who sends, as the registry keeps it. Empty policy fields stand for
// Options.Defaults.
type Account struct {
	Name           string            `json:"name"`
	PasswordHash   string            `json:"password_hash,omitempty"` // empty: keys only
	Created        time.Time         `json:"created"`
	Disabled       string            `json:"disabled,omitempty"` // why it may not send; empty: it may
	AllowedSenders []string          `json:"allowed_senders,omitempty"`
	From           intake.FromPolicy `json:"from,omitempty"`
	DefaultSender  queue.Address     `json:"default_sender,omitzero"`
	HourlyLimit    int               `json:"hourly_limit,omitempty"`
	Scopes         []Scope           `json:"scopes,omitempty"` // of the password; empty: send and read
	Static         bool              `json:"-"`                // of the configuration: cannot be changed here
}

var passwordScopes = []Scope{ScopeSend, ScopeRead}

func (a Account) scopes() []Scope {
	if len(a.Scopes) > 0 {
		return a.Scopes
	}
	return passwordScopes
}

var accountName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._@+-]{0,62}[a-z0-9])?$`)

// fold is how names are compared.
func fold(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

func checkName(name string) error {
	switch {
	case !accountName.MatchString(name):
		return fmt.Errorf("account name %.80q: use 1 to 64 of the letters a-z 0-9 . _ @ + -, with a letter or digit at both ends", name)
	case name == AccountTrusted || name == AccountLocal:
		return fmt.Errorf("account name %q belongs to clients without a password: choose another", name)
	}
	return nil
}

// policy is what the account may do, where defaults fill what it leaves open.
func (a Account) policy(defaults intake.Policy) (intake.Policy, error) {
	p := defaults
	p.Disabled = a.Disabled
	if len(a.AllowedSenders) > 0 {
		senders, err := intake.ParseSenders(a.AllowedSenders)
		if err != nil {
			return p, fmt.Errorf("allowed senders of account %q: %w", a.Name, err)
		}
		p.Senders, p.DefaultSender = senders, queue.Address{}
	}
	switch a.From {
	case "":
	case intake.FromAccept, intake.FromReject, intake.FromRewrite:
		p.From = a.From
	default:
		return p, fmt.Errorf("from policy %.40q of account %q: use accept, reject or rewrite", a.From, a.Name)
	}
	if !a.DefaultSender.IsNull() {
		p.DefaultSender = a.DefaultSender
	}
	if a.HourlyLimit > 0 {
		p.HourlyLimit = a.HourlyLimit
	}
	return p, nil
}

// entry is an account ready for use.
type entry struct {
	Account
	policy  intake.Policy
	version uint64
}

// directory keeps copies of accounts until the registry changes.
type directory struct {
	store     queue.Registry
	defaults  intake.Policy
	freshness time.Duration
	now       func() time.Time

	mu      sync.Mutex
	version uint64
	entries map[string]*entry
	asked   time.Time // when version was seen
	changes int       // made here
}

// lookupTime bounds the wait for the registry: a client that logs in or begins
// a message gets its answer within two seconds.
const lookupTime = 1500 * time.Millisecond

// account returns queue.ErrNotFound if there is none, and is quick if it was
// asked before.
func (d *directory) account(ctx context.Context, name string) (*entry, error) {
	now := d.now()
	e, changes := d.fresh(name, now)
	if e != nil {
		return e, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	version, err := d.store.RegistryVersion(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up account: %w", err)
	}
	if e = d.at(version, name, now, changes); e != nil {
		return e, nil
	}
	r, err := d.store.GetRecord(ctx, queue.RecordAccount, name)
	if err != nil {
		return nil, fmt.Errorf("look up account: %w", err)
	}
	if e, err = d.entry(r); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.version == version { // what was read is at least as new
		d.entries[name] = e
	}
	return e, nil
}

// fresh returns a copy that is good without asking, or nil, and the count of
// changes made here.
func (d *directory) fresh(name string, now time.Time) (*entry, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Before(d.asked.Add(d.freshness)) {
		return d.entries[name], d.changes
	}
	return nil, d.changes
}

// at takes note of the registry's version, seen after so many changes, and
// returns a copy of that version or nil.
func (d *directory) at(version uint64, name string, now time.Time, changes int) *entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.version != version || d.entries == nil {
		d.version, d.entries = version, map[string]*entry{}
	}
	if d.changes == changes {
		d.asked = now
	}
	return d.entries[name]
}

// changed is called after every change made here: it counts at once.
func (d *directory) changed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes++
	d.asked = time.Time{}
}

func (d *directory) entry(r queue.Record) (*entry, error) {
	e := &entry{version: r.Version}
	if err := json.Unmarshal(r.Value, &e.Account); err != nil {
		return nil, fmt.Errorf("read account %q: %w", r.Name, err)
	}
	var err error
	e.policy, err = e.Account.policy(d.defaults)
	return e, err
}

// Policy implements intake.Policies.
func (a *Authenticator) Policy(ctx context.Context, account string) (intake.Policy, error) {
	switch account {
	case AccountTrusted:
		return a.o.Trusted, nil
	case AccountLocal:
		return a.o.Local, nil
	}
	if s, ok := a.static[account]; ok {
		return s.policy, nil
	}
	e, err := a.directory.account(ctx, account)
	if err != nil {
		return intake.Policy{}, err
	}
	return e.policy, nil
}

var _ intake.Policies = (*Authenticator)(nil)

func isNotFound(err error) bool { return errors.Is(err, queue.ErrNotFound) }
