package webhook

import (
	"encoding/binary"
	"strings"

	"github.com/google/uuid"
)

const (
	idPrefix     = "whk_"
	replayPrefix = "rpl_"
	idLen        = 26
	crockford    = "0123456789abcdefghjkmnpqrstvwxyz"
)

// newID makes an id as those of package queue are: a UUIDv7 in lower-case
// Crockford base32, after a prefix.
func newID(prefix string) string {
	id := uuid.Must(uuid.NewV7())
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	var b [idLen]byte
	for i := idLen - 1; i >= 0; i-- {
		b[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return prefix + string(b[:])
}

// isID reports whether s looks like an id of an endpoint.
func isID(s string) bool {
	text, ok := strings.CutPrefix(s, idPrefix)
	return ok && len(text) == idLen && strings.Trim(text, crockford) == ""
}
