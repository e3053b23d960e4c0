package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

type compareCmd struct {
	loadFlags
	sinkFlags
	Relay  []string      `help:"A relay as NAME=HOST:PORT, or NAME=HOST:PORT,HOST:PORT with several nodes; given once for each. All must route everything to the sink." placeholder:"NAME=ADDR" sep:"none"`
	Direct bool          `help:"Measure the source sending straight to the sink as well, under the name direct."`
	Rounds int           `help:"Rounds; in each every relay has its turn." default:"3"`
	Wait   time.Duration `help:"How long to wait for the rest, once all is acknowledged." default:"1m"`
	Linger time.Duration `help:"How long to wait for duplicates, once all has arrived." default:"500ms"`
	JSON   bool          `name:"json" help:"Print the report as JSON as well."`
}

// Help is shown below the flags.
func (*compareCmd) Help() string {
	return `Rounds are interleaved (A B A B …), so that what changes on the machine meanwhile meets all relays alike.
Start the relays first, both durable or neither, and route both to the sink; for Postfix that is

  postconf -e 'relayhost = [127.0.0.1]:2526' 'mynetworks = 127.0.0.0/8' 'smtp_tls_security_level = none'

and for Postrider POSTRIDER_SMARTHOST=smtp://127.0.0.1:2526. Then

  relaybench compare --relay ours=127.0.0.1:2525 --relay postfix=127.0.0.1:25 --messages 5000 --sessions 20

prints the median of the rounds for each relay, and its ratio to the last one named.`
}

// contestant is one relay with its rounds.
type contestant struct {
	Name               string      `json:"name"`
	Addr               string      `json:"addr"`
	AcceptedPerSecond  float64     `json:"median_accepted_per_second"`
	DeliveredPerSecond float64     `json:"median_delivered_per_second"`
	SubmissionP50      float64     `json:"median_submission_p50_ms"`
	SubmissionP99      float64     `json:"median_submission_p99_ms"`
	AcceptedRatio      float64     `json:"accepted_ratio"`  // to the last relay
	DeliveredRatio     float64     `json:"delivered_ratio"` // to the last relay
	Lost               int64       `json:"lost"`
	Duplicates         int64       `json:"duplicates"`
	Runs               []runReport `json:"runs"`
}

// Run measures the relays in turn.
func (cmd *compareCmd) Run(ctx context.Context, out output) error {
	if err := cmd.validate(); err != nil {
		return err
	}
	relays, err := parseRelays(cmd.Relay)
	if err != nil {
		return err
	}
	if cmd.Acked != "" {
		return errors.New("--acked is for source and run")
	}
	cmd.QuickAck = cmd.QuickAck || cmd.Direct && cmd.PHPMailer
	k, err := startSink(cmd.sinkFlags, newArrivals(0, -1, nil))
	if err != nil {
		return err
	}
	if cmd.Direct {
		relays = slices.Insert(relays, 0, &contestant{Name: "direct", Addr: k.srv.Addr()})
	}
	err = cmd.rounds(ctx, k, relays, out.human)
	if err := errors.Join(err, k.srv.Close()); err != nil {
		return err
	}
	summarise(relays)
	printComparison(out.human, relays)
	if cmd.JSON {
		if err := writeJSON(out.json, relays); err != nil {
			return err
		}
	}
	var lost int64
	for _, c := range relays {
		lost += c.Lost
	}
	return reconciliation{Lost: lost}.err()
}

func parseRelays(specs []string) ([]*contestant, error) {
	var relays []*contestant
	for _, spec := range specs {
		name, addr, found := strings.Cut(spec, "=")
		if !found || name == "" || !strings.Contains(addr, ":") {
			return nil, fmt.Errorf("relay %q: write NAME=HOST:PORT", spec)
		}
		relays = append(relays, &contestant{Name: name, Addr: addr})
	}
	if len(relays) == 0 {
		return nil, errors.New("name at least one relay with --relay NAME=HOST:PORT")
	}
	return relays, nil
}

func (cmd *compareCmd) rounds(ctx context.Context, k *sink, relays []*contestant, human io.Writer) error {
	load := cmd.loadFlags
	runs := int64(cmd.Rounds * len(relays))
	if load.First+runs*load.total() > maxRecipient {
		return fmt.Errorf("too much for recipient numbers below %d", maxRecipient)
	}
	for round := range cmd.Rounds {
		for _, c := range relays {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			a := newArrivals(load.First, load.First+load.total()-1, nil)
			k.now.Store(a)
			r, err := around(ctx, k, a, load, c.Addr, nil, cmd.Wait, cmd.Linger)
			if err != nil {
				return err
			}
			c.Runs = append(c.Runs, r)
			fmt.Fprintf(human, "round %d %-12s accepted %8.0f/s  delivered %8.0f/s  lost %d  duplicates %d\n",
				round+1, c.Name, r.Source.AcceptedPerSecond, r.DeliveredPerSecond, r.Lost, r.Duplicates)
			load.First += load.total()
		}
	}
	return nil
}

// summarise fills in medians, sums and ratios.
func summarise(relays []*contestant) {
	for _, c := range relays {
		of := func(what func(runReport) float64) float64 {
			var all []float64
			for _, r := range c.Runs {
				all = append(all, what(r))
			}
			return median(all)
		}
		c.AcceptedPerSecond = of(func(r runReport) float64 { return r.Source.AcceptedPerSecond })
		c.DeliveredPerSecond = of(func(r runReport) float64 { return r.DeliveredPerSecond })
		c.SubmissionP50 = of(func(r runReport) float64 { return r.Source.SubmissionLatency.P50 })
		c.SubmissionP99 = of(func(r runReport) float64 { return r.Source.SubmissionLatency.P99 })
		for _, r := range c.Runs {
			c.Lost += r.Lost
			c.Duplicates += r.Duplicates
		}
	}
	base := relays[len(relays)-1]
	for _, c := range relays {
		if base.AcceptedPerSecond > 0 {
			c.AcceptedRatio = c.AcceptedPerSecond / base.AcceptedPerSecond
		}
		if base.DeliveredPerSecond > 0 {
			c.DeliveredRatio = c.DeliveredPerSecond / base.DeliveredPerSecond
		}
	}
}

// median of no values is 0.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	mid := len(v) / 2
	if len(v)%2 == 1 {
		return v[mid]
	}
	return (v[mid-1] + v[mid]) / 2
}

func printComparison(w io.Writer, relays []*contestant) {
	base := relays[len(relays)-1].Name
	fmt.Fprintf(w, "\n%-12s %12s %12s %10s %10s %6s %6s   ratios to %s\n", "median", "accepted/s", "delivered/s", "p50 ms", "p99 ms", "lost", "dup", base)
	for _, c := range relays {
		fmt.Fprintf(w, "%-12s %12.0f %12.0f %10.2f %10.2f %6d %6d   accepted %.2f, delivered %.2f\n",
			c.Name, c.AcceptedPerSecond, c.DeliveredPerSecond, c.SubmissionP50, c.SubmissionP99, c.Lost, c.Duplicates, c.AcceptedRatio, c.DeliveredRatio)
	}
}
