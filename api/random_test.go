package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	v1 "postrider/api/v1"
	"postrider/queue"
)

// described is what of the document the random requests are made from.
type described struct {
	Paths      map[string]map[string]describedOperation
	Components struct {
		Schemas map[string]*schema
	}
}

type describedOperation struct {
	OperationID string
	Parameters  []struct {
		Name, In, Style string
		Required        bool
		Explode         bool
		Schema          *schema
	}
	RequestBody *struct {
		Content map[string]struct{ Schema *schema }
	}
	Responses map[string]struct {
		Ref     string `json:"$ref"`
		Content map[string]json.RawMessage
	}
}

type schema struct {
	Ref        string `json:"$ref"`
	Type       any
	Format     string
	Enum       []any
	Minimum    *float64
	Maximum    *float64
	Properties map[string]*schema
	Required   []string
	Items      *schema
	OneOf      []*schema
	Additional json.RawMessage `json:"additionalProperties"`
}

// requests makes random requests, as the document describes them and otherwise.
type requests struct {
	*rand.Rand
	doc *described
	ids []string // of messages and recipients that exist
}

// oddities are what programs send by mistake, and others on purpose.
var oddities = []string{
	"", " ", "0", "-1", "1e400", "9223372036854775808", "null", "true", "[]", "{}", "\x00", "\u2028", "ä", "é́", "a\r\nb: c", "%", "%zz", "../..", "'; --", "<script>", "msg_", "rcp_x",
	"@", "a@b", "a@b.example", "\"a b\"@example.org", "x <a@b.example>", "2026-13-45T99:99:99Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "*", "latest",
	"=?utf-8?q?=0d?=", strings.Repeat("x", 70), strings.Repeat("ä", 5000), "2026-11-23T05:00:00Z", "10.0.0.0/8", "https://example.com/", "https://[::1]/",
}

func (r *requests) one(list []string) string { return list[r.IntN(len(list))] }

func (r *requests) text() string {
	switch r.IntN(4) {
	case 0:
		return r.one(r.ids)
	case 1:
		return fmt.Sprintf("word%d", r.IntN(50))
	case 2:
		return r.one([]string{"shop", "blog", "example.org", "b@example.org", "a@example.com", "receipt", "transactional", "bulk", "5m", "send", "messages:read", "Some words."})
	}
	return r.one(oddities)
}

func (r *requests) kind(s *schema) string {
	switch t := s.Type.(type) {
	case string:
		return t
	case []any:
		return fmt.Sprint(t[r.IntN(len(t))])
	}
	return "object"
}

// value makes a value of a schema; one time in some, another.
func (r *requests) value(s *schema, depth int) any {
	if s == nil || depth > 6 || r.IntN(25) == 0 {
		return r.other()
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return r.value(r.doc.Components.Schemas[name], depth+1)
	}
	if len(s.OneOf) > 0 {
		return r.value(s.OneOf[r.IntN(len(s.OneOf))], depth+1)
	}
	if len(s.Enum) > 0 && r.IntN(10) > 0 {
		return s.Enum[r.IntN(len(s.Enum))]
	}
	switch r.kind(s) {
	case "null":
		return nil
	case "string":
		if s.Format == "date-time" && r.IntN(4) > 0 {
			return r.one([]string{"2026-11-23T06:00:00Z", "2026-11-24T05:00:00.5+02:00", "2026-11-22T00:00:00Z"})
		}
		return r.text()
	case "boolean":
		return r.IntN(2) == 0
	case "integer", "number":
		return r.number(s)
	case "array":
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = r.value(s.Items, depth+1)
		}
		return list
	}
	return r.object(s, depth)
}

func (r *requests) number(s *schema) any {
	low, high := -5, 1000
	if s.Minimum != nil && r.IntN(4) > 0 {
		low = int(*s.Minimum)
	}
	if s.Maximum != nil && r.IntN(4) > 0 {
		high = int(*s.Maximum)
	}
	return low + r.IntN(max(high-low, 1))
}

func (r *requests) object(s *schema, depth int) any {
	m := map[string]any{}
	for _, name := range sorted(s.Properties) {
		if slices.Contains(s.Required, name) && r.IntN(20) > 0 || r.IntN(3) == 0 {
			m[name] = r.value(s.Properties[name], depth+1)
		}
	}
	if len(s.Properties) == 0 {
		for range r.IntN(3) {
			m[r.text()] = r.text()
		}
	}
	if r.IntN(20) == 0 {
		m[r.text()] = r.other()
	}
	return m
}

func (r *requests) other() any {
	switch r.IntN(6) {
	case 0:
		return nil
	case 1:
		return r.IntN(3) - 1
	case 2:
		return []any{r.text()}
	case 3:
		return map[string]any{r.text(): r.text()}
	case 4:
		return r.IntN(2) == 0
	}
	return r.one(oddities)
}

func sorted[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// request makes one for an operation.
func (r *requests) request(t *testing.T, base, method, path string, op describedOperation) (*http.Request, string) {
	q, h := url.Values{}, http.Header{}
	for _, p := range op.Parameters {
		if p.In != "path" && !p.Required && r.IntN(3) > 0 {
			continue
		}
		text := fmt.Sprint(r.value(p.Schema, 1))
		switch p.In {
		case "path":
			if r.IntN(3) > 0 && strings.HasPrefix(path, "/v1/messages/") {
				text = r.one(r.ids)
			}
			if text == "" {
				text = "x"
			}
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(text))
		case "header":
			h.Set(p.Name, strings.Map(func(c rune) rune {
				if c < ' ' || c == 0x7f {
					return -1
				}
				return c
			}, text))
		default:
			name := p.Name
			if p.Style == "deepObject" {
				name += "[" + r.text() + "]"
			}
			q.Add(name, text)
			if p.Explode && r.IntN(2) == 0 {
				q.Add(name, r.text())
			}
		}
	}
	if r.IntN(20) == 0 {
		q.Add(r.text(), r.text())
	}
	q.Del("wait")
	var body []byte
	if op.RequestBody != nil {
		body = r.body(op, h)
	}
	shown := fmt.Sprintf("%s %s?%s %.2000q", method, path, q.Encode(), body)
	req, err := http.NewRequestWithContext(t.Context(), strings.ToUpper(method), base+path+"?"+q.Encode(), bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", shown, err)
	}
	for name, values := range h {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+r.one([]string{key, key, key, key, manageKey, manageKey, manageKey, manageKey, sendKey, blogKey, "wrong"}))
	return req, shown
}

func (r *requests) body(op describedOperation, h http.Header) []byte {
	kinds := sorted(op.RequestBody.Content)
	kind := r.one(kinds)
	h.Set("Content-Type", kind)
	if r.IntN(30) == 0 {
		h.Set("Content-Type", r.one([]string{"text/plain", "application/xml", "multipart/form-data", ";", "message/rfc822", "text/csv"}))
	}
	if kind != "application/json" {
		return []byte(r.one([]string{"", "From: a@example.com\r\nTo: b@example.org\r\n\r\nx", "address\nb@example.org\n", `{"address":"b@example.org"}` + "\n", "\x00\xff", r.text()}))
	}
	text, err := json.Marshal(r.value(op.RequestBody.Content[kind].Schema, 0))
	if err != nil {
		return []byte("{")
	}
	switch r.IntN(25) {
	case 0:
		return text[:r.IntN(len(text)+1)]
	case 1:
		text[r.IntN(len(text))] = byte(r.IntN(256))
	case 2:
		return append(text, text...)
	}
	return text
}

// No request, however odd, finds a fault of ours, nor an answer that the
// description does not know.
func TestRandomRequests(t *testing.T) {
	t.Parallel()
	w, _ := everything(t)
	var doc described
	_, text, _ := w.fetch("GET", "/openapi.json", "", "")
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	r := &requests{Rand: rand.New(rand.NewPCG(4, 2026)), doc: &doc, ids: []string{queue.NewMessageID().String()}}
	renew := func() {
		sent := w.send(nil)
		r.ids = append(r.ids[:min(len(r.ids), 20)], sent.ID, sent.Recipients[0].ID)
	}
	renew()
	answers := map[int]int{}
	for range randomRounds {
		for _, path := range sorted(doc.Paths) {
			if !strings.HasPrefix(path, "/v1/") || path == "/v1/events/stream" || strings.HasSuffix(path, "/test") {
				continue // one does not end; the other calls the address it was given
			}
			for _, method := range sorted(doc.Paths[path]) {
				op := doc.Paths[path][method]
				req, shown := r.request(t, w.url, method, path, op)
				status, wrong := ask(req, op)
				answers[status]++
				if wrong != "" {
					t.Errorf("%s: %s: %d %s", op.OperationID, shown, status, wrong)
				}
				if r.IntN(40) == 0 {
					renew()
				}
			}
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("answers: %v", answers)
	if answers[200] == 0 || answers[202] == 0 || answers[422] == 0 {
		t.Error("the requests were all of one kind")
	}
}

// ask makes a request and says what is wrong with its answer.
func ask(req *http.Request, op describedOperation) (int, string) {
	res, err := patient().Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, err.Error()
	}
	as, known := op.Responses[strconv.Itoa(res.StatusCode)]
	switch {
	case res.StatusCode == http.StatusRequestHeaderFieldsTooLarge: // net/http's own, before there is an operation
	case !known:
		return res.StatusCode, fmt.Sprintf("is not described: %.500s", text)
	case res.StatusCode >= 500:
		return res.StatusCode, fmt.Sprintf("%.500s", text)
	case res.StatusCode >= 400:
		var p v1.Problem
		if err := json.Unmarshal(text, &p); err != nil || p.Code == "" || p.Status != res.StatusCode || res.Header.Get("Content-Type") != "application/problem+json" || as.Ref == "" {
			return res.StatusCode, fmt.Sprintf("is no problem document: %v %.500s", res.Header, text)
		}
	case res.Header.Get("Content-Type") == "application/json":
		if _, ok := as.Content["application/json"]; !ok || !json.Valid(text) {
			return res.StatusCode, fmt.Sprintf("is not the JSON that is described: %.500s", text)
		}
	}
	return res.StatusCode, ""
}
