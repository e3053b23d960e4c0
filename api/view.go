package api

import (
	"time"

	v1 "postrider/api/v1"
	"postrider/queue"
)

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

var priorities = map[queue.Priority]string{
	queue.PriorityHigh: "high", queue.PriorityNormal: "normal", queue.PriorityLow: "low",
}

func messageOf(e queue.Entry) v1.Message {
	m := v1.Message{
		ID: e.Message.ID.String(), Account: e.Message.Account, From: e.Message.Envelope.ReversePath.String(),
		HeaderFrom: e.Message.Header.From.String(), Subject: e.Message.Header.Subject, MessageID: e.Message.Header.MessageID,
		Size: e.Message.Content.Size, Priority: priorities[e.Message.Priority], Source: e.Message.Source.Kind,
		AcceptedAt: e.Message.AcceptedAt.UTC(), ExpiresAt: e.Message.ExpiresAt.UTC(), Key: e.Message.Credential,
		Stream: e.Message.Labels.Stream, List: e.Message.Labels.List, Tags: e.Message.Labels.Tags, Metadata: e.Message.Labels.Metadata,
		Sandbox: e.Message.Sandbox, States: map[string]int{}, Recipients: make([]v1.Recipient, 0, len(e.Recipients)),
	}
	if e.Message.Envelope.RequireTLS {
		m.TLS = "require"
	}
	for _, r := range e.Recipients {
		m.States[r.State.String()]++
		m.Recipients = append(m.Recipients, recipientOf(e.Message, r))
	}
	return m
}

func recipientOf(m queue.Message, r queue.Recipient) v1.Recipient {
	v := v1.Recipient{
		ID: r.ID.String(), Address: r.Address.String(), State: r.State.String(), Lane: string(r.Lane), Attempts: r.Attempts,
		InDoubt: r.InDoubt, Last: attemptOf(r.Last), Updated: r.UpdatedAt.UTC(),
	}
	if r.Pending != queue.ActionNone {
		v.Pending = r.Pending.String()
	}
	waits := r.State == queue.StateQueued || r.State == queue.StateDeferred || r.State == queue.StateScheduled
	if waits {
		v.NextTry = timeOf(r.Due)
	}
	arrived := r.State == queue.StateDelivered || r.State == queue.StateRelayed
	if r.Class != queue.ClassNone && !arrived {
		advised := queue.AdviceClass(&r)
		v.Class = string(r.Class)
		v.Advice = queue.Advice(advised, queue.FactsOf(&m, &r, r.Last, ""))
		v.Mender = queue.Mender(advised, !r.State.Final())
	}
	return v
}

func said(a *queue.Attempt) string {
	if a.Reply.Code != 0 {
		return a.Reply.String()
	}
	return a.Error
}

func attemptOf(a *queue.Attempt) *v1.Attempt {
	if a == nil {
		return nil
	}
	v := &v1.Attempt{
		Number: a.Number, At: a.Start.UTC(), TookMS: a.Took.Milliseconds(), Site: a.Site, Host: a.Host, TLS: a.TLS,
		TLSPeer: a.TLSPeer, Stage: string(a.Stage), Code: a.Reply.Code, Reply: a.Reply.Text, Error: a.Error, InDoubt: a.InDoubt,
		TLSPolicy: a.TLSPolicy, TLSFault: a.TLSFault,
	}
	if a.Addr.IsValid() {
		v.Address = a.Addr.String()
	}
	if a.Local.IsValid() {
		v.Local = a.Local.String()
	}
	if !a.Reply.Enhanced.IsZero() {
		v.Enhanced = a.Reply.Enhanced.String()
	}
	for i := range a.Setbacks {
		v.Setbacks = append(v.Setbacks, setbackOf(&a.Setbacks[i]))
	}
	return v
}

func setbackOf(b *queue.Setback) v1.Setback {
	v := v1.Setback{Host: b.Host, Stage: string(b.Stage), TLSPolicy: b.TLSPolicy, TLSFault: b.TLSFault, Said: b.Said}
	if b.Addr.IsValid() {
		v.Address = b.Addr.String()
	}
	if b.Local.IsValid() {
		v.Local = b.Local.String()
	}
	return v
}

func eventOf(e queue.Event) v1.Event {
	v := v1.Event{
		ID: e.ID.String(), Kind: string(e.Kind), At: e.At.UTC(), Class: string(e.Class), Attempt: attemptOf(e.Attempt),
		InDoubt: e.InDoubt, Actor: e.Actor, Reason: e.Reason, NextTry: timeOf(e.Due),
	}
	if !e.Recipient.IsZero() {
		v.Recipient = e.Recipient.String()
	}
	return v
}
