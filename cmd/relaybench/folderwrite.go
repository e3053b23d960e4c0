package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/queue/folders"
)

// writeReport is what filing costs those who send.
type writeReport struct {
	Messages int64      `json:"messages"` // of a round
	With     writeSide  `json:"with_folders"`
	Without  writeSide  `json:"without_folders"`
	Lost     float64    `json:"lost_share"`          // of the delivered messages a second
	CPU      float64    `json:"filing_us"`           // CPU for a message that filing takes
	Lag      []float64  `json:"seconds_until_filed"` // after the last one arrived, by rounds
	rounds   [2][]sided // with, without
}

// writeSide are medians.
type writeSide struct {
	Accepted  float64 `json:"accepted_per_second"`
	Delivered float64 `json:"delivered_per_second"`
	Filed     float64 `json:"filed_per_second,omitempty"` // until the folders show all
	P50       float64 `json:"submission_p50_ms"`
	P99       float64 `json:"submission_p99_ms"`
	CPU       float64 `json:"cpu_us"` // of the relay for a message, until all is filed
}

// sided is one round of one side.
type sided struct {
	runReport
	cpu   time.Duration
	filed float64 // seconds from the first message until the folders show all
	lag   float64
}

const (
	writeGate    = 0.15
	filedTimeout = 5 * time.Minute
	filedPoll    = 50 * time.Millisecond
)

// writer is a relay of the write part.
type writer struct {
	*relay
	name  string
	files bool
	total int64 // messages sent to it so far
	look  *imapConn
}

// write delivers mail through two relays in turn, of which one files it.
func (b *bench) write(ctx context.Context) error {
	load := loadFlags{
		Sessions: 20, Messages: b.WriteMessages, Recipients: 1, Size: 4096, Auth: benchAccount + ":" + benchPassword, TLS: "none",
		From: "sender@bench.test", ToDomain: []string{"sink.test"}, First: 1, Deadline: 10 * time.Minute, Timeout: time.Minute,
	}
	k, err := startSink(sinkFlags{Listen: "127.0.0.1:0", TLS: "none"}, newArrivals(0, -1, nil))
	if err != nil {
		return err
	}
	defer k.srv.Close()
	var sides []*writer
	for _, files := range []bool{true, false} {
		w, err := b.startWriter(ctx, k.srv.Addr(), files)
		if err != nil {
			return err
		}
		defer func() { _ = w.stop() }()
		sides = append(sides, w)
	}
	b.report.Write.Messages = b.WriteMessages
	for round := range b.WriteRounds {
		for i := range sides {
			i = (i + round) % len(sides)
			r, err := sides[i].round(ctx, k, load)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, sides[i].name, err)
			}
			b.report.Write.rounds[i] = append(b.report.Write.rounds[i], r)
			b.say("round %d of %d %s: accepted %.0f/s, delivered %.0f/s, CPU %.0f µs a message, filed %.1f s after the last arrival", round+1, b.WriteRounds,
				sides[i].name, r.Source.AcceptedPerSecond, r.DeliveredPerSecond, float64(r.cpu.Microseconds())/float64(b.WriteMessages), r.lag)
			load.First += load.total()
		}
	}
	b.report.Write.summarise()
	return nil
}

func (b *bench) startWriter(ctx context.Context, sink string, files bool) (*writer, error) {
	w := &writer{name: "with folders", files: files}
	if !files {
		w.name = "without folders"
	}
	name := "write-" + strings.Fields(w.name)[0]
	dir := filepath.Join(b.dir, name)
	if err := emptyDir(dir); err != nil {
		return nil, err
	}
	environ, err := b.environOf(dir, map[string]string{"POSTRIDER_SMARTHOST": "smtp://" + sink + "?tls=none"})
	if err != nil {
		return nil, err
	}
	if w.relay, err = b.startRelay(ctx, environ, name, files); err != nil {
		return nil, err
	}
	s := &imapServer{addr: w.IMAP}
	w.look, err = s.login(ctx, false, nil)
	return w, err
}

// round sends one load. It ends when all is filed, if it is.
func (w *writer) round(ctx context.Context, k *sink, load loadFlags) (r sided, err error) {
	before, err := usedCPU(w.pid())
	if err != nil {
		return r, err
	}
	begin := time.Now()
	a := newArrivals(load.First, load.First+load.total()-1, nil)
	k.now.Store(a)
	if r.runReport, err = around(ctx, k, a, load, w.SMTP, nil, load.Deadline, 0); err != nil {
		return r, err
	}
	if err := r.err(); err != nil {
		return r, err
	}
	w.total += r.Sink.Recipients
	if err := w.awaitFiled(ctx); err != nil {
		return r, err
	}
	now := time.Now()
	r.filed, r.lag = now.Sub(begin).Seconds(), now.Sub(time.Unix(0, a.latest.Load())).Seconds()
	after, err := usedCPU(w.pid())
	r.cpu = after - before
	return r, err
}

var statusMessages = regexp.MustCompile(`\(MESSAGES (\d+)\)`)

// awaitFiled returns when the folder shows all that was sent; it must never show
// any if nobody files.
func (w *writer) awaitFiled(ctx context.Context) error {
	for end := time.Now().Add(filedTimeout); ; {
		a, err := w.look.ok("STATUS " + folders.FolderSent + " (MESSAGES)")
		if err != nil {
			return err
		}
		found := statusMessages.FindSubmatch(a.text)
		if found == nil {
			return fmt.Errorf("STATUS: %q", a.text)
		}
		n, _ := strconv.ParseInt(string(found[1]), 10, 64) // digits
		if !w.files && n > 0 {
			return fmt.Errorf("%d messages are filed, though nobody should", n)
		}
		if !w.files || n >= w.total {
			return nil
		}
		if time.Now().After(end) || !pause(ctx, filedPoll) {
			return fmt.Errorf("%d of %d messages are filed", n, w.total)
		}
	}
}

func (r *writeReport) summarise() {
	sideOf := func(all []sided) (s writeSide) {
		of := func(what func(sided) float64) float64 {
			var v []float64
			for _, x := range all {
				v = append(v, what(x))
			}
			return median(v)
		}
		s.Accepted = of(func(x sided) float64 { return x.Source.AcceptedPerSecond })
		s.Delivered = of(func(x sided) float64 { return x.DeliveredPerSecond })
		s.P50 = of(func(x sided) float64 { return x.Source.SubmissionLatency.P50 })
		s.P99 = of(func(x sided) float64 { return x.Source.SubmissionLatency.P99 })
		s.CPU = of(func(x sided) float64 { return float64(x.cpu.Microseconds()) / float64(r.Messages) })
		s.Filed = of(func(x sided) float64 { return float64(r.Messages) / x.filed })
		return s
	}
	r.With, r.Without = sideOf(r.rounds[0]), sideOf(r.rounds[1])
	r.Without.Filed = 0
	r.CPU = r.With.CPU - r.Without.CPU
	if r.Without.Delivered > 0 {
		r.Lost = 1 - r.With.Delivered/r.Without.Delivered
	}
	for _, x := range r.rounds[0] {
		r.Lag = append(r.Lag, x.lag)
	}
	slices.Sort(r.Lag)
}
