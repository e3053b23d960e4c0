package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/api"
	"postrider/api/access"
	"postrider/queue"
)

// speak writes to a new connection and reads the answer, if one comes in time.
func (w *world) speak(within time.Duration, parts ...string) (*http.Response, string, bool) {
	w.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		for _, p := range parts {
			if _, err := io.WriteString(c, p); err != nil {
				return // the server has closed it, as it may
			}
		}
	}()
	b := bufio.NewReader(c)
	res, err := http.ReadResponse(b, nil)
	if err != nil {
		w.t.Fatalf("no answer: %v", err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatalf("no whole answer: %v", err)
	}
	_, err = b.ReadByte()
	return res, string(text), err == io.EOF || strings.Contains(fmt.Sprint(err), "reset")
}

func post(path, header string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: relay.example.net\r\nAuthorization: Bearer " + sendKey + "\r\nContent-Type: application/json\r\n" + header + "\r\n"
}

func TestABodyOverTheLimitIsCutOff(t *testing.T) {
	t.Parallel()
	w, _ := withSender(t, func(o *api.Options) { o.MaxRequest = 1 << 20 })
	chunk := "10000\r\n" + strings.Repeat(" ", 0x10000) + "\r\n"
	for name, parts := range map[string][]string{
		"an announced one before it is read": {post("/v1/messages", "Content-Length: 104857600\r\n")},
		"also for those without a key":       {strings.Replace(post("/v1/messages", "Content-Length: 104857600\r\n"), sendKey, "x", 1)},
		"an endless one":                     append([]string{post("/v1/messages", "Transfer-Encoding: chunked\r\n")}, slices.Repeat([]string{chunk}, 400)...),
		"one of a small operation":           append([]string{strings.Replace(post("/v1/queue/actions", "Transfer-Encoding: chunked\r\n"), sendKey, key, 1)}, slices.Repeat([]string{chunk}, 400)...),
		"an endless raw one":                 append([]string{strings.Replace(post("/v1/messages/raw?to=b@example.org", "Transfer-Encoding: chunked\r\n"), "application/json", "message/rfc822", 1) + "1e\r\nFrom: a@example.com\r\n\r\n1234567\r\n"}, slices.Repeat([]string{chunk}, 400)...),
	} {
		res, text, closed := w.speak(20*time.Second, parts...)
		if res.StatusCode != 413 || !closed || !strings.Contains(text, `"payload_too_large"`) {
			t.Errorf("%s: %d, closed %v, %s", name, res.StatusCode, closed, text)
		}
	}
}

func TestASlowBodyIsCutOff(t *testing.T) {
	t.Parallel()
	w, _ := withSender(t, func(o *api.Options) { o.BodyStall = 300 * time.Millisecond })
	for name, path := range map[string]string{"JSON": "/v1/messages", "raw": "/v1/messages/raw?to=b@example.org"} {
		p := post(path, "Content-Length: 100\r\n")
		if name == "raw" {
			p = strings.Replace(p, "application/json", "message/rfc822", 1)
		}
		begun := time.Now()
		res, text, closed := w.speak(10*time.Second, p, `{"from"`)
		if res.StatusCode != 408 || !closed || time.Since(begun) > 5*time.Second {
			t.Errorf("%s: %d, closed %v, %s, after %s", name, res.StatusCode, closed, text, time.Since(begun))
		}
	}
	// One that comes by drops makes progress all the time, and is too slow all the same.
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, post("/v1/messages", "Content-Length: 1000000\r\n")); err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 1)
	go func() {
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			answered <- 0
			return
		}
		answered <- res.StatusCode
	}()
	drop := time.NewTicker(20 * time.Millisecond)
	defer drop.Stop()
	for {
		select {
		case status := <-answered:
			if status != 408 {
				t.Errorf("drops are answered %d", status)
			}
			return
		case <-drop.C:
			_, _ = io.WriteString(c, " ") // it may be closed already
		case <-time.After(10 * time.Second):
			t.Fatal("drops are taken for ever")
		}
	}
}

func TestBrokenBodiesAreNoTroubleOfOurs(t *testing.T) {
	t.Parallel()
	w, _ := withSender(t)
	for name, body := range map[string]string{
		"chunks that are none": "zz\r\n",
		"a chunk too long":     "5\r\nabcdefgh\r\n0\r\n\r\n",
	} {
		if res, text, _ := w.speak(10*time.Second, post("/v1/messages", "Transfer-Encoding: chunked\r\n"), body); res.StatusCode != 400 {
			t.Errorf("%s: %d %s", name, res.StatusCode, text)
		}
	}
}

func TestJSONBombs(t *testing.T) {
	t.Parallel()
	w, d := withSender(t)
	many := make([]string, 200_000)
	for i := range many {
		many[i] = fmt.Sprintf(`"k%d":"v"`, i)
	}
	for name, body := range map[string]string{
		"depth of lists":           strings.Repeat("[", 1_000_000),
		"depth of objects":         strings.Repeat(`{"metadata":`, 100_000) + "1",
		"depth inside a member":    `{"metadata":{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}}`,
		"depth after strings":      `{"a":"\\\"[[[","b":` + strings.Repeat("[", 40),
		"many members":             `{"from":"a@example.com","to":"b@example.org","text":"x","metadata":{` + strings.Join(many, ",") + `}}`,
		"a long number":            `{"subject":` + strings.Repeat("9", 1_000_000) + `}`,
		"many recipients":          `{"from":"a@example.com","text":"x","to":["b@example.org"` + strings.Repeat(`,"b@example.org"`, 100_000) + `]}`,
		"many messages of a batch": `{"messages":[` + strings.TrimSuffix(strings.Repeat("{},", 100_000), ",") + `]}`,
	} {
		path := "/v1/messages"
		if strings.Contains(name, "batch") {
			path += "/batch"
		}
		begun := time.Now()
		res, p := w.call("POST", path, sendKey, body, nil)
		if res.StatusCode != 400 && res.StatusCode != 422 || len(p.Errors) > 200 {
			t.Errorf("%s: %d %s with %d errors", name, res.StatusCode, p.Detail, len(p.Errors))
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
	if d.count() != 0 {
		t.Error("a bomb was sent")
	}
}

func TestBodiesOfOtherKindsAreRefused(t *testing.T) {
	t.Parallel()
	w, _ := withSender(t)
	body := `{"from":"a@example.com","to":"b@example.org","text":"x"}`
	for kind, want := range map[string]int{
		"application/json": 202, "application/json; charset=UTF-8": 202, "": 202, "application/JSON": 202,
		"text/plain": 415, "application/x-www-form-urlencoded": 415, "multipart/form-data; boundary=x": 415, "application/json; charset=latin1": 415,
		"application/xml": 415, "json": 415, "application/vnd.api+json": 415, "application/merge-patch+json": 415, "a/b/c": 415, ";": 415,
	} {
		if res, p := w.call("POST", "/v1/messages", sendKey, body, nil, "Content-Type", kind); res.StatusCode != want {
			t.Errorf("%q: %d %+v, want %d", kind, res.StatusCode, p, want)
		}
	}
}

// Whatever was submitted, and wherever, no answer that refuses it repeats it.
func TestNothingThatWasSubmittedIsRepeated(t *testing.T) {
	t.Parallel()
	w, _ := everything(t)
	const secret = "S3cret Wört"
	text, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	in := url.QueryEscape(secret)
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/messages", `{"from":` + string(text) + `}`},
		{"POST", "/v1/messages", `{"from":{"email":` + string(text) + `}}`},
		{"POST", "/v1/messages", `{` + string(text) + `:1}`},
		{"POST", "/v1/messages", `{"metadata":{` + string(text) + `:1}}`},
		{"POST", "/v1/messages", `{"headers":{` + string(text) + `:"x"},"from":"a@example.com","to":"b@example.org","text":"x"}`},
		{"POST", "/v1/messages", `{"scheduled_at":` + string(text) + `}`},
		{"POST", "/v1/messages", `{"priority":` + string(text) + `}`},
		{"POST", "/v1/messages", `{"subject":"x` + secret},
		{"POST", "/v1/messages", secret},
		{"POST", "/v1/messages/batch", `{"mode":` + string(text) + `}`},
		{"POST", "/v1/queue/actions", `{"action":` + string(text) + `,"filter":{"recipient":` + string(text) + `}}`},
		{"POST", "/v1/queue/actions", `{"action":"hold","filter":{"recipient":` + string(text) + `}}`},
		{"POST", "/v1/queue/actions", `{"action":"hold","filter":{"since":` + string(text) + `}}`},
		{"POST", "/v1/accounts", `{"name":7,"password":` + string(text) + `}`},
		{"POST", "/v1/accounts", `{"name":"x","password":` + string(text) + `,"hourly_limit":"many"}`},
		{"POST", "/v1/suppressions", `{"address":` + string(text) + `}`},
		{"POST", "/v1/keys", `{"scopes":[` + string(text) + `]}`},
		{"PATCH", "/v1/messages/" + url.PathEscape(secret), `{"expires_at":` + string(text) + `}`},
		{"GET", "/v1/messages/" + url.PathEscape(secret), ""},
		{"GET", "/v1/messages?recipient=" + in, ""},
		{"GET", "/v1/messages?limit=" + in, ""},
		{"GET", "/v1/messages?state=" + in, ""},
		{"GET", "/v1/messages?since=" + in, ""},
		{"GET", "/v1/messages?cursor=" + in, ""},
		{"GET", "/v1/messages?id=" + in, ""},
		{"GET", "/v1/messages?" + in + "=1", ""},
		{"GET", "/v1/events?types=" + in, ""},
		{"GET", "/v1/events?wait=" + in, ""},
		{"GET", "/v1/events?cursor=" + in, ""},
		{"POST", "/v1/messages/raw?to=" + in, "x"},
		{"POST", "/v1/messages/raw?priority=" + in, "x"},
		{"GET", "/" + in, ""},
	} {
		kind := "application/json"
		if strings.Contains(c.path, "/raw") {
			kind = "message/rfc822"
		}
		res, p := w.call(c.method, c.path, key, c.body, nil, "Content-Type", kind)
		answer, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode < 400 || strings.Contains(string(answer), "S3cret") || strings.Contains(string(answer), "rt\"") {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, res.StatusCode, answer)
		}
	}
}

func TestOtherSitesPagesGetNothing(t *testing.T) {
	t.Parallel()
	w, _ := everything(t)
	for _, c := range []struct{ method, path string }{
		{"OPTIONS", "/v1/messages"}, {"GET", "/v1/messages"}, {"POST", "/v1/messages"}, {"GET", "/livez"}, {"GET", "/openapi.json"}, {"GET", "/nothing"},
	} {
		res, _ := w.call(c.method, c.path, key, nil, nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
		for name := range res.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s %s answers with %s", c.method, c.path, name)
			}
		}
	}
}

func TestTheHostIsNotBelieved(t *testing.T) {
	t.Parallel()
	w, _ := everything(t, func(o *api.Options) { o.PublicURL = "https://mail.example.com" })
	body := `{"from":"a@example.com","to":"b@example.org","text":"x"}`
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/messages", body}, {"GET", "/v1/messages", ""}, {"GET", "/openapi.json", ""}, {"GET", "/docs", ""}, {"GET", "/v1/nothing", ""}, {"PUT", "/v1/messages", ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, w.url+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "evil.example"
		req.Header.Set("X-Forwarded-Host", "evil.example")
		req.Header.Set("Forwarded", "host=evil.example")
		req.Header.Set("Authorization", "Bearer "+sendKey)
		res, err := patient().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || strings.Contains(string(text), "evil") || strings.Contains(fmt.Sprint(res.Header), "evil") || strings.Contains(string(text), "$schema\":\"http") || res.Header.Get("Link") != "" {
			t.Errorf("%s %s: %v %v %.300s", c.method, c.path, err, res.Header, text)
		}
		if c.path == "/openapi.json" && !strings.Contains(string(text), `"https://mail.example.com"`) {
			t.Error("the description does not name the public URL")
		}
	}
}

func TestEveryAnswerNamesItsRequestAndIsNotKept(t *testing.T) {
	t.Parallel()
	w, _ := everything(t)
	for _, c := range []struct {
		id, want string
		path     string
	}{
		{"trace-1", "trace-1", "/v1/queue"}, {"trace-1", "trace-1", "/nothing"}, {"", "req_", "/livez"},
		{"with space", "req_", "/v1/queue"}, {strings.Repeat("x", 129), "req_", "/v1/queue"}, {strings.Repeat("x", 128), "xxx", "/v1/queue"}, {"ä", "req_", "/v1/messages?limit=0"},
	} {
		res, p := w.call("GET", c.path, key, nil, nil, "X-Request-Id", c.id)
		id := res.Header.Get("X-Request-Id")
		if !strings.HasPrefix(id, c.want) || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %v", c.id, res.Header)
		}
		if p.Status != 0 && (p.RequestID != id || p.Instance != "urn:request:"+id) {
			t.Errorf("%q: %+v", c.id, p)
		}
	}
}

func TestPathsAndMethodsThatDoNotExist(t *testing.T) {
	t.Parallel()
	w, _ := everything(t)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/v1/nothing", 404, ""}, {"GET", "/", 404, ""}, {"GET", "//v1//messages", 200, ""}, {"GET", "/v1/messages/", 200, ""},
		{"DELETE", "/v1/messages", 405, "GET, HEAD, POST, OPTIONS"}, {"PUT", "/v1/messages/batch", 405, "GET, HEAD, POST, PATCH, OPTIONS"},
		{"OPTIONS", "/v1/messages", 204, "GET, HEAD, POST, OPTIONS"}, {"PROPFIND", "/v1/queue", 405, "GET, HEAD, OPTIONS"}, {"HEAD", "/v1/messages", 200, ""}, {"HEAD", "/livez", 200, ""},
		{"GET", "/v1/messages/batch", 422, ""}, {"OPTIONS", "/nothing", 404, ""},
	} {
		res, p := w.call(c.method, c.path, key, nil, nil)
		if res.StatusCode != c.status || res.Header.Get("Allow") != c.allow || c.status >= 400 && p.Code == "" {
			t.Errorf("%s %s: %d %v %+v, want %d %s", c.method, c.path, res.StatusCode, res.Header, p, c.status, c.allow)
		}
	}
}

func TestWhoMayNotGetsToldWhy(t *testing.T) {
	t.Parallel()
	w, _ := everything(t, func(o *api.Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for _, c := range []struct {
		auth   []string
		status int
		code   string
		header string
	}{
		{nil, 401, "unauthorized", "Www-Authenticate"},
		{[]string{"Authorization", "Bearer wrong"}, 401, "unauthorized", "Www-Authenticate"},
		{[]string{"Authorization", "Bearer expired"}, 401, "key_expired", "Www-Authenticate"},
		{[]string{"Authorization", "Bearer throttled"}, 429, "rate_limited", "Retry-After"},
		{[]string{"Authorization", "Bearer broken"}, 503, "unavailable", "Retry-After"},
		{[]string{"Authorization", "Bearer " + key, "X-Forwarded-For", "192.0.2.7"}, 403, "ip_not_allowed", ""},
		{[]string{"Authorization", "Bearer " + key, "X-Postmark-Server-Token", "other"}, 401, "unauthorized", ""},
		{[]string{"X-Postmark-Server-Token", readKey}, 403, "forbidden_scope", ""},
		{[]string{"Authorization", "Bearer " + manageKey}, 403, "forbidden_scope", ""},
	} {
		res, p := w.call("GET", "/v1/queue", "", nil, nil, append([]string{"Authorization", ""}, c.auth...)...)
		if res.StatusCode != c.status || p.Code != c.code || c.header != "" && res.Header.Get(c.header) == "" {
			t.Errorf("%v: %d %+v %v, want %d %s", c.auth, res.StatusCode, p, res.Header, c.status, c.code)
		}
	}
}

// seer notes from where callers come.
type seer struct {
	mu   sync.Mutex
	from []netip.Addr
}

func (s *seer) Authenticate(_ context.Context, _ access.Credentials, remote netip.Addr) (access.Caller, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from = append(s.from, remote)
	return access.Caller{Scopes: []queue.Scope{queue.ScopeAdmin}}, nil
}

func TestOnlyTrustedProxiesSayWhoTheirClientIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, trusted string
		header        []string
		want          string
	}{
		{"nobody is trusted by default", "", []string{"X-Forwarded-For", "192.0.2.1"}, "127.0.0.1"},
		{"one that is not trusted", "10.0.0.0/8", []string{"X-Forwarded-For", "192.0.2.1"}, "127.0.0.1"},
		{"the proxy", "127.0.0.0/8", []string{"X-Forwarded-For", "192.0.2.1"}, "192.0.2.1"},
		{"what the client made up is to the left", "127.0.0.0/8", []string{"X-Forwarded-For", "10.0.0.1, 192.0.2.1"}, "192.0.2.1"},
		{"proxies behind proxies", "127.0.0.0/8,10.0.0.0/8", []string{"X-Forwarded-For", "203.0.113.5, 192.0.2.1, 10.1.2.3"}, "192.0.2.1"},
		{"only proxies", "127.0.0.0/8", []string{"X-Forwarded-For", "127.0.0.2, 127.0.0.3"}, "127.0.0.2"},
		{"with a port", "127.0.0.0/8", []string{"X-Forwarded-For", "192.0.2.1:1234"}, "192.0.2.1"},
		{"IPv6 with a port", "127.0.0.0/8", []string{"X-Forwarded-For", "[2001:db8::1]:1234"}, "2001:db8::1"},
		{"IPv4 in IPv6", "127.0.0.0/8", []string{"X-Forwarded-For", "::ffff:192.0.2.1"}, "192.0.2.1"},
		{"garbage is nobody", "127.0.0.0/8", []string{"X-Forwarded-For", "unknown"}, "0.0.0.0"},
		{"Forwarded", "127.0.0.0/8", []string{"Forwarded", `for=10.0.0.1, for="[2001:db8::1]:99";proto=https`}, "2001:db8::1"},
		{"Forwarded without for", "127.0.0.0/8", []string{"Forwarded", "proto=https"}, "0.0.0.0"},
		{"both that agree", "127.0.0.0/8", []string{"Forwarded", "for=192.0.2.1", "X-Forwarded-For", "192.0.2.1"}, "192.0.2.1"},
		{"both that do not", "127.0.0.0/8", []string{"Forwarded", "for=192.0.2.2", "X-Forwarded-For", "192.0.2.1"}, "0.0.0.0"},
		{"a proxy that says nothing", "127.0.0.0/8", nil, "127.0.0.1"},
	} {
		s := &seer{}
		w := newWorld(t, func(o *api.Options) {
			o.Auth = s
			for p := range strings.SplitSeq(c.trusted, ",") {
				if p != "" {
					o.TrustedProxies = append(o.TrustedProxies, netip.MustParsePrefix(p))
				}
			}
		})
		w.call("GET", "/v1/queue", "any", nil, nil, c.header...)
		if len(s.from) != 1 || s.from[0].String() != c.want {
			t.Errorf("%s: %v, want %s", c.name, s.from, c.want)
		}
	}
}

func TestOperatorsCanBeApart(t *testing.T) {
	t.Parallel()
	w, _ := everything(t, func(o *api.Options) { o.OperatorApart = true })
	for _, path := range []string{"/v1/queue", "/v1/accounts", "/v1/domains", "/metrics"} {
		if res, _ := w.call("GET", path, key, nil, nil); res.StatusCode != 404 {
			t.Errorf("%s answers %d in public", path, res.StatusCode)
		}
	}
	if res, _ := w.call("GET", "/v1/messages", key, nil, nil); res.StatusCode != 200 {
		t.Errorf("messages answer %d in public", res.StatusCode)
	}
	if _, err := w.sock.Queue(t.Context()); err != nil {
		t.Errorf("the socket says %v", err)
	}
	var text string
	w.call("GET", "/openapi.json", "", nil, &text)
	if strings.Contains(text, "/v1/accounts") {
		t.Error("the public description has the operator's operations")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.srv.ServeOperator(l)
	w.url = "http://" + l.Addr().String()
	for given, want := range map[string]int{key: 200, "wrong": 401} {
		if res, _ := w.call("GET", "/v1/queue", given, nil, nil); res.StatusCode != want {
			t.Errorf("the operator's listener answers %d to %s", res.StatusCode, given)
		}
	}
}

func TestWhatIsUnderWayIsFinishedWhenTheRelayStops(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	w := newWorld(t, func(o *api.Options) {
		o.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(entered); <-leave })
	})
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	drained := make(chan error, 1)
	go func() { drained <- w.srv.Drain(context.WithoutCancel(t.Context())) }()
	close(leave)
	if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 200 {
		t.Errorf("what was under way: %v, %v", res, err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestAPanicIsAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *api.Options) {
		o.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a fault of ours") })
	})
	if res, p := w.call("GET", "/metrics", key, nil, nil); res.StatusCode != 500 || p.Code != "internal" || strings.Contains(p.Detail, "fault of ours") || p.RequestID == "" {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
}

func TestLimitsAreTold(t *testing.T) {
	t.Parallel()
	w, _ := withSender(t, func(o *api.Options) {
		o.RateStatus = func(_ context.Context, c access.Caller) []api.RateState {
			if c.Account != "shop" {
				return nil
			}
			return []api.RateState{{Name: "send", Limit: 100, Window: time.Hour, Remaining: 99, Reset: 1500 * time.Millisecond}}
		}
	})
	res, _ := w.call("GET", "/v1/messages", readKey, nil, nil)
	for name, want := range map[string]string{
		"RateLimit-Policy": `"send";q=100;w=3600`, "RateLimit": `"send";r=99;t=2`, "RateLimit-Limit": "100", "RateLimit-Remaining": "99", "RateLimit-Reset": "2",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if res, _ := w.call("GET", "/v1/messages", blogKey, nil, nil); res.Header.Get("RateLimit") != "" {
		t.Errorf("one without limits is told %v", res.Header)
	}
}
