package client

import (
	"context"

	v1 "postrider/api/v1"
)

// Sites lists the sites that mail goes to with their limits, paused ones first.
func (c *Client) Sites(ctx context.Context, limit int) (v1.SiteList, error) {
	return get[v1.SiteList](ctx, c, "/v1/queue/sites", queryOf("limit", limitText(limit)))
}

// UnpauseSite ends the pause of a site.
func (c *Client) UnpauseSite(ctx context.Context, site string) error {
	return c.remove(ctx, "/v1/queue/sites/pause", queryOf("site", site))
}
