package client

import (
	"io"
	"time"
)

// SetPace hastens the following of streams for tests.
func (c *Client) SetPace(first, last, idle time.Duration) { c.pace = pace{first, last, idle} }

// Frame is one frame of a stream, for tests.
type Frame struct {
	ID, Kind, Data string
	Retry          time.Duration
}

// ReadFrames reads all frames of a stream.
func ReadFrames(r io.Reader) (all []Frame, err error) {
	for f := newFrames(r); ; {
		v, err := f.next()
		if err != nil {
			return all, err
		}
		all = append(all, Frame{v.id, v.kind, v.data, v.retry})
	}
}
