package compat

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"postrider/api/access"
	"postrider/api/send"
)

const (
	// inFlight is how many messages of one request are made durable at the same
	// time: the store commits them together.
	inFlight = 16
	// inMemory bounds the texts that are made for them.
	inMemory = 64 << 20
)

// Outcome is what became of one message of several.
type Outcome struct {
	Receipt send.Receipt
	Err     error
}

// SendAll sends n messages, and returns the outcomes in their order. Each is built
// when its turn comes; size is what the largest of them needs for that. Nothing is
// running when it returns.
func (o Options) SendAll(ctx context.Context, c access.Caller, n int, size int64, build func(i int) (send.Request, error)) []Outcome {
	outcomes := make([]Outcome, n)
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(n, max(1, int(min(inFlight, inMemory/max(1, size))))) {
		wg.Go(func() {
			for i := range next {
				outcomes[i] = o.sendOne(ctx, c, i, build)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return outcomes
}

func (o Options) sendOne(ctx context.Context, c access.Caller, i int, build func(i int) (send.Request, error)) (out Outcome) {
	// Above a goroutine of its own there is no server that would catch it.
	defer func() {
		if p := recover(); p != nil {
			out.Err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	r, err := build(i)
	if err != nil {
		return Outcome{Err: err}
	}
	receipt, err := o.Sender.Send(ctx, c, r)
	return Outcome{Receipt: receipt, Err: err}
}

// CheckAll checks what SendAll would send, and returns an error for each message.
func (o Options) CheckAll(ctx context.Context, c access.Caller, n int, build func(i int) (send.Request, error)) []error {
	errs := make([]error, n)
	for i := range n {
		r, err := build(i)
		if err == nil {
			err = o.Sender.Check(ctx, c, r)
		}
		errs[i] = err
	}
	return errs
}
