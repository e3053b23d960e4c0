//go:build full

package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// clientWorld is a relay whose folders mail programs look at, and the internet
// that made them what they are.
type clientWorld struct {
	relay *e2etest.Relay
	cert  certificate
	// Of each protocol: a port where TLS is possible, one where STARTTLS comes
	// first, and one that begins with TLS.
	imap, pop3 clientPorts
}

type clientPorts struct{ plain, start, tls string }

// clientAccount belongs to one program alone: what another one hides or has read
// is not its business.
type clientAccount struct {
	*clientWorld
	name string

	mu    sync.Mutex
	mails map[string]clientMail // by the id under which they were queued
}

// The domains of this internet.
const (
	domainGood = "customer.test" // takes mail
	domainNone = "nobody.test"   // knows no recipient
	domainFull = "full.test"     // has no room at the moment
	domainSlow = "slow.test"     // does not say a word
)

// startClientWorld starts everything and returns an account for each name, whose
// folders show what clientMails says.
func startClientWorld(ctx context.Context, t *testing.T, names []string) map[string]*clientAccount {
	t.Helper()
	internet := e2etest.NewInternet(t)
	internet.Domain(t, domainGood, smtpsim.Options{Keep: smtpsim.KeepCounters})
	internet.Domain(t, domainNone, at(smtpsim.Rcpt, smtpsim.Reply(550, "5.1.1", "No such user here")))
	internet.Domain(t, domainFull, at(smtpsim.Rcpt, smtpsim.Reply(452, "4.2.2", "Mailbox full")))
	internet.Domain(t, domainSlow, at(smtpsim.Connect, smtpsim.Stall()))
	dir := e2etest.Dir(t)
	w := &clientWorld{cert: certificate{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}}
	w.cert.renew(t, 2001)
	var accounts []string
	for _, name := range names {
		accounts = append(accounts, name+":"+e2etest.Password)
	}
	const listen = "127.0.0.1:0,starttls://127.0.0.1:0,tls://127.0.0.1:0"
	w.relay = e2etest.StartIn(t, dir, internet.Env(), e2etest.Env{
		"POSTRIDER_ACCOUNTS": strings.Join(accounts, ","), "POSTRIDER_IMAP_LISTEN": listen, "POSTRIDER_POP3_LISTEN": listen,
		"POSTRIDER_TLS_CERT": w.cert.cert, "POSTRIDER_TLS_KEY": w.cert.key,
		"POSTRIDER_DSN_MODE": "none", "POSTRIDER_RETRY": "1h", "POSTRIDER_TIMEOUT_GREETING": "1h",
	})
	started := w.relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("relay started") })
	w.imap, w.pop3 = portsOf(started, "imap"), portsOf(started, "pop3")
	// Else the first message waits until the key of its domain is made.
	w.relay.CLI(ctx, t, "domain", "records", "shop.test")
	all := map[string]*clientAccount{}
	for _, name := range names {
		all[name] = &clientAccount{clientWorld: w, name: name, mails: map[string]clientMail{}}
		all[name].submit(ctx, t, clientMails(name))
	}
	for _, a := range all {
		a.awaitFiled(ctx, t)
	}
	return all
}

func portsOf(started e2etest.Line, protocol string) clientPorts {
	var ports []string
	for _, addr := range started.Attrs[protocol].([]any) {
		_, port, _ := net.SplitHostPort(addr.(string))
		ports = append(ports, port)
	}
	return clientPorts{plain: ports[0], start: ports[1], tls: ports[2]}
}

func (a *clientAccount) submit(ctx context.Context, t *testing.T, mails []clientMail) {
	t.Helper()
	c, err := e2etest.Login(ctx, a.relay.SMTP, a.name, e2etest.Password)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, m := range mails {
		id, err := c.Send("shop@shop.test", m.to, m.content)
		if err != nil {
			t.Fatalf("%s: %v", m.subject, err)
		}
		a.mu.Lock()
		a.mails[id] = m
		a.mu.Unlock()
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
}

// bounce sends one more mail, which comes back, and returns its subject.
func (a *clientAccount) bounce(ctx context.Context, t *testing.T, word string) (subject string) {
	t.Helper()
	m := plainMail("Order "+word, word+"@"+domainNone)
	a.submit(ctx, t, []clientMail{m})
	return m.subject
}

// in returns the ids of the mails that a folder shows.
func (a *clientAccount) in(folders ...string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(a.mails)) {
		for _, f := range folders {
			if slices.Contains(a.mails[id].folders(), f) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// shownFolders are those that are subscribed from the start.
var shownFolders = []string{"INBOX", "Queued", "Deferred", "Sent", "Bounced"}

func (a *clientAccount) awaitFiled(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, folder := range shownFolders {
		want := len(a.in(folder))
		e2etest.Poll(ctx, t, func() error {
			said := a.ask(ctx, t, "", "STATUS "+folder+" (MESSAGES)")
			if !strings.Contains(said, fmt.Sprintf("(MESSAGES %d)", want)) {
				return fmt.Errorf("%s of %s should have %d messages, and says %s", folder, a.name, want, said)
			}
			return nil
		})
	}
}

// ask is the other program that looks at the same account: curl.
func (a *clientAccount) ask(ctx context.Context, t *testing.T, folder, command string) string {
	t.Helper()
	res := run(ctx, t, "", "curl", "-sS", "--user", a.name+":"+e2etest.Password, "imap://127.0.0.1:"+a.imap.plain+"/"+folder, "-X", command)
	if res.Status != 0 {
		t.Fatalf("curl %q: %s", command, res.Stderr)
	}
	return strings.TrimSpace(res.Stdout)
}

// unread asks how many messages of a folder are unread.
func (a *clientAccount) unread(ctx context.Context, t *testing.T, folder string) int {
	t.Helper()
	return len(strings.Fields(a.ask(ctx, t, folder, "SEARCH UNSEEN"))) - len([]string{"*", "SEARCH"})
}

// awaitUnread waits until another program sees so many unread messages.
func (a *clientAccount) awaitUnread(ctx context.Context, t *testing.T, folder string, want int) {
	t.Helper()
	waiting, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	e2etest.Poll(waiting, t, func() error {
		if n := a.unread(ctx, t, folder); n != want {
			return fmt.Errorf("another program sees %d unread messages in %s, want %d", n, folder, want)
		}
		return nil
	})
}
