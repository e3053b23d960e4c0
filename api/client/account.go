package client

import (
	"context"

	v1 "postrider/api/v1"
)

// Accounts lists the accounts.
func (c *Client) Accounts(ctx context.Context) (v1.AccountList, error) {
	return get[v1.AccountList](ctx, c, "/v1/accounts", nil)
}

// Account returns an account.
func (c *Client) Account(ctx context.Context, name string) (v1.Account, error) {
	return get[v1.Account](ctx, c, join("accounts", name), nil)
}

// CreateAccount makes an account; its password is shown only in the answer.
func (c *Client) CreateAccount(ctx context.Context, a v1.NewAccount) (v1.Secret, error) {
	return post[v1.Secret](ctx, c, "/v1/accounts", a)
}

// ChangeAccount changes an account.
func (c *Client) ChangeAccount(ctx context.Context, name string, change v1.AccountChange) (v1.Secret, error) {
	return patch[v1.Secret](ctx, c, join("accounts", name), change)
}

// DeleteAccount removes an account.
func (c *Client) DeleteAccount(ctx context.Context, name string) error {
	return c.remove(ctx, join("accounts", name), nil)
}

// Self says who calls.
func (c *Client) Self(ctx context.Context) (v1.Self, error) {
	return get[v1.Self](ctx, c, "/v1/keys/self", nil)
}

// Keys lists the keys of an account; empty: the caller's, for admins all.
func (c *Client) Keys(ctx context.Context, account string) (v1.KeyList, error) {
	return get[v1.KeyList](ctx, c, "/v1/keys", queryOf("account", account))
}

// Key returns a key, without its secret.
func (c *Client) Key(ctx context.Context, id string) (v1.Key, error) {
	return get[v1.Key](ctx, c, join("keys", id), nil)
}

// CreateKey makes a key; its secret is shown only in the answer.
func (c *Client) CreateKey(ctx context.Context, n v1.NewKey) (v1.NewSecretKey, error) {
	return post[v1.NewSecretKey](ctx, c, "/v1/keys", n)
}

// ChangeKey changes a key.
func (c *Client) ChangeKey(ctx context.Context, id string, change v1.KeyChange) (v1.Key, error) {
	return patch[v1.Key](ctx, c, join("keys", id), change)
}

// DeleteKey ends a key.
func (c *Client) DeleteKey(ctx context.Context, id string) error {
	return c.remove(ctx, join("keys", id), nil)
}

// Domains lists the sending domains.
func (c *Client) Domains(ctx context.Context) (v1.DomainList, error) {
	return get[v1.DomainList](ctx, c, "/v1/domains", nil)
}

// Domain returns a sending domain with its records as they were found last.
func (c *Client) Domain(ctx context.Context, name string) (v1.Domain, error) {
	return get[v1.Domain](ctx, c, join("domains", name), nil)
}

// AddDomain puts a sending domain on the list.
func (c *Client) AddDomain(ctx context.Context, name string) (v1.Domain, error) {
	return post[v1.Domain](ctx, c, "/v1/domains", v1.NewDomain{Name: name})
}

// RemoveDomain takes a sending domain off the list.
func (c *Client) RemoveDomain(ctx context.Context, name string) error {
	return c.remove(ctx, join("domains", name), nil)
}

// VerifyDomain looks a domain's records up now.
func (c *Client) VerifyDomain(ctx context.Context, name string) (v1.Domain, error) {
	return post[v1.Domain](ctx, c, join("domains", name, "verify"), nil)
}

// RotateDomain changes the DKIM keys of a domain as far as that may be done now.
func (c *Client) RotateDomain(ctx context.Context, domain string, n v1.NewRotation) (v1.Rotation, error) {
	return post[v1.Rotation](ctx, c, join("domains", domain, "rotate"), n)
}

// Records returns what a domain should publish.
func (c *Client) Records(ctx context.Context, domain string) (v1.Records, error) {
	return get[v1.Records](ctx, c, join("domains", domain, "records"), nil)
}

// Streams lists the streams of an account; empty: the caller's.
func (c *Client) Streams(ctx context.Context, account string) (v1.StreamList, error) {
	return get[v1.StreamList](ctx, c, "/v1/streams", queryOf("account", account))
}

// CreateStream makes a stream.
func (c *Client) CreateStream(ctx context.Context, n v1.NewStream) (v1.Stream, error) {
	return post[v1.Stream](ctx, c, "/v1/streams", n)
}

// Stream returns a stream of an account; empty: the caller's.
func (c *Client) Stream(ctx context.Context, account, name string) (v1.Stream, error) {
	return get[v1.Stream](ctx, c, join("streams", name), queryOf("account", account))
}

// ChangeStream changes a stream.
func (c *Client) ChangeStream(ctx context.Context, name string, change v1.StreamChange) (v1.Stream, error) {
	return patch[v1.Stream](ctx, c, join("streams", name), change)
}

// DeleteStream removes a stream of an account; empty: the caller's.
func (c *Client) DeleteStream(ctx context.Context, account, name string) error {
	return c.remove(ctx, join("streams", name), queryOf("account", account))
}
