package smtpsim

import (
	"slices"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		arg, address string
		params       []string
		strict, fail bool
	}{
		{"FROM:<>", "", nil, true, false},
		{"from:<a@b>", "a@b", nil, true, false},
		{"FROM: <a@b>", "a@b", nil, false, false},
		{`FROM:<"a> X=1"@b> SIZE=1 ret=HDRS`, `"a> X=1"@b`, []string{"SIZE=1", "ret=HDRS"}, true, false},
		{`FROM:<"a\"> "@b>`, `"a\"> "@b`, nil, true, false},
		{"FROM:<@r:a@b>", "@r:a@b", nil, true, false},
		{"FROM:<a@b>  X", "a@b", []string{"X"}, false, false},
		{"FROM:a@b", "", nil, true, true},
		{"FROM:<a@b", "", nil, true, true},
		{"FROM:<a@b>X", "a@b", nil, true, true},
		{"FROM:<a@b> =X", "a@b", nil, true, true},
		{"TO:<a@b>", "", nil, false, true},
	} {
		p, strict, err := parsePath("FROM:", []byte(tc.arg))
		if p.Address != tc.address || !slices.Equal(p.Params, tc.params) || strict != tc.strict || (err != nil) != tc.fail {
			t.Errorf("%s: %+v strict %v, %v", tc.arg, p, strict, err)
		}
	}
}

func FuzzCommand(f *testing.F) {
	for _, seed := range []string{"MAIL FROM:<a@b> SIZE=1", `RCPT TO:<"a>\""@b> NOTIFY=NEVER`, "rcpt to: <@x:y@z>", "BDAT 12 LAST",
		"bdat 99999999999999999999", "DATA", "EHLO [127.0.0.1]", "\x00", "MAIL FROM:<\\", "AUTH PLAIN AHUAcA==", "QUIT "} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		v, arg := parseCommand(line)
		if v == verbUnknown {
			return
		}
		name, _, _ := strings.Cut(string(line), " ")
		if !slices.ContainsFunc(verbNames, func(n struct {
			name string
			verb verb
		}) bool {
			return n.verb == v && strings.EqualFold(n.name, name)
		}) {
			t.Fatalf("%q is verb %d", line, v)
		}
		for _, keyword := range []string{"FROM:", "TO:"} {
			p, strict, err := parsePath(keyword, arg)
			if err != nil || !strict {
				continue
			}
			// What was strictly read is what was written.
			again := keyword + "<" + p.Address + ">"
			for _, param := range p.Params {
				again += " " + param
			}
			if got := string(arg); got[len(keyword):] != again[len(keyword):] {
				t.Fatalf("read %q, which would be %q", got, again)
			}
		}
		if n, _, err := parseBdat(arg); err == nil && n < 0 {
			t.Fatalf("%q is a chunk of %d", arg, n)
		}
	})
}
