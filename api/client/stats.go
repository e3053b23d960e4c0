package client

import (
	"context"
	"strings"
	"time"

	v1 "postrider/api/v1"
)

// StatsQuery asks for counts. What is empty is left to the relay.
type StatsQuery struct {
	Account, Dimension, Granularity, Timezone string
	Metrics                                   []string
	From, To                                  time.Time
}

// Stats counts what became of mail.
func (c *Client) Stats(ctx context.Context, q StatsQuery) (v1.Stats, error) {
	return get[v1.Stats](ctx, c, "/v1/stats", queryOf(
		"account", q.Account, "dimension", q.Dimension, "granularity", q.Granularity, "timezone", q.Timezone,
		"metrics", strings.Join(q.Metrics, ","), "from", timeText(q.From), "to", timeText(q.To)))
}
