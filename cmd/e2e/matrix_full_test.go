//go:build full

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// patience is how long the relay of the matrix waits for each thing that a peer
// should do: short for those that stall, and long for a busy machine.
const patience = "8s"

// trial is one recipient of the matrix: in a cell, either with the hostile host
// alone or with a good one behind it.
type trial struct {
	stage, way string
	second     bool
	rcpt       string
	host       *hostileHost
}

// peerMatrix is the world of the test.
type peerMatrix struct {
	relay  *e2etest.Relay
	good   *smtpsim.Server // the second host of all, and the exchanger of the sender
	trials []*trial
	ids    map[string]string // of the message, by recipient
}

// Everything that a peer can do to us, at each stage of a session, and what
// becomes of the mail: what the first attempt comes to, whether the second host
// is asked, and that in the end nothing is lost and nothing is there twice that
// was not in doubt.
func TestHostilePeersAtEachStage(t *testing.T) {
	t.Parallel()
	ctx := within(t, 3*time.Minute)
	m := startMatrix(t)
	m.submit(ctx, t)
	got := m.firstAttempts(ctx, t)
	for _, want := range wantMatrix {
		name := want.stage + " " + want.way
		if g, ok := got[name]; !ok {
			t.Errorf("%s: there is no such cell", name)
		} else if g != want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, g, want)
		}
		delete(got, name)
	}
	for name, g := range got {
		t.Errorf("%s is not judged yet: %#v", name, g)
	}
	m.finish(ctx, t)
	comparePage(t)
}

// startMatrix starts a host for each trial, and the relay.
func startMatrix(t *testing.T) *peerMatrix {
	t.Helper()
	world := e2etest.NewInternet(t)
	m := &peerMatrix{ids: map[string]string{}}
	goodAddr := ""
	m.good = world.Domain(t, "shop.test", smtpsim.Options{TLS: smtpsim.StartTLS})
	goodAddr, _, _ = net.SplitHostPort(m.good.Addr())
	var routes strings.Builder
	for _, stage := range hostileStages {
		for _, way := range hostileWays {
			if !possible(stage, way) {
				continue
			}
			for _, second := range []bool{false, true} {
				if second && stage == "AUTH" {
					continue // a smart host is one host
				}
				domain := cellName(stage, way) + map[bool]string{false: "-alone.test", true: "-second.test"}[second]
				ip := world.Address()
				tr := &trial{stage: stage, way: way, second: second, rcpt: "user@" + domain}
				tr.host = startHostile(t, net.JoinHostPort(ip, strconv.Itoa(world.Port())), "mx1."+domain, stage, way)
				zone := fmt.Sprintf("@ MX 10 mx1\nmx1 A %s\n", ip)
				if second {
					zone += fmt.Sprintf("@ MX 20 mx2\nmx2 A %s\n", goodAddr)
				}
				world.Publish(t, domain, zone)
				if stage == "AUTH" {
					fmt.Fprintf(&routes, "  - {match: %s, via: \"smtp://relay:secret@mx1.%s:%d?tls=opportunistic\"}\n", domain, domain, world.Port())
				}
				m.trials = append(m.trials, tr)
			}
		}
	}
	file := filepath.Join(e2etest.Dir(t), "postrider.yaml")
	if err := os.WriteFile(file, []byte("routes:\n"+routes.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	m.relay = e2etest.Start(t, world.Env(), e2etest.Env{
		"POSTRIDER_CONFIG": file, "POSTRIDER_RETRY": "1h", "POSTRIDER_DELIVERY_CONCURRENCY": "250", "POSTRIDER_MAX_MESSAGE_SIZE": "20MiB",
		"POSTRIDER_TIMEOUT_CONNECT": patience, "POSTRIDER_TIMEOUT_GREETING": patience, "POSTRIDER_TIMEOUT_COMMAND": patience,
		"POSTRIDER_TIMEOUT_DATA": patience, "POSTRIDER_TIMEOUT_FINAL_DOT": patience, "POSTRIDER_SUPPRESSION_BOUNCES": "false",
	})
	return m
}

// possible reports whether a peer can do it: before there is a connection there
// is nothing to say.
func possible(stage, way string) bool {
	return stage != "connect" || way == "drop" || way == "stall"
}

// submit sends one message for each stage, to all recipients of its cells.
func (m *peerMatrix) submit(ctx context.Context, t *testing.T) {
	t.Helper()
	m.openTransactions(ctx, t)
	for _, stage := range hostileStages {
		var to []string
		for _, tr := range m.trials {
			if tr.stage == stage {
				to = append(to, tr.rcpt)
			}
		}
		content := e2etest.Mail("a@shop.test", "list@shop.test", "to all of "+stage)
		if stage == "body" { // more than what the system takes in our stead
			content = append(content, bytes.Repeat([]byte(strings.Repeat("content ", 9)+"\r\n"), 8<<20/74)...)
		}
		id := m.relay.Submit(ctx, t, "a@shop.test", to, content)
		for _, rcpt := range to {
			m.ids[rcpt] = id
		}
	}
}

// openTransactions leaves warm connections to the hosts of RSET on which a
// transaction was not ended.
func (m *peerMatrix) openTransactions(ctx context.Context, t *testing.T) {
	t.Helper()
	var to []string
	for _, tr := range m.trials {
		if tr.stage == "RSET" {
			to = append(to, strings.Replace(tr.rcpt, "user@", "unknown@", 1))
		}
	}
	id := m.relay.Submit(ctx, t, "a@shop.test", to, e2etest.Mail("a@shop.test", "list@shop.test", "unknown"))
	e2etest.Poll(ctx, t, func() error {
		msg, err := m.relay.Admin().Message(ctx, id)
		if err == nil && msg.States["bounced"] != len(to) {
			err = fmt.Errorf("states are %v", msg.States)
		}
		return err
	})
}

// firstAttempts waits until each recipient was tried once and says what came of
// it, by cell.
func (m *peerMatrix) firstAttempts(ctx context.Context, t *testing.T) map[string]cellOutcome {
	t.Helper()
	all := map[string]cellOutcome{}
	for _, tr := range m.trials {
		r := m.await(ctx, t, tr.rcpt, func(r *v1.Recipient) bool {
			return r.Attempts > 0 && r.State != "queued" && r.State != "active"
		})
		if r.Attempts != 1 || r.Last == nil {
			t.Errorf("%s has %d attempts after the first: %+v", tr.rcpt, r.Attempts, r.Last)
			continue
		}
		name := tr.stage + " " + tr.way
		o := all[name]
		o.stage, o.way = tr.stage, tr.way
		if tr.second {
			switch asked := len(messagesFor(m.good, tr.rcpt)) > 0; {
			case asked && r.State == "delivered" && strings.HasPrefix(r.Last.Host, "mx2."):
				o.second = asks
			case asked:
				t.Errorf("%s: the second host has it and it is %s: %+v", tr.rcpt, r.State, r.Last)
			case r.State != o.state:
				t.Errorf("%s: it is %s, and %s with the host alone: %+v", tr.rcpt, r.State, o.state, r.Last)
			}
		} else {
			o.state, o.class, o.at, o.code, o.doubt = r.State, r.Class, r.Last.Stage, r.Last.Code, r.InDoubt || r.Last.InDoubt
			if r.State == "delivered" || r.State == "relayed" {
				o.tls = tr.tls(r.Last)
			}
		}
		all[name] = o
	}
	return all
}

// await polls for a recipient's state.
func (m *peerMatrix) await(ctx context.Context, t *testing.T, rcpt string, ready func(*v1.Recipient) bool) *v1.Recipient {
	t.Helper()
	var found *v1.Recipient
	e2etest.Poll(ctx, t, func() error {
		msg, err := m.relay.Admin().Message(ctx, m.ids[rcpt])
		if err != nil {
			return err
		}
		for i := range msg.Recipients {
			if r := &msg.Recipients[i]; r.Address == rcpt {
				if found = r; ready(r) {
					return nil
				}
				return fmt.Errorf("%s is %s after %d attempts, the last %+v", rcpt, r.State, r.Attempts, r.Last)
			}
		}
		return fmt.Errorf("message %s has no recipient %s", m.ids[rcpt], rcpt)
	})
	return found
}

// tls says how mail that arrived at the hostile host went.
func (tr *trial) tls(a *v1.Attempt) string {
	switch n := tr.host.server.Counters().Connections; {
	case a.TLS != "" && n == 1:
		return encrypted
	case a.TLS != "":
		return encryptedAgain
	case n == 1:
		return plainOn
	}
	return plainAgain
}

// finish tames the hosts, has everything tried again, and counts the copies.
func (m *peerMatrix) finish(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, tr := range m.trials {
		if tr.stage != "QUIT" {
			tr.host.tame(t)
		}
	}
	_, err := m.relay.Admin().Flush(ctx, v1.QueueChange{All: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range m.trials {
		r := m.await(ctx, t, tr.rcpt, func(r *v1.Recipient) bool {
			return r.State == "delivered" || r.State == "relayed" || r.State == "bounced" || resting(r)
		})
		copies := len(tr.host.messages(tr.rcpt)) + len(messagesFor(m.good, tr.rcpt))
		switch {
		case r.State == "bounced" && copies > 0:
			t.Errorf("%s bounced and arrived", tr.rcpt)
		case r.State == "bounced", resting(r) && copies == 0:
		case copies == 0:
			t.Errorf("%s is %s and did not arrive", tr.rcpt, r.State)
		case copies > 2, copies == 2 && !m.wasInDoubt(ctx, t, tr.rcpt):
			t.Errorf("%s arrived %d times and was not in doubt", tr.rcpt, copies)
		}
	}
	m.relay.Signal(t, syscall.SIGTERM) // its idle connections get their QUIT
	if status := m.relay.Wait(ctx, t); status != 0 {
		t.Errorf("the relay ended with %d", status)
	}
	for _, tr := range m.trials {
		if tr.stage == "QUIT" && tr.host.server.Fired("hostile") == 0 {
			t.Errorf("%s got no QUIT", tr.rcpt)
		}
	}
}

// resting reports a recipient whose site is left alone for a while, whoever asks:
// it wants nothing from our address, or refuses our login.
func resting(r *v1.Recipient) bool {
	return r.State == "deferred" && (r.Class == "block.ip" || r.Class == "route.auth")
}

// wasInDoubt reports whether the recipient's history says that a copy may have
// arrived.
func (m *peerMatrix) wasInDoubt(ctx context.Context, t *testing.T, rcpt string) bool {
	t.Helper()
	msg, err := m.relay.Admin().Message(ctx, m.ids[rcpt])
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range msg.Recipients {
		if r.Address != rcpt {
			continue
		}
		for _, e := range msg.Events {
			if e.Recipient == r.ID && (e.InDoubt || e.Attempt != nil && e.Attempt.InDoubt) {
				return true
			}
		}
		return r.InDoubt
	}
	return false
}

// comparePage compares the page of the documentation with the table, or writes
// it.
func comparePage(t *testing.T) {
	t.Helper()
	file, page := filepath.Join("..", "..", "configs", "docs", "matrix.md"), matrixPage()
	if *updatePictures {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old, err := os.ReadFile(file); err != nil || string(old) != page {
		t.Errorf("configs/docs/matrix.md is not what the table says (%v): go test -tags full -run TestHostilePeersAtEachStage ./cmd/e2e -update", err)
	}
}
