package api_test

import (
	"encoding/base64"
	"fmt"
	"net/mail"
	"strings"
	"testing"

	"postrider/queue"
)

// Whatever a member holds, what reaches the relay is one message with the
// addresses and fields that were asked for, or none.
func TestNothingIsInjected(t *testing.T) {
	t.Parallel()
	w, d := withSender(t)
	bad := []string{
		"\r\nX-Injected: yes\r\n", "\nX-Injected: yes\n", "\rX-Injected: yes\r", "\x00", "\u2028X-Injected: yes", "\u2029X-Injected: yes", "\u0085X-Injected: yes",
		"\v\f", "=?utf-8?q?=0d=0aX-Injected:_yes?=", "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte("\r\nX-Injected: yes\r\n")) + "?=",
		"=?utf-8?q?,_mallory@evil.example?=", "\r\n\r\n.\r\nMAIL FROM:<x@y>", "\"<mallory@evil.example>", "<mallory@evil.example>", ", mallory@evil.example", "\\", "\x7f", "\u202e", strings.Repeat("ä", 600),
	}
	fill := []func(m map[string]any, s string){
		func(m map[string]any, s string) { m["from"] = map[string]any{"email": "a@example.com", "name": s} },
		func(m map[string]any, s string) { m["from"] = s + " <a@example.com>" },
		func(m map[string]any, s string) { m["from"] = "a" + s + "@example.com" },
		func(m map[string]any, s string) { m["to"] = []any{map[string]any{"email": "b@example.org", "name": s}} },
		func(m map[string]any, s string) { m["to"] = []any{s + " <b@example.org>"} },
		func(m map[string]any, s string) { m["to"] = []any{"b@example.org" + s} },
		func(m map[string]any, s string) { m["to"] = []any{map[string]any{"email": "b" + s + "@example.org"}} },
		func(m map[string]any, s string) { m["cc"] = []any{map[string]any{"email": "c@example.org", "name": s}} },
		func(m map[string]any, s string) {
			m["reply_to"] = []any{map[string]any{"email": "r@example.org", "name": s}}
		},
		func(m map[string]any, s string) { m["sender"] = map[string]any{"email": "s@example.com", "name": s} },
		func(m map[string]any, s string) { m["subject"] = s },
		func(m map[string]any, s string) { m["headers"] = map[string]any{"X-Good": s} },
		func(m map[string]any, s string) { m["headers"] = map[string]any{"X-Good" + s: "v"} },
		func(m map[string]any, s string) { m["envelope_from"] = "e" + s + "@example.com" },
		func(m map[string]any, s string) {
			m["attachments"] = []any{map[string]any{"filename": s, "content": "eA=="}}
		},
		func(m map[string]any, s string) {
			m["attachments"] = []any{map[string]any{"filename": "a", "content_type": "text/plain" + s, "content": "eA=="}}
		},
		func(m map[string]any, s string) {
			m["attachments"] = []any{map[string]any{"filename": "a", "content_id": s, "content": "eA=="}}
		},
		func(m map[string]any, s string) { m["tags"] = []any{s} },
		func(m map[string]any, s string) { m["metadata"] = map[string]any{s: s} },
		func(m map[string]any, s string) {
			m["unsubscribe"] = map[string]any{"mode": "custom", "list": s, "url": "https://example.com/" + s}
		},
		func(m map[string]any, s string) { m["text"] = s },
		func(m map[string]any, s string) { m["html"] = s },
	}
	for i, f := range fill {
		for _, s := range bad {
			m := map[string]any{"from": "a@example.com", "to": []any{"b@example.org"}, "subject": "x", "text": "y"}
			f(m, s)
			before := d.count()
			res, p := w.call("POST", "/v1/messages", sendKey, m, nil)
			switch {
			case res.StatusCode == 422 || res.StatusCode == 400:
				if d.count() != before {
					t.Errorf("%d %q: refused and sent", i, s)
				}
				continue
			case res.StatusCode != 202:
				t.Errorf("%d %q: %d %+v", i, s, res.StatusCode, p)
				continue
			}
			if i == 5 && s == "<mallory@evil.example>" {
				continue // an address with its name before it, as it may be written
			}
			sub, text := d.last()
			if why := injected(sub, text, i); why != "" {
				t.Errorf("%d %q: %s in\n%s", i, s, why, text)
			}
		}
	}
}

// injected says what is in a message that nobody asked for.
func injected(s queue.Submission, text string, field int) string {
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		return err.Error()
	}
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	if strings.ContainsAny(strings.ReplaceAll(head, "\r\n", ""), "\r\n\x00") || strings.ContainsAny(head, "\u2028\u2029\u0085") {
		return "a line end alone"
	}
	if m.Header.Get("X-Injected") != "" {
		return "a field"
	}
	want := 1
	if field == 7 {
		want = 2
	}
	if len(s.Recipients) != want {
		return fmt.Sprintf("%d recipients", len(s.Recipients))
	}
	for _, name := range []string{"From", "To", "Cc", "Reply-To", "Sender"} {
		if m.Header.Get(name) == "" {
			continue
		}
		list, err := m.Header.AddressList(name)
		if err != nil || len(list) != 1 || strings.Contains(list[0].Address, "mallory") {
			return fmt.Sprintf("%s: %v %v", name, list, err)
		}
	}
	return ""
}
