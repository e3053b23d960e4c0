package compattest

import (
	"strings"
	"time"

	"postrider/queue"
)

// Mail is a message to put into a World's store.
type Mail struct {
	Account string            // empty: shop
	Content string            // with any line ends
	To      []queue.Recipient // of which only Address, State and Due count
	Labels  queue.Labels
}

// Enqueue puts a message into the store, a second after the one before.
func (w *World) Enqueue(m Mail) queue.MessageID {
	w.t.Helper()
	w.Advance(time.Second)
	c, err := w.Store.CreateContent(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	content := strings.ReplaceAll(strings.ReplaceAll(m.Content, "\r\n", "\n"), "\n", "\r\n")
	if _, err := c.Write([]byte(content)); err != nil {
		w.t.Fatal(err)
	}
	head, _, _ := strings.Cut(content, "\r\n\r\n")
	if m.Account == "" {
		m.Account = "shop"
	}
	id := queue.NewMessageID()
	r := queue.EnqueueRequest{Now: w.Now(), Content: c, Message: queue.Message{
		ID: id, Account: m.Account, Labels: m.Labels, Envelope: queue.Envelope{ReversePath: queue.Address{Local: "a", Domain: "shop.test"}},
		Header:   queue.Header{From: queue.Address{Local: "a", Domain: "shop.test"}, Subject: "Hi", MessageID: "1@shop.test"},
		Priority: queue.PriorityNormal, AcceptedAt: w.Now(), ExpiresAt: w.Now().Add(72 * time.Hour),
		Content: queue.ContentRef{Size: int64(len(content)), HeaderSize: int64(len(head) + 4)},
	}}
	for i, to := range m.To {
		to.ID, to.Lane = id.Recipient(i), queue.Lane(to.Address.Domain)
		if to.State == 0 {
			to.State = queue.StateQueued
		}
		if to.Due.IsZero() {
			to.Due = w.Now()
		}
		r.Recipients = append(r.Recipients, to)
	}
	if _, err := w.Store.Enqueue(w.t.Context(), r); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// To is a recipient that waits for its first attempt.
func To(address string) queue.Recipient {
	a, err := queue.ParseAddress(address)
	if err != nil {
		panic(err)
	}
	return queue.Recipient{Address: a}
}
