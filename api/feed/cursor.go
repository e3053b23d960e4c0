package feed

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"

	"postrider/queue"
)

// Latest is the cursor that stands for now: only what happens later is read.
const Latest = "latest"

const (
	cursorVersion = 1
	maxCursor     = 4096 // of a store with a hundred partitions and more
)

// A cursor is a place in the log, or in the history of one message.
const (
	inLog     = 'l'
	inHistory = 'h'
)

type cursor struct {
	kind     byte
	position queue.Position  // inLog
	message  queue.MessageID // inHistory, as is
	offset   uint64
}

func (c cursor) String() string {
	b := []byte{cursorVersion, c.kind}
	if c.kind == inLog {
		b = append(b, c.position...)
	} else {
		b = binary.AppendUvarint(append(b, c.message[:]...), c.offset)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func errCursor() error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_cursor",
		Detail: "The cursor is not one of this feed. Use next_cursor as it was given, or leave it out to start with the oldest event."}
}

func parseCursor(s string) (c cursor, err error) {
	if len(s) > maxCursor {
		return c, errCursor()
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < 2 || b[0] != cursorVersion {
		return c, errCursor()
	}
	c.kind, b = b[1], b[2:]
	switch {
	case c.kind == inLog:
		c.position = queue.Position(b)
		return c, nil
	case c.kind == inHistory && len(b) > len(c.message):
		b = b[copy(c.message[:], b):]
		n := 0
		c.offset, n = binary.Uvarint(b)
		if n == len(b) && n > 0 {
			return c, nil
		}
	}
	return cursor{}, errCursor()
}
