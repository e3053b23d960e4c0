package delivery_test

import (
	"fmt"
	"testing"

	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
	"postrider/relay/throttle"
)

// The history of a message that the second host took says what failed at the
// first.
func TestWhatFailedAtTheFirstHostIsRecorded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		first smtpsim.Options
		want  queue.Setback
	}{
		"no STARTTLS where TLS is asked for": {want: queue.Setback{
			Stage: queue.StageTLS, TLSPolicy: "encrypt", TLSFault: outbound.FaultNoStartTLS, Said: "TLS is required and the server does not offer STARTTLS",
		}},
		"a greeting that says not now": {
			first: smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Connect, Do: smtpsim.Do(smtpsim.Reply(421, "4.3.2", "not now"))}}},
			want:  queue.Setback{Stage: queue.StageGreeting, TLSPolicy: "encrypt", Said: "421 4.3.2 not now"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.options.MXTLS = outbound.TLS{Mode: outbound.TLSRequired}
			w.hop(addrA, tt.first)
			w.hop(addrB, smtpsim.Options{TLS: smtpsim.StartTLS})
			w.start()
			id := w.queue("x@two.test")
			r := w.all(id, queue.StateDelivered)[0]
			if r.Last.Host != "mx.b.test" || r.Last.TLSFault != "" || r.Attempts != 1 {
				t.Errorf("the last attempt is %+v", r.Last)
			}
			if len(r.Last.Setbacks) != 1 {
				t.Fatalf("setbacks %+v", r.Last.Setbacks)
			}
			got := r.Last.Setbacks[0]
			if got.Host != "mx.a.test" || got.Addr.Addr().String() != addrA {
				t.Errorf("it is of %s at %v", got.Host, got.Addr)
			}
			got.Host, got.Addr, got.Local = "", tt.want.Addr, tt.want.Local
			if got != tt.want {
				t.Errorf("setback %+v, want %+v", got, tt.want)
			}
		})
	}
}

// The failure that decided is not told twice.
func TestWhatDecidedIsNoSetback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.options.MXTLS = outbound.TLS{Mode: outbound.TLSRequired}
	w.hop(addrA, smtpsim.Options{})
	w.hop(addrB, smtpsim.Options{})
	w.start()
	r := w.tried(w.queue("x@two.test"), 1)
	if r.Last.Host != "mx.b.test" || len(r.Last.Setbacks) != 1 || r.Last.Setbacks[0].Host != "mx.a.test" {
		t.Errorf("the last attempt is %+v", r.Last)
	}
}

// A site that takes few messages over a connection is asked for no more once that
// is known, and its mail is neither put off nor slowed down.
func TestMessagesPerConnectionAreHeeded(t *testing.T) {
	t.Parallel()
	for _, code := range []int{421, 452} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			limits := throttle.New(throttle.Options{Connections: 1, Now: w.clock.Now})
			w.options.Limits = limits
			hop := w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{
				{Name: "enough", Stage: smtpsim.Mail, AfterMessages: 3, Do: smtpsim.Do(smtpsim.Reply(code, "4.7.0", "Too many messages per connection"))},
			}})
			w.start()
			for i := range 20 {
				if r := w.all(w.queue(fmt.Sprintf("r%d@a.test", i)), queue.StateDelivered)[0]; r.Attempts != 1 {
					t.Errorf("message %d took %d attempts", i, r.Attempts)
				}
			}
			n := limits.State("a.test")
			if fired := hop.Fired("enough"); fired != 1 || n.MessagesPerConnection != 3 || !n.Slowed.IsZero() {
				t.Errorf("it said so %d times; the site is %+v", fired, n)
			}
			if c := hop.Counters().Connections; c < 7 || c > 8 {
				t.Errorf("%d connections for 20 messages", c)
			}
		})
	}
}
