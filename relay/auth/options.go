package auth

import (
	"log/slog"
	"time"

	"postrider/queue"
	"postrider/relay/intake"
)

// Store is what auth needs of the queue's store.
type Store interface {
	queue.Registry
	queue.Limits
	queue.Cache
}

// Static is an account of the configuration.
type Static struct {
	Name   string
	Secret string
	Policy intake.Policy
}

// StaticKey is a key of the configuration, such as the admin key.
type StaticKey struct {
	Name    string // for the log and Identity.Credential
	Secret  string // any text; at least 16 octets
	Account string // who it acts as
	Scopes  []Scope
}

// Budget is how many failed logins are borne: so many a minute and a day.
type Budget struct{ PerMinute, PerDay int }

// Options are what an Authenticator needs. Store is required.
type Options struct {
	Store  Store
	Static []Static
	Keys   []StaticKey

	// Trusted and Local are the policies of the accounts of those names.
	Trusted intake.Policy
	Local   intake.Policy
	// Defaults fill what a registry account leaves open: allowed senders with
	// From policy and default sender, and the hourly limit.
	Defaults intake.Policy

	AddressBudget Budget // by IPv4 address or IPv6 /64; 0: 10 a minute, 50 a day
	AccountBudget Budget // by account, from addresses not known to be good; 0: 20 a minute, 200 a day

	CacheSize int           // verified credentials; 0: 4096
	CacheTTL  time.Duration // 0: 10 min
	KnownGood time.Duration // how long an address that logged in is trusted not to guess; 0: 24 h
	// Freshness is for how long accounts and keys are taken to be unchanged, and so
	// how late another node's change is noticed; 0: the registry is asked each time.
	Freshness time.Duration
	Waiting   int // passwords waiting to be hashed; 0: 32

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discard
}

func (o Options) withDefaults() Options {
	if o.AddressBudget == (Budget{}) {
		o.AddressBudget = Budget{PerMinute: 10, PerDay: 50}
	}
	if o.AccountBudget == (Budget{}) {
		o.AccountBudget = Budget{PerMinute: 20, PerDay: 200}
	}
	if o.CacheSize <= 0 {
		o.CacheSize = 4096
	}
	if o.CacheTTL <= 0 {
		o.CacheTTL = 10 * time.Minute
	}
	if o.KnownGood <= 0 {
		o.KnownGood = 24 * time.Hour
	}
	if o.Waiting <= 0 {
		o.Waiting = 32
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
