package submission

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/queue"
)

func FuzzCommandLine(f *testing.F) {
	for _, s := range []string{"MAIL FROM:<a@b> SIZE=1 AUTH=<>\r\n", "rcpt to:<\"a> b\"@c> NOTIFY=NEVER\n", "MAIL FROM:a@b X\r\n", "RCPT TO:<a@b", "BDAT 1 LAST\r\n",
		"MAIL FROM:<\"a\\\"@b>\r\n", "EHLO\r\n", "\r\n", "MAIL FROM:<@a:b@c>\r\n", "MAIL FROM:<a@b>X\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		c := parseCommand(line)
		if c.unsafe {
			return
		}
		if strings.ContainsAny(c.params, "\r\n") && !bytes.ContainsAny(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), "\r\n") {
			t.Fatalf("parameters %q", c.params)
		}
		a, err := c.path.parse()
		if err != nil {
			return
		}
		// What was accepted must be read the same by whoever comes next.
		again, _ := cutPath(a.Path() + " X=Y")
		if b, err := again.parse(); err != nil || b != a {
			t.Fatalf("%q: %#v, again %#v %v", line, a, b, err)
		}
		if strings.ContainsAny(a.Path(), "\r\n\x00") {
			t.Fatalf("unsafe path %q", a.Path())
		}
	})
}

func FuzzLogin(f *testing.F) {
	f.Add([]byte("\x00a\x00b"), []byte("name"))
	f.Add([]byte("a\x00a\x00b"), []byte(""))
	f.Add([]byte("x\x00a\x00b"), []byte("\x00"))
	f.Fuzz(func(t *testing.T, plain, login []byte) {
		name, password, ok := decodePlain(plain)
		if ok && (name == "" || strings.ContainsRune(name+password, 0) || !bytes.HasSuffix(plain, []byte("\x00"+name+"\x00"+password))) {
			t.Fatalf("%q: %q %q", plain, name, password)
		}
		checked := 0
		l := &loginLogin{check: func(n, p string) error {
			checked++
			if n == "" || strings.ContainsRune(n+p, 0) {
				t.Fatalf("checked %q %q", n, p)
			}
			return nil
		}, malformed: func() error { return io.ErrUnexpectedEOF }}
		for _, r := range [][]byte{nil, login, plain} {
			if _, done, err := l.Next(r); done || err != nil {
				break
			}
		}
		if checked > 1 {
			t.Fatal("checked twice")
		}
	})
}

// pieces is a client whose text arrives in pieces of a given size.
type pieces struct {
	net.Conn
	text []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.text[:min(p.size, len(p.text))])
	p.text = p.text[n:]
	return n, nil
}
func (p *pieces) SetReadDeadline(time.Time) error { return nil }

// endOfData is the plainest reading of RFC 5321 §4.5.2, for comparison.
func endOfData(text []byte) (content, rest []byte, ok bool) {
	lineStart := 0
	for {
		if bytes.HasPrefix(text[lineStart:], []byte(".\r\n")) {
			return content, text[lineStart+3:], true
		}
		i := bytes.Index(text[lineStart:], []byte("\r\n"))
		if i < 0 {
			return nil, nil, false
		}
		line := text[lineStart : lineStart+i+2]
		if line[0] == '.' {
			line = line[1:]
		}
		content = append(content, line...)
		lineStart += i + 2
	}
}

func FuzzEndOfData(f *testing.F) {
	for _, s := range []string{".\r\n", "a\r\n.\r\nQUIT\r\n", "..\r\n.\r\n", "a\r\r\n.\r\n", "\n.\n\r\n.\r\n", ".\r.\r\n.\r\n", "\r\n.\n\r\n.\r\n", "a\r\n.\r\r\n.\r\n"} {
		f.Add([]byte(s), 1, 7)
	}
	f.Fuzz(func(t *testing.T, text []byte, size, room int) {
		size, room = 1+abs(size)%64, 1+abs(room)%64
		s := New(Options{MaxSize: 1 << 30})
		tr := &transport{s: s, conn: &pieces{text: bytes.Clone(text), size: size}, in: make([]byte, 8), ctx: context.Background()}
		c := newDotContent(tr)
		var got []byte
		var err error
		for buf := make([]byte, room); err == nil; {
			var n int
			n, err = c.Read(buf)
			got = append(got, buf[:n]...)
		}
		want, rest, ok := endOfData(text)
		if ok != (err == io.EOF) {
			t.Fatalf("%q: ended %v, read ended with %v", text, ok, err)
		}
		if !ok {
			return
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%q: got %q, want %q", text, got, want)
		}
		left, _ := io.ReadAll(io.MultiReader(bytes.NewReader(tr.in[tr.r:tr.w]), tr.conn))
		if !bytes.Equal(left, rest) {
			t.Fatalf("%q: left %q, want %q", text, left, rest)
		}
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}

func TestReplyLinesAreShortAndPrintable(t *testing.T) {
	t.Parallel()
	r := reply(550, queue.Enhanced{5, 7, 1}, "one\r\ntwo", strings.Repeat("ü", 600))
	if strings.ContainsAny(r.Message, "\r") || strings.Count(r.Message, "\n") != 1 || !strings.HasPrefix(r.Message, "5.7.1 one??two\n") {
		t.Errorf("%q", r.Message)
	}
	for _, l := range strings.Split(r.Message, "\n") {
		if len("550 5.7.1 "+l+"\r\n") > 510 {
			t.Errorf("%d octets", len(l))
		}
	}
}

func TestSparingLogCountsWhatItOmits(t *testing.T) {
	t.Parallel()
	s := &sparing{}
	for i := range linesPerMinute + 5 {
		if _, ok := s.admit(1); ok != (i < linesPerMinute) {
			t.Fatalf("line %d: %v", i, ok)
		}
	}
	if omitted, ok := s.admit(2); !ok || omitted != 5 {
		t.Errorf("%d %v", omitted, ok)
	}
}
