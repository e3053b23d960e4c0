package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestOnlyPublicAddressesAreDialled(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "100.63.255.255": true, "100.128.0.1": true, "172.32.0.1": true, "198.20.0.1": true, "223.255.255.255": true,
		"2606:4700::1111": true, "2a00:1450::1": true, "64:ff9b::808:808": true, "2002:808:808::1": true, "::ffff:8.8.8.8": true,

		"127.0.0.1": false, "127.8.8.8": false, "::1": false, "0.0.0.0": false, "0.1.2.3": false, "::": false,
		"10.1.2.3": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false, "fc00::1": false, "fd12::1": false,
		"169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false,
		"100.64.0.1": false, "100.127.255.255": false,
		"224.0.0.1": false, "239.1.1.1": false, "ff02::1": false, "ff0e::1": false, "255.255.255.255": false, "240.0.0.1": false,
		"192.0.0.8": false, "192.0.2.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false, "192.88.99.1": false,
		"2001:db8::1": false, "3fff::1": false, "100::1": false, "2001::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::7f00:1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::808:808": false,
		"2002:7f00:1::1": false, "2002:a00:1::1": false, "2002:c0a8:101::": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public is %v", text, got)
		}
		network := "tcp6"
		if a := netip.MustParseAddr(text); a.Is4() {
			network = "tcp4"
		}
		err := guard(context.Background(), network, net.JoinHostPort(text, "443"), nil)
		if (err == nil) != want || err != nil && !errors.Is(err, errForbidden) {
			t.Errorf("dial %s: %v", text, err)
		}
	}
	for _, bad := range []string{"", "example.com:443", "8.8.8.8"} {
		if guard(context.Background(), "tcp4", bad, nil) == nil {
			t.Errorf("%q was let through", bad)
		}
	}
	if guard(context.Background(), "unix", "/run/docker.sock", nil) == nil {
		t.Error("a unix socket was let through")
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// A name may lead to another address each time it is asked for; what counts is
// the one that is dialled.
func TestANameThatLeadsToAPrivateAddressIsRefusedWhenItIsDialled(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
	defer srv.Close()
	c := newClient(false, 5*time.Second)
	for _, u := range []string{srv.URL, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)} {
		res, err := c.Post(u, "application/json", nil)
		if err == nil {
			_ = res.Body.Close()
		}
		if !errors.Is(err, errForbidden) {
			t.Errorf("%s: %v", u, err)
		}
		if why := reason(err); !strings.Contains(why, "private or reserved") || strings.Contains(why, "127.0.0.1") {
			t.Errorf("told is %q", why)
		}
	}
	if len(asked) > 0 {
		t.Error("the request arrived")
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	inside := make(chan struct{}, 10)
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside <- struct{}{} }))
	defer private.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, private.URL, http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	res, err := newClient(true, 5*time.Second).Post(srv.URL, "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusTemporaryRedirect || len(inside) > 0 {
		t.Errorf("%s", res.Status)
	}
}

func TestNoProxyOfTheEnvironmentIsUsed(t *testing.T) {
	t.Parallel()
	if newClient(false, time.Second).Transport.(*http.Transport).Proxy != nil {
		t.Error("there is a proxy")
	}
}

var badURLs = []string{
	"", "example.com", "ftp://example.com/", "http://example.com/", "https://", "https:///x", "https:x", "https://user@example.com/",
	"https://user:pass@example.com/", "https://example.com/#x", "https://example.com/#", "https://example.com:0/", "https://example.com:99999/", "https://127.0.0.1/",
	"https://[::1]/", "https://[::ffff:10.0.0.1]:8443/", "https://169.254.169.254/latest", "javascript:alert(1)", "https://exa mple.com/",
	"https://example.com/" + strings.Repeat("x", maxURL), "https://example.com/\r\nX: y", "https://[fe80::1%25eth0]/",
}

func TestURLsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for _, u := range badURLs {
		if checkURL(u, false) == "" {
			t.Errorf("%q was accepted", u)
		}
	}
	for _, u := range []string{"https://example.com", "HTTPS://example.com:8443/hooks?x=y", "https://8.8.8.8/"} {
		if why := checkURL(u, false); why != "" {
			t.Errorf("%q: %s", u, why)
		}
	}
	if why := checkURL("http://127.0.0.1:8080/", true); why != "" {
		t.Errorf("with private networks: %s", why)
	}
}

func FuzzURL(f *testing.F) {
	for _, u := range badURLs {
		f.Add(u)
	}
	f.Add("https://example.com/hooks")
	f.Fuzz(func(t *testing.T, text string) {
		why := checkURL(text, false)
		if why != "" {
			if len(text) > 60 && strings.Contains(why, text) {
				t.Errorf("%q is echoed", text)
			}
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" {
			t.Errorf("%q was accepted", text)
		}
		if _, err := http.NewRequestWithContext(context.Background(), http.MethodPost, text, nil); err != nil {
			t.Errorf("%q was accepted, and is no request: %v", text, err)
		}
	})
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "90": 90 * time.Second, "-1": 0, "soon": 0, "1.5": 0, "99999999999": 0,
		"Mon, 23 Nov 2026 05:02:00 GMT": 2 * time.Minute, "Mon, 23 Nov 2026 04:00:00 GMT": 0,
	} {
		h := http.Header{"Retry-After": {text}}
		if got := retryAfter(503, h, now); got != want {
			t.Errorf("%q: %s", text, got)
		}
		if retryAfter(500, h, now) != 0 {
			t.Errorf("%q counts with status 500", text)
		}
	}
}

func TestDelaysFollowTheScheduleWithJitter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		random    float64
		failed    int
		asked     time.Duration
		want, max time.Duration
	}{
		{0.5, 1, 0, 5 * time.Second, 0}, {0, 1, 0, 4 * time.Second, 0}, {0.5, 2, 0, 5 * time.Minute, 0}, {0.5, 3, 0, 30 * time.Minute, 0},
		{0.5, 9, 0, 24 * time.Hour, 0}, {0.5, 50, 0, 24 * time.Hour, 0}, {0.5, 0, 0, 5 * time.Second, 0},
		{0.5, 1, time.Hour, time.Hour, 0}, {0.5, 1, 1000 * time.Hour, 24 * time.Hour, 0},
	} {
		o := New(Options{Random: func() float64 { return c.random }}).o
		if got := o.delay(c.failed, c.asked); got != c.want {
			t.Errorf("after %d failures: %s, want %s", c.failed, got, c.want)
		}
	}
}

func TestTheTrailFitsItsPlace(t *testing.T) {
	t.Parallel()
	var ds []Delivery
	for range trailLen {
		ds = append(ds, Delivery{EventID: "evt_1", Error: "It answered with status 500.", Response: strings.Repeat("\"", keptOf)})
	}
	b, err := fit(ds)
	if err != nil || len(b) > trailSize {
		t.Fatalf("%d octets, %v", len(b), err)
	}
	var got []Delivery
	if err := json.Unmarshal(b, &got); err != nil || len(got) != trailLen || got[0].Response != "" || got[trailLen-1].Response == "" {
		t.Errorf("%d attempts, %v", len(got), err)
	}
}

func TestAnswersAreMadeFitForATerminal(t *testing.T) {
	t.Parallel()
	if got := text([]byte("ok\x1b[31m\x00\xff\nline")); got != "ok.[31m..\nline" {
		t.Errorf("%q", got)
	}
}
