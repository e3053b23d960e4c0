package storetest

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"postrider/queue"
)

// rcpt is a recipient to be: the zero values mean queued and due now.
type rcpt struct {
	addr  string
	lane  queue.Lane
	state queue.State
	due   time.Time
}

// mail is a message to be.
type mail struct {
	account  string
	sender   string
	priority queue.Priority
	to       []rcpt
	body     []byte
	idem     queue.Idempotency
	lease    *queue.LeaseRequest
	facts    func(m *queue.Message) // changes it
}

// labelled gives a message all facts that not every message has.
func labelled(m *queue.Message) {
	m.Envelope.RequireTLS, m.Sandbox, m.Credential = true, true, "key_7"
	m.Envelope.StrictTLS = true
	m.Labels = queue.Labels{
		Stream: "news", List: "weekly", Tags: []string{"grün", "sale"},
		Metadata: map[string]string{"order": "12", "customer": "äöü", "none": ""},
	}
}

func lanes(names ...queue.Lane) []rcpt {
	rs := make([]rcpt, len(names))
	for i, n := range names {
		rs[i].lane = n
	}
	return rs
}

func many(n int, lane queue.Lane) []rcpt {
	rs := make([]rcpt, n)
	for i := range rs {
		rs[i].lane = lane
	}
	return rs
}

// request builds what m asks for, its content written.
func (e *env) request(m mail) (queue.EnqueueRequest, error) {
	id := e.nextID()
	if m.account == "" {
		m.account = "shop"
	}
	if m.sender == "" {
		m.sender = "sender@Shop.Example"
	}
	if m.priority == 0 {
		m.priority = queue.PriorityNormal
	}
	if m.body == nil {
		m.body = []byte("Subject: hello\r\n\r\nWorld\r\n")
	}
	if len(m.to) == 0 {
		m.to = many(1, "")
	}
	from, err := queue.ParseAddress(m.sender)
	if err != nil {
		return queue.EnqueueRequest{}, err
	}
	r := queue.EnqueueRequest{
		Message: queue.Message{
			ID: id, Account: m.account, Priority: m.priority,
			Envelope:   queue.Envelope{ReversePath: from, EnvID: "env", Ret: queue.RetFull, SMTPUTF8: true, EightBit: true},
			Header:     queue.Header{From: from, Subject: "Grüße", MessageID: "x@y"},
			Source:     queue.Source{Kind: "smtp", Remote: netip.MustParseAddr("192.0.2.7"), Peer: "client", Auth: "PLAIN", TLS: "TLS1.3"},
			AcceptedAt: e.now, ExpiresAt: e.now.Add(72 * time.Hour),
			Content: queue.ContentRef{Size: int64(len(m.body)), HeaderSize: int64(bytes.Index(m.body, []byte("\r\n\r\n")) + 4)},
		},
		Idempotency: m.idem, Now: e.now, Lease: m.lease,
	}
	if m.facts != nil {
		m.facts(&r.Message)
	}
	for i, to := range m.to {
		if to.addr == "" {
			to.addr = fmt.Sprintf("user%d@Example.ORG", i)
		}
		addr, err := queue.ParseAddress(to.addr)
		if err != nil {
			return queue.EnqueueRequest{}, err
		}
		if to.lane == "" {
			to.lane = "example.org"
		}
		if to.state == 0 {
			to.state = queue.StateQueued
		}
		if to.due.IsZero() {
			to.due = e.now
		}
		rc := queue.Recipient{
			ID: id.Recipient(i), Address: addr, ORCPT: "rfc822;" + to.addr, Notify: queue.NotifyFailure | queue.NotifyDelay,
			State: to.state, Lane: to.lane, Due: to.due,
		}
		if to.state.Final() {
			rc.Class = queue.ClassRcptSyntax
		}
		r.Recipients = append(r.Recipients, rc)
	}
	r.Content, err = e.s.CreateContent(e.ctx)
	if err != nil {
		return r, err
	}
	if _, err := r.Content.Write(m.body); err != nil {
		r.Content.Abort()
		return r, err
	}
	return r, nil
}

func (e *env) try(m mail) (queue.Enqueued, error) {
	r, err := e.request(m)
	if err != nil {
		return queue.Enqueued{}, err
	}
	return e.s.Enqueue(e.ctx, r)
}

func (e *env) put(m mail) queue.MessageID {
	e.Helper()
	out, err := e.try(m)
	e.ok(err)
	return out.ID
}
