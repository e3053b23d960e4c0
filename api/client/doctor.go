package client

import (
	"context"

	v1 "postrider/api/v1"
)

// Examine has the relay examine itself, and these domains, or all that it knows.
// It takes up to a minute.
func (c *Client) Examine(ctx context.Context, domains []string) (v1.Examination, error) {
	return post[v1.Examination](ctx, c, "/v1/doctor", v1.NewExamination{Domains: domains})
}

// LastExamination is what the relay found by itself last.
func (c *Client) LastExamination(ctx context.Context) (v1.Examination, error) {
	return get[v1.Examination](ctx, c, "/v1/doctor", nil)
}
