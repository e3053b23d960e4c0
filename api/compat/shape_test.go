package compat

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestShapeFindsWhatHasTooMuch(t *testing.T) {
	t.Parallel()
	list := func(n int, item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
	}
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"a message":                        {`{"from":"a@b.example","to":["c@d.example"],"text":"[{,\\\"[[[","n":[1,2,3]}`, true},
		"no JSON":                          {`]]]}{"`, true},
		"as many as may be":                {list(maxMembers, "{}"), true},
		"one more":                         {list(maxMembers+1, "{}"), false},
		"texts":                            {list(maxMembers+1, `""`), false},
		"nulls":                            {list(maxMembers+1, "null"), false},
		"truths":                           {list(maxMembers+1, "true"), false},
		"lists":                            {list(maxMembers+1, "[]"), false},
		"numbers, as of a file":            {list(10*maxMembers, "255"), true},
		"members":                          {"{" + strings.Repeat(`"a":1,`, maxMembers+1), false},
		"deep below, which is passed over": {strings.Repeat("[", 2*countedDepth) + list(maxMembers+1, "{}"), true},
		"after a list that has less":       {`{"a":[{}],"b":` + list(maxMembers+1, "{}"), false},
		"many small lists":                 {list(maxValues/1000/9+1, list(1000, list(8, "{}"))), false},
		"commas in a text":                 {`"` + strings.Repeat(`{},\"[`, maxMembers) + `"`, true},
	} {
		if ok := new(Shape).Add([]byte(c.text)); ok != c.ok {
			t.Errorf("%s: %v", name, ok)
		}
		// It comes in parts.
		s, ok := new(Shape), true
		for text := []byte(c.text); len(text) > 0 && ok; {
			n := min(1+rand.IntN(4096), len(text))
			ok = s.Add(text[:n])
			text = text[n:]
		}
		if ok != c.ok {
			t.Errorf("%s in parts: %v", name, ok)
		}
	}
}

func FuzzShapeIsTheSameInParts(f *testing.F) {
	f.Add(`{"a":"\\","b":["\"",null]}`, 3)
	f.Add(`"\`, 1)
	f.Add(`]"[`, 0)
	f.Fuzz(func(t *testing.T, text string, at int) {
		whole, parts := new(Shape), new(Shape)
		at = min(max(at, 0), len(text))
		ok := whole.Add([]byte(text))
		if both := parts.Add([]byte(text[:at])) && parts.Add([]byte(text[at:])); both != ok || ok && *whole != *parts {
			t.Errorf("%q at %d: %v %+v, in parts %v %+v", text, at, ok, whole, both, parts)
		}
	})
}
