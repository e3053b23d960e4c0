package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/api/feed"
	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// follower reads a stream of events, over as many connections as it takes.
type follower struct {
	last   string // id of the last event
	events []feed.Event
	lines  *bufio.Scanner
	close  func()
}

// connect goes on behind the last event, or begins now.
func (f *follower) connect(ctx context.Context, w web) error {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+"/v1/events/stream", nil)
	if err != nil {
		cancel()
		return err
	}
	req.Header = w.header.Clone()
	if f.last != "" {
		req.Header.Set("Last-Event-ID", f.last)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		cancel()
		return err
	}
	f.lines, f.close = bufio.NewScanner(res.Body), func() { cancel(); res.Body.Close() }
	f.lines.Buffer(nil, 1<<20)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		f.close()
		return fmt.Errorf("the stream is answered %s, %s", res.Status, res.Header.Get("Content-Type"))
	}
	return nil
}

var errStreamEnded = errors.New("the stream has ended")

// next reads one more event. A frame that has only an id is none, but moves on.
func (f *follower) next() error {
	id, data := "", ""
	for f.lines.Scan() {
		name, value, _ := strings.Cut(f.lines.Text(), ": ")
		switch {
		case name == "id":
			id = value
		case name == "data":
			data = value
		case f.lines.Text() == "" && id != "":
			f.last = id
			if id = ""; data == "" {
				continue
			}
			var e feed.Event
			err := json.Unmarshal([]byte(data), &e)
			f.events = append(f.events, e)
			return err
		}
	}
	return errors.Join(errStreamEnded, f.lines.Err())
}

// until reads events until n messages were delivered in all.
func (f *follower) until(delivered int) error {
	for {
		n := 0
		for _, e := range f.events {
			if e.Type == feed.Delivered {
				n++
			}
		}
		if n >= delivered {
			return nil
		}
		if err := f.next(); err != nil {
			return err
		}
	}
}

// follow is connected while do runs.
func (f *follower) follow(ctx context.Context, t *testing.T, w web, do func()) {
	t.Helper()
	if err := f.connect(ctx, w); err != nil {
		t.Fatal(err)
	}
	defer f.close()
	do()
}

// Whoever follows the events gets each of them once, though the relay is killed
// and restarted meanwhile.
func TestAStreamOfEventsGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	const each = 20
	world := e2etest.NewInternet(t)
	world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	secret := keyOf(ctx, t, relay, v1.NewKey{Scopes: []string{"send", "read"}}).Secret
	w := webOf(relay, secret)
	send := func() {
		for i := range each {
			w.send(ctx, t, letter(fmt.Sprintf("r%d@customer.test", i), "watched"))
		}
	}
	f := &follower{}
	f.follow(ctx, t, w, func() {
		send()
		if err := f.until(each / 2); err != nil {
			t.Fatal(err)
		}
		relay.Kill()
		for f.next() == nil { // what was on its way
		}
	})
	relay = relay.Restart(t)
	w = webOf(relay, secret)
	f.follow(ctx, t, w, func() {
		send()
		if err := f.until(2 * each); err != nil {
			t.Fatal(err)
		}
		relay.Signal(t, syscall.SIGTERM)
		if err := f.until(3 * each); !errors.Is(err, errStreamEnded) {
			t.Fatalf("of a relay that stops, the stream ends with %v", err)
		}
	})
	relay.Wait(ctx, t)
	relay = relay.Restart(t)
	w = webOf(relay, secret)
	f.follow(ctx, t, w, func() {
		send()
		if err := f.until(3 * each); err != nil {
			t.Fatal(err)
		}
	})
	awaitEmpty(ctx, t, relay)
	all, err := eventsOf(ctx, w)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := idsOf(f.events), idsOf(all); !slices.Equal(got, want) {
		t.Errorf("%d events were told, of %d:\n%q\nwant\n%q", len(got), len(want), got, want)
	}
}

func idsOf(events []feed.Event) (ids []string) {
	for _, e := range events {
		ids = append(ids, fmt.Sprintf("%s %s %s", e.ID, e.Type, e.Data.EmailID))
	}
	return ids
}

// A request that waits for an event is answered as soon as there is one, and in
// the end without.
func TestWaitingForAnEvent(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	w := webOf(relay, keyOf(ctx, t, relay, v1.NewKey{Scopes: []string{"send", "read"}}).Secret)
	w.send(ctx, t, letter("b@customer.test", "before"))
	awaitEmpty(ctx, t, relay)
	var now feed.Page
	w.do(ctx, t, http.MethodGet, "/v1/events?cursor=latest&wait=1s", nil).want(t, http.StatusOK, &now)
	if len(now.Data) > 0 || now.HasMore || now.NextCursor == "" {
		t.Fatalf("after a second without events the answer is %+v", now)
	}
	due := time.Now().Add(1500 * time.Millisecond) // the request waits long before
	m := letter("b@customer.test", "later")
	m.ScheduledAt = &due
	id := w.send(ctx, t, m).ID
	a := w.do(ctx, t, http.MethodGet, "/v1/events?types=email.delivered&wait=30s&cursor="+url.QueryEscape(now.NextCursor), nil)
	answered := time.Now()
	var p feed.Page
	a.want(t, http.StatusOK, &p)
	if len(p.Data) != 1 || p.Data[0].Type != feed.Delivered || p.Data[0].Data.EmailID != id {
		t.Fatalf("the events are %+v", p.Data)
	}
	if late := answered.Sub(p.Data[0].Timestamp); late > time.Second || answered.Before(due) {
		t.Errorf("the answer came %v after the event", late)
	}
}
