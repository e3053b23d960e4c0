package sendmail

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

var errBroken = errors.New("broken pipe in a test")

type brokenReader struct{ text io.Reader }

func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.text.Read(p)
	if err == io.EOF {
		err = errBroken
	}
	return n, err
}

func TestBrokenStdinSendsNothing(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"before the relay is called": 10, "while streaming": 3 << 20} {
		relay := &scriptedRelay{extensions: fullExtensions}
		inv := call(relay.start(t), "a@x.example")
		inv.Stdin = brokenReader{strings.NewReader("Subject: s\n\n" + strings.Repeat("0123456789abcde\n", size/16+1))}
		r := inv.run(t, "")
		r.must(t, 74)
		if got := relay.taken(); len(got) != 0 {
			t.Errorf("%s: half a message was sent", name)
		}
	}
}

func TestCancelledBeforeTheDotSendsNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	relay := &scriptedRelay{}
	relay.answer = func(line string) string {
		if line == "DATA" {
			cancel()
			<-ctx.Done()
			return "close"
		}
		return ""
	}
	var stderr bytes.Buffer
	inv := call(relay.start(t), "a@x.example")
	inv.Stdin, inv.Stderr = strings.NewReader("\nx\n"), &stderr
	if code := Run(ctx, inv); code != 75 {
		t.Errorf("exit code %d, want 75; %s", code, &stderr)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	on := func(prefix, reply string) func(string) string {
		return func(line string) string {
			if strings.HasPrefix(line, prefix) {
				return reply
			}
			return ""
		}
	}
	cases := []struct {
		name   string
		args   []string
		input  string
		banner string
		answer func(string) string
		code   int
		reason string
	}{
		{"a mode we are not", []string{"-bd"}, "", "", nil, 64, "postrider serve"},
		{"bad -N", []string{"-N", "never,delay", "a@x.example"}, "", "", nil, 64, "never stands alone"},
		{"a time that is missing", []string{"--at", "a@x.example"}, "", "", nil, 64, "--at wants a value"},
		{"line break in a time", []string{"--expires=+1h\nBcc: b@x.example", "a@x.example"}, "", "", nil, 65, "line break or NUL"},
		{"bad -R", []string{"-R", "some", "a@x.example"}, "", "", nil, 64, "full or hdrs"},
		{"bad -V", []string{"-V", "a\tb", "a@x.example"}, "", "", nil, 64, "envelope id"},
		{"no recipients", []string{"-t"}, "Subject: s\n\nx\n", "", nil, 65, "no recipients"},
		{"only a phrase", []string{"-t"}, "To: undisclosed recipients\n\nx\n", "", nil, 65, "no usable recipient"},
		{"a group of nobody", []string{"-t"}, "To: undisclosed-recipients:;\n\nx\n", "", nil, 65, "no recipients"},
		{"line break in a recipient", []string{"a@x.example\r\nDATA"}, "", "", nil, 65, "line break or NUL"},
		{"line break in the sender", []string{"-fa@x.example\nb", "a@x.example"}, "", "", nil, 65, "line break or NUL"},
		{"line break in the name", []string{"-FA\nBcc: b@x.example", "a@x.example"}, "", "", nil, 65, "line break or NUL"},
		{"NUL in a recipient", []string{"a\x00@x.example"}, "", "", nil, 65, "line break or NUL"},
		{"a sender that is none", []string{"-f", "a b", "a@x.example"}, "", "", nil, 65, "not an address"},
		{"header too long", []string{"a@x.example"}, "X: " + strings.Repeat("y\n ", 200<<10), "", nil, 65, "256 KiB"},
		{"header line too long", []string{"a@x.example"}, "X: " + strings.Repeat("y", 300<<10), "", nil, 65, "256 KiB"},
		{"every recipient refused", []string{"a@x.example", "b@x.example"}, "\nx\n", "", on("RCPT", "550 5.1.1 no such user"), 67, "refused all 2"},
		{"the recipient refused", []string{"a@x.example"}, "\nx\n", "", on("RCPT", "550 5.1.1 no such user"), 67, "<a@x.example>: 550 5.1.1 no such user"},
		{"the recipient refused for now", []string{"a@x.example"}, "\nx\n", "", on("RCPT", "451 4.3.0 later"), 75, "451 4.3.0 later"},
		{"the relay refuses service", []string{"a@x.example"}, "\nx\n", "554 5.3.2 go away", nil, 69, "554"},
		{"the relay is overloaded", []string{"a@x.example"}, "\nx\n", "421 4.3.2 busy", nil, 75, "busy"},
		{"the store is full", []string{"a@x.example"}, "\nx\n", "", on(".", "452 4.3.1 full"), 75, "full"},
		{"hangs up after the dot", []string{"a@x.example"}, "\nx\n", "", on(".", "close"), 75, "final dot"},
		{"hangs up in the envelope", []string{"a@x.example"}, "\nx\n", "", on("RCPT", "close"), 75, "lost the relay"},
		{"421 in the envelope", []string{"a@x.example"}, "\nx\n", "", on("RCPT", "421 4.3.2 shutting down"), 75, "shutting down"},
		{"sender not allowed", []string{"a@x.example"}, "\nx\n", "", on("MAIL", "550-5.7.1 not your domain\r\n550 5.7.1 use another"), 77, "not your domain / 5.7.1 use another"},
		{"login wanted", []string{"a@x.example"}, "\nx\n", "", on("MAIL", "530 5.7.0 Unauthenticated senders not allowed"), 77, "Unauthenticated"},
		{"message too big", []string{"a@x.example"}, "\nx\n", "", on(".", "552 5.3.4 too big"), 65, "too big"},
		{"content refused", []string{"a@x.example"}, "\nx\n", "", on("DATA", "554 5.6.0 no"), 65, "5.6.0"},
		{"content against policy", []string{"a@x.example"}, "\nx\n", "", on(".", "554 5.7.1 no"), 77, "5.7.1"},
		{"a reply without end", []string{"a@x.example"}, "\nx\n", "", on("EHLO", strings.Repeat("250-x\r\n", 200)+"250 x"), 75, "too long"},
		{"a reply line without end", []string{"a@x.example"}, "\nx\n", "", on("EHLO", "250 "+strings.Repeat("x", 70<<10)), 75, "too long"},
		{"not SMTP", []string{"a@x.example"}, "\nx\n", "HTTP/1.1 400 Bad Request", nil, 75, "not SMTP"},
		{"SMTPUTF8 not offered", []string{"jörg@x.example"}, "\nx\n", "", nil, 65, "SMTPUTF8"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			relay := &scriptedRelay{banner: c.banner, answer: c.answer}
			r := call(relay.start(t), c.args...).run(t, c.input)
			r.must(t, c.code)
			if !strings.Contains(r.stderr, c.reason) {
				t.Errorf("stderr %q does not say %q", r.stderr, c.reason)
			}
			if got := relay.taken(); len(got) != 0 {
				t.Errorf("failed, but sent %+v", got)
			}
		})
	}
	r := call("/nonexistent/s", "a@x.example").run(t, "\nx\n")
	r.must(t, 69)
	if !strings.Contains(r.stderr, "POSTRIDER_SUBMIT") {
		t.Errorf("no advice in %q", r.stderr)
	}
}

func TestTheMessageThatLeaves(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, args, input, want string }{
		{"mixed line ends become CRLF", "-i a@x.example",
			"From: s@x.example\r\nTo: a@x.example\r\r\nSubject: s\n\r\nlf\ncrlf\r\ncrcrlf\r\r\ncr\rend",
			"From: s@x.example\r\nTo: a@x.example\r\nSubject: s\r\n\r\nlf\r\ncrlf\r\ncrcrlf\r\ncr\r\nend\r\n"},
		{"a lone dot ends the input", "a@x.example",
			"From: s@x.example\nTo: a@x.example\n\none\n.\ntwo\n",
			"From: s@x.example\r\nTo: a@x.example\r\n\r\none\r\n"},
		{"but not with -i", "-i a@x.example",
			"From: s@x.example\nTo: a@x.example\n\none\n.\n..two\n",
			"From: s@x.example\r\nTo: a@x.example\r\n\r\none\r\n.\r\n..two\r\n"},
		{"Bcc leaves, its recipients stay", "-t -i",
			"From: s@x.example\nTo: a@x.example\nBcc: b@x.example,\n c@x.example\nSubject: s\nReturn-Path: <q@x.example>\n\nx\n",
			"From: s@x.example\r\nTo: a@x.example\r\nSubject: s\r\n\r\nx\r\n"},
		{"only Bcc", "-t -i", "From: s@x.example\nBcc: b@x.example\n\nx\n",
			"To: undisclosed-recipients:;\r\nFrom: s@x.example\r\n\r\nx\r\n"},
		{"cron's local names are completed", "-i -f root root", "From: root (Cron Daemon)\nTo: root, \"x, y\" <ops@x.example>\n\nx\n",
			"From: root@web1 (Cron Daemon)\r\nTo: root@web1, \"x, y\" <ops@x.example>\r\n\r\nx\r\n"},
		{"no header at all", "-i -FCron root", "just text\nmore\n",
			"From: \"Cron\" <www-data@web1>\r\nTo: root@web1\r\n\r\njust text\r\nmore\r\n"},
		{"an empty line first", "-i a@x.example b@x.example", "\nSubject: no header\n",
			"From: <www-data@web1>\r\nTo: undisclosed-recipients:;\r\n\r\nSubject: no header\r\n"},
		{"an mbox line", "-i a@x.example", "From root Mon Jan  1 00:00:00 2024\nFrom: s@x.example\nTo: a@x.example\n\nx\n",
			"From: s@x.example\r\nTo: a@x.example\r\n\r\nx\r\n"},
		{"-F does not change a From", "-i -FX a@x.example", "From: s@x.example\nTo: a@x.example\n\nx\n",
			"From: s@x.example\r\nTo: a@x.example\r\n\r\nx\r\n"},
		{"what SMTP has no words for", "-i --at=+2h --expires=+1d --priority=low --at=+3h a@x.example", "From: s@x.example\nTo: a@x.example\nX-Postrider-Send-At: +9h\n\nx\n",
			"X-Postrider-Send-At: +3h\r\nX-Postrider-Priority: low\r\nX-Postrider-Expires: +1d\r\nX-Postrider-Send-At: +2h\r\nFrom: s@x.example\r\nTo: a@x.example\r\nX-Postrider-Send-At: +9h\r\n\r\nx\r\n"},
		{"nothing on stdin", "a@x.example", "", "From: <www-data@web1>\r\nTo: a@x.example\r\n\r\n"},
		{"raw 8-bit stays", "-i a@x.example", "From: s@x.example\nTo: a@x.example\nSubject: \xfcber\n\n\xe9\n",
			"From: s@x.example\r\nTo: a@x.example\r\nSubject: \xfcber\r\n\r\n\xe9\r\n"},
		{"a long line without header", "-i a@x.example", strings.Repeat("y", 100<<10),
			"From: <www-data@web1>\r\nTo: a@x.example\r\n\r\n" + strings.Repeat("y", 100<<10) + "\r\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			relay := &scriptedRelay{extensions: fullExtensions}
			call(relay.start(t), strings.Fields(c.args)...).run(t, c.input).must(t, 0)
			if got := relay.one(t).data; got != c.want {
				t.Errorf("got  %.400q\nwant %.400q", got, c.want)
			}
		})
	}
}

func TestHeaderRecipients(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, header, want string }{
		{"To, Cc and Bcc without duplicates", "To: a@x.example, A <a@X.EXAMPLE>\nCc: b@x.example\nBcc: c@x.example", "a@x.example b@x.example c@x.example"},
		{"Resent fields alone", "To: a@x.example\nResent-To: b@x.example\nResent-Bcc: c@x.example", "b@x.example c@x.example"},
		{"what is no address is left out", "To: some words, a@x.example", "a@x.example"},
		{"an international domain", "To: a@bücher.example", "a@xn--bcher-kva.example"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			relay := &scriptedRelay{extensions: fullExtensions}
			call(relay.start(t), "-ti").run(t, c.header+"\n\nx\n").must(t, 0)
			if got := relay.one(t); got.to() != c.want || strings.Contains(got.mail, "SMTPUTF8") {
				t.Errorf("got %q after %q, want %q", got.to(), got.mail, c.want)
			}
		})
	}
}

func TestParametersFollowWhatTheRelayOffers(t *testing.T) {
	t.Parallel()
	args := []string{"-i", "-N", "failure,delay", "-R", "hdrs", "-V", "id+1 =", "-fjörg@x.example", "a@x.example"}
	relay := &scriptedRelay{extensions: fullExtensions}
	call(relay.start(t), args...).run(t, "\n\xc3\xa9\n").must(t, 0)
	m := relay.one(t)
	if want := "MAIL FROM:<jörg@x.example> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+2B1+20+3D"; m.mail != want {
		t.Errorf("got %q, want %q", m.mail, want)
	}
	if want := "RCPT TO:<a@x.example> NOTIFY=DELAY,FAILURE"; m.rcpts[0] != want {
		t.Errorf("got %q, want %q", m.rcpts[0], want)
	}
	bare := &scriptedRelay{answer: func(line string) string {
		if strings.HasPrefix(line, "EHLO") {
			return "502 5.5.1 what"
		}
		return ""
	}}
	args[len(args)-2] = "-fme@x.example"
	call(bare.start(t), args...).run(t, "\n\xc3\xa9\n").must(t, 0)
	if m := bare.one(t); m.mail != "MAIL FROM:<me@x.example>" || m.rcpts[0] != "RCPT TO:<a@x.example>" {
		t.Errorf("after HELO: %+v", m)
	}
}

func TestPartialRefusals(t *testing.T) {
	t.Parallel()
	refuse := func(reply string, times int) func(string) string {
		return func(line string) string {
			if strings.HasPrefix(line, "RCPT TO:<b@") && times > 0 {
				times--
				return reply
			}
			return ""
		}
	}
	for _, ext := range [][]string{nil, fullExtensions} {
		relay := &scriptedRelay{extensions: ext, answer: refuse("550 5.1.1 unknown", 9)}
		r := call(relay.start(t), "a@x.example", "b@x.example", "c@x.example").run(t, "\nx\n")
		r.must(t, 0)
		if got := relay.one(t).to(); got != "a@x.example c@x.example" || !strings.Contains(r.stderr, "<b@x.example> refused: 550 5.1.1 unknown") {
			t.Errorf("sent to %q, said %q", got, r.stderr)
		}
		relay = &scriptedRelay{extensions: ext, answer: refuse("452 4.5.3 too many", 1)}
		call(relay.start(t), "a@x.example", "b@x.example").run(t, "\nx\n").must(t, 0)
		if got := relay.taken(); len(got) != 2 || got[1].to() != "b@x.example" || got[0].data == "" {
			t.Errorf("too many recipients: %+v", got)
		}
		relay = &scriptedRelay{extensions: ext, answer: refuse("451 4.3.0 later", 9)}
		r = call(relay.start(t), "a@x.example", "b@x.example").run(t, "\nx\n")
		r.must(t, 75)
		if relay.one(t).to() != "a@x.example" || !strings.Contains(r.stderr, "1 recipients have the message") {
			t.Errorf("stderr %q", r.stderr)
		}
	}
}

func TestLargeMailStreamsAndIsRepeatedForManyRecipients(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("."+strings.Repeat("x", 62)+"\n", 5<<20/64)
	want := strings.ReplaceAll(body, "\n", "\r\n")
	var args []string
	for i := range 250 {
		args = append(args, "r"+strings.Repeat("x", i%7)+string(rune('a'+i%26))+strings.Repeat("y", i/26)+"@x.example")
	}
	for limit, transactions := range map[string]int{"": 1, "LIMITS RCPTMAX=100": 3} {
		relay := &scriptedRelay{extensions: append([]string{limit}, fullExtensions...)}
		call(relay.start(t), append([]string{"-i"}, args...)...).run(t, "From: s@x.example\nTo: l@x.example\n\n"+body).must(t, 0)
		got := relay.taken()
		if len(got) != transactions {
			t.Fatalf("%d transactions, want %d", len(got), transactions)
		}
		n := 0
		for _, m := range got {
			n += len(m.rcpts)
			if _, text, _ := strings.Cut(m.data, "\r\n\r\n"); text != want {
				t.Error("the body changed")
			}
		}
		if n != len(args) {
			t.Errorf("%d recipients, want %d", n, len(args))
		}
	}
}
