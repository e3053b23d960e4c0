package compat_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"postrider/api/compat"
	"postrider/api/compat/compattest"
	"postrider/api/send"
	"postrider/queue"
)

func TestMailboxesAreReadAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"":                                    nil,
		" , ,":                                nil,
		"a@b.test":                            {"a@b.test"},
		"<a@b.test>":                          {"a@b.test"},
		"Acme Inc. <a@b.test>":                {"Acme Inc. <a@b.test>"},
		`"Doe, John" <a@b.test>, c@d.test`:    {"Doe, John <a@b.test>", "c@d.test"},
		`"a \"q\" b" <a@b.test>`:              {`a "q" b <a@b.test>`},
		"Jörg <j@b.test>":                     {"Jörg <j@b.test>"},
		"=?UTF-8?Q?J=C3=B6rg?= <j@b.test>":    {"Jörg <j@b.test>"},
		"=?UTF-8?X?bad?= <j@b.test>":          {"=?UTF-8?X?bad?= <j@b.test>"},
		"me@b.test <me@b.test>":               {"me@b.test <me@b.test>"},
		"John (CEO) <a@b.test>":               {"John (CEO) <a@b.test>"},
		`"a,b"@c.test`:                        {`"a,b"@c.test`},
		`"<x>" <a@b.test>`:                    {"<x> <a@b.test>"},
		"A<a@b.test>,B<c@d.test>,":            {"A <a@b.test>", "B <c@d.test>"},
		`Bob <"<x>"@c.test>`:                  {`Bob <"<x>"@c.test>`},
		`"Bo<b" <"a\"<b,>"@c.test>, d@e.test`: {`Bo<b <"a\"<b,>"@c.test>`, "d@e.test"},
		"O'Neil, <a@b.test>":                  nil, // two, of which one is no address
		"a@b.test c@d.test":                   nil,
		"a@b.test; c@d.test":                  nil,
		"undisclosed-recipients:;":            nil,
		"a <b <c@d.test>":                     nil,
		`"a" "b" <c@d.test>`:                  nil,
		`"a <c@d.test>`:                       nil,
		"<a@b.test> x":                        nil,
		"a@b.test\r\nBcc: x@y.test":           nil,
		"\xff <a@b.test>":                     nil,
	} {
		got, err := compat.ParseMailboxes("to", in)
		refused := want == nil && strings.Trim(in, " ,") != ""
		if refused != (err != nil) || !slices.Equal(compattest.Texts(got), want) {
			t.Errorf("%q: %q, %v, want %q", in, compattest.Texts(got), err, want)
		}
		var e *send.Error
		if err != nil && (!errors.As(err, &e) || e.Problems[0].Pointer != "to" || strings.Contains(e.Problems[0].Detail, "d.test")) {
			t.Errorf("%q: error is %+v", in, e)
		}
	}
	if _, err := compat.ParseMailbox("from", "a@b.test, c@d.test"); err == nil {
		t.Error("two addresses were taken for one")
	}
}

func FuzzParseMailboxes(f *testing.F) {
	for _, s := range []string{"", "a@b.c", `"x, y" <a@b.c>, d@e.f`, `"\\\"" <a@b.c>`, "=?utf-8?b?4oCo?= <a@b.c>", "a<<b>>", `"`, `\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := compat.ParseMailboxes("to", s)
		if err != nil && list != nil {
			t.Error("an error with a result")
		}
		for _, m := range list {
			if a, err := queue.ParseAddress(m.Address.String()); err != nil || a != m.Address {
				t.Errorf("%q gave the address %q", s, m.Address)
			}
		}
	})
}
