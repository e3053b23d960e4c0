package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

type runCmd struct {
	loadFlags
	sinkFlags
	Relay  string        `help:"Address of the relay, which must route everything to the sink." default:"127.0.0.1:2525"`
	Direct bool          `help:"No relay: the source sends straight to the sink."`
	Wait   time.Duration `help:"How long to wait for the rest, once all is acknowledged." default:"1m"`
	Linger time.Duration `help:"How long to wait for duplicates, once all has arrived." default:"500ms"`
	JSON   bool          `name:"json" help:"Print the report as JSON as well."`
}

// Run runs source and sink around a relay.
func (cmd *runCmd) Run(ctx context.Context, out output) error {
	if err := cmd.validate(); err != nil {
		return err
	}
	acked, closeAcked, err := createOrNil(cmd.Acked)
	if err != nil {
		return err
	}
	cmd.QuickAck = cmd.QuickAck || cmd.Direct && cmd.PHPMailer
	a := newArrivals(cmd.First, cmd.First+cmd.total()-1, nil)
	k, err := startSink(cmd.sinkFlags, a)
	if err != nil {
		return err
	}
	relay := cmd.Relay
	if cmd.Direct {
		relay = k.srv.Addr()
		cmd.loadFlags.TLS = cmd.sinkFlags.TLS
	}
	r, err := around(ctx, k, a, cmd.loadFlags, relay, acked, cmd.Wait, cmd.Linger)
	if cmd.Direct {
		r.Relay = "none, straight to the sink"
	}
	if err := errors.Join(err, k.srv.Close(), closeAcked()); err != nil {
		return err
	}
	r.print(out.human)
	if cmd.JSON {
		if err := writeJSON(out.json, r); err != nil {
			return err
		}
	}
	return r.err()
}

// around sends one load to relay and waits until all that is acknowledged
// has arrived in a, or wait is over.
func around(ctx context.Context, k *sink, a *arrivals, l loadFlags, relay string, acked io.Writer, wait, linger time.Duration) (runReport, error) {
	s := newSource(l, relay, acked)
	violations := k.srv.Counters().Violations
	r := runReport{Relay: relay, Source: s.run(ctx)}
	if err := s.acked.flush(); err != nil {
		return r, fmt.Errorf("write acknowledged recipients: %w", err)
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if k.awaitAll(waiting, s.acked) == nil {
		pause(ctx, linger)
	} // else what is missing is in the report
	r.Sink = a.report(k.srv.Counters().Violations - violations)
	r.reconciliation = reconcile(s.acked, a.seen)
	if took := time.Duration(a.latest.Load() - s.started.UnixNano()); took > 0 {
		r.DeliveredPerSecond = float64(r.Sink.Recipients) / took.Seconds()
	}
	return r, nil
}
