package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// streamBatch is how many events are written to a stream at once.
const streamBatch = 50

// Lift lets a request last d longer than the server's timeouts would: for those
// that wait. It does nothing where the connection cannot be reached.
func Lift(w http.ResponseWriter, d time.Duration) {
	c := http.NewResponseController(w)
	end := time.Now().Add(d)
	_ = c.SetReadDeadline(end)
	_ = c.SetWriteDeadline(end)
}

// Stream answers a request with server-sent events (the HTML standard's
// text/event-stream), from q.After on, or from now if that is empty. A
// Last-Event-ID of the request takes its place: each event's id is the cursor
// after it.
//
// Until it has begun to answer, Stream returns an error as Read does, and the
// caller answers; from then on it returns nil. A stream ends when the client goes
// away, when the Reader is drained, after a while for the client's key to be
// looked at again, and with an event "lagged" when the client is too slow or
// what it should get next is no longer kept. A client that reconnects misses
// nothing that is kept.
func (r *Reader) Stream(w http.ResponseWriter, req *http.Request, q Query) error {
	if id := req.Header.Get("Last-Event-ID"); id != "" {
		q.After = id
	}
	if q.After == "" {
		q.After = Latest
	}
	q.Limit = streamBatch
	ctx := req.Context()
	at, err := r.begin(ctx, &q)
	if err != nil {
		return err
	}
	if at.kind == inLog {
		if _, _, err := r.o.Tail.Read(ctx, at.position); err != nil {
			return positionError(err)
		}
	}
	if !r.join(q.Account) {
		return r.noRoom()
	}
	defer r.leave(q.Account)
	s := &stream{r: r, w: w, c: http.NewResponseController(w), query: &q, at: at}
	s.open()
	if err := s.run(ctx); err != nil && ctx.Err() == nil {
		r.o.Logger.Debug("event stream ended", "account", q.Account, "error", err)
	}
	return nil
}

func (r *Reader) noRoom() error {
	select {
	case <-r.stopped:
		return &Error{Status: http.StatusServiceUnavailable, Code: "shutting_down", RetryAfter: 5 * time.Second,
			Detail: "The relay is being stopped. Connect again in a moment."}
	default:
	}
	return &Error{Status: http.StatusTooManyRequests, Code: "too_many_streams", RetryAfter: 30 * time.Second,
		Detail: fmt.Sprintf("There are too many event streams open: %d are allowed for one account, %d in all. Close one, or read GET /v1/events.",
			r.o.MaxStreamsEach, r.o.MaxStreams)}
}

// stream is one response under way. The log is its buffer: what the client does
// not take is not read.
type stream struct {
	r     *Reader
	w     http.ResponseWriter
	c     *http.ResponseController
	query *Query
	at    cursor
	buf   bytes.Buffer
}

var errSlow = errors.New("the client is too slow")

func (s *stream) open() {
	_ = s.c.SetReadDeadline(time.Time{})
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
}

func (s *stream) run(ctx context.Context) error {
	news, stop := s.r.o.Store.Notify()
	defer stop()
	tick := time.NewTicker(s.r.o.Keepalive)
	defer tick.Stop()
	end := time.NewTimer(s.r.o.MaxStreamLength)
	defer end.Stop()
	// The first thing a client gets is the cursor, so that it can resume though
	// no event has come yet.
	fmt.Fprintf(&s.buf, "retry: 2000\nid: %s\n\n", s.at)
	if err := s.flush(); err != nil {
		return err
	}
	for {
		more, err := s.step(ctx)
		if err != nil {
			return err
		}
		wake := news
		if more {
			wake = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.r.stopped:
			return nil
		case <-end.C:
			return nil
		case <-tick.C:
			fmt.Fprintf(&s.buf, ": keepalive\nid: %s\n\n", s.at)
			if err := s.flush(); err != nil {
				return err
			}
		case <-wake:
			s.r.gather(ctx)
		case <-ready(more):
		}
	}
}

// ready returns a channel that receives at once, or never.
func ready(now bool) <-chan struct{} {
	if !now {
		return nil
	}
	c := make(chan struct{})
	close(c)
	return c
}

// step writes what there is, up to a batch.
func (s *stream) step(ctx context.Context) (more bool, err error) {
	items, next, more, err := s.r.read(ctx, s.query, s.at)
	var known *Error
	if errors.As(err, &known) {
		return false, errors.Join(err, s.lagged(known.Detail))
	}
	if err != nil {
		return false, err
	}
	for i := range items {
		if err := s.put(&items[i]); err != nil {
			return false, err
		}
	}
	s.at = next
	if len(items) == 0 {
		return more, nil
	}
	if err := s.flush(); errors.Is(err, errSlow) {
		return false, errors.Join(err, s.lagged("Events are not read fast enough. Connect again with the last id: nothing is lost."))
	} else if err != nil {
		return false, err
	}
	return more, nil
}

func (s *stream) put(it *item) error {
	data, err := json.Marshal(&it.event)
	if err != nil {
		return fmt.Errorf("encode event %s: %w", it.event.ID, err)
	}
	fmt.Fprintf(&s.buf, "id: %s\nevent: %s\ndata: %s\n\n", it.after, it.event.Type, data)
	return nil
}

func (s *stream) lagged(why string) error {
	data, err := json.Marshal(map[string]string{"detail": why})
	if err != nil {
		return err
	}
	fmt.Fprintf(&s.buf, "event: lagged\ndata: %s\n\n", data)
	return s.flush()
}

// flush writes the buffer to the client, which has a limited time to take it.
func (s *stream) flush() error {
	begun := time.Now()
	// A connection without deadlines, as in tests of handlers, does without.
	if err := s.c.SetWriteDeadline(begun.Add(s.r.o.WriteTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_, err := s.w.Write(s.buf.Bytes())
	s.buf.Reset()
	if err == nil {
		err = s.c.Flush()
	}
	if err != nil {
		return fmt.Errorf("write to the stream: %w", err)
	}
	if time.Since(begun) > s.r.o.LagAfter {
		return errSlow
	}
	return nil
}
