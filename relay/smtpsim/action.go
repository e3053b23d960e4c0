package smtpsim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Action does something at a stage. What it does not answer is answered by
// the actions after it, or by the default reply. Returning an error ends the
// connection. ctx ends when the Server is closed. One Action may run on
// several connections at once.
type Action func(ctx context.Context, x *Exchange) error

// Exchange is the moment at which a rule acts: one stage of one session. It
// is valid during the call only and belongs to the connection's goroutine.
type Exchange struct {
	Stage    Stage
	Conn     int    // number of the connection, from 1
	Client   string // its address and port
	Hello    string
	User     string
	OverTLS  bool
	Line     string // the command as sent, "" at Connect, Body and Dot
	From     string // reverse-path
	Rcpt     string // at Rcpt: the forward-path asked for
	Rcpts    []Path // accepted so far
	Messages int    // accepted on this connection so far
	Size     int64  // at Body and Dot: content so far

	c    *conn
	def  reply
	code int // of the last reply given, 0 none yet
}

// errHangUp ends a connection that was to end.
var errHangUp = errors.New("hang up")

// Reply sends a reply of one or more lines, each with the enhanced code if it
// is not empty. The session goes on as the code says: a 2xx at Mail opens the
// transaction, a 354 at Data makes it read content, a 2xx at Dot accepts the
// message (it is recorded before the reply is sent), a 421 closes.
func (x *Exchange) Reply(code int, enhanced string, lines ...string) error {
	return x.send(code, formatReply(code, enhanced, lines))
}

// Write sends bytes as they are. If they end in something like a reply line,
// the session goes on as its code says, else as after a refusal.
func (x *Exchange) Write(raw []byte) error { return x.send(rawCode(raw), raw) }

// Accept gives the default reply now.
func (x *Exchange) Accept() error {
	if x.def.code == 0 {
		return nil
	}
	return x.send(x.def.code, x.c.formatDefault(x.def))
}

// Flush sends what was written so far.
func (x *Exchange) Flush() error { return x.c.flush() }

// Drop sends what was written so far and closes the connection. Its result is
// to be returned from the Action.
func (x *Exchange) Drop() error {
	x.c.ending = endClose
	return errHangUp
}

// Reset sends what was written so far and resets the connection (RST where
// the transport knows it). Its result is to be returned from the Action.
func (x *Exchange) Reset() error {
	x.c.ending = endReset
	return errHangUp
}

// Pause waits for d, or until ctx ends.
func (x *Exchange) Pause(ctx context.Context, d time.Duration) error {
	if err := x.c.flush(); err != nil {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Now is the Server's clock.
func (x *Exchange) Now() time.Time { return x.c.s.o.Now() }

// Replied is the code of the reply given so far at this stage, 0 for none.
func (x *Exchange) Replied() int { return x.code }

func (x *Exchange) send(code int, b []byte) error {
	if x.Stage == Dot && code/100 == 2 && x.code == 0 {
		x.c.record()
	}
	x.code = code
	if code >= 400 {
		x.c.s.count.refusals.Add(1)
	}
	if err := x.c.write(b); err != nil {
		return err
	}
	if code == 421 {
		x.c.ending = endLinger
		return errHangUp
	}
	return nil
}

// Reply answers with code, enhanced code (or "") and lines of text.
func Reply(code int, enhanced string, lines ...string) Action {
	b := formatReply(code, enhanced, lines)
	return func(_ context.Context, x *Exchange) error { return x.send(code, b) }
}

// Accept gives the default reply; for what is to follow it in the same rule.
func Accept() Action {
	return func(_ context.Context, x *Exchange) error { return x.Accept() }
}

// Delay waits for d. At Body it pauses reading.
func Delay(d time.Duration) Action {
	return func(ctx context.Context, x *Exchange) error { return x.Pause(ctx, d) }
}

// WaitUntil waits until ch is closed or receives; a test holds a session with
// it for as long as it likes.
func WaitUntil(ch <-chan struct{}) Action {
	return func(ctx context.Context, x *Exchange) error {
		if err := x.Flush(); err != nil {
			return err
		}
		select {
		case <-ch:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Drop closes the connection, after what the actions before it replied.
func Drop() Action {
	return func(_ context.Context, x *Exchange) error { return x.Drop() }
}

// Reset is Drop by RST.
func Reset() Action {
	return func(_ context.Context, x *Exchange) error { return x.Reset() }
}

// LoseReply, at Dot, records the message as accepted and closes the
// connection without a reply: the client cannot know.
func LoseReply() Action {
	return func(_ context.Context, x *Exchange) error {
		if x.Stage != Dot {
			return fmt.Errorf("LoseReply at stage %v", x.Stage)
		}
		x.c.record()
		x.c.s.count.lostReplies.Add(1)
		return x.Drop()
	}
}

// Greylist, at Rcpt, answers 451 4.7.1 to a triplet of client host,
// reverse-path and forward-path until after has passed since it was first
// seen. It remembers every triplet.
func Greylist(after time.Duration) Action {
	type triplet struct{ host, from, rcpt string }
	var mu sync.Mutex
	seen := map[triplet]time.Time{}
	return func(_ context.Context, x *Exchange) error {
		key, now := triplet{hostOf(x.Client), x.From, x.Rcpt}, x.Now()
		mu.Lock()
		first, known := seen[key]
		if !known {
			seen[key] = now
		}
		mu.Unlock()
		if known && now.Sub(first) >= after {
			return nil
		}
		return x.Reply(451, "4.7.1", "Greylisted, please try again later")
	}
}
