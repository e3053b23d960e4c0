package listfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"postrider/api/listfile"
	v1 "postrider/api/v1"
)

// read reads a whole list; what is wrong is told as "line: code".
func read(t testing.TB, text string, f listfile.Format) (entries []v1.NewSuppression, wrong []string) {
	t.Helper()
	r := listfile.NewReader(strings.NewReader(text), f)
	for {
		e, line, err := r.Next()
		var bad *listfile.LineError
		switch {
		case errors.Is(err, io.EOF):
			return entries, wrong
		case errors.As(err, &bad):
			wrong = append(wrong, fmt.Sprintf("%d: %s", bad.Line, bad.Code))
		case err != nil:
			t.Fatal(err)
		default:
			if line < 1 {
				t.Fatalf("line %d", line)
			}
			entries = append(entries, e)
		}
	}
}

func TestListsOfManyKindsAreRead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 9000)
	for name, c := range map[string]struct {
		text   string
		format listfile.Format
		want   string // email reason scope of each
		wrong  string
	}{
		"addresses alone":            {"a@x.example\nb@x.example", listfile.CSV, "a@x.example|| b@x.example||", ""},
		"our columns, no heading":    {"a@x.example,bounce,news\r\n\r\n", listfile.CSV, "a@x.example|bounce|news", ""},
		"a byte order mark":          {"\ufeffemail\na@x.example\n", listfile.CSV, "a@x.example||", ""},
		"another provider's":         {"EmailAddress,SuppressionReason,CreatedAt\na@x.example,HardBounce,2026-01-31T15:04:05Z\n", listfile.CSV, "a@x.example|bounce|", ""},
		"semicolons":                 {"Email;Reason\na@x.example;spam\n", listfile.CSV, "a@x.example|complaint|", ""},
		"columns that mean nothing":  {"id,email,colour\n1,a@x.example,red\n", listfile.CSV, "a@x.example||", ""},
		"quotes":                     {"email,note,reason\na@x.example,\"one, two\",manual\n", listfile.CSV, "a@x.example|manual|", ""},
		"a quote that is left open":  {"a@x.example\n\"b@x.example\nc@x.example\n", listfile.CSV, "a@x.example|| c@x.example||", "2: invalid_csv"},
		"a time that is none":        {"email,created\na@x.example,last year\nb@x.example,2026-01-31\n", listfile.CSV, "b@x.example||", "2: invalid_time"},
		"a line that is too long":    {"a@x.example\n" + long + "\nb@x.example", listfile.CSV, "a@x.example|| b@x.example||", "2: too_long"},
		"a long line at the end":     {long + long + long + long + long + long + long + long, listfile.CSV, "", "1: too_long"},
		"another encoding":           {"a@x.example\nb\xfc@x.example\n", listfile.CSV, "a@x.example||", "2: invalid_utf8"},
		"NDJSON":                     {"{\"email\":\"a@x.example\",\"reason\":\"Unsubscribed\"}\n\n{\"id\":\"sup_1\",\"email\":\"b@x.example\",\"scope\":\"news\"}", listfile.NDJSON, "a@x.example|unsubscribe| b@x.example||news", ""},
		"NDJSON with a bad line":     {"{\"email\":\n[1]\n{\"email\":\"b@x.example\"}\n", listfile.NDJSON, "b@x.example||", "1: invalid_json 2: invalid_json"},
		"nothing":                    {"", listfile.CSV, "", ""},
		"a heading alone":            {"email\n", listfile.CSV, "", ""},
		"what a spreadsheet may run": {"email,note\n'+a@x.example,'=1+1\n", listfile.CSV, "+a@x.example||", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries, wrong := read(t, c.text, c.format)
			var got []string
			for _, e := range entries {
				got = append(got, e.Email+"|"+e.Reason+"|"+e.Scope)
			}
			if strings.Join(got, " ") != c.want || strings.Join(wrong, " ") != c.wrong {
				t.Errorf("%q, wrong %q", got, wrong)
			}
		})
	}
}

func FuzzWhatIsWrittenIsRead(f *testing.F) {
	f.Add("a@x.example", "news", "one, \"two\"", true)
	f.Add("=a@x.example", "*", "'=1", false)
	f.Add("\"a b\"@x.example", "", "", true)
	f.Fuzz(func(t *testing.T, email, scope, note string, csv bool) {
		for _, s := range []string{email, scope, note} {
			if strings.TrimSpace(s) != s || strings.ContainsAny(s, "\r\n\x00") || strings.ToValidUTF8(s, "") != s || len(s) > 500 {
				return
			}
		}
		if email == "" {
			return
		}
		format := listfile.NDJSON
		if csv {
			format = listfile.CSV
		}
		var b bytes.Buffer
		w, err := listfile.NewWriter(&b, format)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC)
		if err := errors.Join(w.Write(v1.Suppression{Email: email, Scope: scope, Note: note, Reason: "manual", CreatedAt: at, ExpiresAt: &at}), w.Flush()); err != nil {
			t.Fatal(err)
		}
		got, wrong := read(t, b.String(), format)
		if len(got) != 1 || len(wrong) > 0 {
			t.Fatalf("%d entries, %v of %q", len(got), wrong, &b)
		}
		if e := got[0]; e.Email != email || e.Scope != scope || e.Note != note || e.Reason != "manual" || !e.CreatedAt.Equal(at) || !e.ExpiresAt.Equal(at) {
			t.Errorf("%+v of %q", e, &b)
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"email,reason\na@x.example,spam\n", "{\"email\":\"a@x.example\"}\n", "\"\n\"\n", "a;b\n\t", "\xff\n", strings.Repeat("y", 70000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range []listfile.Format{listfile.CSV, listfile.NDJSON} {
			entries, wrong := read(t, text, format)
			if n := strings.Count(text, "\n") + 1; len(entries)+len(wrong) > n {
				t.Errorf("%d entries of %d lines", len(entries)+len(wrong), n)
			}
		}
	})
}
