package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/queue"
)

func filterTests() []test {
	return []test{
		{"every field selects alike for lists and operations", filterFields},
		{"an unknown state is refused", filterBad},
	}
}

// gallery is a queue in which every field of a filter makes a difference.
func (e *env) gallery() []queue.RecipientID {
	e.Helper()
	var all []queue.RecipientID
	add := func(m mail) {
		id := e.put(m)
		for i := range m.to {
			all = append(all, id.Recipient(i))
		}
		e.pass(time.Minute)
	}
	author := func(from, subject, id string) func(m *queue.Message) {
		return func(m *queue.Message) {
			m.Header = queue.Header{Subject: subject, MessageID: id}
			m.Header.From, _ = queue.ParseAddress(from)
		}
	}
	add(mail{account: "a", sender: "x@One.Example", facts: labelled, to: []rcpt{{addr: "bob@Example.ORG", lane: "l1"}, {addr: "Bob@example.org", lane: "l2"}}})
	add(mail{account: "a", sender: "y@one.example", facts: author("Me@Author.Example", "Your ÖRDER, σίσυφος", "1@id"), to: []rcpt{{addr: "bob@example.net", lane: "l1", state: queue.StateHeld}, {addr: "carl@sub.example.org", lane: "l3", state: queue.StateScheduled, due: e.now.Add(99 * time.Hour)}}})
	add(mail{account: "b", sender: "x@one.example", facts: func(m *queue.Message) {
		author("you@author.example", "about your order", "2@id")(m)
		m.Labels.Tags = []string{"sale"}
		m.Labels.Metadata = map[string]string{"order": "12", "none": "x"}
	}, to: []rcpt{{addr: "bob@example.org", lane: "l4"}, {addr: "dora@example.org", lane: "l4", state: queue.StateBounced}}})
	add(mail{account: "b", sender: "x@two.example", facts: func(m *queue.Message) {
		author("", "", "")(m)
		m.Credential, m.Labels.Stream = "key_8", "news"
	}, to: []rcpt{{addr: "eve@example.com", lane: "l5"}}})
	for _, l := range e.lease(20) {
		switch l.Lane {
		case "l4":
			e.ok(e.outcome(l, queue.StateDeferred, e.now.Add(time.Hour)))
		case "l2":
			e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
		case "l5": // stays active
		default:
			e.ok(e.s.Release(e.ctx, l, e.now, nil))
		}
	}
	return all
}

// filters are what the fields select of the gallery, by index.
func filters(all []queue.RecipientID) map[string]struct {
	f    queue.Filter
	want []int
} {
	type c = struct {
		f    queue.Filter
		want []int
	}
	at := func(m int) time.Time { return epoch.Add(time.Duration(m) * time.Minute) }
	m := func(i int) queue.MessageID { return all[i].Message() }
	return map[string]c{
		"everything":          {queue.Filter{}, []int{0, 1, 2, 3, 4, 5, 6}},
		"messages":            {queue.Filter{Messages: []queue.MessageID{m(0), m(6), {9}}}, []int{0, 1, 6}},
		"recipients":          {queue.Filter{Recipients: []queue.RecipientID{all[1], all[4]}}, []int{1, 4}},
		"both":                {queue.Filter{Messages: []queue.MessageID{m(0)}, Recipients: []queue.RecipientID{all[1], all[4]}}, []int{1}},
		"account":             {queue.Filter{Account: "b"}, []int{4, 5, 6}},
		"no such account":     {queue.Filter{Account: "c"}, nil},
		"state queued":        {queue.Filter{States: []queue.State{queue.StateQueued}}, []int{0}},
		"state active":        {queue.Filter{States: []queue.State{queue.StateActive}}, []int{6}},
		"states":              {queue.Filter{States: []queue.State{queue.StateHeld, queue.StateDelivered, queue.StateActive}}, []int{1, 2, 6}},
		"states of one entry": {queue.Filter{States: []queue.State{queue.StateScheduled, queue.StateHeld}}, []int{2, 3}},
		"lane":                {queue.Filter{Lane: "l1"}, []int{0, 2}},
		"domain":              {queue.Filter{Domain: "example.org"}, []int{0, 1, 4, 5}},
		"recipient":           {queue.Filter{Recipient: "bob@example.org"}, []int{0, 4}},
		"recipient's case":    {queue.Filter{Recipient: "Bob@example.org"}, []int{1}},
		"sender":              {queue.Filter{Sender: "x@one.example"}, []int{0, 1, 4, 5}},
		"sender's domain":     {queue.Filter{Sender: "@one.example"}, []int{0, 1, 2, 3, 4, 5}},
		"class":               {queue.Filter{Class: queue.ClassGreylist}, []int{4}},
		"since":               {queue.Filter{Since: at(1)}, []int{2, 3, 4, 5, 6}},
		"until":               {queue.Filter{Until: at(1)}, []int{0, 1}},
		"between":             {queue.Filter{Since: at(1), Until: at(2)}, []int{2, 3}},
		"author":              {queue.Filter{From: "Me@AUTHOR.example"}, []int{2, 3}},
		"author's case":       {queue.Filter{From: "me@author.example"}, nil},
		"author's domain":     {queue.Filter{From: "@author.EXAMPLE"}, []int{2, 3, 4, 5}},
		"subject":             {queue.Filter{Subject: "Order"}, []int{4, 5}},
		"subject in any case": {queue.Filter{Subject: "yOuR örder"}, []int{2, 3}},
		"subject with sigmas": {queue.Filter{Subject: "ΣΊΣΥΦΟΣ"}, []int{2, 3}},
		"two in the subject":  {queue.Filter{Subject: "YOUR"}, []int{2, 3, 4, 5}},
		"message id":          {queue.Filter{MessageID: "2@id"}, []int{4, 5}},
		"part of an id":       {queue.Filter{MessageID: "@id"}, nil},
		"stream":              {queue.Filter{Stream: "news"}, []int{0, 1, 6}},
		"tag":                 {queue.Filter{Tag: "sale"}, []int{0, 1, 4, 5}},
		"tag, not ASCII":      {queue.Filter{Tag: "grün"}, []int{0, 1}},
		"part of a tag":       {queue.Filter{Tag: "sal"}, nil},
		"metadata":            {queue.Filter{Metadata: map[string]string{"order": "12"}}, []int{0, 1, 4, 5}},
		"all the metadata":    {queue.Filter{Metadata: map[string]string{"order": "12", "customer": "äöü"}}, []int{0, 1}},
		"an empty value":      {queue.Filter{Metadata: map[string]string{"none": ""}}, []int{0, 1}},
		"metadata not there":  {queue.Filter{Metadata: map[string]string{"order": "12", "nothing": ""}}, nil},
		"credential":          {queue.Filter{Credential: "key_7"}, []int{0, 1}},
		"of the message":      {queue.Filter{Credential: "key_8", Stream: "news", Sender: "@two.example"}, []int{6}},
		"all together":        {queue.Filter{Account: "a", Domain: "example.org", Lane: "l1", Sender: "@one.example", States: []queue.State{queue.StateQueued}, Recipient: "bob@example.org"}, []int{0}},
	}
}

func filterFields(e *env) {
	all := e.gallery()
	shown := map[queue.RecipientID]queue.State{}
	entries, err := e.list(queue.Filter{}, 3)
	e.ok(err)
	for _, v := range entries {
		for _, r := range v.Recipients {
			shown[r.ID] = r.State
		}
	}
	for name, c := range filters(all) {
		var want []string
		for _, i := range c.want {
			want = append(want, all[i].String())
		}
		entries, err := e.list(c.f, 2)
		e.ok(err)
		var got []string
		for _, v := range entries {
			e.want(len(v.Recipients) > 0, "%s: an entry without recipients", name)
			for _, r := range v.Recipients {
				got = append(got, r.ID.String())
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		e.want(slices.Equal(got, want), "%s: list has\n%s, want\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))

		var applied queue.Applied
		for _, i := range c.want {
			switch st := shown[all[i]]; {
			case st == queue.StateActive:
				applied.Pending++
				applied.Matched++
			case !st.Final():
				applied.Changed++
				applied.Matched++
			}
		}
		dry := e.apply(queue.Operation{Action: queue.ActionCancel, Filter: c.f, DryRun: true})
		e.want(dry == applied, "%s: cancel would be %+v, want %+v", name, dry, applied)
	}
	// And not only dry.
	f := queue.Filter{Account: "a", Domain: "example.org", States: []queue.State{queue.StateQueued}}
	e.want(e.apply(queue.Operation{Action: queue.ActionCancel, Filter: f}) == queue.Applied{Matched: 1, Changed: 1}, "cancel")
	e.want(e.rcpt(all[0]).State == queue.StateCancelled && e.rcpt(all[4]).State == queue.StateDeferred, "the wrong one was cancelled")
}

func filterBad(e *env) {
	e.put(mail{})
	f := queue.Filter{States: []queue.State{queue.StateQueued, 77}}
	_, _, err := e.s.List(e.ctx, f, "", 10)
	e.is(err, queue.ErrFilter)
	_, err = e.s.Apply(e.ctx, queue.Operation{Action: queue.ActionCancel, Filter: f, Now: e.now})
	e.is(err, queue.ErrFilter)
	for _, a := range []queue.Action{queue.ActionNone, 99} {
		_, err = e.s.Apply(e.ctx, queue.Operation{Action: a, Now: e.now})
		e.want(err != nil, "%s was done", a)
	}
}

// list reads all pages.
func (e *env) list(f queue.Filter, limit int) ([]queue.Entry, error) {
	var all []queue.Entry
	var c queue.Cursor
	for pages := 0; ; pages++ {
		vs, next, err := e.s.List(e.ctx, f, c, limit)
		switch {
		case err != nil:
			return nil, err
		case len(vs) > limit:
			return nil, fmt.Errorf("%d entries, asked for %d", len(vs), limit)
		case pages > 100_000:
			return nil, fmt.Errorf("the listing does not end")
		}
		all = append(all, vs...)
		if next == "" {
			return all, nil
		}
		c = next
	}
}
