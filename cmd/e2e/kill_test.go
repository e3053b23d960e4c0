package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"sync"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

const killSources = 20

var messageID = regexp.MustCompile(`msg_[0-9a-zA-Z]+`)

// arrivals is what reached the next hop.
type arrivals struct {
	mu         sync.Mutex
	copies     map[string][]string // recipient to the ids in the Received field
	violations []smtpsim.Violation // of the protocol, in what was accepted
}

func (a *arrivals) note(m *smtpsim.Message) {
	id := string(messageID.Find(m.Raw))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.violations = append(a.violations, m.Violations...)
	for _, r := range m.Rcpts {
		a.copies[r.Address] = append(a.copies[r.Address], id)
	}
}

// count is how many recipients it reached.
func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.copies)
}

// kill -9 at random moments under load: what was acknowledged arrives, and a
// second copy has a mark that says why.
func TestKilledRelayLosesNothingItAcknowledged(t *testing.T) {
	t.Parallel()
	ctx := within(t, killTime)
	arrived := &arrivals{copies: make(map[string][]string)}
	net := e2etest.NewInternet(t)
	net.Domain(t, "sink.test", smtpsim.Options{
		Keep: smtpsim.KeepCounters, OnMessage: arrived.note,
		// A window in which the dot is sent and not yet answered.
		Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Delay(3 * time.Millisecond))}},
	})
	relay := e2etest.Start(t, net.Env(), e2etest.Env{"POSTRIDER_CONNECTIONS_PER_SITE": "20"})

	// Mail waits for its domain's key, which a slow machine does not make in a round.
	relay.CLI(ctx, t, "domain", "records", "shop.test")

	acked := newLedger()
	for range killRounds {
		loading, stop := context.WithCancel(ctx)
		load := startLoad(loading, relay.SMTP, killSources, "sink.test", acked)
		moment := time.NewTimer(20*time.Millisecond + rand.N(500*time.Millisecond))
		select {
		case <-moment.C:
		case <-relay.Done():
			t.Fatal("the relay ended by itself")
		}
		relay.Kill()
		stop()
		load.wait()
		relay = relay.Restart(t)
	}
	awaitEmpty(ctx, t, relay)
	for _, err := range acked.odd {
		t.Errorf("a source was refused: %v", err)
	}
	if len(acked.acked) < killRounds*killSources {
		t.Errorf("only %d recipients were acknowledged in %d rounds: that is no load", len(acked.acked), killRounds)
	}
	if len(arrived.violations) > 0 {
		t.Errorf("the next hop saw violations of the protocol: %v", arrived.violations)
	}
	if reconcile(ctx, t, relay, acked, arrived) == 0 {
		t.Error("no round hit the moment between the dot and its reply: the test shows nothing about in_doubt")
	}
	filedOnce(ctx, t, relay, acked.acked)
}

// awaitEmpty waits until nothing is on its way.
func awaitEmpty(ctx context.Context, t *testing.T, relay *e2etest.Relay) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		q, err := relay.Admin().Queue(ctx)
		if err != nil {
			return err
		}
		for _, state := range []string{"queued", "active", "deferred", "scheduled"} {
			if n := q.States[state].Recipients; n > 0 {
				return fmt.Errorf("%d recipients are %s", n, state)
			}
		}
		return nil
	})
}

// reconcile compares what was acknowledged with what arrived, and returns how
// many recipients got a second copy.
func reconcile(ctx context.Context, t *testing.T, relay *e2etest.Relay, acked *ledger, arrived *arrivals) (second int) {
	t.Helper()
	lost, strange := 0, 0
	for rcpt, id := range acked.acked {
		switch copies := arrived.copies[rcpt]; {
		case len(copies) == 0:
			if lost++; lost <= 10 {
				t.Errorf("%s of %s was acknowledged and did not arrive", rcpt, id)
			}
		case copies[0] != id:
			t.Errorf("%s was acknowledged as %s and arrived as %s", rcpt, id, copies[0])
		}
	}
	for rcpt, copies := range arrived.copies {
		if len(copies) == 1 {
			continue
		}
		second++
		for _, id := range copies {
			if id != copies[0] {
				t.Errorf("%s got the messages %v, which are not copies of one", rcpt, copies)
			}
		}
		if err := doubted(ctx, relay, copies[0], rcpt); err != nil {
			if strange++; strange <= 10 {
				t.Error(err)
			}
		}
	}
	t.Logf("%d recipients acknowledged, %d lost, %d got a second copy and %d of them without a mark, all arrivals %d", len(acked.acked), lost, second, strange, len(arrived.copies))
	return second
}

// doubted checks that the history of a recipient explains a second copy.
func doubted(ctx context.Context, relay *e2etest.Relay, id, rcpt string) error {
	m, err := relay.Admin().Message(ctx, id)
	if err != nil {
		return fmt.Errorf("look up %s: %w", id, err)
	}
	for _, r := range m.Recipients {
		if r.Address != rcpt {
			continue
		}
		for _, e := range m.Events {
			if e.Recipient == r.ID && e.InDoubt {
				return nil
			}
		}
	}
	return fmt.Errorf("%s of %s got more than one copy, and no event is marked in_doubt", rcpt, id)
}
