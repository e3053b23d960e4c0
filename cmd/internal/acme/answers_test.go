package acme

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
)

const token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"

// publishing is a client whose key answers challenges.
func publishing(t *testing.T) *acme.Client {
	t.Helper()
	key, _, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	return &acme.Client{Key: key}
}

func TestTheDoorAnswersChallengesOfEveryNodeAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orders, asked := newAnswers(w.store, []string{mail}, w.clock), newAnswers(w.store, []string{mail}, w.clock)
	c := publishing(t)
	forget, err := orders.publish(t.Context(), c, mail, &acme.Challenge{Type: challengeHTTP, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	defer forget()
	want, err := c.HTTP01ChallengeResponse(token)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, method, path string
		code               int
	}{
		{"the challenge", "GET", challengePath + token, 200},
		{"its head", "HEAD", challengePath + token, 200},
		{"no token", "GET", challengePath, 404},
		{"another token", "GET", challengePath + strings.ToLower(token), 404},
		{"a path behind it", "GET", challengePath + token + "/x", 404},
		{"a path out of it", "GET", challengePath + "../../etc/passwd", 404},
		{"a long token", "GET", challengePath + strings.Repeat("a", maxToken+1), 404},
		{"a key of the store", "GET", challengePath + "acme/tls/" + mail, 404},
		{"a NUL", "GET", challengePath + "a%00b", 404},
		{"a post", "POST", challengePath + token, 405},
		{"the root", "GET", "/", 404},
		{"the API", "GET", "/v1/messages", 404},
	} {
		for node, a := range map[string]*answers{"the node that orders": orders, "another one": asked} {
			r := httptest.NewRecorder()
			a.ServeHTTP(r, httptest.NewRequest(tt.method, tt.path, nil))
			if r.Code != tt.code || tt.code == 200 && tt.method == "GET" && r.Body.String() != want {
				t.Errorf("%s, %s: %d %q", tt.name, node, r.Code, r.Body)
			}
		}
	}
	w.now = w.now.Add(answerTTL + time.Second)
	r := httptest.NewRecorder()
	asked.ServeHTTP(r, httptest.NewRequest("GET", challengePath+token, nil))
	if r.Code != 404 {
		t.Errorf("an old challenge is answered: %d", r.Code)
	}
}

func TestTokensThatAreNoneAreNotPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, bad := range []string{"", "../x", "a b", "a\r\nb", strings.Repeat("a", maxToken+1), "é"} {
		a := newAnswers(w.store, []string{mail}, w.clock)
		if _, err := a.publish(t.Context(), publishing(t), mail, &acme.Challenge{Type: challengeHTTP, Token: bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// handshake is what a client sees that asks for name with these protocols.
func handshake(t *testing.T, server *tls.Config, name string, protocols ...string) (tls.ConnectionState, error) {
	t.Helper()
	here, there := net.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer there.Close()
		_ = tls.Server(there, server).HandshakeContext(ctx)
	})
	c := tls.Client(here, &tls.Config{ServerName: name, NextProtos: protocols, InsecureSkipVerify: true})
	err := c.HandshakeContext(ctx)
	here.Close()
	wg.Wait()
	return c.ConnectionState(), err
}

func TestHandshakesAnswerChallengesForOurNamesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.node("a", mail, "other.example.com"), w.node("b", mail)
	forget, err := a.answers.publish(t.Context(), publishing(t), mail, &acme.Challenge{Type: challengeTLS, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, asked string
		protocols   []string
		ok          bool
	}{
		{"ours", mail, []string{acme.ALPNProto}, true},
		{"in capitals", "MAIL.example.com", []string{acme.ALPNProto}, true},
		{"one that is not asked for", "other.example.com", []string{acme.ALPNProto}, false},
		{"a stranger's", "mail.example.org", []string{acme.ALPNProto}, false},
		{"none", "", []string{acme.ALPNProto}, false},
		{"with other protocols beside it", mail, []string{"h2", acme.ALPNProto}, false},
		{"without the protocol", mail, nil, false}, // there is no certificate yet
	} {
		for node, m := range map[string]*Manager{"the node that orders": a, "another one": b} {
			state, err := handshake(t, m.Config(), tt.asked, tt.protocols...)
			if (err == nil) != tt.ok {
				t.Errorf("%s, %s: %v", tt.name, node, err)
			}
			if tt.ok && (state.NegotiatedProtocol != acme.ALPNProto || len(state.PeerCertificates) != 1) {
				t.Errorf("%s, %s: %+v", tt.name, node, state)
			}
		}
	}
	forget()
	w.after(0, a)
	w.after(0, b)
	if state, err := handshake(t, b.Config(), mail, "h2"); err != nil || state.PeerCertificates[0].SerialNumber.Int64() != 1 {
		t.Errorf("the certificate is not shown: %v", err)
	}
}

// stuck is a store that does not answer before its questioner has enough.
type stuck struct{ Store }

func (stuck) CacheGet(ctx context.Context, _ string, _ time.Time) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAStormOfQuestionsIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := newAnswers(stuck{w.store}, []string{mail}, w.clock)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range maxAsking {
		a.asking <- struct{}{} // questions that wait for the store
	}
	for range 200 {
		wg.Go(func() {
			if _, err := a.find(ctx, tokenKey(token)); !errors.Is(err, errBusy) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for range maxAsking {
		<-a.asking
	}
	cancel()
	if _, err := a.find(ctx, tokenKey(token)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAHandshakeStormBeforeTheCertificateFailsAtOnceAndIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse[mail] = errDown
	m := w.node("a", mail)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, err := handshake(t, m.Config(), fmt.Sprintf("host%d.example.com", i)); err == nil {
				t.Error("a handshake without a certificate")
			}
		})
	}
	wg.Wait()
	w.after(0, m)
	w.after(time.Minute, m)
	if n := strings.Count(w.log.String(), "tls connections refused"); n != 1 || !strings.Contains(w.log.String(), "connections=50") {
		t.Errorf("told %d times:\n%s", n, w.log)
	}
}

// atTheDoor opens a connection to a door that answers with h.
func atTheDoor(t *testing.T, h http.Handler) (dial func() net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := NewDoor(h, slog.New(slog.DiscardHandler))
	d.server.ReadTimeout = 100 * time.Millisecond
	d.Serve(l)
	t.Cleanup(func() {
		if err := d.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

func TestTheDoorShutsOutGarbageAndTheSlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dial := atTheDoor(t, newAnswers(w.store, []string{mail}, w.clock))
	for name, say := range map[string]string{
		"nothing":           "",
		"a TLS hello":       "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"SMTP":              "EHLO client.test\r\n",
		"half a request":    "GET " + challengePath + token + " HTTP/1.1\r\nHost: " + mail + "\r\n",
		"a huge header":     "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 1<<20) + "\r\n\r\n",
		"a body that lasts": "POST " + challengePath + token + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc",
		"zeros":             strings.Repeat("\x00", 4096),
		"no host":           "GET " + challengePath + token + " HTTP/1.1\r\n\r\n",
		"two hosts":         "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	} {
		c := dial()
		_, _ = io.WriteString(c, say)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		answer, err := io.ReadAll(c)
		if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
			t.Errorf("%s keeps its connection", name)
		}
		if strings.HasPrefix(string(answer), "HTTP/1.1 2") {
			t.Errorf("%s is answered %q", name, answer)
		}
	}
}

func TestTheDoorClosesAfterOneAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := atTheDoor(t, newAnswers(w.store, []string{mail}, w.clock))()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", challengePath+token)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || r.StatusCode != 404 || !r.Close {
		t.Errorf("%+v, %v", r, err)
	}
}
