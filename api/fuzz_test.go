package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	v1 "postrider/api/v1"
	"postrider/queue"
)

func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte(`{"from":"Acme <a@example.com>","to":["b@example.org",{"email":"c@example.org","name":"C"}],"text":"x","attachments":[{"content":"eA=="}]}`))
	f.Add([]byte(`{"from":{"email":"a@example.com"},"to":"b@example.org","scheduled_at":null,"metadata":{"a":"b"}}`))
	f.Add([]byte(`{"a":"\"[[[\\","b":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var m v1.NewMessage
		fail := decode(text, &m)
		if fail == nil {
			if !json.Valid(text) {
				t.Error("what is no JSON was taken")
			}
			r := &reader{base: "#", max: 1 << 20}
			r.request(&m)
			fail = r.failure()
		}
		if fail == nil {
			return
		}
		if s := fail.problem.Status; s != http.StatusBadRequest && s != http.StatusUnprocessableEntity && s != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", s)
		}
		for _, e := range fail.problem.Errors {
			if !strings.HasPrefix(e.Pointer, "#") || strings.ContainsAny(e.Pointer, " \r\n<>\"") {
				t.Errorf("pointer %q", e.Pointer)
			}
		}
	})
}

func FuzzTooDeep(f *testing.F) {
	f.Add(strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth))
	f.Add(strings.Repeat(`[{"a":`, 17) + `"]"` + strings.Repeat("}]", 17))
	f.Add(`["\\","\"[","\\\"]",[]]`)
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			tooDeep([]byte(text))
			return
		}
		d := json.NewDecoder(strings.NewReader(text))
		depth, deepest := 0, 0
		for {
			token, err := d.Token()
			if err != nil {
				break
			}
			switch token {
			case json.Delim('['), json.Delim('{'):
				depth++
			case json.Delim(']'), json.Delim('}'):
				depth--
			}
			deepest = max(deepest, depth)
		}
		if tooDeep([]byte(text)) != (deepest > maxDepth) {
			t.Errorf("%q has a depth of %d", text, deepest)
		}
	})
}

func FuzzForwardedFor(f *testing.F) {
	f.Add("192.0.2.1, 10.0.0.1", `for="[2001:db8::1]:80";by=x, for=_hidden`)
	f.Add("unknown", "")
	f.Add(",,,", ";;;=,")
	s := &Server{o: Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	f.Fuzz(func(t *testing.T, old, both string) {
		h := http.Header{}
		if old != "" {
			h.Set("X-Forwarded-For", old)
		}
		if both != "" {
			h.Set("Forwarded", both)
		}
		got, err := netip.ParseAddrPort(s.forwardedFor(netip.MustParseAddr("10.0.0.9"), h))
		if err != nil || !got.Addr().IsValid() || got.Addr().Zone() != "" {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("", "x")
	f.Add("eyJ2IjoxLCJrIjoiIiwiaCI6bnVsbH0", "\x00\xff")
	f.Fuzz(func(t *testing.T, text, key string) {
		ctx := context.Background()
		filter := v1.Filter{Account: "shop"}
		cursorOf(ctx, text, filter)
		back, fail := cursorOf(ctx, cursorText(ctx, queue.Cursor(key), filter), filter)
		if fail != nil || string(back) != key {
			t.Errorf("%q came back as %q, %v", key, back, fail)
		}
	})
}

func TestAddressesAreToldWithoutBeingRepeated(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"secret": "has no @", "secret@": "has no domain", "@secret": "has no local-part", "se cret@x": "must be quoted", "secret\x00@x": "control character", "secret@x..y": "empty label",
		`"secret": has@`: "has no @", "secret@exa mple": "may not be there", strings.Repeat("secret", 20) + "@x": "64 octets", "\xffsecret@x": "not UTF-8", "": "is empty",
	} {
		_, err := queue.ParseAddress(address)
		if got := addressTrouble(err); !strings.Contains(got, want) || strings.Contains(got, "secret") {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}
