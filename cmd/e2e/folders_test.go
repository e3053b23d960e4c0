package e2e_test

import (
	"context"
	"fmt"
	"net/textproto"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/queue/redistest"
	"postrider/relay/smtpsim"
)

// awaitFolder waits until a folder has so many messages.
func awaitFolder(ctx context.Context, t *testing.T, c *e2etest.IMAP, folder string, want int) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		n, err := c.Count(folder)
		if err == nil && n != want {
			err = fmt.Errorf("%s has %d messages, want %d", folder, n, want)
		}
		return err
	})
}

// folderWorld is an internet in which mail to three domains ends differently.
func folderWorld(t *testing.T) *e2etest.Internet {
	world := e2etest.NewInternet(t)
	world.Domain(t, "customer.test", smtpsim.Options{})
	world.Domain(t, "refusal.test", at(smtpsim.Rcpt, smtpsim.Reply(550, "5.1.1", "No such user here")))
	world.Domain(t, "full.test", at(smtpsim.Rcpt, smtpsim.Reply(452, "4.2.2", "Mailbox full")))
	world.Domain(t, "shop.test", smtpsim.Options{})
	return world
}

func submitTo(ctx context.Context, t *testing.T, relay *e2etest.Relay, to, subject string) {
	t.Helper()
	relay.Submit(ctx, t, "owner@shop.test", []string{to}, e2etest.Mail("owner@shop.test", to, subject))
}

// What became of mail is in the folders, says why, and is there after a restart
// under the same numbers.
func TestFoldersShowWhatBecameOfMail(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	relay := e2etest.Start(t, folderWorld(t).Env(), e2etest.Env{"POSTRIDER_RETRY": "1h"})
	checkFolders(ctx, t, relay)
	c := folderClient(ctx, t, relay)
	if _, err := c.Do(`SELECT Bounced`); err != nil {
		t.Fatal(err)
	}
	before, err := c.Do(`UID FETCH 1:* (UID FLAGS BODY.PEEK[])`)
	if err != nil {
		t.Fatal(err)
	}
	relay.Signal(t, syscall.SIGTERM)
	relay.Wait(ctx, t)
	c = folderClient(ctx, t, relay.Restart(t))
	if _, err := c.Do(`SELECT Bounced`); err != nil {
		t.Fatal(err)
	}
	after, err := c.Do(`UID FETCH 1:* (UID FLAGS BODY.PEEK[])`)
	if err != nil || strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("after a restart Bounced is\n%q, %v, and was\n%q", after, err, before)
	}
}

// Two nodes on one Redis show the same folders under the same numbers.
func TestFoldersAreTheSameOnAllNodes(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	redis := redistest.StartServer(t)
	world := folderWorld(t).Env()
	env := e2etest.Env{"POSTRIDER_RETRY": "1h", "POSTRIDER_STORE": redisURL(redis)}
	one := e2etest.Start(t, world, env)
	two := e2etest.Start(t, world, env)
	checkFolders(ctx, t, one)
	a, b := folderClient(ctx, t, one), folderClient(ctx, t, two)
	for _, folder := range []string{"INBOX", "Queued", "Deferred", "Sent", "Bounced"} {
		n, err := a.Count(folder)
		if err != nil {
			t.Fatal(err)
		}
		awaitFolder(ctx, t, b, folder, n)
		if n == 0 {
			continue
		}
		const all = `UID FETCH 1:* (UID FLAGS ENVELOPE INTERNALDATE BODY.PEEK[])`
		here, err := a.Do(all)
		if err != nil {
			t.Fatal(err)
		}
		there, err := b.Do(all)
		if err != nil || strings.Join(here, "\n") != strings.Join(there, "\n") {
			t.Errorf("%s is\n%q on one node and\n%q on another, %v", folder, here, there, err)
		}
	}
	// What is read at one node is read at the other.
	if _, err := a.Do(`SELECT Bounced`); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Do(`STORE 1 +FLAGS (\Seen)`); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Do(`SELECT Bounced`); err != nil {
		t.Fatal(err)
	}
	e2etest.Poll(ctx, t, func() error {
		lines, err := b.Do(`UID SEARCH SEEN`)
		if err == nil && strings.Join(lines, "") == "* SEARCH" {
			err = fmt.Errorf("the other node says %q", lines)
		}
		return err
	})
}

func folderClient(ctx context.Context, t *testing.T, relay *e2etest.Relay) *e2etest.IMAP {
	t.Helper()
	c, err := e2etest.LoginIMAP(ctx, relay.IMAP, e2etest.User, e2etest.Password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// checkFolders sends one mail to each kind of end and looks for it.
func checkFolders(ctx context.Context, t *testing.T, relay *e2etest.Relay) {
	t.Helper()
	submitTo(ctx, t, relay, "ann@customer.test", "Your order 1")
	submitTo(ctx, t, relay, "bob@refusal.test", "Your order 2")
	submitTo(ctx, t, relay, "eve@full.test", "Your order 3")
	c := folderClient(ctx, t, relay)
	awaitFolder(ctx, t, c, "Sent", 1)
	if lines, err := c.Do(`FETCH 1 (FLAGS BODY.PEEK[])`); err != nil || !containsAll(strings.Join(lines, "\n"),
		`\Seen`, "$Submitted", "X-Relay-Recipient: ann@customer.test; sent;", "mx=mx.customer.test", "Subject: Your order 1") {
		t.Errorf("Sent shows %q, %v", lines, err)
	}
	awaitFolder(ctx, t, c, "Deferred", 1)
	if lines, err := c.Do(`FETCH 1 (FLAGS BODY.PEEK[])`); err != nil || strings.Contains(strings.Join(lines, "\n"), `\Seen`) || !containsAll(strings.Join(lines, "\n"),
		"$Deferred", "eve@full.test", "452 4.2.2 Mailbox full", "Action: delayed", "Will-Retry-Until:", "Subject: Your order 3") {
		t.Errorf("Deferred shows %q, %v", lines, err)
	}
	for _, folder := range []string{"Bounced", "INBOX"} {
		awaitFolder(ctx, t, c, folder, 1)
		if lines, err := c.Do(`FETCH 1 (FLAGS BODY.PEEK[1] BODY.PEEK[2] BODY.PEEK[3.HEADER])`); err != nil || !containsAll(strings.Join(lines, "\n"),
			`\Flagged`, "$HardBounce", "bob@refusal.test was not delivered", "550 5.1.1 No such user here", "Action: failed", "Subject: Your order 2") {
			t.Errorf("%s shows %q, %v", folder, lines, err)
		}
		for _, what := range []string{"FROM bob@refusal.test", "FROM mailer-daemon", "TEXT bob@refusal.test", `SUBJECT "order 2"`, `TEXT "No such user"`} {
			if lines, err := c.Do("SEARCH " + what); err != nil || strings.Join(lines, "") != "* SEARCH 1" {
				t.Errorf("SEARCH %s in %s finds %q, %v", what, folder, lines, err)
			}
		}
	}
	awaitFolder(ctx, t, c, "Queued", 0)
}

func containsAll(text string, wants ...string) bool {
	for _, w := range wants {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// A bounce shows up in a mail program that waits.
func TestABounceArrivesDuringIDLE(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t, folderWorld(t).Env())
	c := folderClient(ctx, t, relay)
	if n, err := c.Count("INBOX"); n != 0 || err != nil {
		t.Fatalf("INBOX has %d messages, %v", n, err)
	}
	if _, err := c.Send("IDLE"); err != nil {
		t.Fatal(err)
	}
	if line, err := c.Line(); err != nil || !strings.HasPrefix(line, "+") {
		t.Fatalf("IDLE is answered with %q, %v", line, err)
	}
	submitTo(ctx, t, relay, "bob@refusal.test", "Your order 2")
	for {
		line, err := c.Line()
		if err != nil {
			t.Fatal(err)
		}
		if line == "* 1 EXISTS" {
			break
		}
	}
	if err := c.Raw("DONE\r\n"); err != nil {
		t.Fatal(err)
	}
}

// POP3 shows the INBOX, and other folders by a name of their own; what is deleted
// is hidden from that login and stays for others.
func TestPOP3ShowsTheFolders(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t, folderWorld(t).Env())
	submitTo(ctx, t, relay, "ann@customer.test", "Your order 1")
	submitTo(ctx, t, relay, "bob@refusal.test", "Your order 2")
	c := folderClient(ctx, t, relay)
	awaitFolder(ctx, t, c, "Sent", 1)
	awaitFolder(ctx, t, c, "INBOX", 1)
	say := func(p *textproto.Conn, command, want string) {
		t.Helper()
		if err := p.PrintfLine("%s", command); err != nil {
			t.Fatal(err)
		}
		line, err := p.ReadLine()
		if err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("%s is answered with %q, %v; want %q", strings.Fields(command)[0], line, err, want)
		}
	}
	login := func(name string) *textproto.Conn {
		t.Helper()
		p, err := textproto.Dial("tcp", relay.POP3)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		if line, err := p.ReadLine(); err != nil || !strings.HasPrefix(line, "+OK") {
			t.Fatalf("the greeting is %q, %v", line, err)
		}
		say(p, "USER "+name, "+OK")
		say(p, "PASS "+e2etest.Password, "+OK")
		return p
	}
	p := login(e2etest.User)
	say(p, "STAT", "+OK 1 ")
	say(p, "RETR 1", "+OK")
	if lines, err := p.ReadDotLines(); err != nil || !containsAll(strings.Join(lines, "\n"), "550 5.1.1 No such user here", "Subject: Your order 2") {
		t.Errorf("the bounce is %q, %v", lines, err)
	}
	say(p, "DELE 1", "+OK")
	say(p, "QUIT", "+OK")
	say(login(e2etest.User), "STAT", "+OK 0 ")
	say(login(e2etest.User+"+sent"), "STAT", "+OK 1 ")
	awaitFolder(ctx, t, c, "INBOX", 1)
}

// filedOnce checks that Sent has each message that was acknowledged, once, and waits
// until it has them all.
func filedOnce(ctx context.Context, t *testing.T, relay *e2etest.Relay, acked map[string]string) {
	t.Helper()
	c := folderClient(ctx, t, relay)
	e2etest.Poll(ctx, t, func() error {
		if n, err := c.Count("Sent"); err != nil || n == 0 {
			return fmt.Errorf("Sent has %d messages: %w", n, err)
		}
		lines, err := c.Do(`UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (X-Relay-Id)])`)
		if err != nil {
			return err
		}
		times := map[string]int{}
		for _, line := range lines {
			if id := messageID.FindString(line); id != "" {
				times[id]++
			}
		}
		missing := 0
		for _, id := range acked {
			if times[id] == 0 {
				missing++
			}
		}
		for id, n := range times {
			if n != 1 {
				t.Errorf("Sent has %s %d times", id, n)
			}
		}
		if missing > 0 && !t.Failed() {
			return fmt.Errorf("%d of %d acknowledged messages are not in Sent", missing, len(acked))
		}
		return nil
	})
}
