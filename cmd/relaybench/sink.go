package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"postrider/relay/smtpsim"
)

// sinkFlags are shared by the commands that have a sink.
type sinkFlags struct {
	Listen string   `help:"Address the sink listens on." default:"127.0.0.1:2526"`
	TLS    string   `name:"sink-tls" help:"TLS of the sink: none, starttls or implicit." enum:"none,starttls,implicit" default:"none"`
	Fault  []string `help:"Fault STAGE:ACTION=SHARE%, such as dot:tempfail=1%; may be given again. Actions: tempfail, permfail, 421, drop, reset, stall, losereply, delay(200ms)." placeholder:"FAULT" sep:"none"`

	QuickAck bool `name:"quick-ack" help:"Acknowledge at once, for senders that write line by line; costs a system call for each read."`
}

type sinkCmd struct {
	sinkFlags
	Expect   int64         `help:"End when so many different recipients arrived."`
	Idle     time.Duration `help:"End when nothing arrived for so long, after the first arrival."`
	Received string        `help:"Write the number of every recipient that arrives to this file." placeholder:"FILE"`
}

// sink counts what arrives. What it counts into can be changed between
// rounds.
type sink struct {
	srv *smtpsim.Server
	now atomic.Pointer[arrivals]
}

// arrivals is one round's count. Numbers outside first…last are strays, such
// as late mail of an earlier round.
type arrivals struct {
	first, last int64
	seen        *tally
	latency     latency
	messages    atomic.Int64
	strays      atomic.Int64
	corrupt     atomic.Int64
	begun       atomic.Int64 // nanoseconds of the first and of the latest arrival
	latest      atomic.Int64 // of a recipient not seen before
	latestAny   atomic.Int64
}

func newArrivals(first, last int64, received io.Writer) *arrivals {
	return &arrivals{first: first, last: last, seen: newTally(received)}
}

func startSink(f sinkFlags, a *arrivals) (*sink, error) {
	rules, err := parseFaults(f.Fault)
	if err != nil {
		return nil, err
	}
	k := &sink{}
	k.now.Store(a)
	mode := map[string]smtpsim.TLSMode{"starttls": smtpsim.StartTLS, "implicit": smtpsim.ImplicitTLS}[f.TLS]
	k.srv, err = smtpsim.Start(smtpsim.Options{Addr: f.Listen, Hostname: "sink.test", TLS: mode, Rules: rules,
		Keep: smtpsim.KeepCounters, QuickAck: f.QuickAck,
		OnMessage: func(m *smtpsim.Message) { k.now.Load().take(m, time.Now()) }})
	if err != nil {
		return nil, fmt.Errorf("start sink: %w", err)
	}
	return k, nil
}

func (a *arrivals) take(m *smtpsim.Message, now time.Time) {
	a.begun.CompareAndSwap(0, now.UnixNano())
	a.latestAny.Store(now.UnixNano())
	a.messages.Add(1)
	sent, intact := inspect(m.Raw)
	if !intact {
		a.corrupt.Add(1)
	}
	for _, p := range m.Rcpts {
		n, ok := recipientNumber(p.Address)
		if !ok || n < a.first || n > a.last {
			a.strays.Add(1)
			continue
		}
		if !a.seen.add(n) {
			continue
		}
		a.latest.Store(now.UnixNano())
		if !sent.IsZero() {
			a.latency.add(now.Sub(sent))
		}
	}
}

// awaitAll waits until every number of acked has arrived.
func (k *sink) awaitAll(ctx context.Context, acked *tally) error {
	want, _ := acked.counts()
	a := k.now.Load()
	return k.srv.WaitFor(ctx, func(smtpsim.Counters) bool {
		if got, _ := a.seen.counts(); got < want {
			return false
		}
		lost, _ := acked.missing(a.seen, 0)
		return lost == 0
	})
}

func (a *arrivals) report(violations int64) sinkReport {
	unique, duplicates := a.seen.counts()
	r := sinkReport{Messages: a.messages.Load(), Recipients: unique, Duplicates: duplicates, Strays: a.strays.Load(),
		Corrupt: a.corrupt.Load(), Violations: violations, EndToEnd: a.latency.quantiles()}
	if took := time.Duration(a.latest.Load() - a.begun.Load()); took > 0 {
		r.Seconds = took.Seconds()
		r.PerSecond = float64(unique) / took.Seconds()
	}
	return r
}

// Run takes mail until it is interrupted, has what it expects, or is idle.
func (cmd *sinkCmd) Run(ctx context.Context, out output) (err error) {
	var received io.Writer
	if cmd.Received != "" {
		f, err := os.Create(cmd.Received)
		if err != nil {
			return err
		}
		defer f.Close()
		received = f
	}
	a := newArrivals(0, maxRecipient, received)
	k, err := startSink(cmd.sinkFlags, a)
	if err != nil {
		return err
	}
	fmt.Fprintf(out.human, "sink listens on %s\n", k.srv.Addr())
	cmd.await(ctx, k, a)
	if err := errors.Join(k.srv.Close(), a.seen.flush()); err != nil {
		return err
	}
	r := a.report(k.srv.Counters().Violations)
	r.print(out.human)
	return writeJSON(out.json, r)
}

// await returns when the sink is to end.
func (cmd *sinkCmd) await(ctx context.Context, k *sink, a *arrivals) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if cmd.Idle > 0 {
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			defer cancel()
			awaitIdle(ctx, a, cmd.Idle)
		}()
		defer func() { cancel(); <-stopped }()
	}
	_ = k.srv.WaitFor(ctx, func(smtpsim.Counters) bool {
		got, _ := a.seen.counts()
		return cmd.Expect > 0 && got >= cmd.Expect
	}) // however it ends, the report follows
}

func awaitIdle(ctx context.Context, a *arrivals, idle time.Duration) {
	tick := time.NewTicker(max(idle/10, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if last := a.latestAny.Load(); last != 0 && now.UnixNano()-last >= idle.Nanoseconds() {
				return
			}
		}
	}
}
