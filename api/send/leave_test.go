package send_test

import (
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"postrider/api/compose"
	"postrider/api/send"
	"postrider/api/stream"
	"postrider/api/unsubscribe"
	"postrider/queue/suppression"
)

func (w *world) header(i int) mail.Header {
	w.t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(w.door.texts[i]))
	if err != nil {
		w.t.Fatal(err)
	}
	return m.Header
}

// follow posts to a link as a mail program does.
func (w *world) follow(link string) int {
	w.t.Helper()
	r := chi.NewRouter()
	unsubscribe.NewHandler(unsubscribe.Options{Keys: w.keys, Suppressions: w.list}).Mount(r)
	req := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, strings.TrimPrefix(link, "https://mail.example.net"), strings.NewReader(unsubscribe.Post))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	r.ServeHTTP(rec, req)
	return rec.Code
}

func TestOneClickIsOfferedAndWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := hello()
	r.Unsubscribe = &send.Unsubscribe{Mode: send.UnsubscribeOneClick, List: "news", Mailto: "leave@example.com"}
	r.Message.Text, r.Message.HTML = "Leave: {{unsubscribe_url}}\n", `<a href="{{unsubscribe_url}}">Leave</a>`
	receipt := w.send(r)

	h := w.header(0)
	link, rest, _ := strings.Cut(strings.TrimPrefix(h.Get("List-Unsubscribe"), "<"), ">")
	if !strings.HasPrefix(link, "https://mail.example.net/u/") || rest != ", <mailto:leave@example.com?subject=unsubscribe>" {
		t.Fatalf("%q", h.Get("List-Unsubscribe"))
	}
	if h.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" || h.Get("List-Id") != "<news.example.com>" {
		t.Errorf("%v", h)
	}
	if text := strings.ReplaceAll(w.door.texts[0], "=\r\n", ""); strings.Count(text, link) != 3 || strings.Contains(text, "{{") {
		t.Errorf("%s", text)
	}
	if w.door.got[0].Labels.List != "news" || strings.Contains(r.Message.Text, "https") {
		t.Errorf("%+v", w.door.got[0].Labels)
	}
	if code := w.follow(link); code != 200 {
		t.Fatal(code)
	}
	es, err := w.list.Get(t.Context(), "shop", address("bob@example.org"))
	if err != nil || len(es) != 1 || es[0].Scope != "news" || es[0].Source != receipt.ID.String() || es[0].Reason != suppression.Unsubscribe {
		t.Errorf("%+v, %v", es, err)
	}
}

func TestBulkMailOffersAWayOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pair := []compose.Field{{Name: "List-Unsubscribe", Value: "<https://example.com/u/1>"}, {Name: "List-Unsubscribe-Post", Value: "List-Unsubscribe=One-Click"}}
	news := stream.Stream{Name: "news", Kind: stream.Bulk, Unsubscribe: &unsubscribe.Offer{Mode: unsubscribe.OneClick, List: "weekly"}}
	if _, err := w.streams.Put(t.Context(), "shop", news); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		stream       string
		change       func(*send.Request)
		wrong        string
		list, listID string
	}{
		"bulk without":                      {"bulk", func(*send.Request) {}, "#/unsubscribe required", "", ""},
		"bulk that says none":               {"bulk", func(r *send.Request) { r.Unsubscribe = &send.Unsubscribe{Mode: send.UnsubscribeNone} }, "#/unsubscribe required", "", ""},
		"bulk with its own pair":            {"bulk", func(r *send.Request) { r.Message.Fields = pair }, "", "bulk", "<bulk.example.com>"},
		"bulk with a list of its own":       {"bulk", func(r *send.Request) { r.Message.Fields, r.Labels.List = pair, "vip" }, "", "vip", "<vip.example.com>"},
		"bulk with a list that names no id": {"bulk", func(r *send.Request) { r.Message.Fields, r.Labels.List = pair, "V I P" }, "#/list invalid_value", "", ""},
		"bulk with half a pair":             {"bulk", func(r *send.Request) { r.Message.Fields = pair[:1] }, "#/headers/List-Unsubscribe incomplete #/unsubscribe required", "", ""},
		"bulk, a pair and an offer":         {"bulk", func(r *send.Request) { r.Message.Fields, r.Unsubscribe = pair, news.Unsubscribe }, "#/unsubscribe duplicate", "", ""},
		"bulk with a link of the sender": {"bulk", func(r *send.Request) {
			r.Unsubscribe = &send.Unsubscribe{Mode: send.UnsubscribeCustom, URL: "https://example.com/u?a=1&b=2"}
		}, "", "bulk", "<bulk.example.com>"},
		"a stream with a default":             {"news", func(*send.Request) {}, "", "weekly", "<weekly.example.com>"},
		"its own pair goes before a default":  {"news", func(r *send.Request) { r.Message.Fields = pair }, "", "news", "<news.example.com>"},
		"its own List-Id stays":               {"news", func(r *send.Request) { r.Message.Fields = []compose.Field{{Name: "List-Id", Value: "<x.example.com>"}} }, "", "weekly", "<x.example.com>"},
		"two recipients of one link":          {"news", func(r *send.Request) { r.Message.Bcc = boxes("c@example.org") }, "#/to too_many", "", ""},
		"transactional without":               {"", func(*send.Request) {}, "", "", ""},
		"transactional, list for suppression": {"", func(r *send.Request) { r.Labels.List = "Any Thing" }, "", "Any Thing", ""},
	} {
		r := hello()
		r.Labels.Stream = c.stream
		c.change(&r)
		if c.wrong != "" {
			got := ""
			for _, p := range w.refused(shop, r).Problems {
				got += " " + p.Pointer + " " + p.Code
			}
			if strings.TrimSpace(got) != c.wrong {
				t.Errorf("%s:%s, want %s", name, got, c.wrong)
			}
			continue
		}
		w.send(r)
		i := len(w.door.texts) - 1
		if got := w.door.got[i].Labels.List; got != c.list {
			t.Errorf("%s: list %q, want %q", name, got, c.list)
		}
		h := w.header(i)
		if h.Get("List-Id") != c.listID || len(h["List-Unsubscribe"]) > 1 || (c.listID != "") != (h.Get("List-Unsubscribe-Post") != "") {
			t.Errorf("%s: %v", name, h)
		}
	}
}

func TestWithoutAPublicAddressThereIsNoOneClick(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *send.Options) { o.Linker = nil })
	r := hello()
	r.Unsubscribe = &send.Unsubscribe{Mode: send.UnsubscribeOneClick, List: "news"}
	if e := w.refused(shop, r); len(e.Problems) != 1 || e.Problems[0].Code != "not_available" {
		t.Errorf("%+v", e)
	}
}
