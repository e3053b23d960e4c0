package submission_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/suppression"
	"postrider/relay/auth"
	"postrider/relay/intake"
	"postrider/relay/submission"
)

// relayUnderTest is the whole way in: server, accounts, door and store.
type relayUnderTest struct {
	*serverUnderTest
	t        *testing.T
	store    *logstore.Store
	accounts *auth.Authenticator
	listed   *suppression.Book
}

func openRelay(t *testing.T, acc auth.Account) *relayUnderTest {
	t.Helper()
	store, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	r := &relayUnderTest{t: t, store: store, listed: suppression.New(suppression.Options{Store: store})}
	if r.accounts, err = auth.New(auth.Options{Store: store, AddressBudget: auth.Budget{PerMinute: 1000, PerDay: 1000}}); err != nil {
		t.Fatal(err)
	}
	acc.Name = "shop"
	if _, err := r.accounts.Create(t.Context(), acc, ""); err != nil {
		t.Fatal(err)
	}
	door := intake.New(intake.Options{Store: store, Policies: r.accounts, Hostname: "mail.example.com", Suppressions: r.listed,
		Lane: func(_, _, domain string) queue.Lane { return queue.Lane(domain) }})
	r.serverUnderTest = serve(t, func(o *submission.Options) { stranger(o); o.Door, o.Auth = door, r.accounts })
	return r
}

func (r *relayUnderTest) key(l auth.KeyLimits, scopes ...auth.Scope) (string, auth.Key) {
	r.t.Helper()
	if len(scopes) == 0 {
		scopes = []auth.Scope{auth.ScopeSend}
	}
	secret, k, err := r.accounts.CreateKey(r.t.Context(), auth.NewKey{Account: "shop", Scopes: scopes, KeyLimits: l})
	if err != nil {
		r.t.Fatal(err)
	}
	return secret, k
}

func (r *relayUnderTest) signIn(secret, want string) *client {
	r.t.Helper()
	c := r.dial(r.t)
	c.do("EHLO x", "250")
	c.do("AUTH PLAIN "+b64("\x00anybody\x00"+secret), want)
	return c
}

// mail sends a letter from one address to others, and returns the last reply.
func (c *client) mail(text, from string, to ...string) string {
	c.t.Helper()
	if got := c.ask("MAIL FROM:<" + from + ">"); !strings.HasPrefix(got, "250") {
		return got
	}
	for _, a := range to {
		if got := c.ask("RCPT TO:<" + a + ">"); !strings.HasPrefix(got, "250") {
			return got
		}
	}
	c.do("DATA", "354")
	return c.ask(text + ".")
}

func (c *client) ask(cmd string) string {
	c.t.Helper()
	c.send(cmd + "\r\n")
	return c.reply()
}

func (r *relayUnderTest) entry(reply string) queue.Entry {
	r.t.Helper()
	id, err := queue.ParseMessageID(strings.TrimPrefix(reply, "250 2.0.0 Ok: queued as "))
	if err != nil {
		r.t.Fatalf("got %q: %v", reply, err)
	}
	e, err := r.store.Message(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func wantReply(t *testing.T, name, got, code, text string) {
	t.Helper()
	if !strings.HasPrefix(got, code) || !strings.Contains(got, text) {
		t.Errorf("%s: got %q, want %s with %q", name, got, code, text)
	}
}

func TestLoginWithAKeyThatIsLimited(t *testing.T) {
	t.Parallel()
	r := openRelay(t, auth.Account{})
	expired, k := r.key(auth.KeyLimits{})
	if _, err := r.accounts.UpdateKey(t.Context(), k.ID, func(k *auth.Key) { k.ExpiresAt = time.Now().Add(-time.Minute) }); err != nil {
		t.Fatal(err)
	}
	elsewhere, _ := r.key(auth.KeyLimits{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	here, _ := r.key(auth.KeyLimits{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	reads, _ := r.key(auth.KeyLimits{}, auth.ScopeRead)
	single, _ := r.key(auth.KeyLimits{}, queue.ScopeMessagesSend)
	all, _ := r.key(auth.KeyLimits{}, auth.ScopeAdmin)
	for name, c := range map[string]struct{ secret, want, text string }{
		"expired":         {expired, "535 5.7.8", "has expired"},
		"another network": {elsewhere, "535 5.7.8", "network address"},
		"its network":     {here, "235", ""},
		"not for sending": {reads, "535 5.7.8", "wrong user name or password"},
		"single scope":    {single, "235", ""},
		"admin":           {all, "235", ""},
		"wrong":           {expired + "x", "535 5.7.8", "wrong user name or password"},
	} {
		c2 := r.dial(t)
		c2.do("EHLO x", "250")
		wantReply(t, name, c2.ask("AUTH PLAIN "+b64("\x00anybody\x00"+c.secret)), c.want, c.text)
	}
	if log := r.log.String(); strings.Contains(log, expired) || strings.Contains(log, elsewhere) {
		t.Error("a key is in the log")
	}
}

func TestAKeysLimitsHoldOverSMTP(t *testing.T) {
	t.Parallel()
	r := openRelay(t, auth.Account{AllowedSenders: []string{"shop.example"}, From: intake.FromAccept})
	secret, k := r.key(auth.KeyLimits{
		AllowedSenders: []string{"orders@shop.example"}, AllowedRecipients: []string{"*.example.org", "example.org"}, AllowedStreams: []string{"receipts"},
	})
	c := r.signIn(secret, "235")
	own := "From: Orders <orders@shop.example>\r\n\r\nhi\r\n"
	for name, s := range map[string]struct{ text, from, to, want, say string }{
		"all as it may":          {own, "Orders@Shop.example", "bob@example.org", "250 2.0.0", ""},
		"null reverse-path":      {own, "", "bob@sub.example.org", "250 2.0.0", ""},
		"another envelope":       {own, "ceo@shop.example", "bob@example.org", "550-5.7.1", "ceo@shop.example"},
		"another From":           {"From: ceo@shop.example\r\n\r\nhi\r\n", "orders@shop.example", "bob@example.org", "550-5.7.1", "ceo@shop.example"},
		"two Froms":              {"From: ceo@shop.example\r\n" + own, "orders@shop.example", "bob@example.org", "550-5.7.1", ""},
		"null path, other From":  {"From: ceo@shop.example\r\n\r\nhi\r\n", "", "bob@example.org", "550-5.7.1", "ceo@shop.example"},
		"an address in the name": {"From: \"<ceo@shop.example>\" <orders@shop.example>\r\n\r\nhi\r\n", "orders@shop.example", "bob@example.org", "250", ""},
		"another recipient":      {own, "orders@shop.example", "eve@example.net", "550-5.7.1", "eve@example.net"},
	} {
		got := c.mail(s.text, s.from, s.to)
		wantReply(t, name, got, s.want, s.say)
		if strings.HasPrefix(got, "250") {
			if m := r.entry(got).Message; m.Credential != k.ID || m.Labels.Stream != "receipts" || m.Account != "shop" {
				t.Errorf("%s: %+v", name, m)
			}
		}
		c.do("RSET", "250")
	}
	free, _ := r.key(auth.KeyLimits{})
	wantReply(t, "a key without limits", r.signIn(free, "235").mail("From: x@other.example\r\n\r\nhi\r\n", "x@other.example", "eve@example.net"), "250", "")
}

func TestAKeyThatEndsInASessionIsRefused(t *testing.T) {
	t.Parallel()
	r := openRelay(t, auth.Account{})
	one, k1 := r.key(auth.KeyLimits{})
	two, k2 := r.key(auth.KeyLimits{})
	gone, expired := r.signIn(one, "235"), r.signIn(two, "235")
	wantReply(t, "before", gone.mail(letter, "a@example.com", "b@example.net"), "250", "")
	expired.open()
	if err := r.accounts.DeleteKey(t.Context(), k1.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.accounts.UpdateKey(t.Context(), k2.ID, func(k *auth.Key) { k.ExpiresAt = time.Now().Add(-time.Second) }); err != nil {
		t.Fatal(err)
	}
	wantReply(t, "a deleted key at MAIL", gone.ask("MAIL FROM:<a@example.com>"), "550-5.7.8", "does not exist any more")
	expired.do("DATA", "354")
	wantReply(t, "an expired key at the dot", expired.ask(letter+"."), "550-5.7.8", "expired")
	expired.do("NOOP", "250")
}

func TestAKeysRateHoldsOverSMTP(t *testing.T) {
	t.Parallel()
	r := openRelay(t, auth.Account{})
	secret, _ := r.key(auth.KeyLimits{RatePerMinute: 3})
	c := r.signIn(secret, "235")
	wantReply(t, "two", c.mail(letter, "a@example.com", "b@example.net", "c@example.net"), "250", "")
	wantReply(t, "two more", c.mail(letter, "a@example.com", "b@example.net", "c@example.net"), "450-4.7.0", "3 recipients a minute")
	wantReply(t, "on another connection", r.signIn(secret, "235").mail(letter, "a@example.com", "b@example.net", "c@example.net"), "450-4.7.0", "")
	wantReply(t, "the third", c.mail(letter, "a@example.com", "b@example.net"), "250", "")
	wantReply(t, "a fourth", c.ask("MAIL FROM:<a@example.com>"), "450-4.7.0", "3 recipients a minute")
	fresh, _ := r.key(auth.KeyLimits{RatePerMinute: 3})
	c = r.signIn(fresh, "235")
	wantReply(t, "more than ever", c.mail(letter, "a@example.com", "b@example.net", "c@example.net", "d@example.net", "e@example.net"), "550-5.5.3", "several messages")
}

func TestASandboxKeySendsNothing(t *testing.T) {
	t.Parallel()
	r := openRelay(t, auth.Account{})
	secret, _ := r.key(auth.KeyLimits{Sandbox: true})
	e := r.entry(r.signIn(secret, "235").mail(letter, "a@example.com", "b@example.net", "bounce+7@example.net", "suppressed@example.net"))
	if !e.Message.Sandbox || e.Recipients[0].State != queue.StateDelivered || e.Recipients[1].State != queue.StateBounced || e.Recipients[2].State != queue.StateSuppressed {
		t.Errorf("%+v", e)
	}
	if _, waits, err := r.store.NextDue(t.Context(), time.Now()); waits || err != nil {
		t.Errorf("something waits to be sent: %v %v", waits, err)
	}
}

func TestSuppressedRecipientsAreAcceptedOverSMTP(t *testing.T) {
	t.Parallel()
	r := openRelay(t, auth.Account{})
	bob, err := queue.ParseAddress("bob@example.net")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.listed.Add(t.Context(), suppression.Entry{Account: "shop", Address: bob, Reason: suppression.Bounce}); err != nil {
		t.Fatal(err)
	}
	secret, _ := r.key(auth.KeyLimits{})
	c := r.signIn(secret, "235")
	e := r.entry(c.mail(letter, "a@example.com", "BOB@example.net"))
	if e.Recipients[0].State != queue.StateSuppressed || !strings.Contains(e.Recipients[0].Last.Error, "postrider suppression remove bob@example.net") {
		t.Errorf("%+v", e.Recipients[0])
	}
	e = r.entry(c.mail(letter, "a@example.com", "bob@example.net", "carol@example.net"))
	if e.Recipients[0].State != queue.StateSuppressed || e.Recipients[1].State != queue.StateQueued {
		t.Errorf("%+v", e.Recipients)
	}
}

func TestOneKeyOnAHundredConnectionsIsOneMessage(t *testing.T) {
	t.Parallel()
	r := openRelay(t, auth.Account{})
	secret, _ := r.key(auth.KeyLimits{})
	cs := make([]*client, 100)
	for i := range cs {
		cs[i] = r.signIn(secret, "235")
	}
	replies := make([]string, len(cs))
	var wg sync.WaitGroup
	for i, c := range cs {
		wg.Go(func() {
			replies[i] = c.mail(fmt.Sprintf("X-Idempotency-Key: order-1\r\nMessage-ID: <%d@x>\r\nSubject: Order\r\n\r\nhi\r\n", i), "a@example.com", "b@example.net")
		})
	}
	wg.Wait()
	for _, got := range replies {
		if got != replies[0] || !strings.HasPrefix(got, "250 2.0.0 Ok: queued as msg_") {
			t.Fatalf("got %q and %q", got, replies[0])
		}
	}
	if list, _, err := r.store.List(t.Context(), queue.Filter{}, "", 10); err != nil || len(list) != 1 {
		t.Errorf("%d messages, %v", len(list), err)
	}
}
