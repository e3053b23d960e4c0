package intake

import (
	"bytes"
	"strings"
	"testing"
)

func normalize(text []byte, step int) (string, lines) {
	var l lines
	var out []byte
	for len(text) > 0 {
		n := min(step, len(text))
		out, text = l.append(out, text[:n]), text[n:]
	}
	return string(l.finish(out)), l
}

func TestLineEndsBecomeCanonical(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"":                          "",
		"a\r\nb\r\n":                "a\r\nb\r\n",
		"a\nb\n":                    "a\r\nb\r\n",
		"a\rb":                      "a\r\nb\r\n",
		"a\r\r\nb":                  "a\r\nb\r\n",
		"a\r\r\r\nb":                "a\r\nb\r\n",
		"a\r\rb":                    "a\r\n\r\nb\r\n",
		"a\n\rb\n":                  "a\r\n\r\nb\r\n",
		"a\n.\nb":                   "a\r\n.\r\nb\r\n",
		"a\r\n.\r\r\nb":             "a\r\n.\r\nb\r\n",
		"a\r.\r\nMAIL FROM:<x>\r\n": "a\r\n.\r\nMAIL FROM:<x>\r\n",
		"\r":                        "\r\n",
		"\n":                        "\r\n",
		"no end":                    "no end\r\n",
	}
	for in, want := range cases {
		for step := 1; step <= len(in)+1; step++ {
			if got, _ := normalize([]byte(in), step); got != want {
				t.Errorf("%q in steps of %d became %q, want %q", in, step, got, want)
			}
		}
	}
}

func TestLinesNoteWhatTheEnvelopeNeeds(t *testing.T) {
	t.Parallel()
	if _, l := normalize([]byte("plain text that is long enough for words\r\n"), 5); l.eightBit || l.nul {
		t.Error("plain text was taken for 8-bit or NUL")
	}
	if _, l := normalize([]byte("0123456789 gr\xc3\xbc\xc3\x9fe\r\n"), 4); !l.eightBit {
		t.Error("8-bit text was not noticed")
	}
	if _, l := normalize([]byte("a\x00b"), 9); !l.nul {
		t.Error("NUL was not noticed")
	}
}

func FuzzLines(f *testing.F) {
	for _, s := range []string{"a\r\nb", "\r\r\n\n\r", "x\n.\r\n", "\x00\xff\r"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, step int) {
		if step < 1 || step > 1<<16 {
			step = 1
		}
		got, _ := normalize(text, step)
		whole, _ := normalize(text, len(text)+1)
		if got != whole {
			t.Fatalf("steps of %d give %q, at once %q", step, got, whole)
		}
		bare := strings.ReplaceAll(got, "\r\n", "")
		if strings.ContainsAny(bare, "\r\n") {
			t.Fatalf("%q has a bare CR or LF", got)
		}
		if again, _ := normalize([]byte(got), 7); again != got {
			t.Fatalf("normalising twice changes %q to %q", got, again)
		}
		keep := func(b []byte) []byte {
			return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r"), nil), []byte("\n"), nil)
		}
		if !bytes.Equal(keep(text), keep([]byte(got))) {
			t.Fatalf("the letters of %q changed: %q", text, got)
		}
	})
}

func BenchmarkLines(b *testing.B) {
	text := []byte(strings.Repeat("a line of mail as people write it, not too long\r\n", 400))
	dst := make([]byte, 0, 2*len(text))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var l lines
		dst = l.append(dst[:0], text)
	}
}
