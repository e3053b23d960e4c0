package e2e_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// upload is one request by hand, whose body ends when the relay wants no more.
type upload struct {
	path, secret string
	kind         string        // of the body; empty: JSON
	length       int64         // announced; 0: in chunks
	body         io.Reader     // what is sent, chunk by chunk
	pause        time.Duration // before each chunk
}

// send returns the status of the answer, and how many octets of the body went out
// before it came, those in the buffers between included.
func (u *upload) send(ctx context.Context, addr string) (status int, sent int64, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	framing := "Transfer-Encoding: chunked"
	if u.length > 0 {
		framing = fmt.Sprint("Content-Length: ", u.length)
	}
	kind := cmp.Or(u.kind, "application/json")
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: relay.test\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n%s\r\n\r\n", u.path, u.secret, kind, framing); err != nil {
		return 0, 0, err
	}
	written := make(chan int64, 1)
	stop := make(chan struct{})
	go func() { written <- u.write(conn, stop) }()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	close(stop)
	conn.Close()
	sent = <-written
	if err != nil {
		return 0, sent, err
	}
	return res.StatusCode, sent, res.Body.Close()
}

func (u *upload) write(conn net.Conn, stop <-chan struct{}) (sent int64) {
	block := make([]byte, 64<<10)
	for {
		if u.pause > 0 {
			block = block[:1]
			select {
			case <-time.After(u.pause):
			case <-stop:
				return sent
			}
		}
		n, err := u.body.Read(block)
		if n > 0 && u.length == 0 {
			_, err = fmt.Fprintf(conn, "%x\r\n%s\r\n", n, block[:n])
		} else if n > 0 {
			_, err = conn.Write(block[:n])
		}
		sent += int64(n)
		if err != nil {
			if u.length == 0 && errors.Is(err, io.EOF) {
				fmt.Fprint(conn, "0\r\n\r\n")
			}
			return sent
		}
	}
}

// repeated is head, and then text again and again, for size octets.
func repeated(head, text string, size int64) io.Reader {
	return io.LimitReader(io.MultiReader(strings.NewReader(head), &cycle{text: []byte(strings.Repeat(text, 1+4096/len(text)))}), size)
}

type cycle struct {
	text []byte
	at   int
}

// Read implements io.Reader.
func (c *cycle) Read(b []byte) (int, error) {
	n := copy(b, c.text[c.at:])
	c.at = (c.at + n) % len(c.text)
	return n, nil
}

const openMessage = `{"from":"a@shop.test","to":"b@customer.test","text":"`

// A body that is too large is not read to its end, whether its size is told
// beforehand or not.
func TestABodyThatIsTooLargeIsCutOffEarly(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t, e2etest.Env{"POSTRIDER_MAX_MESSAGE_SIZE": "46MB"})
	secret := keyOf(ctx, t, relay, v1.NewKey{Scopes: []string{"send", "read"}}).Secret
	var limits v1.Limits
	webOf(relay, secret).do(ctx, t, http.MethodGet, "/v1/limits", nil).want(t, http.StatusOK, &limits)
	const body, buffers = 128 << 20, 32 << 20 // of the kernel, at both ends, which it makes larger for a slow reader
	if most := limits.MaxRequestBytes; most < 56<<20 || most > 68<<20 {
		t.Fatalf("the limit is %d, want about 64 MB", most)
	}
	for _, path := range []string{"/v1/messages", "/v1/messages/raw", "/emails"} {
		for name, c := range map[string]struct {
			announced, most int64
		}{"announced": {body, buffers}, "in chunks": {0, limits.MaxRequestBytes + buffers}} {
			u := upload{path: path, secret: secret, length: c.announced, body: repeated(openMessage, "x", body)}
			if path == "/v1/messages/raw" {
				u.kind, u.body = "message/rfc822", repeated("From: a@shop.test\r\nTo: b@customer.test\r\n\r\n", "Hello.\r\n", body)
			}
			status, sent, err := u.send(ctx, relay.HTTP)
			if err != nil || status != http.StatusRequestEntityTooLarge || sent > c.most {
				t.Errorf("%s, %s: %d after %d octets, %v", path, name, status, sent, err)
			}
		}
	}
}

// Twenty clients that mean no good, all with a good key, cost the relay little
// memory, and others are served meanwhile.
func TestHostileClientsAreBorne(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	world := e2etest.NewInternet(t)
	world.Domain(t, "customer.test", smtpsim.Options{Keep: smtpsim.KeepCounters})
	relay := e2etest.Start(t, world.Env())
	secret := keyOf(ctx, t, relay, v1.NewKey{Scopes: []string{"send", "read"}}).Secret
	before := relay.MemoryMiB(t)
	h := beHostile(ctx, relay, secret)
	w := webOf(relay, secret)
	most, slowest, sent := 0, time.Duration(0), 0
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for busy := true; busy; {
		began := time.Now()
		w.send(ctx, t, letter("b@customer.test", "in between"))
		sent++
		slowest = max(slowest, time.Since(began))
		most = max(most, relay.MemoryMiB(t))
		select {
		case <-h.done:
			busy = false
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
	t.Logf("memory: %d MiB before, %d at most; %d messages of others were taken, the slowest after %v", before, most, sent, slowest)
	if most > hostileMiB {
		t.Errorf("the relay needed %d MiB", most)
	}
	if slowest > 10*time.Second { // machines that run tests are busy
		t.Errorf("others waited up to %v", slowest)
	}
	h.check(t)
	for _, l := range relay.Out.All(func(l e2etest.Line) bool { return l.Attr("level") == "ERROR" }) {
		t.Errorf("the relay takes it for trouble of its own: %s", l.Text)
	}
}

const (
	hostileMiB  = 800
	hostileTime = 5 * time.Second // in which new requests are begun
	hostileBody = 36 << 20        // within the limit
)

// hostile is a kind of client, and what it is to be answered.
type hostile struct {
	name    string
	clients int
	upload  func() upload
	answers []int
}

func hostiles() []hostile {
	slow := func(path string, length int64) func() upload {
		return func() upload {
			return upload{path: path, length: length, body: repeated(openMessage, "x", 1<<10), pause: time.Second}
		}
	}
	bomb := func(path, head, text string, size int64) func() upload {
		return func() upload { return upload{path: path, length: size, body: repeated(head, text, size)} }
	}
	refused := []int{http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusServiceUnavailable}
	return []hostile{
		{"an octet a second in chunks", 4, slow("/v1/messages", 0), []int{http.StatusRequestTimeout}},
		{"an octet a second", 1, slow("/v1/messages", 1<<10), []int{http.StatusRequestTimeout}},
		{"an octet a second to another surface", 1, slow("/emails", 1<<10), []int{http.StatusRequestTimeout}},
		{"an endless body", 3, func() upload { return upload{path: "/v1/messages", body: repeated(openMessage, "x", 100<<20)} },
			[]int{http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable}},
		{"depth", 2, bomb("/v1/messages", `{"to":`, "[", hostileBody), refused},
		{"addresses", 2, bomb("/v1/messages", `{"to":[""`, `,""`, hostileBody), refused},
		{"files", 2, bomb("/v1/messages", `{"attachments":[{}`, `,{}`, hostileBody), refused},
		{"messages", 3, bomb("/v1/messages/batch", `{"messages":[{}`, `,{}`, 1<<20), refused},
		{"messages to another surface", 2, bomb("/emails/batch", `[{}`, `,{}`, hostileBody), refused},
	}
}

// hostility is what the clients have met with.
type hostility struct {
	done    chan struct{} // closed when all have ended
	mu      sync.Mutex
	answers map[string]map[int]int // by kind and status
	slowest time.Duration
	errs    []error
}

func beHostile(ctx context.Context, relay *e2etest.Relay, secret string) *hostility {
	h := &hostility{done: make(chan struct{}), answers: map[string]map[int]int{}}
	var all sync.WaitGroup
	end := time.Now().Add(hostileTime)
	for _, kind := range hostiles() {
		h.answers[kind.name] = map[int]int{}
		for range kind.clients {
			all.Go(func() {
				for first := true; first || time.Now().Before(end); first = false {
					u := kind.upload()
					u.secret = secret
					ctx := ctx
					if u.pause > 0 && !patient {
						short, cancel := context.WithDeadline(ctx, end)
						defer cancel()
						ctx = short
					}
					began := time.Now()
					status, _, err := u.send(ctx, relay.HTTP)
					if ctx.Err() == nil {
						h.note(kind.name, status, time.Since(began), err)
					}
				}
			})
		}
	}
	go func() { all.Wait(); close(h.done) }()
	return h
}

func (h *hostility) note(kind string, status int, took time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[kind][status]++
	h.slowest = max(h.slowest, took)
	if err != nil {
		h.errs = append(h.errs, fmt.Errorf("%s: %w", kind, err))
	}
}

func (h *hostility) check(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, kind := range hostiles() {
		t.Logf("%s: %v", kind.name, h.answers[kind.name])
		for status, n := range h.answers[kind.name] {
			if !slices.Contains(kind.answers, status) {
				t.Errorf("%s is answered %d, %d times", kind.name, status, n)
			}
		}
	}
	if h.slowest > 45*time.Second { // half a minute, and machines that run tests are busy
		t.Errorf("one was borne for %v", h.slowest)
	}
	if len(h.errs) > 0 {
		t.Errorf("%d requests were not answered, the first: %v", len(h.errs), h.errs[0])
	}
}
