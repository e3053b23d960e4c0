package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"postrider/cmd/e2e/e2etest"
)

// ledger holds what was acknowledged. Recipients are numbered and never used
// twice: like PHPMailer, the source does not repeat what it sent.
type ledger struct {
	mu    sync.Mutex
	next  int
	acked map[string]string // recipient to message id
	odd   []error           // refusals that nothing explains

	// Of steady load, which expects refusals:
	refused map[string]int // by code and enhanced code
	slowest time.Duration  // until a refusal came
	cut     int            // sessions that ended without an answer
}

func newLedger() *ledger {
	return &ledger{acked: make(map[string]string), refused: make(map[string]int)}
}

// count is how many recipients were acknowledged so far.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// recipients hands out n new ones.
func (l *ledger) recipients(n int, domain string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	rcpts := make([]string, n)
	for i := range rcpts {
		l.next++
		rcpts[i] = fmt.Sprintf("r%07d@%s", l.next, domain)
	}
	return rcpts
}

func (l *ledger) acknowledge(id string, rcpts []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range rcpts {
		l.acked[r] = id
	}
}

func (l *ledger) failed(err error) {
	if refusal := new(textproto.Error); errors.As(err, &refusal) && refusal.Code != 421 {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.odd = append(l.odd, err)
	}
}

// load is sources at work.
type load struct{ wg sync.WaitGroup }

func (l *load) wait() { l.wg.Wait() }

// messagesPerSession is how many messages a source sends before it connects
// again.
const messagesPerSession = 10

// startLoad lets sources send to a domain until their connection breaks, the
// relay refuses, or ctx ends.
func startLoad(ctx context.Context, addr string, sources int, domain string, l *ledger) *load {
	var at load
	for n := range sources {
		at.wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := l.session(ctx, addr, n, domain); err != nil {
					l.failed(err)
					return
				}
			}
		})
	}
	return &at
}

const (
	// sessionTime bounds a session of steady load: a relay that stands still does
	// not keep its sources for ever.
	sessionTime = 10 * time.Second
	// awayTime is for how long a source keeps off the relay that failed it.
	awayTime = 10 * time.Second
)

// startSteadyLoad lets sources send to a domain until ctx ends, as many to each
// relay: after a refusal or a broken connection they go on with the next
// recipients at the next relay, and return later, as what stands behind a load
// balancer does.
func startSteadyLoad(ctx context.Context, addrs []string, sources int, domain string, l *ledger) *load {
	var at load
	for n := range sources {
		at.wg.Go(func() { l.source(ctx, addrs, n, domain) })
	}
	return &at
}

// source is one source of steady load.
func (l *ledger) source(ctx context.Context, addrs []string, n int, domain string) {
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	at, back := n, time.Time{}
	for ctx.Err() == nil {
		if time.Now().After(back) {
			at = n
		}
		session, cancel := context.WithTimeout(ctx, sessionTime)
		began, err := l.session(session, addrs[at%len(addrs)], n, domain)
		cancel()
		if err == nil || ctx.Err() != nil {
			continue
		}
		l.noteTrouble(err, time.Since(began))
		at, back = at+1, time.Now().Add(awayTime)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// noteTrouble notes why a session of steady load ended early, and after which
// time.
func (l *ledger) noteTrouble(err error, took time.Duration) {
	refusal := new(textproto.Error)
	refused := errors.As(err, &refusal)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !refused {
		l.cut++
		return
	}
	enhanced, _, _ := strings.Cut(refusal.Msg, " ")
	l.refused[fmt.Sprint(refusal.Code, " ", enhanced)]++
	l.slowest = max(l.slowest, took)
	if refusal.Code/100 != 4 {
		l.odd = append(l.odd, err)
	}
}

// session sends some messages. With an error it returns when what failed began.
func (l *ledger) session(ctx context.Context, addr string, source int, domain string) (began time.Time, err error) {
	began = time.Now()
	c, err := e2etest.Login(ctx, addr, e2etest.User, e2etest.Password)
	if err != nil {
		return began, err
	}
	defer c.Close()
	for i := range messagesPerSession {
		rcpts := l.recipients(1+(source+i)%3, domain)
		began = time.Now()
		id, err := c.Send("source@shop.test", rcpts, e2etest.Mail("source@shop.test", rcpts[0], "load "+rcpts[0]))
		if err != nil {
			return began, err
		}
		l.acknowledge(id, rcpts)
	}
	return began, c.Quit()
}

func accepted(l e2etest.Line) bool { return l.Is("message accepted") }

// fullReply says whether an error is the refusal for want of space.
func fullReply(err error) bool {
	refusal := new(textproto.Error)
	return errors.As(err, &refusal) && refusal.Code == 452 && len(refusal.Msg) > 5 && refusal.Msg[:5] == "4.3.1"
}
