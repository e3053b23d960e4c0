package pop3view

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"postrider/queue/folders"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]target{
		"shop":                 {base: "shop", folder: "INBOX"},
		"shop+Sent":            {base: "shop", folder: "Sent"},
		"shop+other":           {base: "shop+other", folder: "INBOX"},
		"a+b+sent":             {base: "a+b", folder: "Sent"},
		"+sent":                {base: "+sent", folder: "INBOX"},
		"shop+sent@x.example":  {base: "shop@x.example", folder: "Sent"},
		"shop@x.example+sent":  {base: "shop@x.example+sent", folder: "INBOX"},
		"RECENT:shop+queued@x": {base: "shop@x", folder: "Queued", recent: true},
		"recent:":              {base: "", folder: "INBOX", recent: true},
		"shop+":                {base: "shop+", folder: "INBOX"},
	} {
		got := parseName(name)
		got.whole = ""
		if got != want {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestPackedMessagesAreWhatWentIn(t *testing.T) {
	t.Parallel()
	var m messages
	var want []message
	uid, octets := folders.UID(0), int64(0)
	for range 1000 {
		uid += 1 + rand.Uint32N(1<<rand.IntN(22))
		want = append(want, message{uid, rand.Int64N(1 << rand.IntN(40))})
		octets += want[len(want)-1].size
	}
	for _, w := range want {
		m.add(w.uid, w.size)
	}
	m.compact()
	if m.len() != len(want) || m.octets != octets {
		t.Errorf("%d of %d octets", m.len(), m.octets)
	}
	for i, got := range m.all() {
		if got != want[i] || m.at(i) != want[i] {
			t.Fatalf("%d: got %v and %v, want %v", i, got, m.at(i), want[i])
		}
	}
}

func TestAFullMaildropIsSmall(t *testing.T) {
	t.Parallel()
	var m messages
	for i := range folders.UID(10000) {
		m.add(100*i+1, 3000+int64(i))
	}
	m.compact()
	if n := cap(m.packed) + 16*cap(m.marks); n > 48<<10 {
		t.Errorf("10,000 messages take %d octets", n)
	}
}

func TestASlowClientKeepsNoContentOpen(t *testing.T) {
	t.Parallel()
	s := source{book: folders.New(folders.Options{}), entry: &folders.Entry{Front: []byte("Subject: x\r\n")}, slow: true}
	defer s.close()
	for range 2 {
		p := make([]byte, 7)
		if err := s.read(t.Context(), p, 0); err != nil || string(p) != "Subject" {
			t.Fatalf("read %q, %v", p, err)
		}
		err := s.lend(func() error {
			if s.open != nil {
				t.Error("it is open while the client takes its time")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzCommands(f *testing.F) {
	for _, seed := range []string{
		"USER shop\r\nPASS  a b \r\nSTAT\r\n", "LIST 1\nTOP 1 2\r\n", "AUTH PLAIN AHNob3AAc2VjcmV0\r\n", "\r\n\n\r\r\n", "no end",
		strings.Repeat("x", maxLine) + "\r\nNOOP\r\n", strings.Repeat("y", maxLine-1) + "\n", "USER recent:a+sent@b\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := newCommandReader(bytes.NewReader(in))
		for rest := in; ; {
			line, err := r.line()
			raw, after, whole := bytes.Cut(rest, []byte("\n"))
			rest = after
			switch {
			case errors.Is(err, errLineTooLong):
				if !whole || len(raw) < maxLine-1 {
					t.Fatalf("a line of %d octets is too long", len(raw))
				}
				continue
			case errors.Is(err, errNoCommands):
				if len(raw) <= maxOverlong {
					t.Fatalf("gave up after %d octets", len(raw))
				}
				return
			case err != nil:
				if whole || !errors.Is(err, io.EOF) {
					t.Fatalf("%v at %q", err, raw)
				}
				return
			}
			if want := bytes.TrimSuffix(raw, []byte("\r")); !bytes.Equal(line, want) || len(line) >= maxLine {
				t.Fatalf("got %q, want %q", line, want)
			}
			checkCommand(t, line)
		}
	})
}

func checkCommand(t *testing.T, line []byte) {
	c := parseCommand(line)
	if strings.Contains(c.verb, " ") || !bytes.HasSuffix(line, []byte(c.arg)) {
		t.Fatalf("%q became %+v", line, c)
	}
	if ns, ok := numbers(c.arg, 1, 2); ok && (len(ns) < 1 || len(ns) > 2 || ns[0] < 0) {
		t.Fatalf("%q became %v", c.arg, ns)
	}
	if target := parseName(c.arg); len(target.base) > len(c.arg) || target.suffixed() && target.literally().suffixed() {
		t.Fatalf("%q became %+v", c.arg, target)
	}
	decodePlain(c.arg)
}

func FuzzReach(f *testing.F) {
	f.Add([]byte("a: b\r\n\r\none\r\n.two\r\n"), uint8(1), uint8(3))
	f.Add([]byte("\n\n.\n"), uint8(2), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, lines, step uint8) {
		// However a message is cut into pieces, the same comes out.
		if a, b := topOf(in, int(lines), len(in)+1), topOf(in, int(lines), int(step)+1); a != b {
			t.Fatalf("%q and %q", a, b)
		}
	})
}

// topOf is what TOP would send of a message that is read in pieces.
func topOf(in []byte, lines, step int) string {
	var out bytes.Buffer
	s, h := stuffer{w: &out, lineStart: true}, &header{lines: lines}
	for done := false; len(in) > 0 && !done; {
		p := in[:min(step, len(in))]
		in = in[len(p):]
		var n int
		n, done = h.take(p)
		_ = s.write(p[:n])
	}
	_ = s.end()
	return out.String()
}
