// Package client speaks the relay's HTTP API, over its admin socket or over the
// network with a key.
//
// What the relay refuses is returned as a *v1.Problem. Sending is safe to repeat
// with an idempotency key; what reads can be repeated anyhow. Nothing is repeated
// by itself but a stream of events, which goes on where it was broken off.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	v1 "postrider/api/v1"
)

// Client is safe for concurrent use.
type Client struct {
	base string
	key  string
	http *http.Client
	// stream is for answers that have no end of their own.
	stream *http.Client
	pace   pace

	staging atomic.Value // string
}

const (
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 64 << 20
	// answerTime bounds how long an answer may take.
	answerTime = time.Minute
)

// NewSocket talks to the admin socket at path, which needs no key.
func NewSocket(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return newClient("http://postrider", "", &http.Transport{DialContext: dial})
}

// New talks to the API at an URL such as https://relay.example.com.
func New(base, key string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("API address %q: want an URL such as https://relay.example.com", base)
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		transport = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	return newClient(strings.TrimRight(base, "/"), key, transport.Clone()), nil
}

func newClient(base, key string, t *http.Transport) *Client {
	// A key must not follow a redirect to somebody else.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{
		base: base, key: key,
		http:   &http.Client{Transport: t, Timeout: answerTime, CheckRedirect: stay},
		stream: &http.Client{Transport: t, CheckRedirect: stay},
		pace:   usualPace(),
	}
}

// Ready returns nil while the relay takes mail in.
func (c *Client) Ready(ctx context.Context) error {
	return c.do(ctx, call{method: http.MethodGet, path: "/readyz"}, nil)
}

// Staging says what happens to mail at a relay that is set to staging, as its last
// answer told; empty: nothing special, or there was no answer yet.
func (c *Client) Staging() string {
	text, _ := c.staging.Load().(string)
	return text
}

// call is one request.
type call struct {
	method, path string
	query        url.Values
	header       http.Header
	in           any       // written as JSON
	body         io.Reader // as it is, instead of in
	long         bool      // may take any time
}

// get, post … are the usual calls.
func get[T any](ctx context.Context, c *Client, path string, q url.Values) (v T, err error) {
	return v, c.do(ctx, call{method: http.MethodGet, path: path, query: q}, &v)
}

func post[T any](ctx context.Context, c *Client, path string, in any) (v T, err error) {
	return v, c.do(ctx, call{method: http.MethodPost, path: path, in: in}, &v)
}

func patch[T any](ctx context.Context, c *Client, path string, in any) (v T, err error) {
	return v, c.do(ctx, call{method: http.MethodPatch, path: path, in: in}, &v)
}

func (c *Client) remove(ctx context.Context, path string, q url.Values) error {
	return c.do(ctx, call{method: http.MethodDelete, path: path, query: q}, nil)
}

// join writes a path whose variable parts are escaped.
func join(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(p))
	}
	return "/v1" + b.String()
}

// queryOf leaves out what is empty.
func queryOf(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

func limitText(limit int) string {
	if limit <= 0 {
		return ""
	}
	return strconv.Itoa(limit)
}

// do returns a *v1.Problem for an answer that is an error.
func (c *Client) do(ctx context.Context, q call, out any) error {
	res, err := c.send(ctx, q)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the relay's answer: %w", err)
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read the relay's answer: %w", err)
	}
	return nil
}

// send returns the answer if it is a good one; its body is the caller's to close.
func (c *Client) send(ctx context.Context, q call) (*http.Response, error) {
	req, err := c.request(ctx, q)
	if err != nil {
		return nil, err
	}
	by := c.http
	if q.long {
		by = c.stream
	}
	res, err := by.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the relay: %w", err)
	}
	c.staging.Store(res.Header.Get(v1.HeaderStaging))
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read the relay's answer: %w", err)
	}
	return nil, problemOf(res.StatusCode, text)
}

func (c *Client) request(ctx context.Context, q call) (*http.Request, error) {
	body := q.body
	if q.in != nil {
		text, err := json.Marshal(q.in)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	at := c.base + q.path
	if len(q.query) > 0 {
		at += "?" + q.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, q.method, at, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	for name, values := range q.header {
		req.Header[name] = values
	}
	if q.in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "postrider")
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	return req, nil
}

func problemOf(status int, text []byte) error {
	var p v1.Problem
	if err := json.Unmarshal(text, &p); err == nil && p.Detail != "" {
		return &p
	}
	detail := strings.TrimSpace(string(text))
	if detail == "" {
		detail = http.StatusText(status)
	}
	if len(detail) > 300 {
		detail = detail[:300]
	}
	return errors.New(detail)
}

func decode(r io.Reader, into any) error {
	if err := json.NewDecoder(io.LimitReader(r, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read the relay's answer: %w", err)
	}
	return nil
}
