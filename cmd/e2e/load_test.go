package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"sync"

	"postrider/cmd/e2e/e2etest"
)

// ledger holds what was acknowledged. Recipients are numbered and never used
// twice: like PHPMailer, the source does not repeat what it sent.
type ledger struct {
	mu    sync.Mutex
	next  int
	acked map[string]string // recipient to message id
	odd   []error           // refusals, which nothing explains
}

func newLedger() *ledger { return &ledger{acked: make(map[string]string)} }

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
				if err := l.session(ctx, addr, n, domain); err != nil {
					l.failed(err)
					return
				}
			}
		})
	}
	return &at
}

func (l *ledger) session(ctx context.Context, addr string, source int, domain string) error {
	c, err := e2etest.Login(ctx, addr, e2etest.User, e2etest.Password)
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range messagesPerSession {
		rcpts := l.recipients(1+(source+i)%3, domain)
		id, err := c.Send("source@shop.test", rcpts, e2etest.Mail("source@shop.test", rcpts[0], "load "+rcpts[0]))
		if err != nil {
			return err
		}
		l.acknowledge(id, rcpts)
	}
	return c.Quit()
}

func accepted(l e2etest.Line) bool { return l.Is("message accepted") }
