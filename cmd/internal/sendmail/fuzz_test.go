package sendmail

import (
	"bufio"
	"bytes"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

var anyLineEnd = regexp.MustCompile("\r\r\n|\r\n|\n|\r")

func FuzzLineEnds(f *testing.F) {
	for _, s := range []string{"", "a", "a\nb\r\nc\r\r\nd\re", "\r\r\r\n", "\r", "\r\r", "a\r", ".\n", "a\n.\nb", "..\n.", ".\r\r\nx", "x.\n"} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, input []byte, dotEnds bool) {
		lines := anyLineEnd.Split(string(input), -1)
		if lines[len(lines)-1] == "" {
			lines = lines[:len(lines)-1]
		}
		if i := slices.Index(lines, "."); dotEnds && i >= 0 {
			lines = lines[:i]
		}
		want := ""
		for _, line := range lines {
			want += line + "\r\n"
		}
		for name, src := range map[string]io.Reader{
			"whole":      bytes.NewReader(input),
			"bytewise":   iotest.OneByteReader(bytes.NewReader(input)),
			"with error": iotest.DataErrReader(bytes.NewReader(input)),
		} {
			got, err := io.ReadAll(newCanonicalReader(src, dotEnds))
			if err != nil || string(got) != want {
				t.Fatalf("%s: %q became %q, want %q (%v)", name, input, got, want, err)
			}
		}
	})
}

func TestLineEndsAcrossBuffers(t *testing.T) {
	t.Parallel()
	for shift := range 4 {
		for _, end := range []string{"\r\r\n", "\r\n", "\r", "\n", "\r\r"} {
			input := strings.Repeat("x", lineBuffer-shift) + end + "y"
			want := anyLineEnd.ReplaceAllString(input, "\r\n") + "\r\n"
			if got, err := io.ReadAll(newCanonicalReader(strings.NewReader(input), true)); err != nil || string(got) != want {
				t.Errorf("%q at %d before the buffer's end: wrong", end, shift)
			}
		}
	}
}

func TestAddressList(t *testing.T) {
	t.Parallel()
	cases := []struct {
		text, found string
		bad         int
	}{
		{"a@x.example", "a@x.example", 0},
		{"A B <a@x.example>, \"C, D\" <c@x.example>", "a@x.example c@x.example", 0},
		{"a@x.example (comment (nested) \\) here), b @ x . example", "a@x.example b@x.example", 0},
		{"Group: a@x.example, B <b@x.example>; c@x.example", "a@x.example b@x.example c@x.example", 0},
		{"undisclosed-recipients:;", "", 0},
		{"a@x.example; b@x.example;", "a@x.example b@x.example", 0},
		{`"quoted local"@x.example`, `"quoted local"@x.example`, 0},
		{`"simple"@x.example`, "simple@x.example", 0},
		{`"a\"b\\c"@x.example`, `"a\"b\\c"@x.example`, 0},
		{"=?UTF-8?Q?Doe,_John?= <j@x.example>", "j@x.example", 0},
		{"=?UTF-8?Q?only?=", "", 1},
		{"<@r1.example,@r2.example:a@x.example>", "a@x.example", 0},
		{"a@[192.0.2.1], b@[IPv6:2001:db8::1]", "a@[192.0.2.1] b@[IPv6:2001:db8::1]", 0},
		{"root", "root", 0},
		{"root (Cron Daemon)", "root", 0},
		{"a@x.example b@x.example", "a@x.example b@x.example", 0},
		{"john doe@x.example", "", 1},
		{"John <a@x.example", "a@x.example", 0},
		{"\"John <a@x.example>", "a@x.example", 0},
		{"(John <a@x.example>", "a@x.example", 0},
		{"A <a@x.example> B <b@x.example>", "a@x.example b@x.example", 0},
		{"mailto:a@x.example", "a@x.example", 0},
		{"[Ticket #1] <a@x.example>", "a@x.example", 0},
		{"a@@x.example, @x.example, a@, a@.x, a@x..y, a\\b@x.example", "", 6},
		{"a..b@x.example", `"a..b"@x.example`, 0},
		{"a@x.example.", "a@x.example", 0},
		{"A\r\n <a@x.example>,\r\n\tb@x.example", "a@x.example b@x.example", 0},
		{"a\x00b@x.example", "", 1},
		{`"whole@x.example"`, "", 1},
		{"jörg@bücher.example", "jörg@bücher.example", 0},
		{"j\xf6rg@x.example", "", 1},
		{", ,;<>,", "", 0},
		{strings.Repeat("a", 400) + "@x.example", "", 1},
	}
	for _, c := range cases {
		boxes, bad := parseAddressList(c.text)
		var found []string
		for _, b := range boxes {
			found = append(found, b.String())
		}
		if strings.Join(found, " ") != c.found || len(bad) != c.bad {
			t.Errorf("%q: found %q, bad %q", c.text, found, bad)
		}
	}
}

func FuzzAddressList(f *testing.F) {
	for _, s := range []string{
		"a@x.example", "A <a@x>, b", "g: a, b;c", `"q\" x"@x`, "(c(d)) root (e)", "<@a,@b:c@d>", "=?u?q?,?= <a@b>",
		`"\"\"\"\"`, "((((", "[[[", "a@[1.2.3.4]", "x <a> b <c", "a. b", ".", "a@b@c", "\"\"@x", "<>,;:",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		boxes, _ := parseAddressList(text)
		for _, b := range boxes {
			path := b.String()
			if strings.ContainsAny(path, "\r\n\x00") {
				t.Fatalf("%q: unsafe address %q", text, path)
			}
			again, bad := parseAddressList("<" + path + ">")
			if len(bad) > 0 || len(again) != 1 || again[0].address != b.address {
				t.Fatalf("%q: address %q reads back as %v, bad %q", text, path, again, bad)
			}
		}
		whole := qualifyList(text, "local.example")
		after, _ := parseAddressList(whole)
		if len(after) != len(boxes) {
			t.Fatalf("%q: %d addresses, completed to %q: %d", text, len(boxes), whole, len(after))
		}
		for i, b := range boxes {
			if isDotString(b.local) && len(b.local) < 200 && after[i].address != b.within("local.example") {
				t.Fatalf("%q: %v became %v", text, b.address, after[i].address)
			}
		}
	})
}

func FuzzFlags(f *testing.F) {
	for _, s := range []string{
		"-t -i", "-fa@x -t", "-f -t", "-ti -F Name -- -x", "-bs", "-N never", "-oi -oem -odi", "-B8BITMIME root",
		"-q30m", "-d0.1", "-V id", "--version", "-", "-- --", "-f", "-Ztq",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, " ")
		o, err := parseArgs(append([]string{"sendmail"}, args...))
		if err != nil {
			if code := exitCode(err); code != exitUsage && code != exitData {
				t.Fatalf("%q: exit code %d: %v", args, code, err)
			}
			return
		}
		for _, value := range append([]string{o.sender, o.fullName, o.envelopeID}, o.recipients...) {
			if strings.ContainsAny(value, "\r\n\x00") {
				t.Fatalf("%q: unsafe value %q", args, value)
			}
		}
		if o.mode == modeSend && len(o.recipients) == 0 && !o.headerRecipients {
			t.Fatalf("%q: nobody to send to", args)
		}
		// What stands behind "--" is a recipient, whatever it looks like.
		with, err := parseArgs(append(append([]string{"sendmail", "-t"}, "--"), args...))
		if err != nil || !slices.Equal(with.recipients, args) {
			if strings.ContainsAny(line, "\r\n\x00") {
				return
			}
			t.Fatalf("%q behind --: %q, %v", args, with.recipients, err)
		}
	})
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{"", "\r\n", "A: b\r\n c\r\n\r\nbody", "From x\r\nA: b\r\n", "no header\r\n", " x\r\n", "A : b\r\nBcc: x\r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		canonical, err := io.ReadAll(newCanonicalReader(bytes.NewReader(input), false))
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReaderSize(bytes.NewReader(canonical), 64)
		h, start, err := readHeader(r)
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(r)
		// Nothing is lost: header, separator and body are the input.
		var raw string
		for _, field := range h {
			raw += field.raw
		}
		got := raw + string(start) + string(rest)
		want := string(canonical)
		if got != want && raw+"\r\n"+string(start)+string(rest) != want && !isMboxLine(canonical) {
			t.Fatalf("%q came apart into %q %q %q", want, raw, start, rest)
		}
		if h.withoutHidden().has("bcc", "resent-bcc") {
			t.Fatal("Bcc survived")
		}
	})
}
