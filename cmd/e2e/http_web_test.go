package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
)

// web asks a relay over HTTP as a program would that has no library of ours.
type web struct {
	base   string
	header http.Header // of every request
}

// webOf asks the relay's public listener with a secret as Bearer.
func webOf(r *e2etest.Relay, secret string) web {
	return web{base: "http://" + r.HTTP, header: bearer(secret)}
}

func bearer(secret string) http.Header {
	return http.Header{"Authorization": {"Bearer " + secret}}
}

func basic(name, secret string) http.Header {
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+secret))}}
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// ask makes a request; in is written as JSON unless it is nil, or octets. The
// header's names and values follow each other.
func (w web) ask(ctx context.Context, method, path string, in any, header ...string) (reply, error) {
	var body io.Reader
	switch v := in.(type) {
	case nil:
	case []byte:
		body = bytes.NewReader(v)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return reply{}, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, w.base+path, body)
	if err != nil {
		return reply{}, err
	}
	req.Header = w.header.Clone()
	if body != nil && req.Header != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if req.Header == nil {
			req.Header = http.Header{}
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, text}, err
}

// do is ask for tests that need an answer of any kind.
func (w web) do(ctx context.Context, t *testing.T, method, path string, in any, header ...string) reply {
	t.Helper()
	a, err := w.ask(ctx, method, path, in, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// send posts a message, which must be accepted.
func (w web) send(ctx context.Context, t *testing.T, m v1.NewMessage, header ...string) (r v1.Receipt) {
	t.Helper()
	w.do(ctx, t, http.MethodPost, "/v1/messages", m, header...).want(t, http.StatusAccepted, &r)
	return r
}

// want checks the status and reads the body into v, if it is not nil.
func (a reply) want(t *testing.T, status int, v any) {
	t.Helper()
	if a.status != status {
		t.Fatalf("the answer is %s, want %d", a, status)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("the answer cannot be read: %v\n%s", err, a.body)
	}
}

// refused checks that the answer is a problem with this status and code.
func (a reply) refused(status int, code string) error {
	var p v1.Problem
	if err := json.Unmarshal(a.body, &p); err != nil || a.status != status || p.Status != status || p.Code != code ||
		a.header.Get("Content-Type") != "application/problem+json" {
		return fmt.Errorf("the answer is %s, want a problem with %d %s", a, status, code)
	}
	return nil
}

func (a reply) String() string {
	return fmt.Sprintf("%d %s %.500s", a.status, a.header.Get("Content-Type"), a.body)
}

// letter is a small message to one recipient.
func letter(to, subject string) v1.NewMessage {
	return v1.NewMessage{From: v1.Address{Email: "a@shop.test"}, To: v1.Addresses{{Email: to}}, Subject: subject, Text: "Hello.\n"}
}

// keyOf makes a key of the tests' account.
func keyOf(ctx context.Context, t *testing.T, r *e2etest.Relay, n v1.NewKey) v1.NewSecretKey {
	t.Helper()
	n.Account = e2etest.User
	k, err := r.Admin().CreateKey(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// stateOf is the state of a message's only recipient.
func stateOf(ctx context.Context, r *e2etest.Relay, id string) (string, error) {
	m, err := r.Admin().Message(ctx, id)
	if err != nil {
		return "", err
	}
	if len(m.Recipients) != 1 {
		return "", errors.New("the message has not one recipient")
	}
	return m.Recipients[0].State, nil
}

// awaitState waits until a message's only recipient is in a state.
func awaitState(ctx context.Context, t *testing.T, r *e2etest.Relay, id, state string) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		now, err := stateOf(ctx, r, id)
		if err == nil && now != state {
			err = fmt.Errorf("%s is %s, want %s", id, now, state)
		}
		return err
	})
}
