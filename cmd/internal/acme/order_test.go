package acme

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
)

// awkward is an authority that goes as far as it is told, and then answers with
// trouble.
type awkward struct {
	*httptest.Server
	until    string // the step that fails: directory, account or order
	trouble  http.HandlerFunc
	external bool
	asked    atomic.Int64 // how often the step was
	nonces   atomic.Int64
	accounts atomic.Int64
}

func newAwkward(t *testing.T, until string, trouble http.HandlerFunc) *awkward {
	t.Helper()
	a := &awkward{until: until, trouble: trouble}
	a.Server = httptest.NewTLSServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *awkward) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Replay-Nonce", fmt.Sprint("nonce", a.nonces.Add(1)))
	step := strings.TrimPrefix(r.URL.Path, "/")
	if step == a.until {
		a.asked.Add(1)
		a.trouble(w, r)
		return
	}
	switch step {
	case "directory":
		_ = json.NewEncoder(w).Encode(map[string]any{
			"newNonce": a.URL + "/nonce", "newAccount": a.URL + "/account", "newOrder": a.URL + "/order",
			"meta": map[string]any{"termsOfService": a.URL + "/terms", "externalAccountRequired": a.external},
		})
	case "account":
		a.accounts.Add(1)
		w.Header().Set("Location", a.URL+"/account/1")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"status":"valid"}`)
	}
}

// order makes one attempt with it.
func (a *awkward) order(t *testing.T, w *world) (fault, error) {
	t.Helper()
	o := w.options("a", mail)
	o.Directory, o.Client = a.URL+"/directory", a.Client()
	o.Email = "postmaster@example.com"
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := (&authority{o: o, answers: newAnswers(w.store, o.Domains, w.clock)}).obtain(ctx, mail, challengeHTTP)
	if err == nil {
		t.Fatal("there is a certificate")
	}
	return explain(err, o.Directory, mail), err
}

// problem answers as RFC 8555 §6.7 says.
func problem(code int, kind, detail string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]string{"type": "urn:ietf:params:acme:error:" + kind, "detail": detail})
	}
}

func text(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func TestWhatAnAuthorityDoesIsExplainedAndNeverAskedTooOften(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, until string
		trouble     http.HandlerFunc
		most        int64
		do          string
		wait        time.Duration
	}{
		{"too many orders", "order", problem(429, "rateLimited", "too many new orders", "Retry-After", "7200"), 1, "wait: too many", 2 * time.Hour},
		{"too many, and no word of when", "order", problem(429, "rateLimited", "slow down"), 1, "wait: too many", time.Hour},
		{"a name it does not take", "order", problem(400, "rejectedIdentifier", "policy forbids it"), 1, "correct tls.acme.domains", 0},
		{"a CAA record", "order", problem(403, "caa", "CAA record prevents it"), 1, "CAA record of " + mail, 0},
		{"a contact it does not take", "account", problem(400, "invalidContact", "no such domain"), 1, "correct tls.acme.email", 0},
		{"new terms", "order", problem(403, "userActionRequired", "agree"), 1, "new terms", 0},
		{"a nonce that is never good", "order", problem(400, "badNonce", "again"), 7, "see what the authority says", 0},
		{"trouble of its own", "order", problem(500, "serverInternal", "oops"), 3, "trouble of its own", 0},
		{"a web page", "order", text(503, "<html>maintenance</html>"), 3, "trouble of its own", 0},
		{"no directory", "directory", text(200, "<html>hello</html>"), 1, "tls.acme.directory", 0},
		{"an empty directory", "directory", text(200, "{}"), 1, "tls.acme.directory", 0},
		{"an order of nothing", "order", text(201, "{}"), 1, "tls.acme.directory", 0},
		{"an order without end", "order", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"status":"`)
			for range 64 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}, 1, "tls.acme.directory", 0},
		{"a text that forges lines", "order", problem(400, "malformed", "no\r\nlevel=ERROR\x1b[31m "+strings.Repeat("x", 5000)), 1, "see what the authority says", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAwkward(t, tt.until, tt.trouble)
			f, err := a.order(t, newWorld(t))
			if n := a.asked.Load(); n > tt.most {
				t.Errorf("asked %d times, want %d at most", n, tt.most)
			}
			if !strings.Contains(f.advice, tt.do) || f.wait != tt.wait {
				t.Errorf("%v:\n%+v, want %q", err, f, tt.do)
			}
			if len(f.reason) > maxReason+10 || strings.ContainsAny(f.reason, "\r\n\x1b") {
				t.Errorf("the reason is %q", f.reason)
			}
		})
	}
}

func TestTheAccountIsMadeOnceAndAgainWhenItIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := newAwkward(t, "order", problem(400, "rejectedIdentifier", "no"))
	a.order(t, w)
	a.order(t, w)
	if n := a.accounts.Load(); n != 1 {
		t.Errorf("%d accounts", n)
	}
	a.trouble = problem(400, "accountDoesNotExist", "who are you")
	a.order(t, w)
	a.trouble = problem(400, "rejectedIdentifier", "no")
	a.order(t, w)
	if n := a.accounts.Load(); n != 2 {
		t.Errorf("%d accounts after it was forgotten", n)
	}
}

func TestAnAuthorityThatWantsABindingIsNotAskedWithoutOne(t *testing.T) {
	t.Parallel()
	a := newAwkward(t, "order", problem(400, "malformed", "no"))
	a.external = true
	if f, err := a.order(t, newWorld(t)); f.advice != bindingAdvice || a.accounts.Load() != 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestAnAuthorityThatIsNotThereIsSilent(t *testing.T) {
	t.Parallel()
	a := newAwkward(t, "order", nil)
	a.Close()
	if f, err := a.order(t, newWorld(t)); !f.silent || !strings.Contains(f.advice, "let this machine reach 127.0.0.1:") {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestAnAuthorityThatNobodyKnowsNeedsItsRoot(t *testing.T) {
	t.Parallel()
	a := newAwkward(t, "order", nil)
	w := newWorld(t)
	o := w.options("a", mail)
	o.Directory, o.Client = a.URL+"/directory", &http.Client{Transport: &http.Transport{}}
	_, err := (&authority{o: o, answers: newAnswers(w.store, o.Domains, w.clock)}).obtain(t.Context(), mail, challengeHTTP)
	if f := explain(err, o.Directory, mail); !strings.Contains(f.advice, "tls.acme.ca") {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestFailuresOfAChallengeAreExplained(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"dns": "publish an A or AAAA record for " + mail, "connection": "on port 80", "unauthorized": "something else answers", "incorrectResponse": "something else answers", "tls": "port 443",
	} {
		said := &acme.Error{StatusCode: 403, ProblemType: "urn:ietf:params:acme:error:" + kind, Detail: "it says so"}
		for _, err := range []error{
			&acme.AuthorizationError{Identifier: mail, Errors: []error{said}},
			&acme.OrderError{Status: "invalid", Problem: said},
		} {
			if f := explain(fmt.Errorf("prove: %w", err), "https://ca.example/dir", mail); !strings.Contains(f.advice, want) || !strings.Contains(f.reason, "it says so") {
				t.Errorf("%s: %+v", kind, f)
			}
		}
	}
	for _, err := range []error{&acme.AuthorizationError{}, &acme.OrderError{}} {
		if f := explain(err, "https://ca.example/dir", mail); f.advice == "" {
			t.Errorf("%T: %+v", err, f)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"failures":3,"tried":"2026-11-26T19:00:00Z","next":"2026-11-26T20:00:00Z","limited":true,"fault":"x","advice":"y"}`))
	f.Add([]byte(`{"chain":"-----BEGIN CERTIFICATE-----\n","key":""}`))
	f.Add([]byte(`{"failures":-1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := decode(value)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Skip(err) // a time that JSON cannot write
		}
		if _, err := decode(again); err != nil || r.Failures < 0 {
			t.Errorf("%q became %q: %v", value, again, err)
		}
	})
}
