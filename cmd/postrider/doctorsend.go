package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"postrider/api/client"
	v1 "postrider/api/v1"
)

// lookEvery is how often the fate of a test message is asked for.
const lookEvery = 500 * time.Millisecond

// sendTest sends one message through the queue, as any program does, and tells
// what becomes of it.
func (c *doctorCmd) sendTest(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Wait)
	defer cancel()
	m, token, err := c.testMessage(ctx, cl)
	if err != nil {
		return err
	}
	o := client.SendOptions{}
	if !c.network(sh) {
		o.Account = "local"
	}
	r, _, err := cl.Send(ctx, m, o)
	if err != nil {
		return explain(err)
	}
	if !c.JSON {
		fmt.Fprintf(sh.stdout, "Sent as %s from %s, with the word %s in its subject.\n", r.ID, plain(m.From.Email), token)
	}
	last, err := c.follow(ctx, sh, cl, r.ID)
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		if err := printJSON(sh.stdout, last); err != nil {
			return err
		}
	}
	return c.verdict(sh, last)
}

func (c *doctorCmd) testMessage(ctx context.Context, cl *client.Client) (m v1.NewMessage, token string, err error) {
	from := c.From
	if from == "" {
		name, err := c.testDomain(ctx, cl)
		if err != nil {
			return m, "", err
		}
		from = "postmaster@" + name
	}
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	token = hex.EncodeToString(random[:])
	return v1.NewMessage{
		From: v1.ParseLater(from), To: v1.Addresses{v1.ParseLater(c.To)}, Subject: "Postrider test " + token,
		Text: "This is a test of the way that mail takes from here to you.\n\nOpen its original (Gmail: Show original) and see that SPF, DKIM and DMARC say PASS.\n\n" + token + "\n",
	}, token, nil
}

// testDomain is the one that was named, or the first that the relay knows.
func (c *doctorCmd) testDomain(ctx context.Context, cl *client.Client) (string, error) {
	if len(c.Domain) > 0 {
		return c.Domain[0], nil
	}
	list, err := cl.Domains(ctx)
	if err != nil {
		return "", explain(err)
	}
	if len(list.Data) == 0 {
		return "", errors.New("say who the test message is from: --from postmaster@example.com, or name the domain")
	}
	return list.Data[0].Name, nil
}

// follow tells each attempt as it ends, until the message has an end or the time
// is over.
func (c *doctorCmd) follow(ctx context.Context, sh *shell, cl *client.Client, id string) (v1.Message, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	told := 0
	for {
		m, err := cl.Message(ctx, id)
		if err != nil {
			return m, err
		}
		for ; told < len(m.Events); told++ {
			if !c.JSON {
				fmt.Fprintln(sh.stdout, fateLine(m.Events[told]))
			}
		}
		if ended(m) {
			return m, nil
		}
		select {
		case <-ctx.Done():
			return m, nil
		case <-tick.C:
		}
	}
}

func ended(m v1.Message) bool {
	for _, r := range m.Recipients {
		if r.NextTry != nil || !finalState(r.State) {
			return false
		}
	}
	return true
}

func finalState(state string) bool {
	switch state {
	case "delivered", "relayed", "bounced", "expired", "cancelled", "suppressed":
		return true
	}
	return false
}

func fateLine(e v1.Event) string {
	parts := []string{e.At.Local().Format(time.TimeOnly), e.Kind}
	if a := e.Attempt; a != nil {
		if a.Host != "" {
			parts = append(parts, "by "+a.Host)
		}
		if a.Address != "" {
			parts = append(parts, "["+a.Address+"]")
		}
		if a.TLS != "" {
			parts = append(parts, "over "+a.TLS)
		}
		if reply := replyText(a); reply != "" {
			parts = append(parts, "- "+reply)
		}
	}
	return plain(strings.Join(parts, " "))
}

// replyText is what the other side said, or what we say where it did not.
func replyText(a *v1.Attempt) string {
	if a.Code == 0 {
		return a.Error
	}
	text := fmt.Sprint(a.Code)
	if a.Enhanced != "" {
		text += " " + a.Enhanced
	}
	return text + " " + a.Reply
}

// verdict ends the command by what became of the message.
func (c *doctorCmd) verdict(sh *shell, m v1.Message) error {
	if len(m.Recipients) == 0 {
		return exitStatus(doctorUnclear)
	}
	r := m.Recipients[0]
	tell := func(format string, a ...any) {
		if !c.JSON {
			fmt.Fprintf(sh.stdout, format, a...)
		}
	}
	switch {
	case r.State == "delivered" || r.State == "relayed":
		if r.Last != nil {
			tell("\nIt was taken: %s\n", plain(replyText(r.Last)))
		}
		tell("Taken is not read: look for it in the mailbox, and among spam. In its original, SPF, DKIM and DMARC should say PASS; `postrider doctor --header -` explains its header if you paste it.\n")
		return nil
	case finalState(r.State):
		if r.Last != nil {
			tell("\nIt was not taken: %s\n", plain(replyText(r.Last)))
		}
		if r.Advice != "" {
			tell("%s\n", plain(r.Advice))
		}
		return exitStatus(doctorFailed)
	}
	tell("\nIt is still %s; `postrider queue why %s` says what keeps it.\n", r.State, m.ID)
	if r.Advice != "" {
		tell("%s\n", plain(r.Advice))
	}
	return exitStatus(doctorWarned)
}
