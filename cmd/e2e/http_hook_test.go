package e2e_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/api/feed"
	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// endpoint is where a webhook posts to. While it is down, whoever connects is cut
// off.
type endpoint struct {
	url  string
	down atomic.Bool
	cuts atomic.Int64

	mu     sync.Mutex
	secret string
	posts  map[string]int // good ones, by the event's id
	wrong  []error
}

func startEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{posts: map[string]int{}}
	s := httptest.NewUnstartedServer(e)
	s.Listener = &shutter{s.Listener, e}
	s.Start()
	t.Cleanup(s.Close)
	e.url = s.URL + "/hook"
	return e
}

// shutter cuts connections off while the endpoint is down.
type shutter struct {
	net.Listener
	e *endpoint
}

// Accept implements net.Listener.
func (s *shutter) Accept() (net.Conn, error) {
	for {
		c, err := s.Listener.Accept()
		if err != nil || !s.e.down.Load() {
			return c, err
		}
		s.e.cuts.Add(1)
		c.Close()
	}
}

// ServeHTTP implements http.Handler.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		err = e.verify(r.Header, body)
	}
	if err != nil {
		e.wrong = append(e.wrong, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	e.posts[r.Header.Get("webhook-id")]++
}

// verify checks a request as Standard Webhooks 1.0.0 says.
func (e *endpoint) verify(h http.Header, body []byte) error {
	id, stamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(e.secret, "whsec_"))
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if !slices.Contains(strings.Fields(h.Get("webhook-signature")), want) {
		return fmt.Errorf("the signature of %s is wrong", id)
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); err != nil || age < -time.Minute || age > time.Minute {
		return fmt.Errorf("the time of %s is %q", id, stamp)
	}
	var event feed.Event
	if err := json.Unmarshal(body, &event); err != nil || event.ID != id || event.Data.EmailID == "" {
		return fmt.Errorf("%s is not the event: %w\n%s", id, err, body)
	}
	return nil
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.posts)
}

// missing are the events that were not posted.
func (e *endpoint) missing(events []feed.Event) (ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, v := range events {
		if e.posts[v.ID] == 0 {
			ids = append(ids, v.ID+" "+string(v.Type))
		}
	}
	return ids
}

// eventsOf reads all events of the tests' account, by pages.
func eventsOf(ctx context.Context, w web) (all []feed.Event, err error) {
	cursor := ""
	for {
		var p feed.Page
		a, err := w.ask(ctx, http.MethodGet, "/v1/events?"+url.Values{"cursor": {cursor}, "limit": {"37"}}.Encode(), nil)
		if err == nil && a.status != http.StatusOK {
			err = errors.New(a.String())
		}
		if err == nil {
			err = json.Unmarshal(a.body, &p)
		}
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		all = append(all, p.Data...)
		if cursor = p.NextCursor; !p.HasMore {
			return all, nil
		}
	}
}

// An endpoint that is down while mail is sent and the relay is killed hears of
// everything afterwards, though the relay is killed again meanwhile.
func TestAnEndpointThatWasDownHearsOfEverything(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	world.Domain(t, "customer.test", smtpsim.Options{})
	world.Domain(t, "shop.test", smtpsim.Options{}) // hears of bounces
	world.Domain(t, "refusal.test", at(smtpsim.Rcpt, smtpsim.Reply(550, "5.1.1", "No such user")))
	world.Domain(t, "later.test", smtpsim.Options{Rules: []smtpsim.Rule{
		{Stage: smtpsim.Rcpt, Times: 5, Do: smtpsim.Do(smtpsim.Reply(450, "4.2.0", "Not now"))},
	}})
	hook := startEndpoint(t)
	hook.down.Store(true)
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_WEBHOOKS_ALLOW_PRIVATE_NETWORKS": "true"})
	secret := keyOf(ctx, t, relay, v1.NewKey{Scopes: []string{"send", "read", "manage"}}).Secret
	w := webOf(relay, secret)
	var made v1.NewWebhookSecret
	w.do(ctx, t, http.MethodPost, "/v1/webhooks", v1.NewWebhook{URL: hook.url, AllAttempts: true}).want(t, http.StatusCreated, &made)
	hook.mu.Lock()
	hook.secret = made.Secret
	hook.mu.Unlock()

	send := func(n int) {
		for i := range n {
			to := fmt.Sprintf("r%d@%s", i, []string{"customer.test", "customer.test", "refusal.test", "later.test"}[i%4])
			w.send(ctx, t, letter(to, "mail for "+to))
		}
	}
	send(25)
	e2etest.Poll(ctx, t, func() error {
		if hook.cuts.Load() < 3 {
			return errors.New("the endpoint was not tried")
		}
		return nil
	})
	send(25)
	relay.Kill()
	relay = relay.Restart(t)
	w = webOf(relay, secret)
	awaitEmpty(ctx, t, relay)

	hook.down.Store(false)
	on := true // else it is only tried again after some time
	w.do(ctx, t, http.MethodPatch, "/v1/webhooks/"+made.ID, v1.WebhookChange{Enabled: &on}).want(t, http.StatusOK, nil)
	e2etest.Poll(ctx, t, func() error {
		if n := hook.count(); n < 20 {
			return fmt.Errorf("%d events were posted", n)
		}
		return nil
	})
	relay.Kill()
	relay = relay.Restart(t)
	w = webOf(relay, secret)
	var events []feed.Event
	e2etest.Poll(ctx, t, func() (err error) {
		if events, err = eventsOf(ctx, w); err != nil {
			return err
		}
		if ids := hook.missing(events); len(ids) > 0 {
			return fmt.Errorf("of %d events %d were not posted: %.300q", len(events), len(ids), ids)
		}
		return nil
	})
	hook.check(t, events)
}

// check holds what was posted against the log.
func (e *endpoint) check(t *testing.T, events []feed.Event) {
	t.Helper()
	kinds := map[feed.Type]int{}
	known := map[string]bool{}
	for _, v := range events {
		kinds[v.Type]++
		known[v.ID] = true
	}
	// 50 of them, and a report for each that bounced.
	if kinds[feed.Queued] < 50+12 || kinds[feed.Bounced] != 12 || kinds[feed.Delivered] < 38+12 || kinds[feed.Delayed] == 0 {
		t.Errorf("the events are %v", kinds)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	total := 0
	for id, n := range e.posts {
		if total += n; !known[id] {
			t.Errorf("%s was posted and is not in the log", id)
		}
	}
	if len(e.wrong) > 0 {
		t.Errorf("%d posts were wrong, the first: %v", len(e.wrong), e.wrong[0])
	}
	t.Logf("%d events were posted in %d requests, %d connections were cut", len(e.posts), total, e.cuts.Load())
}

// A relay does not post to its own network unless it is told to, whether the
// address says so or only turns out to be there.
func TestWebhooksDoNotReachTheRelaysOwnNetwork(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	var asked atomic.Int64
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(inside.Close)
	_, port, err := net.SplitHostPort(inside.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	relay := e2etest.Start(t)
	w := webOf(relay, keyOf(ctx, t, relay, v1.NewKey{Scopes: []string{"manage"}}).Secret)
	for _, at := range []string{"http://127.0.0.1:" + port, "https://127.0.0.1:" + port, "https://[::1]:" + port, "https://[::ffff:127.0.0.1]:" + port, "https://169.254.169.254/"} {
		if err := w.do(ctx, t, http.MethodPost, "/v1/webhooks", v1.NewWebhook{URL: at}).refused(http.StatusUnprocessableEntity, "validation_failed"); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	for _, host := range []string{"localhost", "0x7f.1", "2130706433"} { // other ways to write it
		a := w.do(ctx, t, http.MethodPost, "/v1/webhooks", v1.NewWebhook{URL: "https://" + host + ":" + port})
		if a.refused(http.StatusUnprocessableEntity, "validation_failed") == nil {
			continue
		}
		var made v1.NewWebhookSecret
		a.want(t, http.StatusCreated, &made)
		var tried v1.WebhookDelivery
		w.do(ctx, t, http.MethodPost, "/v1/webhooks/"+made.ID+"/test", nil).want(t, http.StatusOK, &tried)
		if tried.OK || tried.Status != 0 || host == "localhost" && !strings.Contains(tried.Error, "private") {
			t.Errorf("a test of %s ends as %+v", host, tried)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the server inside was asked %d times", n)
	}
}
