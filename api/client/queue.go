package client

import (
	"context"
	"net/http"

	v1 "postrider/api/v1"
)

// Queue counts what waits.
func (c *Client) Queue(ctx context.Context) (v1.Queue, error) {
	return get[v1.Queue](ctx, c, "/v1/queue", nil)
}

// Act does something to all recipients that match.
func (c *Client) Act(ctx context.Context, a v1.Action) (v1.ActionResult, error) {
	return post[v1.ActionResult](ctx, c, "/v1/queue/actions", a)
}

// Flush tries waiting recipients now.
func (c *Client) Flush(ctx context.Context, q v1.QueueChange) (v1.ActionResult, error) {
	return post[v1.ActionResult](ctx, c, "/v1/queue/flush", q)
}

// Bounce gives recipients up and reports it to their senders; it is a dry run
// unless b says otherwise.
func (c *Client) Bounce(ctx context.Context, b v1.BounceRequest) (v1.ActionResult, error) {
	return post[v1.ActionResult](ctx, c, "/v1/queue/bounce", b)
}

// Destinations lists what waits by destination.
func (c *Client) Destinations(ctx context.Context, cursor string, limit int) (v1.DestinationList, error) {
	return get[v1.DestinationList](ctx, c, "/v1/queue/destinations", queryOf("cursor", cursor, "limit", limitText(limit)))
}

// Destination shows one of them, and why its mail waits.
func (c *Client) Destination(ctx context.Context, name string) (v1.DestinationDetail, error) {
	return get[v1.DestinationDetail](ctx, c, join("queue", "destinations", name), nil)
}

// Suspensions lists the suspensions in force.
func (c *Client) Suspensions(ctx context.Context) (v1.SuspensionList, error) {
	return get[v1.SuspensionList](ctx, c, "/v1/queue/suspensions", nil)
}

// Suspend keeps mail for a destination back.
func (c *Client) Suspend(ctx context.Context, n v1.NewSuspension) (v1.Suspension, error) {
	return post[v1.Suspension](ctx, c, "/v1/queue/suspensions", n)
}

// Resume ends a suspension.
func (c *Client) Resume(ctx context.Context, id string) error {
	return c.remove(ctx, join("queue", "suspensions", id), nil)
}

// ResumeSelected ends the suspension that has exactly the selectors of s.
func (c *Client) ResumeSelected(ctx context.Context, s v1.NewSuspension) (v v1.Suspension, err error) {
	q := queryOf("domain", s.Domain, "lane", s.Lane, "account", s.Account, "sender", s.Sender)
	return v, c.do(ctx, call{method: http.MethodDelete, path: "/v1/queue/suspensions", query: q}, &v)
}

// Limits are those of the caller.
func (c *Client) Limits(ctx context.Context) (v1.Limits, error) {
	return get[v1.Limits](ctx, c, "/v1/limits", nil)
}
