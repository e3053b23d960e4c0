package intake

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"

	"postrider/queue"
	"postrider/queue/suppression"
)

// blocks are the buffers that contents pass through.
var blocks = sync.Pool{New: func() any { b := make([]byte, blockSize); return &b }}

const blockSize = 32 << 10

// entering is one message on its way in.
type entering struct {
	door    *Door
	s       *queue.Submission
	policy  Policy
	now     time.Time
	expires time.Time
	listed  map[int]suppression.Entry // the recipients that are not sent to, by index
	kept    int                       // recipients that staging keeps back
	w       queue.ContentWriter

	text       lines
	facts      queue.Header
	key        string
	website    string // as fieldSite says
	size       int64
	headerSize int64
}

// read takes the content through normalising and repair into the store.
func (e *entering) read() error {
	block := blocks.Get().(*[]byte)
	defer blocks.Put(block)
	out := blocks.Get().(*[]byte)
	defer func() { blocks.Put(out) }()

	text, ended, err := e.readHeader(*block, (*out)[:0])
	if err != nil {
		return err
	}
	h, body, refusal := parseHeader(text)
	if refusal == nil {
		refusal = e.edit(&h)
	}
	if refusal != nil {
		return refusal
	}
	if err := e.writeHeader(&h, body); err != nil {
		return err
	}
	return e.copyBody(*block, text[:0], ended)
}

// readHeader reads until the header block is whole, or all of a short message.
func (e *entering) readHeader(block, text []byte) (_ []byte, ended bool, err error) {
	for {
		n, err := e.s.Content.Read(block)
		from := max(len(text)-3, 0)
		text = e.text.append(text, block[:n])
		if err == io.EOF {
			return e.text.finish(text), true, nil
		}
		if err != nil {
			return nil, false, readError(err)
		}
		if headerEnds(text, from) {
			return text, false, nil
		}
		if len(text) > maxHeader {
			if brokenOff(text) {
				return text, false, nil
			}
			return nil, false, refuse(queue.RefusedContent, 552, queue.Enhanced{5, 3, 4}, "The header of the message is longer than 256 KiB.", "Send fewer or shorter header fields.")
		}
	}
}

// headerEnds looks for the empty line, or for a first line that shows that there
// is no header.
func headerEnds(text []byte, from int) bool {
	if bytes.Contains(text[from:], []byte("\r\n\r\n")) || from == 0 && bytes.HasPrefix(text, []byte("\r\n")) {
		return true
	}
	if i := bytes.IndexByte(text, '\n'); from == 0 && i >= 0 {
		_, ok := fieldName(text[:i+1])
		return !ok
	}
	return false
}

// brokenOff reports whether the header has ended without an empty line, by a
// line that is no field: what follows may be as long as it likes.
func brokenOff(text []byte) bool {
	_, body, _ := parseHeader(text[:bytes.LastIndexByte(text, '\n')+1])
	return len(body) > 0
}

// readError keeps what the reader says, for it knows best: a refusal (too
// large) or the client's going away.
func readError(err error) error {
	var r *queue.Refusal
	if errors.As(err, &r) {
		return err
	}
	return &clientGone{cause: err}
}

// clientGone is a content that did not arrive whole.
type clientGone struct{ cause error }

func (c *clientGone) Error() string { return "read content: " + c.cause.Error() }
func (c *clientGone) Unwrap() error { return c.cause }

// edit takes our own fields out, applies policy and repairs.
func (e *entering) edit(h *header) *queue.Refusal {
	if h.count("Received") > e.door.o.MaxHops {
		return refuse(queue.RefusedContent, 554, queue.Enhanced{5, 4, 6}, "The message has passed through too many servers: it goes round in circles.", "Check forwarding rules and routes that lead back to this relay.")
	}
	e.key = e.s.IdempotencyKey
	if f, ok := h.get("X-Idempotency-Key"); ok {
		if e.key == "" {
			e.key = f.value()
		}
		h.remove("X-Idempotency-Key")
	}
	if len(e.key) > maxIdempotency || ascii(e.key) != e.key {
		return refuse(queue.RefusedKey, 554, queue.Enhanced{5, 5, 4}, "The idempotency key is longer than 255 letters, or not ASCII.", "Use a UUID.")
	}
	if r := e.wishes(h); r != nil {
		return r
	}
	e.unmask(h)
	h.repair(e.s.ID, e.s.Envelope.ReversePath, e.door.o.Hostname, e.now)
	if r := h.applyFrom(e.s.Account, e.policy); r != nil {
		return r
	}
	e.facts = h.facts()
	e.addOriginal(h)
	return nil
}

func (e *entering) writeHeader(h *header, body []byte) error {
	out := blocks.Get().(*[]byte)
	defer blocks.Put(out)
	b := (*out)[:0]
	if e.s.Source.Kind != internal {
		b = received(b, e.door.o.Hostname, e.s, e.s.ID, e.now)
	}
	b = h.appendTo(b)
	e.headerSize = int64(len(b))
	return e.write(append(b, body...))
}

func (e *entering) copyBody(block, text []byte, ended bool) error {
	for !ended {
		n, err := e.s.Content.Read(block)
		text = e.text.append(text[:0], block[:n])
		if err == io.EOF {
			text, ended = e.text.finish(text), true
		} else if err != nil {
			return readError(err)
		}
		if err := e.write(text); err != nil {
			return err
		}
	}
	if e.text.nul {
		return refuse(queue.RefusedContent, 554, queue.Enhanced{5, 6, 0}, "The message contains a NUL octet.", "Encode binary data as base64.")
	}
	return nil
}

func (e *entering) write(b []byte) error {
	e.size += int64(len(b))
	if e.size > e.door.o.MaxSize+maxOwnHeader {
		return refuseTooLarge(e.size, e.door.o.MaxSize)
	}
	if e.text.nul || len(b) == 0 {
		return nil
	}
	if _, err := e.w.Write(b); err != nil {
		return storeError(err)
	}
	return nil
}

// maxOwnHeader is what we may add without its counting against the client.
const maxOwnHeader = 4 << 10
