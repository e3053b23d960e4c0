package compat_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-chi/chi/v5"

	"postrider/api/compat"
	"postrider/api/compat/compattest"
)

// probe answers with what a surface would say of a body.
func probe(r chi.Router, o compat.Options) {
	o = o.WithDefaults()
	r.Post("/probe", func(w http.ResponseWriter, r *http.Request) {
		var v struct {
			Texts compat.Texts `json:"texts"`
			Files []struct {
				Content compat.Content `json:"content"`
			} `json:"files"`
		}
		if err := o.DecodeJSON(w, r, &v); err != nil {
			e := o.Fault(r, err)
			compat.WriteRetry(w.Header(), e)
			compat.WriteJSON(w, e.Status, e.Code+" "+compat.Rename(func([]string) string { return "?" }).Message(e))
			return
		}
		compat.WriteJSON(w, 200, len(v.Texts))
	})
}

func zip(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBodiesAreBoundedAndTheirFaultsNamed(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	w := compattest.New(t, probe, func(o *compat.Options) { o.Limits.Body = limit })
	for name, c := range map[string]struct {
		body, kind, encoding string
		status               int
		says                 string
	}{
		"JSON":                            {`{"texts":["a","b"]}`, "application/json; charset=utf-8", "", 200, "2"},
		"JSON by another name":            {`{"texts":["a"]}`, "application/vnd.x+json", "identity", 200, "1"},
		"no type at all":                  {`{"texts":["a"]}`, "", "", 200, "1"},
		"gzip":                            {zip(t, `{"texts":["a"]}`), "application/json", "gzip", 200, "1"},
		"unknown members, also deep ones": {`{"x":{"y":[{"z":null}]},"texts":"a"}`, "application/json", "", 200, "1"},
		"a form":                          {`a=b`, "application/x-www-form-urlencoded", "", 415, "application/json"},
		"a type that is none":             {`{}`, ";", "", 415, "application/json"},
		"brotli":                          {`{}`, "application/json", "br", 415, "gzip"},
		"gzip that is none":               {`{}`, "application/json", "gzip", 400, "not valid gzip"},
		"gzip that ends early":            {zip(t, strings.Repeat("x", 5000))[:20], "application/json", "gzip", 400, "not valid"},
		"nothing":                         {" ", "application/json", "", 400, "not valid JSON"},
		"half of it":                      {`{"texts":["a`, "application/json", "", 400, "near octet"},
		"two documents":                   {`{} {}`, "application/json", "", 400, "near octet"},
		"a name twice":                    {`{"texts":"a","texts":"b"}`, "application/json", "", 400, "near octet"},
		"invalid UTF-8":                   {"{\"texts\":\"\xff\"}", "application/json", "", 400, "near octet"},
		"a wrong type":                    {`{"texts":{"secret":1}}`, "application/json", "", 422, "texts: must be a text or a list of texts"},
		"a wrong type deep inside":        {`{"files":[{},{"content":"secret!"}]}`, "application/json", "", 422, "files[1].content: must be base64"},
		"a wrong type of all":             {`"secret"`, "application/json", "", 422, "body: has a value of the wrong type"},
		"much depth":                      {strings.Repeat("[", limit-1), "application/json", "", 422, "wrong type"},
		"much depth where it matters":     {`{"texts":` + strings.Repeat("[", limit-100), "application/json", "", 400, "not valid JSON"},
		"much depth that is passed over":  {`{"x":` + strings.Repeat("[", limit-100), "application/json", "", 400, "not valid JSON"},
		"many members":                    {`{"texts":[` + strings.Repeat(`"",`, 9_999) + `""]}`, "application/json", "", 200, "10000"},
		"far too many members":            {`{"texts":[` + strings.Repeat(`"",`, 10_000) + `""]}`, "application/json", "", 422, "far too many members"},
		"more than the limit":             {`{"texts":"` + strings.Repeat("x", limit) + `"}`, "application/json", "", 413, "1048576"},
		"more than that after gzip":       {zip(t, `{"texts":"`+strings.Repeat("x", 50*limit)+`"}`), "application/json", "gzip", 413, "1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := w.Do("POST", "/probe", c.body, "Content-Type", c.kind, "Content-Encoding", c.encoding)
			a.Says(t, c.status, c.says)
			if strings.Contains(a.Body, "secret") {
				t.Errorf("what was submitted is repeated: %s", a.Body)
			}
		})
	}
}

// A body without a length is cut off where the limit is, not read to its end.
func TestABodyOverTheLimitIsCutOffEarly(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, probe, func(o *compat.Options) { o.Limits.Body = 1 << 10 })
	endless := &counted{}
	req, err := http.NewRequestWithContext(t.Context(), "POST", w.URL+"/probe", endless)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		defer res.Body.Close()
		if res.StatusCode != 413 {
			t.Errorf("status %d", res.StatusCode)
		}
	}
	if n := endless.read.Load(); n > 64<<20 {
		t.Errorf("%d octets were sent", n)
	}
}

// counted is a JSON text that never ends.
type counted struct{ read atomic.Int64 }

func (c *counted) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	if c.read.Load() == 0 {
		p[0] = '"'
	}
	c.read.Add(int64(len(p)))
	return len(p), nil
}
