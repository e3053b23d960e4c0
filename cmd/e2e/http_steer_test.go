package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// steered is a relay and somebody who sends by it and changes his mind.
type steered struct {
	web
	relay *e2etest.Relay
	mx    *smtpsim.Server
	world *e2etest.Internet
}

func startSteered(ctx context.Context, t *testing.T, envs ...e2etest.Env) *steered {
	t.Helper()
	s := &steered{world: e2etest.NewInternet(t)}
	s.mx = s.world.Domain(t, "customer.test", smtpsim.Options{})
	s.relay = e2etest.Start(t, append([]e2etest.Env{s.world.Env()}, envs...)...)
	s.web = webOf(s.relay, keyOf(ctx, t, s.relay, v1.NewKey{Scopes: []string{"send", "read", "manage"}}).Secret)
	return s
}

// schedule sends a message that waits.
func (s *steered) schedule(ctx context.Context, t *testing.T, subject string, at time.Time) v1.Receipt {
	t.Helper()
	m := letter("b@customer.test", subject)
	m.ScheduledAt = &at
	r := s.send(ctx, t, m)
	if r.Status != "scheduled" || r.Recipients[0].Status != "scheduled" {
		t.Errorf("%s is %+v", subject, r)
	}
	return r
}

// steer does something to a message.
func (s *steered) steer(ctx context.Context, t *testing.T, id, action string) v1.Changes {
	t.Helper()
	var c v1.Changes
	s.do(ctx, t, http.MethodPost, "/v1/messages/"+id+"/"+action, nil).want(t, http.StatusOK, &c)
	return c
}

// arrivedAt is when a message of this subject came.
func (s *steered) arrivedAt(ctx context.Context, t *testing.T, subject string) (at time.Time) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		for _, m := range s.mx.Messages() {
			if unfolded(m, "Subject") == subject {
				at = m.Received
				return nil
			}
		}
		return fmt.Errorf("%q has not arrived", subject)
	})
	return at
}

func TestScheduledMailIsSentInTimeMovedAndCancelled(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	s := startSteered(ctx, t)
	soon, far := time.Now().Add(2*time.Second).Truncate(time.Millisecond), time.Now().Add(time.Hour)
	kept := s.schedule(ctx, t, "in time", soon)
	sooner := s.schedule(ctx, t, "moved to now", far)
	later := s.schedule(ctx, t, "moved to later", soon)
	cancelled := s.schedule(ctx, t, "cancelled", soon)

	var m v1.Message
	s.do(ctx, t, http.MethodPatch, "/v1/messages/"+later.ID, v1.MessageChange{ScheduledAt: v1.Some(far)}).want(t, http.StatusOK, &m)
	if len(m.Recipients) != 1 || m.Recipients[0].State != "scheduled" || m.Recipients[0].NextTry == nil || m.Recipients[0].NextTry.Sub(far).Abs() > time.Second {
		t.Errorf("moved to later it is %+v", m.Recipients)
	}
	if c := s.steer(ctx, t, cancelled.ID, "cancel"); c.Changed != 1 || c.Data[0].State != "cancelled" {
		t.Errorf("cancelled it is %+v", c)
	}
	if err := s.do(ctx, t, http.MethodPost, "/v1/messages/"+cancelled.ID+"/cancel", nil).refused(http.StatusConflict, "not_cancelable"); err != nil {
		t.Error(err)
	}
	s.do(ctx, t, http.MethodPatch, "/v1/messages/"+sooner.ID, []byte(`{"scheduled_at":null}`)).want(t, http.StatusOK, nil)
	if at := s.arrivedAt(ctx, t, "moved to now"); !at.Before(soon) {
		t.Errorf("moved to now it came at %v", at)
	}
	at := s.arrivedAt(ctx, t, "in time")
	if late := at.Sub(soon); late < 0 || late > 2*time.Second { // machines that run tests are busy
		t.Errorf("it came %v after its time", late)
	}
	t.Logf("it came %v after its time", at.Sub(soon))
	awaitState(ctx, t, s.relay, kept.ID, "delivered")
	awaitState(ctx, t, s.relay, later.ID, "scheduled")
	awaitState(ctx, t, s.relay, cancelled.ID, "cancelled")
	if a := s.do(ctx, t, http.MethodPatch, "/v1/messages/"+kept.ID, v1.MessageChange{ScheduledAt: v1.Some(far)}); a.status != http.StatusConflict {
		t.Errorf("moving what was sent is answered %s", a)
	}
	if n := len(s.mx.Messages()); n != 2 {
		t.Errorf("%d arrived", n)
	}
}

// What was asked for survives the relay's death.
func TestScheduledMailOutlivesTheRelay(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	s := startSteered(ctx, t)
	due := time.Now().Add(2 * time.Second)
	s.schedule(ctx, t, "after a restart", due)
	moved := s.schedule(ctx, t, "moved", time.Now().Add(time.Hour))
	s.do(ctx, t, http.MethodPatch, "/v1/messages/"+moved.ID, v1.MessageChange{ScheduledAt: v1.Some(due)}).want(t, http.StatusOK, nil)
	s.relay.Kill()
	s.relay.Restart(t)
	for _, subject := range []string{"after a restart", "moved"} {
		if at := s.arrivedAt(ctx, t, subject); at.Before(due) {
			t.Errorf("%s came %v early", subject, due.Sub(at))
		}
	}
}

func TestMailIsHeldReleasedAndTriedAgain(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	s := startSteered(ctx, t, e2etest.Env{"POSTRIDER_RETRY": "1h"})
	s.mx.SetRules(smtpsim.Rule{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(450, "4.2.0", "Not now"))})
	id := s.send(ctx, t, letter("b@customer.test", "held")).ID
	awaitState(ctx, t, s.relay, id, "deferred")
	if c := s.steer(ctx, t, id, "hold"); c.Changed != 1 || c.Data[0].State != "held" {
		t.Errorf("held it is %+v", c)
	}
	if err := s.do(ctx, t, http.MethodPost, "/v1/messages/"+id+"/retry", nil).refused(http.StatusConflict, "conflict"); err != nil {
		t.Errorf("retry of what is held: %v", err)
	}
	s.mx.SetRules()
	if c := s.steer(ctx, t, id, "release"); c.Changed != 1 {
		t.Errorf("released it is %+v", c)
	}
	s.arrivedAt(ctx, t, "held")
	awaitState(ctx, t, s.relay, id, "delivered")

	s.mx.SetRules(smtpsim.Rule{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(450, "4.2.0", "Not now"))})
	id = s.send(ctx, t, letter("b@customer.test", "tried again")).ID
	awaitState(ctx, t, s.relay, id, "deferred")
	var why v1.Why
	s.do(ctx, t, http.MethodGet, "/v1/messages/"+id+"/why", nil).want(t, http.StatusOK, &why)
	if len(why.Data) != 1 || why.Data[0].Last == nil || why.Data[0].Last.Code != 450 || why.Data[0].NextTry == nil {
		t.Errorf("why says %+v", why.Data)
	}
	s.mx.SetRules()
	s.steer(ctx, t, id, "retry")
	s.arrivedAt(ctx, t, "tried again")
	awaitState(ctx, t, s.relay, id, "delivered")
}

// A suspended destination gets no mail until it goes on, and whoever asks is told
// why.
func TestASuspendedDomainGetsNothingUntilItGoesOn(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	s := startSteered(ctx, t)
	other := s.world.Domain(t, "friend.test", smtpsim.Options{})
	s.relay.CLI(ctx, t, "queue", "suspend", "customer.test", "--reason", "they asked us to wait")
	id := s.send(ctx, t, letter("b@customer.test", "suspended")).ID
	s.send(ctx, t, letter("b@friend.test", "not suspended"))
	e2etest.Receive(ctx, t, other, 1)

	text := s.relay.CLI(ctx, t, "queue", "why", id)
	if !strings.Contains(text, "suspension") || !strings.Contains(text, "they asked us to wait") {
		t.Errorf("queue why says:\n%s", text)
	}
	var why v1.Why
	s.do(ctx, t, http.MethodGet, "/v1/messages/"+id+"/why", nil).want(t, http.StatusOK, &why)
	if len(why.Data) != 1 || len(why.Data[0].Limits) == 0 || why.Data[0].Limits[0].Kind != "suspension" {
		t.Errorf("why says %+v", why.Data)
	}
	// Trying again does not get round it, nor does a restart.
	s.do(ctx, t, http.MethodPost, "/v1/messages/"+id+"/retry", nil)
	s.relay.Kill()
	s.relay = s.relay.Restart(t)
	s.web.base = "http://" + s.relay.HTTP
	s.send(ctx, t, letter("b@friend.test", "not suspended"))
	e2etest.Receive(ctx, t, other, 2)
	if n := s.mx.Counters().Connections; n > 0 {
		t.Errorf("the suspended domain got %d connections", n)
	}
	s.relay.CLI(ctx, t, "queue", "resume", "customer.test")
	s.arrivedAt(ctx, t, "suspended")
	awaitState(ctx, t, s.relay, id, "delivered")
}

// A message that is sent once more is a new one, with the same content.
func TestAMessageIsSentOnceMore(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	s := startSteered(ctx, t)
	m := letter("b@customer.test", "twice")
	m.Attachments = []v1.Attachment{{Filename: "a.txt", Content: "YXR0YWNoZWQ="}}
	first := s.send(ctx, t, m)
	e2etest.Receive(ctx, t, s.mx, 1)
	awaitState(ctx, t, s.relay, first.ID, "delivered")
	again := func() (r v1.Receipt) {
		s.do(ctx, t, http.MethodPost, "/v1/messages/"+first.ID+"/resend", v1.NewCopy{}, "Idempotency-Key", "resend-1").want(t, http.StatusAccepted, &r)
		return r
	}
	second := again()
	if second.ID == first.ID || second.ID == "" || len(second.Recipients) != 1 || second.Recipients[0].Email != "b@customer.test" {
		t.Errorf("the copy is %+v", second)
	}
	got := e2etest.Receive(ctx, t, s.mx, 2)
	awaitState(ctx, t, s.relay, second.ID, "delivered")
	if repeated := again(); repeated.ID != second.ID {
		t.Errorf("asked again with the key, the copy is %s, and was %s", repeated.ID, second.ID)
	}
	if bodyOf(got[0]) != bodyOf(got[1]) || unfolded(got[1], "Subject") != "twice" {
		t.Errorf("the copy differs:\n%s\nand\n%s", got[0].Raw, got[1].Raw)
	}
	awaitEmpty(ctx, t, s.relay)
	if n := len(s.mx.Messages()); n != 2 {
		t.Errorf("%d arrived", n)
	}
}

func bodyOf(m *smtpsim.Message) string {
	_, body, _ := strings.Cut(string(m.Raw), "\r\n\r\n")
	return body
}
