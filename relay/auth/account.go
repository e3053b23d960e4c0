package auth

import (
	"context"
	"fmt"
	"regexp"
	"strings"
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
		senders, err := intake.ParseAddresses(a.AllowedSenders)
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

// Policy implements intake.Policies: what the account may do, narrowed by the
// limits of the key that is used.
func (a *Authenticator) Policy(ctx context.Context, account, credential string) (intake.Policy, error) {
	p, err := a.accountPolicy(ctx, account)
	if err != nil || credential == "" || a.isStaticKey(account, credential) {
		return p, err
	}
	k, err := a.directory.key(ctx, credential)
	if isNotFound(err) {
		return p, intake.ErrCredential
	}
	if err != nil {
		return p, err
	}
	if k.Account != account || k.expired(a.o.Now()) {
		return p, intake.ErrCredential
	}
	return k.narrow(p), nil
}

func (a *Authenticator) accountPolicy(ctx context.Context, account string) (intake.Policy, error) {
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
