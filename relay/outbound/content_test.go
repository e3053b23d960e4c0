package outbound

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// wire stuffs content as a transaction does.
func wire(prefix string, content io.Reader) ([]byte, error) {
	var sent bytes.Buffer
	flush := func(b []byte) error { sent.Write(b); return nil }
	last, err := stuff([]byte(prefix), content, make([]byte, 0, writeBlock), make([]byte, readBlock), flush)
	sent.Write(last)
	return sent.Bytes(), err
}

// unstuff is what a strict server keeps.
func unstuff(b []byte) (string, bool) {
	var out strings.Builder
	for line := range bytes.Lines(b) {
		if string(line) == ".\r\n" {
			rest := b[bytes.Index(append([]byte("\r\n"), b...), []byte("\r\n.\r\n"))+3:]
			return out.String(), len(rest) == 0
		}
		out.Write(bytes.TrimPrefix(line, []byte(".")))
	}
	return "", false
}

// isSafe is the definition of content that may leave, written another way.
func isSafe(s string) bool {
	rest := strings.ReplaceAll(s, "\r\n", "")
	return !strings.ContainsAny(rest, "\r\n\x00")
}

func checkWire(t *testing.T, content string, r io.Reader) {
	t.Helper()
	got, err := wire("", r)
	if !isSafe(content) {
		if !errors.Is(err, ErrContent) {
			t.Fatalf("%q: error %v, want ErrContent", content, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("%q: %v", content, err)
	}
	if !isSafe(string(got)) {
		t.Fatalf("%q became unsafe: %q", content, got)
	}
	want := content
	if want != "" && !strings.HasSuffix(want, "\r\n") {
		want += "\r\n"
	}
	if back, ok := unstuff(got); !ok || back != want {
		t.Fatalf("%q became %q, which reads as %q", content, got, back)
	}
}

func FuzzContent(f *testing.F) {
	for _, s := range []string{"", ".", "..", "\r\n.\r\n", ".\r\n", "a\r\n.b\r\n", "a", "\r", "\n", "\r\r\n", "a\x00", "a\r\n.\r.\r\n", "x\n.\r\n", "é\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		checkWire(t, content, strings.NewReader(content))
		checkWire(t, content, iotest.OneByteReader(strings.NewReader(content)))
		checkWire(t, content, iotest.DataErrReader(strings.NewReader(content)))
	})
}

func TestContentOfAllShapes(t *testing.T) {
	t.Parallel()
	const alphabet = ".\r\n\x00a"
	var all func(prefix string, n int)
	all = func(prefix string, n int) {
		checkWire(t, prefix, strings.NewReader(prefix))
		checkWire(t, prefix, iotest.OneByteReader(strings.NewReader(prefix)))
		if n == 0 {
			return
		}
		for i := range len(alphabet) {
			all(prefix+alphabet[i:i+1], n-1)
		}
	}
	all("", 6)
}

func TestContentCutAnywhere(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		var b strings.Builder
		for size := rng.IntN(300_000); b.Len() < size; {
			b.WriteString([]string{".", "..", "\r\n", "\r\n.\r\n", "text", strings.Repeat("x", 5000), strings.Repeat("\r\n.", 3000)}[rng.IntN(7)])
		}
		checkWire(t, b.String(), &randomReader{r: strings.NewReader(b.String()), rng: rng})
	}
}

type randomReader struct {
	r   io.Reader
	rng *rand.Rand
}

func (r *randomReader) Read(p []byte) (int, error) {
	return r.r.Read(p[:1+r.rng.IntN(len(p))])
}

func TestPrefixAndContentAreOneStream(t *testing.T) {
	t.Parallel()
	got, err := wire("A: b\r\n", strings.NewReader(".c\r\n"))
	if err != nil || string(got) != "A: b\r\n..c\r\n.\r\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestBlocksStayWithinTheirBuffer(t *testing.T) {
	t.Parallel()
	content := strings.Repeat(".\r\n", 200_000)
	out := make([]byte, 0, writeBlock)
	_, err := stuff(nil, strings.NewReader(content), out, make([]byte, readBlock), func(b []byte) error {
		if len(b) > writeBlock || &b[0] != &out[:1][0] {
			t.Fatalf("a block of %d octets in another buffer", len(b))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkContent(b *testing.B) {
	content := []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 14_000))
	out, block := make([]byte, 0, writeBlock), make([]byte, readBlock)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, err := stuff(nil, bytes.NewReader(content), out, block, func([]byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
