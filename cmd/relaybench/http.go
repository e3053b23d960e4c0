package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// isHTTP reports whether an address is that of Postrider's HTTP API.
func isHTTP(addr string) bool { return strings.HasPrefix(addr, "http://") }

// httpClient is one for all sessions, each with a connection of its own.
func (l *loadFlags) httpClient() *http.Client {
	return &http.Client{Timeout: l.Timeout, Transport: &http.Transport{
		MaxIdleConns: l.Sessions, MaxIdleConnsPerHost: l.Sessions, MaxConnsPerHost: l.Sessions,
		DisableKeepAlives: l.Reuse == 1, DisableCompression: true,
		DialContext: (&net.Dialer{Timeout: l.Timeout}).DialContext,
	}}
}

// httpMessage is what the API is given: the same octets as over SMTP.
type httpMessage struct {
	From    string            `json:"from"`
	To      []string          `json:"to"`
	Subject string            `json:"subject"`
	Text    string            `json:"text"`
	Headers map[string]string `json:"headers"`
}

// post submits the message of recipients first… as JSON. With --raw it is sent
// as it is, which is how the body's digest survives.
func (s *source) post(ctx context.Context, base string, first int64) fate {
	req, err := s.request(ctx, base, first)
	if err != nil {
		return refused
	}
	res, err := s.http.Do(req)
	if err != nil {
		return fateOfDial(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return unknown
	}
	switch {
	case res.StatusCode/100 == 2:
		for n := first; n < first+int64(s.Recipients); n++ {
			s.acked.add(n)
		}
		return accepted
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode/100 == 5:
		return deferred
	}
	return refused
}

func (s *source) request(ctx context.Context, base string, first int64) (*http.Request, error) {
	now := time.Now()
	var to []string
	for n := first; n < first+int64(s.Recipients); n++ {
		to = append(to, string(s.address(nil, n)))
	}
	path, kind, body := "/v1/messages", "application/json", []byte(nil)
	if s.Raw {
		body = append(s.content.appendHeader(nil, first, to[0], now), s.content.plain...)
		kind = "message/rfc822"
		path = "/v1/messages/raw?from=" + s.From
		for _, a := range to {
			path += "&to=" + a
		}
	} else {
		var err error
		body, err = json.Marshal(httpMessage{
			From: s.From, To: to, Subject: fmt.Sprint("load ", first), Text: string(s.content.plain),
			Headers: map[string]string{stampHeader: fmt.Sprint(now.UnixNano())},
		})
		if err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", kind)
	if user, secret, ok := strings.Cut(s.Auth, ":"); ok {
		req.SetBasicAuth(user, secret)
	} else if s.Auth != "" {
		req.Header.Set("Authorization", "Bearer "+s.Auth)
	}
	return req, nil
}

// fateOfDial tells a connection that was not made from one that broke.
func fateOfDial(err error) fate {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED) {
		return unsent
	}
	return unknown
}

// overHTTP is deliver for an address of the API.
func (s *source) overHTTP(ctx context.Context, base string, first int64) {
	wait := 10 * time.Millisecond
	for ctx.Err() == nil {
		begin := time.Now()
		fate := s.post(ctx, base, first)
		switch fate {
		case accepted:
			s.latency.add(time.Since(begin))
			s.accepted.Add(1)
			storeMax(&s.lastAck, int64(time.Since(s.started)))
		case refused:
			s.refused.Add(1)
		case deferred:
			s.deferred.Add(1)
		case unknown:
			s.unknown.Add(1)
			s.reconnects.Add(1)
		case unsent:
			s.reconnects.Add(1)
		}
		if fate != unsent && fate != deferred {
			return
		}
		if !pause(ctx, wait) {
			return
		}
		wait = min(2*wait, 500*time.Millisecond)
	}
}
