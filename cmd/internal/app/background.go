package app

import "context"

// background is work that goes on beside everything else until it is drained.
type background struct {
	stop context.CancelFunc
	done chan struct{}
}

// start begins the work. It is told to end by drain alone.
func (b *background) start(ctx context.Context, work func(context.Context)) {
	ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	b.done = make(chan struct{})
	go func() {
		defer close(b.done)
		work(ctx)
	}()
}

// drain has the work end, and waits for that until ctx is done. What was never
// started has ended.
func (b *background) drain(ctx context.Context) error {
	if b.stop == nil {
		return nil
	}
	b.stop()
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
