package client

import (
	"context"

	v1 "postrider/api/v1"
)

// Webhooks lists the webhooks of an account; empty: the caller's, for admins all.
func (c *Client) Webhooks(ctx context.Context, account string) (v1.WebhookList, error) {
	return get[v1.WebhookList](ctx, c, "/v1/webhooks", queryOf("account", account))
}

// Webhook returns a webhook, with what waits for it.
func (c *Client) Webhook(ctx context.Context, id string) (v1.Webhook, error) {
	return get[v1.Webhook](ctx, c, join("webhooks", id), nil)
}

// CreateWebhook makes a webhook; its secret is shown only in the answer.
func (c *Client) CreateWebhook(ctx context.Context, n v1.NewWebhook) (v1.NewWebhookSecret, error) {
	return post[v1.NewWebhookSecret](ctx, c, "/v1/webhooks", n)
}

// ChangeWebhook changes a webhook.
func (c *Client) ChangeWebhook(ctx context.Context, id string, change v1.WebhookChange) (v1.Webhook, error) {
	return patch[v1.Webhook](ctx, c, join("webhooks", id), change)
}

// DeleteWebhook removes a webhook.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.remove(ctx, join("webhooks", id), nil)
}

// RotateWebhook gives a webhook a new secret, which is shown only in the answer.
func (c *Client) RotateWebhook(ctx context.Context, id string) (v1.WebhookSecret, error) {
	return post[v1.WebhookSecret](ctx, c, join("webhooks", id, "rotate-secret"), nil)
}

// TestWebhook posts a test event now.
func (c *Client) TestWebhook(ctx context.Context, id string) (v1.WebhookDelivery, error) {
	return post[v1.WebhookDelivery](ctx, c, join("webhooks", id, "test"), nil)
}

// WebhookDeliveries lists the last requests to a webhook.
func (c *Client) WebhookDeliveries(ctx context.Context, id string) (v1.WebhookDeliveryList, error) {
	return get[v1.WebhookDeliveryList](ctx, c, join("webhooks", id, "deliveries"), nil)
}

// ReplayWebhook sends past events once more.
func (c *Client) ReplayWebhook(ctx context.Context, id string, n v1.NewReplay) (v1.Replay, error) {
	return post[v1.Replay](ctx, c, join("webhooks", id, "replay"), n)
}
