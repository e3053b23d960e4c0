package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/api"
	v1 "postrider/api/v1"
	"postrider/configs"
	"postrider/queue"
	"postrider/relay/auth"
	"postrider/relay/intake"
)

// firstAccount is the name of the account that a relay without any makes.
const firstAccount = "postrider"

// accountFreshness spares a busy node asking Redis for every login and sender.
const accountFreshness = time.Second

func (a *App) buildAuth() error {
	general, err := a.policyOf(configs.Account{})
	if err != nil {
		return fmt.Errorf("submission: %w", err)
	}
	o := auth.Options{Store: a.store, Trusted: general, Local: general, Defaults: general, Now: a.now, Logger: a.log}
	if !a.cfg.Store.Embedded() {
		o.Freshness = accountFreshness
	}
	for _, acc := range a.cfg.Accounts {
		p, err := a.policyOf(acc)
		if err != nil {
			return fmt.Errorf("account %s: %w", acc.Name, err)
		}
		o.Static = append(o.Static, auth.Static{Name: acc.Name, Secret: acc.Password.Reveal(), Policy: p})
	}
	if a.auth, err = auth.New(o); err != nil {
		return fmt.Errorf("accounts: %w", err)
	}
	return nil
}

// policyOf is what the configuration says of an account; the zero Account stands
// for trusted networks, the socket and what registry accounts leave open.
func (a *App) policyOf(acc configs.Account) (intake.Policy, error) {
	senders, err := intake.ParseAddresses(a.cfg.AllowedSendersFor(acc))
	if err != nil {
		return intake.Policy{}, err
	}
	return intake.Policy{
		Senders: senders, From: intake.FromPolicy(a.cfg.FromPolicyFor(acc)),
		DefaultSender: addressOf(a.cfg.DefaultSenderFor(acc)), HourlyLimit: a.cfg.RatePerHourFor(acc),
	}, nil
}

// ensureAccount makes an account where nobody could send otherwise.
func (a *App) ensureAccount(ctx context.Context) error {
	if !a.cfg.NeedsFirstAccount() {
		return nil
	}
	first, made, err := a.auth.CreateFirst(ctx, firstAccount)
	if err != nil {
		return fmt.Errorf("make the first account: %w", err)
	}
	a.first.name, a.first.password, a.first.key, a.first.made = first.Name, first.Password, first.Key, made
	return nil
}

// accounts is the administration of accounts as the API wants it.
type accounts struct {
	auth *auth.Authenticator
}

var _ api.Accounts = accounts{}

func (s accounts) List(ctx context.Context) ([]v1.Account, error) {
	list, err := s.auth.List(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]v1.Account, 0, len(list))
	for _, acc := range list {
		v := v1.Account{
			Name: acc.Name, Source: "registry", Disabled: acc.Disabled, AllowedSenders: acc.AllowedSenders,
			FromPolicy: string(acc.From), DefaultSender: acc.DefaultSender.String(), HourlyLimit: acc.HourlyLimit,
		}
		if acc.Static {
			v.Source = "configuration"
		}
		if !acc.Created.IsZero() {
			v.CreatedAt = &acc.Created
		}
		out = append(out, v)
	}
	return out, nil
}

func (s accounts) Create(ctx context.Context, n v1.NewAccount) (string, error) {
	acc := auth.Account{Name: n.Name, AllowedSenders: n.AllowedSenders, From: intake.FromPolicy(n.FromPolicy), HourlyLimit: n.HourlyLimit}
	if n.DefaultSender != "" {
		sender, err := queue.ParseAddress(n.DefaultSender)
		if err != nil {
			return "", err
		}
		acc.DefaultSender = sender
	}
	password, err := s.auth.Create(ctx, acc, n.Password)
	return password, told(err)
}

func (s accounts) Change(ctx context.Context, name string, c v1.AccountChange) (password string, err error) {
	if c.Disabled != nil {
		if *c.Disabled == "" {
			err = s.auth.Enable(ctx, name)
		} else {
			err = s.auth.Disable(ctx, name, *c.Disabled)
		}
		if err != nil {
			return "", told(err)
		}
	}
	if c.NewPassword || c.Password != nil {
		wanted := ""
		if c.Password != nil {
			wanted = *c.Password
		}
		password, err = s.auth.SetPassword(ctx, name, wanted)
	}
	return password, told(err)
}

func (s accounts) Delete(ctx context.Context, name string) error {
	return told(s.auth.Delete(ctx, name))
}

// told marks the errors that the caller can mend: all but the store's trouble,
// and those that the API knows by themselves.
func told(err error) error {
	for _, known := range []error{
		queue.ErrNotFound, queue.ErrExists, queue.ErrVersion, queue.ErrUnavailable, queue.ErrFull,
		context.Canceled, context.DeadlineExceeded,
	} {
		if err == nil || errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", api.ErrInvalid, err)
}
