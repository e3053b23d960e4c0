package webhook

import (
	"strings"

	"postrider/queue"
)

const (
	idPrefix     = "whk_"
	replayPrefix = "rpl_"
)

// isID reports whether s looks like an id of an endpoint.
func isID(s string) bool {
	text, ok := strings.CutPrefix(s, idPrefix)
	return ok && len(text) == queue.IDLen && strings.Trim(text, queue.Crockford) == ""
}
