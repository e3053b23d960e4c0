package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// maxEvent bounds one event of a stream, in octets.
const maxEvent = 4 << 20

var errLongEvent = errors.New("an event of the stream is too long")

// frame is one event of a stream as the HTML standard defines text/event-stream.
type frame struct {
	id    string // the last one that was given
	kind  string // empty: message
	data  string
	retry time.Duration // 0: none was given
}

// frames reads a stream of events.
type frames struct {
	r     *bufio.Reader
	id    string
	first bool
}

func newFrames(r io.Reader) *frames { return &frames{r: bufio.NewReader(r), first: true} }

// next returns the next frame, which may be of comments alone and have no data;
// io.EOF at the end of the stream, also within a frame, which then counts for
// nothing.
func (f *frames) next() (frame, error) {
	var v frame
	var data bytes.Buffer
	lines, size := 0, 0
	for {
		line, err := f.line()
		if err != nil {
			return frame{}, err
		}
		if size += len(line); size > maxEvent {
			return frame{}, errLongEvent
		}
		if line == "" {
			v.id = f.id
			v.data = strings.TrimSuffix(data.String(), "\n")
			if lines > 0 {
				return v, nil
			}
			continue
		}
		lines++
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			if !strings.ContainsRune(value, 0) {
				f.id = value
			}
		case "event":
			v.kind = value
		case "data":
			data.WriteString(value)
			data.WriteByte('\n')
		case "retry":
			if ms, err := strconv.ParseUint(value, 10, 20); err == nil {
				v.retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
}

// line reads up to a line feed; our relay ends no line otherwise.
func (f *frames) line() (string, error) {
	var text []byte
	for {
		part, err := f.r.ReadSlice('\n')
		if len(text)+len(part) > maxEvent {
			return "", errLongEvent
		}
		text = append(text, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return "", io.EOF
		case err != nil:
			return "", fmt.Errorf("read events: %w", err)
		}
		break
	}
	if f.first {
		text, f.first = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), false
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
}
