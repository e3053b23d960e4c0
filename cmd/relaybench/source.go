package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// loadFlags say what a source sends.
type loadFlags struct {
	Sessions   int           `help:"Sessions at the same time." default:"20"`
	Messages   int64         `help:"Messages to send." default:"1000"`
	Recipients int           `help:"Recipients of each message." default:"1"`
	Size       int           `help:"Size of a message in bytes." default:"4096"`
	Reuse      int           `help:"Messages for each connection; 0 for no limit." default:"1"`
	Rate       float64       `help:"Messages a second at most, over all sessions; 0 for no limit."`
	Auth       string        `help:"Log in with this user and password, or over HTTP with this key." placeholder:"USER:PASS"`
	Raw        bool          `help:"Over HTTP, send whole messages instead of JSON."`
	TLS        string        `name:"tls" help:"TLS to the relay: none, starttls or implicit; the certificate is not checked." enum:"none,starttls,implicit" default:"none"`
	Pipeline   bool          `help:"Send the whole envelope at once; otherwise wait for each reply." xor:"mode"`
	PHPMailer  bool          `name:"phpmailer" help:"Speak as PHPMailer does: lock-step, each line of content in a write of its own, Nagle on." xor:"mode"`
	From       string        `help:"Sender." default:"sender@bench.test"`
	ToDomain   []string      `help:"Domain of the recipients; several are used in turn." default:"sink.test"`
	First      int64         `help:"Number of the first recipient." default:"1"`
	Acked      string        `help:"Write the number of every acknowledged recipient to this file." placeholder:"FILE"`
	Deadline   time.Duration `help:"Give up after so long; until then the relay may be gone and come back." default:"5m"`
	Timeout    time.Duration `help:"For a connection and for a message on it." default:"60s"`
}

type sourceCmd struct {
	loadFlags
	Relay string `help:"Address of the relay, or http://HOST:PORT for its HTTP API; those of several nodes with a comma between." default:"127.0.0.1:2525"`
	JSON  bool   `name:"json" help:"Print the report as JSON as well."`
}

// validate checks what tags cannot say.
func (l *loadFlags) validate() error {
	switch {
	case l.Sessions < 1 || l.Messages < 1 || l.Recipients < 1 || len(l.ToDomain) == 0:
		return fmt.Errorf("sessions, messages and recipients must be at least 1")
	case l.First < 0 || l.First+l.total() > maxRecipient:
		return fmt.Errorf("recipient numbers must be below %d", maxRecipient)
	case l.Recipients > 1000:
		return fmt.Errorf("at most 1000 recipients a message")
	}
	return nil
}

// total is how many recipients there are.
func (l *loadFlags) total() int64 { return l.Messages * int64(l.Recipients) }

// source sends one load.
type source struct {
	loadFlags
	addrs   []string // of one relay's nodes: connections go round
	content *content
	started time.Time
	next    atomic.Int64
	turn    atomic.Int64
	acked   *tally
	latency latency
	http    *http.Client

	accepted, refused, unknown, rcptRefused, deferred, reconnects atomic.Int64
	lastAck                                                       atomic.Int64 // nanoseconds since started
}

func newSource(l loadFlags, addr string, acked io.Writer) *source {
	return &source{
		loadFlags: l, addrs: strings.Split(addr, ","), content: newContent(l.From, l.Size), acked: newTally(acked), http: l.httpClient(),
	}
}

// run sends until all is sent or ctx or the deadline ends.
func (s *source) run(ctx context.Context) sourceReport {
	ctx, cancel := context.WithTimeout(ctx, s.Deadline)
	defer cancel()
	s.started = time.Now()
	var wg sync.WaitGroup
	for range s.Sessions {
		wg.Go(func() { s.session(ctx) })
	}
	wg.Wait()
	s.http.CloseIdleConnections()
	return s.report()
}

// session sends one message after the other.
func (s *source) session(ctx context.Context) {
	var w *wire
	defer func() {
		if w != nil {
			w.quit()
		}
	}()
	for ctx.Err() == nil {
		i := s.next.Add(1) - 1
		if i >= s.Messages || !s.pace(ctx, i) {
			return
		}
		first := s.First + i*int64(s.Recipients)
		if addr := s.addrs[int(i)%len(s.addrs)]; isHTTP(addr) {
			s.overHTTP(ctx, addr, first)
			continue
		}
		w = s.deliver(ctx, w, first)
	}
}

// pace waits until message i is due.
func (s *source) pace(ctx context.Context, i int64) bool {
	if s.Rate <= 0 {
		return true
	}
	due := s.started.Add(time.Duration(float64(i) / s.Rate * float64(time.Second)))
	return pause(ctx, time.Until(due))
}

func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// deliver sends the message of recipients first… until its fate is known, on
// w if there is one, and returns the connection to go on with. Only what
// certainly was not accepted is sent again.
func (s *source) deliver(ctx context.Context, w *wire, first int64) *wire {
	const longest = 500 * time.Millisecond
	wait := 10 * time.Millisecond
	for retry := false; ctx.Err() == nil; retry = true {
		if retry {
			if !pause(ctx, wait) {
				break
			}
			wait = min(2*wait, longest)
		}
		begin := time.Now()
		if w == nil {
			var err error
			addr := s.addrs[int(s.turn.Add(1)-1)%len(s.addrs)]
			if w, err = s.connect(ctx, addr); err != nil {
				s.reconnects.Add(1)
				continue
			}
		}
		fate := s.transact(w, first)
		switch fate {
		case accepted:
			s.latency.add(time.Since(begin))
			s.accepted.Add(1)
			storeMax(&s.lastAck, int64(time.Since(s.started)))
		case refused:
			s.refused.Add(1)
		case deferred:
			s.deferred.Add(1)
		case unknown:
			s.unknown.Add(1)
		}
		if fate == unsent || fate == unknown {
			w.close()
			w = nil
			s.reconnects.Add(1)
		} else if w.sent++; s.Reuse > 0 && w.sent >= s.Reuse {
			w.quit()
			w = nil
		}
		if fate != unsent && fate != deferred {
			break
		}
	}
	return w
}

func storeMax(v *atomic.Int64, n int64) {
	for old := v.Load(); n > old && !v.CompareAndSwap(old, n); old = v.Load() {
	}
}

// address appends the address of recipient n.
func (s *source) address(b []byte, n int64) []byte {
	b = strconv.AppendInt(append(b, 'r'), n, 10)
	return append(append(b, '@'), s.ToDomain[n%int64(len(s.ToDomain))]...)
}

// Run sends a load and reports.
func (cmd *sourceCmd) Run(ctx context.Context, out output) error {
	if err := cmd.validate(); err != nil {
		return err
	}
	acked, closeAcked, err := createOrNil(cmd.Acked)
	if err != nil {
		return err
	}
	s := newSource(cmd.loadFlags, cmd.Relay, acked)
	r := s.run(ctx)
	r.print(out.human)
	if err := s.acked.flush(); err != nil {
		return err
	}
	if err := closeAcked(); err != nil {
		return err
	}
	if cmd.JSON {
		return writeJSON(out.json, r)
	}
	return nil
}

// createOrNil creates a file, or nothing for no name.
func createOrNil(name string) (io.Writer, func() error, error) {
	if name == "" {
		return nil, func() error { return nil }, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, nil, err
	}
	return f, f.Close, nil
}
