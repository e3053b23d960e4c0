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
	store    queue.Registry
	defaults intake.Policy

	mu      sync.Mutex
	version uint64
	entries map[string]*entry
}

// account returns queue.ErrNotFound if there is none, and is quick if it was
// asked before.
func (d *directory) account(ctx context.Context, name string) (*entry, error) {
	version, err := d.store.RegistryVersion(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up account: %w", err)
	}
	d.mu.Lock()
	if d.version != version || d.entries == nil {
		d.version, d.entries = version, map[string]*entry{}
	}
	e := d.entries[name]
	d.mu.Unlock()
	if e != nil {
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
