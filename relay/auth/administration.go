package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postrider/queue"
)

// ErrStatic: the account is of the configuration and can only be changed there.
var ErrStatic = errors.New("account is set in the configuration: change it there")

// minPassword is the shortest password a person may choose.
const minPassword = 8

// Create makes an account of a's name and policy fields. With an empty password
// it generates one and returns it, which cannot be had again. queue.ErrExists
// if the name is taken.
func (a *Authenticator) Create(ctx context.Context, acc Account, password string) (generated string, err error) {
	acc.Name = fold(acc.Name)
	if err := a.checkChange(acc); err != nil {
		return "", err
	}
	if acc.PasswordHash, generated, err = a.newPassword(ctx, password); err != nil {
		return "", err
	}
	acc.Created = a.o.Now().UTC()
	err = a.put(ctx, acc, 0)
	if errors.Is(err, queue.ErrVersion) {
		err = queue.ErrExists
	}
	if err != nil {
		return "", fmt.Errorf("create account %q: %w", acc.Name, err)
	}
	return generated, nil
}

// Exists reports whether there is an account of this name, in any letter case.
func (a *Authenticator) Exists(ctx context.Context, name string) (bool, error) {
	name = fold(name)
	if _, ok := a.static[name]; ok {
		return true, nil
	}
	if checkName(name) != nil {
		return false, nil
	}
	_, err := a.directory.account(ctx, name)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func (a *Authenticator) checkChange(acc Account) error {
	if err := checkName(acc.Name); err != nil {
		return err
	}
	if _, ok := a.static[acc.Name]; ok {
		return fmt.Errorf("account %q: %w", acc.Name, ErrStatic)
	}
	if err := checkScopes(acc.Scopes); err != nil {
		return fmt.Errorf("scopes of account %q: %w", acc.Name, err)
	}
	_, err := acc.policy(a.o.Defaults)
	return err
}

func (a *Authenticator) newPassword(ctx context.Context, password string) (hash, generated string, err error) {
	switch {
	case password == "":
		generated = newSecret(passwordPrefix)
		return digestHash(generated), generated, nil
	case len(password) < minPassword || len(password) > maxPassword:
		return "", "", fmt.Errorf("password has %d octets: use %d to %d, or let one be generated", len(password), minPassword, maxPassword)
	case strings.HasPrefix(password, keyPrefix):
		return "", "", fmt.Errorf("password looks like a key: choose one that does not begin with %s", keyPrefix)
	case strings.ContainsRune(password, 0):
		return "", "", errors.New("password has a NUL, which clients cannot send")
	}
	hash, err = a.hasher.hash(ctx, password)
	return hash, "", err
}

// SetPassword changes an account's password; an empty one is generated and
// returned. Logins with the old one end at once.
func (a *Authenticator) SetPassword(ctx context.Context, name, password string) (generated string, err error) {
	hash, generated, err := a.newPassword(ctx, password)
	if err != nil {
		return "", err
	}
	return generated, a.Update(ctx, name, func(acc *Account) { acc.PasswordHash = hash })
}

// Disable lets the account log in but not send; senders are told the reason.
func (a *Authenticator) Disable(ctx context.Context, name, reason string) error {
	if reason == "" {
		reason = "it was disabled by the relay's operator"
	}
	return a.Update(ctx, name, func(acc *Account) { acc.Disabled = reason })
}

// Enable ends Disable.
func (a *Authenticator) Enable(ctx context.Context, name string) error {
	return a.Update(ctx, name, func(acc *Account) { acc.Disabled = "" })
}

// Update changes an account; change may be called again if somebody else was
// quicker. Its name stays. queue.ErrNotFound if there is none.
func (a *Authenticator) Update(ctx context.Context, name string, change func(*Account)) error {
	name = fold(name)
	if _, ok := a.static[name]; ok {
		return fmt.Errorf("account %q: %w", name, ErrStatic)
	}
	for {
		r, err := a.o.Store.GetRecord(ctx, queue.RecordAccount, name)
		if err != nil {
			return fmt.Errorf("change account %.80q: %w", name, err)
		}
		var acc Account
		if err := json.Unmarshal(r.Value, &acc); err != nil {
			return fmt.Errorf("read account %q: %w", name, err)
		}
		change(&acc)
		acc.Name = name
		if err := a.checkChange(acc); err != nil {
			return err
		}
		if err := a.put(ctx, acc, r.Version); !errors.Is(err, queue.ErrVersion) {
			return err
		}
	}
}

func (a *Authenticator) put(ctx context.Context, acc Account, version uint64) error {
	value, err := json.Marshal(acc)
	if err != nil {
		return fmt.Errorf("write account: %w", err)
	}
	defer a.directory.changed()
	_, err = a.o.Store.PutRecord(ctx, queue.Record{Kind: queue.RecordAccount, Name: acc.Name, Version: version, Value: value})
	return err
}

// Delete ends an account and its keys. Mail it handed in stays.
func (a *Authenticator) Delete(ctx context.Context, name string) error {
	name = fold(name)
	if _, ok := a.static[name]; ok {
		return fmt.Errorf("account %q: %w", name, ErrStatic)
	}
	r, err := a.o.Store.GetRecord(ctx, queue.RecordAccount, name)
	if err != nil {
		return fmt.Errorf("delete account %.80q: %w", name, err)
	}
	keys, err := a.Keys(ctx, name)
	if err != nil {
		return err
	}
	for _, k := range keys { // first, lest they open a later account of this name
		if err := a.DeleteKey(ctx, k.ID); err != nil && !isNotFound(err) {
			return err
		}
	}
	defer a.directory.changed()
	if err := a.o.Store.DeleteRecord(ctx, r); err != nil {
		return fmt.Errorf("delete account %q: %w", name, err)
	}
	return nil
}

// Get returns an account; queue.ErrNotFound if there is none.
func (a *Authenticator) Get(ctx context.Context, name string) (Account, error) {
	name = fold(name)
	if s, ok := a.static[name]; ok {
		return Account{Name: name, Disabled: s.policy.Disabled, Static: true}, nil
	}
	e, err := a.directory.account(ctx, name)
	if err != nil {
		return Account{}, fmt.Errorf("account %.80q: %w", name, err)
	}
	return e.Account, nil
}

// List returns all accounts, those of the configuration included, by name. Of
// an account that is in both, the configuration's is the one that counts.
func (a *Authenticator) List(ctx context.Context) ([]Account, error) {
	var all []Account
	for name, s := range a.static {
		all = append(all, Account{Name: name, Disabled: s.policy.Disabled, Static: true})
	}
	err := a.each(ctx, queue.RecordAccount, func(r queue.Record) error {
		var acc Account
		if err := json.Unmarshal(r.Value, &acc); err != nil {
			return fmt.Errorf("read account %q: %w", r.Name, err)
		}
		if _, ok := a.static[acc.Name]; !ok {
			all = append(all, acc)
		}
		return nil
	})
	slices.SortFunc(all, func(x, y Account) int { return strings.Compare(x.Name, y.Name) })
	return all, err
}

func (a *Authenticator) each(ctx context.Context, kind queue.RecordKind, do func(queue.Record) error) error {
	for r, err := range queue.Records(ctx, a.o.Store, kind, "") {
		if err == nil {
			err = do(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// First is the account of a fresh relay. Its secrets cannot be had again.
type First struct {
	Name     string
	Password string
	Key      string // with all scopes
}

// CreateFirst makes an account with a password and a key if there is none at
// all; created says whether it did.
func (a *Authenticator) CreateFirst(ctx context.Context, name string) (f First, created bool, err error) {
	if len(a.static) > 0 {
		return First{}, false, nil
	}
	rs, err := a.o.Store.ListRecords(ctx, queue.RecordAccount, "", "", 1)
	if err != nil || len(rs) > 0 {
		return First{}, false, err
	}
	f.Name = fold(name)
	f.Password, err = a.Create(ctx, Account{Name: name}, "")
	if errors.Is(err, queue.ErrExists) { // another node was quicker
		return First{}, false, nil
	}
	if err != nil {
		return First{}, false, err
	}
	f.Key, _, err = a.CreateKey(ctx, NewKey{Account: name, Label: "made at the first start", Scopes: []Scope{ScopeAdmin}})
	return f, err == nil, err
}
