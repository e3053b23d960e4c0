package intake_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/intake"
)

// counter is a hand-off without a free worker, which counts who is urged.
type counter struct{ urged []queue.Lane }

func (c *counter) Reserve() (queue.LeaseRequest, func([]queue.Lease), bool) {
	return queue.LeaseRequest{}, nil, false
}

func (c *counter) Urge(lane queue.Lane) { c.urged = append(c.urged, lane) }

func TestLaneIsOfAccountSenderAndDomain(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	d := newDoor(t, s, policies{"shop": {}}, func(o *intake.Options) {
		o.Lane = func(account, sender, domain string) queue.Lane {
			return queue.Lane(strings.Join([]string{account, sender, domain}, " "))
		}
	})
	for _, c := range []struct{ from, want string }{
		{"orders@Shop.Example", "shop shop.example example.org"},
		{"", "shop author.example example.org"}, // the author's domain stands in for the null reverse-path
	} {
		m := submission(t, "From: me@author.example\r\n\r\nx", "joe@Example.ORG")
		m.Envelope.ReversePath = queue.Address{}
		if c.from != "" {
			m.Envelope.ReversePath = address(t, c.from)
		}
		done, err := d.Submit(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if e, _ := stored(t, s, done.ID); !strings.EqualFold(string(e.Recipients[0].Lane), c.want) {
			t.Errorf("from %q: lane %q, want %q", c.from, e.Recipients[0].Lane, c.want)
		}
	}
}

func TestMailOfHighPriorityIsUrged(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	c := &counter{}
	d := newDoor(t, s, policies{"shop": {}}, func(o *intake.Options) { o.Handoff = c })
	for _, p := range []queue.Priority{0, queue.PriorityNormal, queue.PriorityLow, queue.PriorityHigh} {
		m := submission(t, "From: shop@example.com\r\n\r\nx", "a@one.example", "b@one.example", "c@two.example")
		m.Priority = p
		if _, err := d.Submit(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if want := []queue.Lane{"one.example", "two.example"}; !slices.Equal(c.urged, want) {
		t.Errorf("urged are %v, want %v", c.urged, want)
	}
	later := submission(t, "From: shop@example.com\r\n\r\nx", "a@one.example")
	later.Priority, later.NotBefore = queue.PriorityHigh, time.Now().Add(time.Hour)
	if _, err := d.Submit(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	if len(c.urged) != 2 {
		t.Errorf("mail that is not due is urged: %v", c.urged)
	}
}
