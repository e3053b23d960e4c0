package smtpsim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postrider/relay/smtpsim"
)

// send runs one transaction with the given bytes between the 354 and the
// reply, cut into pieces of at most size bytes, and returns the message.
func send(t *testing.T, content string, size int) *smtpsim.Message {
	t.Helper()
	s := start(t, smtpsim.Options{Capabilities: smtpsim.Capabilities{No8BitMIME: true}})
	c := hello(t, s)
	c.toData("r@to.test")
	for len(content) > 0 {
		n := min(size, len(content))
		c.write(content[:n])
		content = content[n:]
	}
	c.expect("250")
	m := wait(t, s, 1)
	if len(m) != 1 {
		t.Fatalf("%d messages, want one", len(m))
	}
	return m[0]
}

func TestContentViolations(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 999)
	for _, tc := range []struct {
		name, wire, raw string
		kinds           []smtpsim.ViolationKind
	}{
		{"clean", "a\r\n.\r\n", "a\r\n", nil},
		{"empty", ".\r\n", "", nil},
		{"line of 998", long[1:] + "\r\n.\r\n", long[1:] + "\r\n", nil},
		{"line of 999", long + "\r\n.\r\n", long + "\r\n", []smtpsim.ViolationKind{smtpsim.LongLine}},
		{"LF dot LF", "a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", []smtpsim.ViolationKind{smtpsim.BareLF}},
		{"LF dot CRLF", "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", []smtpsim.ViolationKind{smtpsim.BareLF}},
		{"CR dot CRLF", "a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", []smtpsim.ViolationKind{smtpsim.BareCR}},
		{"CR dot CR", "a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", []smtpsim.ViolationKind{smtpsim.BareCR}},
		{"CRLF dot LF", "a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", []smtpsim.ViolationKind{smtpsim.UnstuffedDot, smtpsim.BareLF}},
		{"CRLF dot CR CRLF", "a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\r\nb\r\n", []smtpsim.ViolationKind{smtpsim.UnstuffedDot, smtpsim.BareCR}},
		{"CR CRLF dot CRLF", "a\r\r\n.\r\n", "a\r\r\n", []smtpsim.ViolationKind{smtpsim.BareCR}},
		{"CRLF NUL dot CRLF", "a\r\n\x00.\r\nb\r\n.\r\n", "a\r\n\x00.\r\nb\r\n", []smtpsim.ViolationKind{smtpsim.NUL}},
		{"CRLF dot NUL CRLF", "a\r\n.\x00\r\nb\r\n.\r\n", "a\r\n\x00\r\nb\r\n", []smtpsim.ViolationKind{smtpsim.UnstuffedDot, smtpsim.NUL}},
		{"unstuffed dot", ".a\r\n.\r\n", "a\r\n", []smtpsim.ViolationKind{smtpsim.UnstuffedDot}},
		{"stuffed dot", "..a\r\n.\r\n", ".a\r\n", nil},
		{"8-bit", "\xc3\xa4\r\n.\r\n", "\xc3\xa4\r\n", []smtpsim.ViolationKind{smtpsim.EightBitContent}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{1, 1 << 20} {
				m := send(t, tc.wire, size)
				if string(m.Raw) != tc.raw {
					t.Errorf("in pieces of %d: raw %q, want %q", size, m.Raw, tc.raw)
				}
				if got := kinds(m.Violations); !slices.Equal(got, tc.kinds) {
					t.Errorf("in pieces of %d: violations %q, want %q", size, got, tc.kinds)
				}
			}
		})
	}
}

func TestLineEndAtTheEdgeOfTheBuffer(t *testing.T) {
	t.Parallel()
	const buffer = 16 << 10
	for _, tc := range []struct {
		end   string
		kinds []smtpsim.ViolationKind
	}{
		{"\r\n.x\r\n", []smtpsim.ViolationKind{smtpsim.LongLine, smtpsim.UnstuffedDot}},
		{"\r\n..\r\n", []smtpsim.ViolationKind{smtpsim.LongLine}},
		{"\rx\r\n", []smtpsim.ViolationKind{smtpsim.LongLine, smtpsim.BareCR}},
		{"\r\r\n", []smtpsim.ViolationKind{smtpsim.LongLine, smtpsim.BareCR}},
	} {
		for _, n := range []int{buffer - 2, buffer - 1, buffer, buffer + 1} {
			text := strings.Repeat("x", n)
			m := send(t, text+tc.end+".\r\n", 1<<20)
			want := text + strings.Replace(tc.end, "\n.", "\n", 1)
			if string(m.Raw) != want {
				t.Errorf("%d then %q: raw ends in %q", n, tc.end, m.Raw[max(0, len(m.Raw)-8):])
			}
			got := kinds(m.Violations)
			slices.Sort(got)
			slices.Sort(tc.kinds)
			if !slices.Equal(got, tc.kinds) {
				t.Errorf("%d then %q: violations %q, want %q", n, tc.end, got, tc.kinds)
			}
		}
	}
}

func TestChunkingKeepsDotsAndSeesViolations(t *testing.T) {
	t.Parallel()
	s := start(t, smtpsim.Options{Capabilities: smtpsim.Capabilities{Chunking: true}})
	c := hello(t, s)
	body := "a\r\n.\r\n..b\r\nbare\nend"
	c.write(fmt.Sprintf("MAIL FROM:<>\r\nRCPT TO:<r@to.test>\r\nBDAT 4\r\n%sBDAT %d LAST\r\n%s", body[:4], len(body)-4, body[4:]))
	for range 4 {
		c.expect("250")
	}
	m := wait(t, s, 1)[0]
	if string(m.Raw) != body || !m.Chunked {
		t.Errorf("raw %q", m.Raw)
	}
	if got, want := kinds(m.Violations), []smtpsim.ViolationKind{smtpsim.BareLF, smtpsim.NoFinalCRLF}; !slices.Equal(got, want) {
		t.Errorf("violations %q, want %q", got, want)
	}
}

func TestRefusedChunkIsNotRunAsCommands(t *testing.T) {
	t.Parallel()
	s := start(t, smtpsim.Options{})
	c := hello(t, s)
	c.ask("MAIL FROM:<>", "250")
	c.ask("RCPT TO:<r@to.test>", "250")
	c.write("BDAT 6 LAST\r\nQUIT\r\n")
	c.expect("500")
	c.ask("NOOP", "250")
}

func TestCommandViolations(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, wire string
		caps       smtpsim.Capabilities
		want       smtpsim.ViolationKind
	}{
		{"LF ends a command", "NOOP\n", smtpsim.Capabilities{}, smtpsim.BareLF},
		{"CR within a command", "NOOP \rx\r\n", smtpsim.Capabilities{}, smtpsim.BareCR},
		{"NUL within a command", "NOOP \x00\r\n", smtpsim.Capabilities{}, smtpsim.NUL},
		{"long command", "NOOP " + strings.Repeat("x", 510) + "\r\n", smtpsim.Capabilities{}, smtpsim.LongCommand},
		{"unknown command", "XYZZY\r\n", smtpsim.Capabilities{}, smtpsim.Malformed},
		{"blank after the colon", "MAIL FROM: <>\r\n", smtpsim.Capabilities{}, smtpsim.Malformed},
		{"parameter not offered", "MAIL FROM:<> SIZE=1\r\n", smtpsim.Capabilities{NoSize: true}, smtpsim.UnofferedParam},
		{"8-bit address", "MAIL FROM:<\xc3\xa4@x.test>\r\n", smtpsim.Capabilities{}, smtpsim.EightBitCommand},
		{"pipelining not offered", "RSET\r\nRSET\r\n", smtpsim.Capabilities{NoPipelining: true}, smtpsim.Pipelined},
		{"pipelined past NOOP", "NOOP\r\nRSET\r\n", smtpsim.Capabilities{}, smtpsim.PipelinedPast},
		{"content before the 354", "MAIL FROM:<>\r\nRCPT TO:<r@to.test>\r\nDATA\r\nx\r\n.\r\n", smtpsim.Capabilities{}, smtpsim.EarlyContent},
		{"nested MAIL", "MAIL FROM:<>\r\nMAIL FROM:<>\r\n", smtpsim.Capabilities{}, smtpsim.BadSequence},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, smtpsim.Options{Capabilities: tc.caps})
			c := hello(t, s)
			c.write(tc.wire)
			if err := s.WaitFor(within(t), func(n smtpsim.Counters) bool { return n.Violations > 0 }); err != nil {
				t.Fatalf("no violation: %v", err)
			}
			if got := kinds(s.Violations()); !slices.Equal(got, []smtpsim.ViolationKind{tc.want}) {
				t.Errorf("violations %q, want %q", got, tc.want)
			}
		})
	}
}

func TestConnectionCutInContent(t *testing.T) {
	t.Parallel()
	s := start(t, smtpsim.Options{})
	c := hello(t, s)
	c.toData("r@to.test")
	c.write("half a li")
	c.conn.Close()
	if err := s.WaitFor(within(t), func(n smtpsim.Counters) bool { return n.Open == 0 }); err != nil {
		t.Fatal(err)
	}
	if got := kinds(s.Violations()); !slices.Equal(got, []smtpsim.ViolationKind{smtpsim.CutInContent}) {
		t.Errorf("violations %q", got)
	}
	if n := s.Counters().Messages; n != 0 {
		t.Errorf("%d messages accepted", n)
	}
}

func TestSizeIsEnforcedAtMailAndAtTheDot(t *testing.T) {
	t.Parallel()
	s := start(t, smtpsim.Options{MaxSize: 100})
	c := hello(t, s)
	c.ask("MAIL FROM:<> SIZE=101", "552")
	c.toData("r@to.test")
	c.write(strings.Repeat("0123456789\r\n", 9) + ".\r\n")
	c.expect("552 5.3.4")
	c.toData("r@to.test")
	c.write(strings.Repeat("0123456789\r\n", 8) + ".\r\n")
	c.expect("250")
}
