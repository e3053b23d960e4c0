package client

import (
	"context"

	v1 "postrider/api/v1"
)

// Status tells how the mail of the key's account fares, and of a domain, if one is
// named, what the relay knows of its records. Admins name an account.
func (c *Client) Status(ctx context.Context, account, domain string) (v1.Status, error) {
	return get[v1.Status](ctx, c, "/v1/status", queryOf("account", account, "domain", domain))
}
