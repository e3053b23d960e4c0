package syntax

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// transcript reads all commands of an input and tells of each in a line.
func transcript(t *testing.T, in io.Reader, o Options) []string {
	t.Helper()
	var lines []string
	ask := o.Continue
	o.Continue = func() error {
		lines = append(lines, "+")
		if ask != nil {
			return ask()
		}
		return nil
	}
	r := NewReader(in, o)
	for {
		c, err := r.Next()
		var bad *Error
		switch {
		case errors.As(err, &bad):
			lines = append(lines, fmt.Sprintf("%s BAD %s", bad.Tag, bad.Text))
		case err == io.EOF:
			return lines
		case err != nil:
			return append(lines, err.Error())
		default:
			lines = append(lines, strings.TrimRight(fmt.Sprintf("%s %s %v", c.Tag, c.Name, c.Args), " "))
		}
		if cap(r.long) > 0 {
			t.Fatal("a long line is still held")
		}
	}
}

func TestWhatIsReadOfAConnection(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 5000)
	tests := []struct {
		name, in string
		want     []string
	}{
		{"lines end in CRLF or LF", "a NOOP\r\nb NOOP\nc noop\r\n", []string{"a NOOP <nil>", "b NOOP <nil>", "c NOOP <nil>"}},
		{"empty lines are passed over", "\r\n\n  \r\na NOOP\r\n", []string{"a NOOP <nil>"}},
		{"a line with a bare tag", "a\r\nb \r\nc NOOP\r\n", []string{"a BAD command expected", "b BAD command expected", "c NOOP <nil>"}},
		{"a line with no tag", " NOOP\r\n+a NOOP\r\n\"\" NOOP\r\nb NOOP\r\n",
			[]string{" BAD tag expected", " BAD tag expected", " BAD tag expected", "b NOOP <nil>"}},
		{"a tag that is endless", strings.Repeat("a", 300) + " NOOP\r\nb NOOP\r\n", []string{" BAD tag expected", "b NOOP <nil>"}},
		{"an unknown command with arguments", "a XFOO (bar \"baz\r\nb NOOP\r\n", []string{"a XFOO <nil>", "b NOOP <nil>"}},
		{"ID before login", "a ID NIL\r\n", []string{"a ID map[]"}},
		{"a command of another protocol", "GET / HTTP/1.1\r\nHost: x\r\n", []string{"GET / <nil>", "Host: X <nil>"}},
		{"an unfinished line is no command", "a NOOP\r\nb LOGOUT", []string{"a NOOP <nil>"}},
		{"arguments where there are none", "a NOOP x\r\nb NOOP\r\n", []string{"a BAD unexpected text behind the arguments", "b NOOP <nil>"}},
		{"a blank at the end", "a NOOP \r\n", []string{"a NOOP <nil>"}},
		{"CR within a line", "a NOOP\r b NOOP\r\nc NOOP\r\n", []string{"a BAD unexpected text behind the arguments", "c NOOP <nil>"}},

		{"a literal that is asked for", "a LOGIN {3}\r\nbob {4}\r\na\r\nb\r\nb NOOP\r\n", []string{"+", "+", "a LOGIN {bob a\r\nb}", "b NOOP <nil>"}},
		{"a literal that is not asked for", "a LOGIN {3+}\r\nbob {0+}\r\n\r\nb NOOP\r\n", []string{"a LOGIN {bob }", "b NOOP <nil>"}},
		{"a literal after a bare LF", "a LOGIN {3+}\nbob x\n", []string{"a LOGIN {bob x}"}},
		{"a command in a large literal is none", "a STATUS {5000+}\r\n" + big[:4980] + "\r\nsmuggled NOOP\r\nxx" + big[:3] + "\r\nb NOOP\r\n",
			[]string{"a BAD the literal is too large", "b NOOP <nil>"}},
		{"a command in a literal of a wrong command is none", "a NOOP {15+}\r\nsmuggled NOOP\r\n\r\nb NOOP\r\n",
			[]string{"a BAD unexpected text behind the arguments", "b NOOP <nil>"}},
		{"a command in a literal of an unknown command is none", "a XFOO {15+}\r\nsmuggled NOOP\r\n {15+}\r\nsmuggled NOOP\r\n\r\nb NOOP\r\n",
			[]string{"a XFOO <nil>", "b NOOP <nil>"}},
		{"a command in a literal after a fault is none", "a SELECT \"\x01 {15+}\r\nsmuggled NOOP\r\n\r\nb NOOP\r\n",
			[]string{"a BAD control character in a quoted string", "b NOOP <nil>"}},
		{"a command in a literal after an open quote is none", "a SELECT \"x {15+}\r\nsmuggled NOOP\r\n\r\nb NOOP\r\n",
			[]string{"a BAD a quoted string has no end", "b NOOP <nil>"}},
		{"a command in a literal with no tag is none", "{15+}\r\nsmuggled NOOP\r\n\r\nb NOOP\r\n", []string{" BAD tag expected", "b NOOP <nil>"}},
		{"a command in a literal with NUL is none", "a LOGIN {16+}\r\n\x00smuggled NOOP\r\n {15+}\r\nsmuggled NOOP\r\n\r\nb NOOP\r\n",
			[]string{"a BAD NUL in a literal", "b NOOP <nil>"}},
		{"a command in a message is none", "a APPEND Sent (\\Seen) {15+}\r\nsmuggled NOOP\r\n {15+}\r\nsmuggled NOOP\r\n\r\nb NOOP\r\n",
			[]string{"a APPEND {Sent}", "b NOOP <nil>"}},
		{"a message is not asked for", "a APPEND Sent {15}\r\nb NOOP\r\n", []string{"a APPEND {Sent}", "b NOOP <nil>"}},
		{"a large literal is not asked for", "a LOGIN {5000}\r\nb NOOP\r\n", []string{"a BAD the literal is too large", "b NOOP <nil>"}},
		{"an endless literal is not asked for", "a LOGIN {99999999999999999999}\r\nb NOOP\r\n", []string{"a BAD the literal is too large", "b NOOP <nil>"}},
		{"a literal of a wrong command is not asked for", "a NOOP {5}\r\nb NOOP\r\n", []string{"a BAD unexpected text behind the arguments", "b NOOP <nil>"}},
		{"a literal of an unknown command is not asked for", "a XFOO {5}\r\nb NOOP\r\n", []string{"a XFOO <nil>", "b NOOP <nil>"}},
		{"an announcement that is none", "a LOGIN {x}\r\nb LOGIN {5} x\r\nc LOGIN {}\r\nd LOGIN {+}\r\ne LOGIN {-1}\r\nf LOGIN a{1}\r\n",
			[]string{"a BAD wrong announcement of a literal", "b BAD wrong announcement of a literal", "c BAD wrong announcement of a literal",
				"d BAD wrong announcement of a literal", "e BAD wrong announcement of a literal", "f BAD blank expected"}},

		{"a literal that is too large to pass over", "a LOGIN {70000+}\r\n" + big, []string{ErrTooLong.Error()}},
		{"literals that are together too large to pass over", "a XFOO {40000+}\r\n" + strings.Repeat("x", 40000) + " {40000+}\r\n" + big, []string{ErrTooLong.Error()}},
		{"a literal beyond all numbers", "a LOGIN {99999999999999999999+}\r\nb NOOP\r\n", []string{ErrTooLong.Error()}},
		{"a line that is too long", "a LOGIN x " + strings.Repeat("x", 70000) + "\r\n", []string{ErrTooLong.Error()}},
		{"a line that does not end", strings.Repeat("x", 70000), []string{ErrTooLong.Error()}},
		{"empty lines that do not end", strings.Repeat("\r\n", 40000), []string{ErrTooLong.Error()}},
		{"a long line", "a FETCH " + strings.Repeat("1,", 30000) + "1 FAST\r\nb XFOO " + big + "\r\nc NOOP\r\n",
			[]string{"a FETCH " + fmt.Sprint(Fetch{Set: ones(30001), Items: fast()}), "b XFOO <nil>", "c NOOP <nil>"}},
		{"literals that are together too long", "a SEARCH" + strings.Repeat(" SUBJECT {4000+}\r\n"+big[:4000], 20) + "\r\nb NOOP\r\n",
			[]string{"a BAD the literal is too large", "b NOOP <nil>"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := transcript(t, strings.NewReader(tt.in), Options{})
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func ones(n int) Set {
	s := Set{Ranges: make([]Range, n)}
	for i := range s.Ranges {
		s.Ranges[i] = Range{1, 1}
	}
	return s
}

func fast() []FetchItem {
	return []FetchItem{{Kind: FetchFlags}, {Kind: FetchInternalDate}, {Kind: FetchSize}}
}

func TestARefusedAppendTellsTheMailbox(t *testing.T) {
	t.Parallel()
	r := NewReader(strings.NewReader("a APPEND \"Sent\" nonsense\r\nb APPEND {5000}\r\n"), Options{})
	var bad *Error
	if _, err := r.Next(); !errors.As(err, &bad) || bad.Name != "APPEND" || bad.Mailbox != "Sent" || bad.Code != "" {
		t.Errorf("got %+v", err)
	}
	if _, err := r.Next(); !errors.As(err, &bad) || bad.Tag != "b" || bad.Name != "APPEND" || bad.Code != "TOOBIG" {
		t.Errorf("got %+v", err)
	}
}

func TestALiteralIsAskedForBeforeItComes(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		ask := func() error { _, err := io.WriteString(server, "+ OK\r\n"); return err }
		c, err := NewReader(server, Options{Continue: ask}).Next()
		fmt.Fprintf(server, "%v %v\r\n", c.Args, err)
	}()
	say := func(s string) {
		t.Helper()
		if _, err := io.WriteString(client, s); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want string) {
		t.Helper()
		b := make([]byte, len(want))
		if _, err := io.ReadFull(client, b); err != nil || string(b) != want {
			t.Fatalf("got %q, %v, want %q", b, err, want)
		}
	}
	say("a LOGIN {3}\r\n")
	hear("+ OK\r\n")
	say("bob {6}\r\n")
	hear("+ OK\r\n")
	say("secret\r\n")
	hear("{bob secret} <nil>\r\n")
}

func TestWhatAskingForALiteralReturnsIsReturned(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	r := NewReader(strings.NewReader("a LOGIN {3}\r\nbob x\r\n"), Options{Continue: func() error { return gone }})
	if _, err := r.Next(); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

func TestAnEndWithinALiteralIsNoCommand(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"a LOGIN {3+}\r\nbo", "a LOGIN {3+}\r\nbob", "a XFOO {3+}\r\nbo", "a XFOO {3+}\r\nbob"} {
		_, err := NewReader(strings.NewReader(in), Options{}).Next()
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: got %v", in, err)
		}
	}
}

func TestLinesThatAreNoCommands(t *testing.T) {
	t.Parallel()
	r := NewReader(strings.NewReader("a IDLE\r\ndOnE\r\nAGFsaWNlAHNlY3JldA==\r\n\r\n"+strings.Repeat("x", 70000)), Options{})
	if c, err := r.Next(); err != nil || c.Name != "IDLE" {
		t.Fatal(c, err)
	}
	if r.Buffered() == 0 {
		t.Error("what was sent ahead is not counted")
	}
	for _, want := range []string{"dOnE", "AGFsaWNlAHNlY3JldA==", ""} {
		if got, err := r.Line(); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if _, err := r.Line(); !errors.Is(err, ErrTooLong) {
		t.Errorf("got %v", err)
	}
}

func TestWhatWasSentBeforeTLSIsForgotten(t *testing.T) {
	t.Parallel()
	r := NewReader(strings.NewReader("a STARTTLS\r\nb LOGIN eve eve\r\n"), Options{})
	if c, err := r.Next(); err != nil || c.Name != "STARTTLS" {
		t.Fatal(c, err)
	}
	r.Reset(strings.NewReader("c NOOP\r\n"))
	if n := r.Buffered(); n != 0 {
		t.Errorf("%d octets are kept", n)
	}
	if err := r.Wait(); err != nil {
		t.Fatal(err)
	}
	if c, err := r.Next(); err != nil || c.Tag != "c" {
		t.Errorf("got %v, %v", c, err)
	}
	if err := r.Wait(); err != io.EOF {
		t.Errorf("got %v", err)
	}
}

func TestACommandThatComesOctetByOctet(t *testing.T) {
	t.Parallel()
	in := "a LOGIN {3+}\r\nbob \"x\"\r\nb NOOP\r\n"
	got := transcript(t, oneByOne{strings.NewReader(in)}, Options{})
	if want := []string{"a LOGIN {bob x}", "b NOOP <nil>"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q", got)
	}
}

type oneByOne struct{ r io.Reader }

func (o oneByOne) Read(b []byte) (int, error) { return o.r.Read(b[:min(1, len(b))]) }

func BenchmarkNext(b *testing.B) {
	line := []byte("a001 UID FETCH 1:* (FLAGS UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (Subject From To Date)])\r\n")
	in := bytes.NewReader(line)
	r := NewReader(in, Options{})
	b.ReportAllocs()
	for b.Loop() {
		in.Reset(line)
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
