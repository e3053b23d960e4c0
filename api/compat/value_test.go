package compat_test

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"postrider/api/compat"
)

func TestValuesTakeWhatLibrariesSend(t *testing.T) {
	t.Parallel()
	pairs := func(kv ...string) (p compat.Pairs) {
		for i := 0; i < len(kv); i += 2 {
			p = append(p, compat.Pair{Name: kv[i], Value: kv[i+1]})
		}
		return p
	}
	for _, c := range []struct {
		in   string
		into any
		want any // nil: refused
	}{
		{`null`, new(compat.Texts), compat.Texts(nil)},
		{`""`, new(compat.Texts), compat.Texts(nil)},
		{`[]`, new(compat.Texts), compat.Texts(nil)},
		{`"a"`, new(compat.Texts), compat.Texts{"a"}},
		{`["a","b"]`, new(compat.Texts), compat.Texts{"a", "b"}},
		{`[1]`, new(compat.Texts), nil},
		{`{"a":1}`, new(compat.Texts), nil},
		{`null`, new(compat.Pairs), compat.Pairs(nil)},
		{`[]`, new(compat.Pairs), compat.Pairs(nil)},
		{`{}`, new(compat.Pairs), compat.Pairs(nil)},
		{`{"b":"x","a":1.50,"c":true,"d":null}`, new(compat.Pairs), pairs("b", "x", "a", "1.50", "c", "true", "d", "")},
		{`{"a":{}}`, new(compat.Pairs), nil},
		{`["a"]`, new(compat.Pairs), nil},
		{`false`, new(compat.Text), compat.Text("")},
		{`null`, new(compat.Text), compat.Text("")},
		{`17`, new(compat.Text), compat.Text("17")},
		{`"\u00e9"`, new(compat.Text), compat.Text("é")},
		{`[]`, new(compat.Text), nil},
		{`true`, new(compat.Flag), compat.Flag(true)},
		{`"true"`, new(compat.Flag), compat.Flag(true)},
		{`1`, new(compat.Flag), compat.Flag(true)},
		{`null`, new(compat.Flag), compat.Flag(false)},
		{`"yes"`, new(compat.Flag), nil},
		{`{}`, new(compat.Flag), nil},
		{`null`, new(compat.Any), compat.Any{}},
		{`{ }`, new(compat.Any), compat.Any{}},
		{`[ ]`, new(compat.Any), compat.Any{}},
		{`""`, new(compat.Any), compat.Any{}},
		{`0`, new(compat.Any), compat.Any{}},
		{`{"id":[[]]}`, new(compat.Any), compat.Any{Given: true}},
		{`["x"]`, new(compat.Any), compat.Any{Given: true}},
		{`"x"`, new(compat.Any), compat.Any{Given: true}},
		{`null`, new(compat.Content), compat.Content{}},
		{`""`, new(compat.Content), compat.Content{Data: []byte{}, Given: true}},
		{`"aGk="`, new(compat.Content), compat.Content{Data: []byte("hi"), Given: true}},
		{`"aGk"`, new(compat.Content), compat.Content{Data: []byte("hi"), Given: true}},
		{`"\/\/79"`, new(compat.Content), compat.Content{Data: []byte{0xff, 0xfe, 0xfd}, Given: true}},
		{`"__79"`, new(compat.Content), compat.Content{Data: []byte{0xff, 0xfe, 0xfd}, Given: true}},
		{`"aG\r\nk=\r\n"`, new(compat.Content), compat.Content{Data: []byte("hi"), Given: true}},
		{`[104, 105]`, new(compat.Content), compat.Content{Data: []byte("hi"), Given: true}},
		{`[]`, new(compat.Content), compat.Content{Data: []byte{}, Given: true}},
		{`{"type":"Buffer","data":[104,105]}`, new(compat.Content), compat.Content{Data: []byte("hi"), Given: true}},
		{`{"type":"Buffer"}`, new(compat.Content), nil},
		{`{"data":"x"}`, new(compat.Content), nil},
		{`[256]`, new(compat.Content), nil},
		{`[-1]`, new(compat.Content), nil},
		{`[1.5]`, new(compat.Content), nil},
		{`["a"]`, new(compat.Content), nil},
		{`"!!"`, new(compat.Content), nil},
		{`"data:text/plain;base64,aGk="`, new(compat.Content), nil},
		{`7`, new(compat.Content), nil},
	} {
		err := json.Unmarshal([]byte(c.in), c.into)
		got := reflect.ValueOf(c.into).Elem().Interface()
		switch {
		case c.want == nil && err == nil:
			t.Errorf("%s was taken as %#v", c.in, got)
		case c.want != nil && (err != nil || !reflect.DeepEqual(got, c.want)):
			t.Errorf("%s is %#v, %v, want %#v", c.in, got, err, c.want)
		}
	}
}

func FuzzValues(f *testing.F) {
	for _, s := range []string{`null`, `"aGk="`, `[1,2,3]`, `{"type":"Buffer","data":[1]}`, `{"a":[{"b":1}]}`, `"\/`, `[[[[`, `{"a"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, into := range []any{new(compat.Texts), new(compat.Pairs), new(compat.Flag), new(compat.Any), new(compat.Content), new(compat.Text)} {
			if err := json.Unmarshal(b, into); err != nil {
				continue
			}
			if !jsontext.Value(b).IsValid() {
				t.Errorf("%T took what is no JSON: %q", into, b)
			}
		}
	})
}

// A large attachment costs about its own size, not a multiple.
func BenchmarkContent(b *testing.B) {
	doc := []byte(`{"content":"` + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("0123456789"), 500_000)) + `"}`)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		var v struct {
			Content compat.Content `json:"content"`
		}
		if err := json.UnmarshalRead(bytes.NewReader(doc), &v); err != nil {
			b.Fatal(err)
		}
	}
}
