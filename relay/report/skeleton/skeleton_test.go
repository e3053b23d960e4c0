package skeleton

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"postrider/queue/folders"
)

// crlf is a message as it is written in a test.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// parse reads a message, checks everything that holds for all of them, and that
// it does not matter in which pieces it comes.
func parse(t testing.TB, raw string) *Message {
	t.Helper()
	m, err := Parse(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	verify(t, m, int64(len(raw)))
	return m
}

func verify(t testing.TB, m *Message, size int64) {
	t.Helper()
	if err := checkEnvelope(m.Envelope()); err != nil {
		t.Errorf("ENVELOPE %v", err)
	}
	if err := checkBody(m.Body(), false); err != nil {
		t.Errorf("BODY %v", err)
	}
	if err := checkBody(m.BodyStructure(), true); err != nil {
		t.Errorf("BODYSTRUCTURE %v", err)
	}
	if m.Search().Size != size {
		t.Errorf("size %d, want %d", m.Search().Size, size)
	}
	verifyTable(t, m.Parts(), size)
}

// verifyTable holds the table to its promises: places ascend within a part, parts
// lie within the one above, and behind the one before on their level.
func verifyTable(t testing.TB, parts []folders.Part, size int64) {
	t.Helper()
	seen := map[string]folders.Part{}
	last := map[string]folders.Part{}
	for i, p := range parts {
		if _, twice := seen[p.Path]; twice {
			t.Errorf("%q is there twice", p.Path)
		}
		seen[p.Path] = p
		if p.Header < 0 || p.Header > p.Body || p.Body > p.End || p.End > size {
			t.Errorf("places of %+v are not in order, of %d octets", p, size)
		}
		if p.Inner != 0 && (p.Inner < p.Body || p.Inner > p.End) {
			t.Errorf("inner header of %+v is outside", p)
		}
		if i == 0 {
			if p.Path != "" || p.Header != 0 || p.End != size {
				t.Errorf("first is %+v, of %d octets", p, size)
			}
			continue
		}
		above, _, _ := cutLast(p.Path)
		a, ok := seen[above]
		if !ok {
			t.Errorf("%q comes before the one it is in", p.Path)
		}
		// "1" of what is no multipart has the header of the whole.
		if alone := above == "" && p.Header == 0; !alone && p.Header < a.Body || p.End > a.End {
			t.Errorf("%+v is not in %+v", p, a)
		}
		if b, ok := last[above]; ok && p.Header < b.End {
			t.Errorf("%+v begins within %+v", p, b)
		}
		last[above] = p
	}
}

func cutLast(path string) (above, number string, ok bool) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

// shown is the table in words: path and body of each part, with the header inside
// in brackets.
func shown(raw string, parts []folders.Part) string {
	var b strings.Builder
	for _, p := range parts[1:] {
		fmt.Fprintf(&b, "%s %q", p.Path, raw[p.Body:p.End])
		if p.Inner != 0 {
			fmt.Fprintf(&b, " [%q]", raw[p.Body:p.Inner])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestPiecesOfTheStreamDoNotMatter(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", bufferLen-3)
	for _, raw := range []string{
		golden[0].raw,
		"Subject: a\r\n\r\n" + long + "\r\n" + long + "y\r\n",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + long + long + "\r\n--b\r\n\r\n" + long + "x\r\n--b--\r\n",
	} {
		want := parse(t, raw)
		for name, r := range map[string]io.Reader{
			"octet by octet": iotest.OneByteReader(strings.NewReader(raw)),
			"halves":         iotest.HalfReader(strings.NewReader(raw)),
			"end with data":  iotest.DataErrReader(strings.NewReader(raw)),
		} {
			got, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.BodyStructure()) != string(want.BodyStructure()) || fmt.Sprint(got.Parts()) != fmt.Sprint(want.Parts()) {
				t.Errorf("%s: other than in one piece", name)
			}
		}
	}
}

func TestAReaderThatFailsIsTheOnlyError(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	_, err := Parse(io.MultiReader(strings.NewReader("Subject: a\r\n"), iotest.ErrReader(gone)))
	if !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	_, err = Parse(stuck{})
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestPartsBeyondTheLimitAreAnEpilogue(t *testing.T) {
	t.Parallel()
	raw := "Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
		strings.Repeat("--b\r\n\r\nx\r\n", 3*maxParts) + "--b--\r\n"
	m := parse(t, raw)
	if n := len(m.Parts()); n != maxParts {
		t.Errorf("%d parts", n)
	}
}

func TestWhatIsDeeperThanTheLimitIsALeaf(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 3 * maxDepth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	b.WriteString("\r\ntext\r\n")
	m := parse(t, b.String())
	if n := strings.Count(string(m.BodyStructure()), `"mixed"`); n != maxDepth {
		t.Errorf("%d multiparts in each other", n)
	}
	if !strings.Contains(string(m.Body()), `("application" "octet-stream" ("boundary" "b50") NIL NIL "7bit" `) {
		t.Errorf("no leaf at the end of %s", m.Body())
	}

	m = parse(t, strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 3*maxDepth))
	if n := strings.Count(string(m.BodyStructure()), `"rfc822"`); n != maxDepth {
		t.Errorf("%d messages in each other", n)
	}
}

func TestAHeaderOfAnyLengthIsPassedOver(t *testing.T) {
	t.Parallel()
	raw := "Subject: seen\r\nX: " + strings.Repeat("y", 2*maxHeader) + "\r\nContent-Type: image/png\r\n\r\nbody\r\n"
	m := parse(t, raw)
	if want := "1 \"body\\r\\n\"\n"; shown(raw, m.Parts()) != want {
		t.Errorf("got %.100s", shown(raw, m.Parts()))
	}
	if m.Search().Subject != "seen" {
		t.Errorf("subject %q", m.Search().Subject)
	}
	if want := `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 1)`; string(m.Body()) != want {
		t.Errorf("a field behind the limit is looked at: %s", m.Body())
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var part strings.Builder
	part.WriteString("--b\r\nContent-Type: message/rfc822; name=\"" + strings.Repeat("n", 60<<10) + "\"\r\n")
	part.WriteString("Content-Description: " + strings.Repeat("d", 60<<10) + "\r\n\r\n")
	part.WriteString("From: " + strings.Repeat("a@b.example, ", 10<<10) + "\r\n\r\ntext\r\n")
	m, err := Parse(io.MultiReader(
		strings.NewReader("Content-Type: multipart/mixed; boundary=b\r\n\r\n"),
		&repeated{text: part.String(), times: 2 * maxParts},
	))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(m.Envelope()) + len(m.Body()) + len(m.BodyStructure()); n > 1<<20 {
		t.Errorf("%d octets of wire forms", n)
	}
	verify(t, m, m.Search().Size)
	if n := len(m.Parts()); n > maxParts+2 {
		t.Errorf("%d parts", n)
	}

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Parse(io.LimitReader(zeros{}, 64<<20)); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
		t.Errorf("%d octets of memory for one line", n)
	}
}

// repeated is a text many times.
type repeated struct {
	text  string
	times int
	at    int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.times == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.text[r.at:])
	if r.at += n; r.at == len(r.text) {
		r.at = 0
		r.times--
	}
	return n, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestAParserRemembersNothingOfTheMessagesBefore(t *testing.T) {
	t.Parallel()
	var p Parser
	broken := io.MultiReader(strings.NewReader("Subject: a\r\n b"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, err := p.Parse(broken); err == nil {
		t.Fatal("a broken message was read")
	}
	kept := map[int]*Message{}
	for range 2 {
		for i, c := range golden {
			want := parse(t, c.raw)
			got, err := p.Parse(strings.NewReader(c.raw))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: is %+v, want %+v", c.name, got, want)
			}
			if kept[i] != nil && !reflect.DeepEqual(kept[i], got) {
				t.Errorf("%s: what was returned has changed since", c.name)
			}
			kept[i] = got
		}
	}
}
