package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"postrider/api/feed"
	v1 "postrider/api/v1"
)

// EventQuery selects events; all that is set must match.
type EventQuery struct {
	Account string
	Types   []string // such as email.bounced; one of them
	Streams []string // one of them
	Domain  string   // of the recipient
	Tag     string
}

func (q EventQuery) pairs() []string {
	return []string{
		"account", q.Account, "types", strings.Join(q.Types, ","), "stream", strings.Join(q.Streams, ","),
		"recipient_domain", q.Domain, "tag", q.Tag,
	}
}

// Latest is the cursor that stands for now.
const Latest = feed.Latest

// Events returns events after a cursor, oldest first; the empty one: the oldest
// that are kept. If there are none it waits for some, up to wait.
func (c *Client) Events(ctx context.Context, q EventQuery, cursor string, limit int, wait time.Duration) (feed.Page, error) {
	pairs := append(q.pairs(), "cursor", cursor, "limit", limitText(limit))
	if wait > 0 {
		pairs = append(pairs, "wait", fmt.Sprintf("%ds", int(wait.Seconds())))
	}
	return get[feed.Page](ctx, c, "/v1/events", queryOf(pairs...))
}

// pace says how a stream is followed when it breaks off.
type pace struct {
	first, last time.Duration // pauses before connecting again, which double
	idle        time.Duration // without a sign of life, after which the connection is given up
}

func usualPace() pace {
	return pace{first: 500 * time.Millisecond, last: 30 * time.Second, idle: time.Minute}
}

// FollowEvents calls each with every event after a cursor as it happens, until
// ctx ends or each returns an error; it returns that error. Latest begins now.
// When the connection breaks off it connects again and goes on behind the last
// event, so that none is missed or told twice. broken, if not nil, is told why
// and how long it waits. What the relay refuses for good is returned.
func (c *Client) FollowEvents(ctx context.Context, q EventQuery, cursor string, each func(feed.Event, string) error, broken func(error, time.Duration)) error {
	f := &follower{c: c, query: q, cursor: cursor, each: each}
	pause := c.pace.first
	for {
		had, err := f.connect(ctx)
		var stop *stopError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &stop):
			return stop.error
		}
		if had {
			pause = max(c.pace.first, f.retry)
		}
		if err != nil && broken != nil {
			broken(err, pause)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, c.pace.last)
	}
}

// stopError is one that connecting again does not mend.
type stopError struct{ error }

// follower follows a stream over several connections.
type follower struct {
	c      *Client
	query  EventQuery
	cursor string
	each   func(feed.Event, string) error
	retry  time.Duration
}

var errIdle = errors.New("the relay has said nothing for too long")

// connect follows the stream until it breaks off; had says that it began. A
// stream that the relay ends is no error.
func (f *follower) connect(ctx context.Context) (had bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alive := time.AfterFunc(f.c.pace.idle, func() { cancel(errIdle) })
	defer alive.Stop()
	res, err := f.c.send(ctx, call{
		method: http.MethodGet, path: "/v1/events/stream", long: true,
		query: queryOf(append(f.query.pairs(), "cursor", f.cursor)...), header: http.Header{"Accept": {"text/event-stream"}},
	})
	if err != nil {
		return false, forGood(err)
	}
	defer res.Body.Close()
	in := newFrames(&lively{r: res.Body, timer: alive, idle: f.c.pace.idle})
	for {
		v, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return had, nil
		case err != nil && context.Cause(ctx) != nil:
			return had, context.Cause(ctx)
		case err != nil:
			return had, err
		}
		had = true
		if err := f.take(v); err != nil {
			return had, err
		}
	}
}

// forGood marks what the relay refuses whenever it is asked.
func forGood(err error) error {
	var p *v1.Problem
	if errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusTooManyRequests && p.Status != http.StatusRequestTimeout {
		return &stopError{err}
	}
	return err
}

func (f *follower) take(v frame) error {
	if v.retry > 0 {
		f.retry = v.retry
	}
	if v.kind == "lagged" {
		return errors.New("the relay says that events are not read fast enough")
	}
	if v.data != "" {
		var e feed.Event
		if err := json.Unmarshal([]byte(v.data), &e); err != nil {
			return &stopError{fmt.Errorf("read an event: %w", err)}
		}
		if err := f.each(e, v.id); err != nil {
			return &stopError{err}
		}
	}
	if v.id != "" {
		f.cursor = v.id
	}
	return nil
}

// lively puts a timer off with whatever is read.
type lively struct {
	r     io.Reader
	timer *time.Timer
	idle  time.Duration
}

func (l *lively) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if n > 0 {
		l.timer.Reset(l.idle)
	}
	return n, err
}
