package imapview

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"postrider/imapview/syntax"
)

// doIdle is IDLE (RFC 2177): a second goroutine tells what changes until the
// client says DONE.
func (c *conn) doIdle(ctx context.Context, cmd syntax.Command) {
	c.out.say("+ Idling\r\n")
	idle, cancel := context.WithCancel(ctx)
	defer cancel()
	var telling sync.WaitGroup
	telling.Go(func() {
		defer c.surviveIdle()
		c.tell(idle)
	})
	c.wire.readBy(time.Now().Add(c.s.o.IdleTimeout))
	line, err := c.in.Line()
	cancel()
	telling.Wait()
	switch {
	case c.ended || c.out.err != nil: // the other goroutine found out
		c.ended = true
	case err != nil:
		c.leave(err)
	case !strings.EqualFold(strings.TrimSpace(line), "DONE"):
		c.bad(cmd, "DONE was expected")
	default:
		c.finish(ctx, cmd, expungeToo, "", "Done idling")
	}
}

// surviveIdle passes a panic on to the connection's own goroutine.
func (c *conn) surviveIdle() {
	if r := recover(); r != nil {
		c.out.err = errors.New("panic in IDLE")
		c.panicked(r)
		_ = c.wire.Close()
	}
}

// tell tells of changes, not too often, and from time to time that it is there:
// so that what lies on the way does not forget the connection.
func (c *conn) tell(ctx context.Context) {
	var changed <-chan struct{}
	if c.box != nil {
		var stop func()
		changed, stop = c.s.o.Book.Watch(c.box.account)
		defer stop()
	}
	beat := time.NewTimer(c.s.o.IdleBeat)
	defer beat.Stop()
	for !c.tellOnce(ctx) {
		told := time.Now()
		beat.Reset(c.s.o.IdleBeat)
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			c.out.say("* OK Still here\r\n")
		case <-changed:
			pause(ctx, c.s.o.IdlePause-time.Since(told))
		}
	}
}

// tellOnce tells what changed, and reports whether that ended the connection: then
// the other goroutine, which reads, must hear of it.
func (c *conn) tellOnce(ctx context.Context) (ended bool) {
	if ctx.Err() != nil {
		return true
	}
	if c.box != nil {
		if err := c.update(ctx, expungeToo); err != nil && ctx.Err() == nil {
			c.log(slog.LevelWarn, "cannot tell of changes", err)
		}
	}
	c.out.rest()
	if c.out.err != nil || c.ended {
		c.wire.readBy(time.Unix(1, 0))
		return true
	}
	return false
}
