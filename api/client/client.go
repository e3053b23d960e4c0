// Package client speaks the relay's HTTP API, over its admin socket or over the
// network with a key.
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
	"strings"
	"time"

	v1 "postrider/api/v1"
)

// Client is safe for concurrent use.
type Client struct {
	base string
	key  string
	http *http.Client
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

// NewSocket talks to the admin socket at path, which needs no key.
func NewSocket(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &Client{base: "http://postrider", http: &http.Client{
		Transport: &http.Transport{DialContext: dial}, Timeout: time.Minute,
	}}
}

// New talks to the API at an URL such as https://relay.example.com.
func New(base, key string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("API address %q: want an URL such as https://relay.example.com", base)
	}
	return &Client{base: strings.TrimRight(base, "/"), key: key, http: &http.Client{Timeout: time.Minute}}, nil
}

// Queue counts what waits.
func (c *Client) Queue(ctx context.Context) (q v1.Queue, err error) {
	return q, c.do(ctx, http.MethodGet, "/v1/queue", nil, &q)
}

// Messages lists up to limit messages with a matching recipient, newest first.
func (c *Client) Messages(ctx context.Context, f v1.Filter, cursor string, limit int) (l v1.MessageList, err error) {
	q := url.Values{"id": f.IDs, "state": f.States}
	for name, v := range map[string]string{
		"account": f.Account, "domain": f.Domain, "recipient": f.Recipient, "sender": f.Sender, "class": f.Class, "cursor": cursor,
	} {
		if v != "" {
			q.Set(name, v)
		}
	}
	for name, t := range map[string]*time.Time{"since": f.Since, "until": f.Until} {
		if t != nil {
			q.Set(name, t.Format(time.RFC3339))
		}
	}
	if limit > 0 {
		q.Set("limit", fmt.Sprint(limit))
	}
	return l, c.do(ctx, http.MethodGet, "/v1/messages?"+q.Encode(), nil, &l)
}

// Message returns one message with its events.
func (c *Client) Message(ctx context.Context, id string) (m v1.Message, err error) {
	return m, c.do(ctx, http.MethodGet, "/v1/messages/"+url.PathEscape(id), nil, &m)
}

// Act does something to all recipients that match.
func (c *Client) Act(ctx context.Context, a v1.Action) (r v1.ActionResult, err error) {
	return r, c.do(ctx, http.MethodPost, "/v1/queue/actions", a, &r)
}

// Accounts lists the accounts.
func (c *Client) Accounts(ctx context.Context) (l v1.AccountList, err error) {
	return l, c.do(ctx, http.MethodGet, "/v1/accounts", nil, &l)
}

// CreateAccount makes an account; its password is shown only in the answer.
func (c *Client) CreateAccount(ctx context.Context, a v1.NewAccount) (s v1.Secret, err error) {
	return s, c.do(ctx, http.MethodPost, "/v1/accounts", a, &s)
}

// ChangeAccount changes an account.
func (c *Client) ChangeAccount(ctx context.Context, name string, change v1.AccountChange) (s v1.Secret, err error) {
	return s, c.do(ctx, http.MethodPatch, "/v1/accounts/"+url.PathEscape(name), change, &s)
}

// DeleteAccount removes an account.
func (c *Client) DeleteAccount(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/v1/accounts/"+url.PathEscape(name), nil, nil)
}

// Records returns what a domain should publish.
func (c *Client) Records(ctx context.Context, domain string) (r v1.Records, err error) {
	return r, c.do(ctx, http.MethodGet, "/v1/domains/"+url.PathEscape(domain)+"/records", nil, &r)
}

// Ready returns nil while the relay takes mail in.
func (c *Client) Ready(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/readyz", nil, nil)
}

// do returns a *v1.Problem for an answer that is an error.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the relay: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the relay's answer: %w", err)
	}
	if res.StatusCode >= 300 {
		return problemOf(res.StatusCode, text)
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read the relay's answer: %w", err)
	}
	return nil
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
