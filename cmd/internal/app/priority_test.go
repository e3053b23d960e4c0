package app_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/api/client"
	v1 "postrider/api/v1"
	"postrider/relay/smtpsim"
)

// TestAPasswordResetOvertakesANewsletter has a newsletter of 10,000 on its way
// over the one connection that a site allows, when somebody of the same account
// asks for a new password.
func TestAPasswordResetOvertakesANewsletter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		newsletter, reset string
		messages          int // of 1000 recipients each
	}{
		"by the priority of the reset":      {"", "high", 10},
		"by the priority of the newsletter": {"low", "", 10},
		"by both":                           {"low", "high", 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overtakes(t, c.newsletter, c.reset, c.messages)
		})
	}
}

func overtakes(t *testing.T, newsletter, reset string, messages int) {
	const recipients = 1000
	// The site takes nothing more until the reset is in the queue.
	under, open, arrived := make(chan struct{}), make(chan struct{}), make(chan int, 1)
	var mu sync.Mutex
	sent := 0 // transactions of the newsletter
	begin := sync.OnceFunc(func() { close(under) })
	o := smtpsim.Options{Keep: smtpsim.KeepCounters, OnMessage: func(m *smtpsim.Message) {
		begin()
		<-open
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(m.Rcpts[0].Address, "somebody@") {
			arrived <- sent
		} else {
			sent++
		}
	}}
	_, _, dir := start(t, o, map[string]string{"delivery.connections_per_site": "1"})
	release := sync.OnceFunc(func() { close(open) })
	t.Cleanup(release) // before the relay is drained
	cl := client.NewSocket(filepath.Join(dir, "admin.sock"))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	send := func(subject, priority string, to v1.Addresses) {
		t.Helper()
		m := v1.NewMessage{From: v1.ParseLater("shop@example.com"), Bcc: to, Subject: subject, Text: "Hello.\n", Priority: priority}
		if _, _, err := cl.Send(ctx, m, client.SendOptions{Account: "local"}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range messages {
		to := make(v1.Addresses, recipients)
		for j := range to {
			to[j] = v1.ParseLater(fmt.Sprintf("reader%d@example.org", i*recipients+j))
		}
		send("News", newsletter, to)
	}
	<-under
	send("Your new password", reset, v1.Addresses{v1.ParseLater("somebody@example.org")})
	release()
	select {
	case before := <-arrived:
		if before > 20 { // of 100 or 1000
			t.Errorf("%d transactions of the newsletter went first", before)
		}
	case <-ctx.Done():
		t.Error("the reset did not arrive")
	}
}
