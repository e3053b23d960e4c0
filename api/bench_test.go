package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"postrider/api/access"
	"postrider/api/send"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// counter takes messages and keeps nothing.
type counter struct{ octets int }

func (c *counter) Send(_ context.Context, _ access.Caller, r send.Request) (send.Receipt, error) {
	for _, a := range r.Message.Attachments {
		c.octets += len(a.Content)
	}
	return send.Receipt{ID: queue.NewMessageID()}, nil
}

func (c *counter) Check(context.Context, access.Caller, send.Request) error { return nil }

func largeMessage(b *testing.B, size int) []byte {
	b.Helper()
	text, err := json.Marshal(v1.NewMessage{
		From: v1.ParseLater("a@example.com"), To: v1.Addresses{v1.ParseLater("b@example.org")}, Subject: "x", Text: "y",
		Attachments: []v1.Attachment{{Filename: "a.bin", Content: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1, 2, 3, 0xff}, size/4))}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return text
}

// BenchmarkSend5MB is a message with 5 MB of attachment through all of the API
// but the sender; BenchmarkByHand5MB is what a decoder for that one type takes.
func BenchmarkSend5MB(b *testing.B) {
	c := &counter{}
	s := New(Options{Sender: c})
	text := largeMessage(b, 5<<20)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/messages?account=shop", bytes.NewReader(text))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.admin.Handler.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			b.Fatal(w.Code, w.Body)
		}
	}
}

func BenchmarkByHand5MB(b *testing.B) {
	c := &counter{}
	text := largeMessage(b, 5<<20)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			From        string
			To          string
			Subject     string
			Text        string
			Attachments []struct {
				Filename string
				Content  []byte
			}
		}
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<20))
		d.DisallowUnknownFields()
		if err := d.Decode(&m); err != nil {
			b.Fatal(err)
		}
		for _, a := range m.Attachments {
			c.octets += len(a.Content)
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"id":"x"}`)
	})
	text = bytes.Replace(text, []byte(`["b@example.org"]`), []byte(`"b@example.org"`), 1)
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/messages", bytes.NewReader(text))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			b.Fatal(w.Code)
		}
	}
}

func BenchmarkSendSmall(b *testing.B) {
	s := New(Options{Sender: &counter{}})
	const text = `{"from":"a@example.com","to":["b@example.org"],"subject":"x","text":"y"}`
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/messages?account=shop", strings.NewReader(text))
		w := httptest.NewRecorder()
		s.admin.Handler.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			b.Fatal(w.Code, w.Body)
		}
	}
}
