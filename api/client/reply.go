package client

import (
	"context"

	v1 "postrider/api/v1"
)

// UnknownReplies lists the kinds of replies that no rule knew, the most frequent
// first.
func (c *Client) UnknownReplies(ctx context.Context, limit int) (v1.UnknownReplyList, error) {
	return get[v1.UnknownReplyList](ctx, c, "/v1/replies/unknown", queryOf("limit", limitText(limit)))
}
