package outbound

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"postrider/queue"
)

func TestReplies(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3000)
	tests := []struct {
		name, in string
		want     queue.Reply
		err      string
	}{
		{name: "one line", in: "250 2.0.0 Ok: queued\r\n", want: queue.Reply{Code: 250, Enhanced: queue.Enhanced{2, 0, 0}, Text: "Ok: queued"}},
		{name: "no enhanced code", in: "250 fine\r\n", want: queue.Reply{Code: 250, Text: "fine"}},
		{name: "a number that is no code", in: "550 10.0.0.1 is listed\r\n", want: queue.Reply{Code: 550, Text: "10.0.0.1 is listed"}},
		{name: "code alone", in: "250\r\n", want: queue.Reply{Code: 250}},
		{name: "lone LF", in: "250 a\n", want: queue.Reply{Code: 250, Text: "a"}},
		{name: "several lines", in: "550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c\r\n", want: queue.Reply{Code: 550, Enhanced: queue.Enhanced{5, 7, 1}, Text: "a\nb\nc"}},
		{name: "enhanced code on the first line", in: "550-5.7.1 a\r\n550 b\r\n", want: queue.Reply{Code: 550, Enhanced: queue.Enhanced{5, 7, 1}, Text: "a\nb"}},
		{name: "the last enhanced code counts", in: "550-5.7.1 a\r\n550 5.1.1 b\r\n", want: queue.Reply{Code: 550, Enhanced: queue.Enhanced{5, 1, 1}, Text: "a\nb"}},
		{name: "code of another class is kept", in: "421 5.7.32 x\r\n", want: queue.Reply{Code: 421, Enhanced: queue.Enhanced{5, 7, 32}, Text: "x"}},
		{name: "control characters", in: "250 a\x00b\x1b[1mc\x7f\xff\r\n", want: queue.Reply{Code: 250, Text: "a b [1mc ?"}},
		{name: "long text is cut before its last line", in: "250-" + long + "\r\n250 tail\r\n", want: queue.Reply{Code: 250, Text: long[:1016] + "...\ntail"}},
		{name: "different codes", in: "250-a\r\n550 b\r\n", err: "different codes"},
		{name: "text", in: "hello\r\n", err: "not a reply"},
		{name: "1yz", in: "150 x\r\n", err: "not a reply"},
		{name: "HTTP", in: "HTTP/1.1 400 Bad Request\r\n", err: "not a reply"},
		{name: "too short", in: "25\r\n", err: "not a reply"},
		{name: "bad separator", in: "250+x\r\n", err: "not a reply"},
		{name: "first bad byte, without a line end", in: "x", err: "not a reply"},
		{name: "long line", in: "250 " + strings.Repeat("x", maxReplyLine) + "\r\n", err: "4 KiB"},
		{name: "128 lines", in: strings.Repeat("250-\r\n", 127) + "250 x\r\n", want: queue.Reply{Code: 250, Text: strings.Repeat("\n", 127) + "x"}},
		{name: "129 lines", in: strings.Repeat("250-\r\n", 128) + "250 x\r\n", err: "128 lines"},
		{name: "64 KiB", in: strings.Repeat("250-"+long+"\r\n", 30) + "250 x\r\n", err: "64 KiB"},
		{name: "end in the middle", in: "250 x", err: "unexpected EOF"},
		{name: "end", in: "", err: "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, src := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				r := newReplyReader(src)
				raw, err := r.read()
				if tt.err != "" {
					if err == nil || !strings.Contains(err.Error(), tt.err) {
						t.Errorf("error %v, want %q", err, tt.err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := raw.reply(""); got != tt.want {
					t.Errorf("got %+v, want %+v", got, tt.want)
				}
			}
		})
	}
}

func TestRepliesFollowEachOther(t *testing.T) {
	t.Parallel()
	r := newReplyReader(strings.NewReader("250-a\r\n250 b\r\n354 c\r\n"))
	first, err := r.read()
	if err != nil || string(first.text) != "a\nb" || !r.buffered() {
		t.Errorf("first %v %q, %v", first.code, first.text, err)
	}
	second, err := r.read()
	if err != nil || second.code != 354 || string(second.text) != "c" || r.buffered() {
		t.Errorf("second %v %q, %v", second.code, second.text, err)
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "550 5.1.1 x\n", "250-a\r\n251 b\r\n", "2", "\r\n", "250\r\n250 x", "250-SIZE 10\r\n250 AUTH=LOGIN\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		a, b := newReplyReader(bytes.NewReader(in)), newReplyReader(iotest.OneByteReader(bytes.NewReader(in)))
		for {
			ra, errA := a.read()
			rb, errB := b.read()
			if (errA == nil) != (errB == nil) || ra.code != rb.code || !bytes.Equal(ra.text, rb.text) {
				t.Fatalf("%d %q %v, but byte by byte %d %q %v", ra.code, ra.text, errA, rb.code, rb.text, errB)
			}
			if errA != nil {
				var pe protocolError
				if !errors.As(errA, &pe) && errA != io.EOF && errA != io.ErrUnexpectedEOF {
					t.Fatalf("error %v", errA)
				}
				return
			}
			out := ra.reply("X")
			if out.Code < 200 || out.Code > 599 || len(out.Text) > maxReplyText || !utf8.ValidString(out.Text) || strings.ContainsAny(out.Text, "\r\x00\x1b") {
				t.Fatalf("reply %+v", out)
			}
			parseCapabilities(ra.text)
		}
	})
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want capabilities
	}{
		{"host", capabilities{}},
		{"PIPELINING", capabilities{}}, // the first line is the name
		{"h\nPIPELINING\n8BITMIME\nSMTPUTF8\nDSN\nSTARTTLS\nSIZE 1000", capabilities{pipelining: true, eightBit: true, smtputf8: true, dsn: true, startTLS: true, sized: true, size: 1000}},
		{"h\npipelining\nstarttls\nAuth plain login", capabilities{pipelining: true, startTLS: true, authPlain: true, authLogin: true}},
		{"h\nAUTH=LOGIN", capabilities{authLogin: true}},
		{"h\nAUTH=LOGIN PLAIN\nAUTH CRAM-MD5", capabilities{authPlain: true, authLogin: true}},
		{"h\nSIZE", capabilities{sized: true}},
		{"h\nSIZE -5", capabilities{sized: true}},
		{"h\nSIZE 99999999999999999999", capabilities{sized: true, size: 1<<63 - 1}},
		{"h\nLIMITS RCPTMAX=20 MAILMAX=5 RCPTDOMAINMAX=1", capabilities{rcptMax: 20, mailMax: 5, domainMax: 1}},
		{"h\nREQUIRETLS", capabilities{requireTLS: true}},
		{"h\nlimits rcptmax=0 mailmax=x", capabilities{}},
		{"h\n\n \nDSN\r", capabilities{dsn: true}},
	}
	for _, tt := range tests {
		if got := parseCapabilities([]byte(tt.in)); got != tt.want {
			t.Errorf("%q: got %+v, want %+v", tt.in, got, tt.want)
		}
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	all := capabilities{sized: true, eightBit: true, smtputf8: true, dsn: true}
	e := queue.Envelope{
		ReversePath: queue.Address{Local: "a b", Domain: "sender.test"}, EnvID: "id+1=x y", Ret: queue.RetHeaders, EightBit: true,
	}
	check := func(got []byte, err error, want string) {
		t.Helper()
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	got, err := appendMail(nil, &e, 500, &all, true, true)
	check(got, err, "MAIL FROM:<\"a b\"@sender.test> SIZE=500 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS ENVID=id+2B1+3Dx+20y\r\n")
	got, err = appendMail(nil, &e, 500, &capabilities{}, false, false)
	check(got, err, "MAIL FROM:<\"a b\"@sender.test>\r\n")
	got, err = appendMail(nil, &queue.Envelope{}, 0, &all, false, false)
	check(got, err, "MAIL FROM:<>\r\n")
	r := Recipient{
		Address: queue.Address{Local: "b", Domain: "münchen.test"},
		Notify:  queue.NotifySuccess | queue.NotifyDelay, ORCPT: "rfc822;b+c@x.test",
	}
	got, err = appendRcpt(nil, &r, &all, false)
	check(got, err, "RCPT TO:<b@xn--mnchen-3ya.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bc@x.test\r\n")
	got, err = appendRcpt(nil, &r, &capabilities{}, true)
	check(got, err, "RCPT TO:<b@münchen.test>\r\n")
	r.Notify, r.ORCPT = queue.NotifyNever, "utf-8;ü+x@y.test"
	got, err = appendRcpt(nil, &r, &all, true)
	check(got, err, "RCPT TO:<b@münchen.test> NOTIFY=NEVER ORCPT=utf-8;\\x{FC}\\x{2B}x@y.test\r\n")
	r.ORCPT = "bad type\r\nDATA;x"
	got, err = appendRcpt(nil, &r, &all, true)
	check(got, err, "RCPT TO:<b@münchen.test> NOTIFY=NEVER\r\n")
	for _, a := range []queue.Address{
		{Local: "a\r\nRCPT TO:<x", Domain: "y.test"}, {Local: "a", Domain: "y.test> SIZE=1"}, {Local: "a", Domain: "y.test\nX"},
		{Local: "", Domain: "y.test"}, {Local: "a"}, {Local: "a\xff", Domain: "y.test"},
	} {
		if got, err := appendPath(nil, a, true); err == nil {
			t.Errorf("%+v became %q", a, got)
		}
	}
}

func TestALongReplyKeepsItsEnd(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 600)
	r := rawReply{code: 550, text: []byte("5.7.1 " + long + "\n5.7.1 the reason\n")}.reply("MAIL")
	if len(r.Text) > maxReplyText || !strings.HasSuffix(r.Text, "...\nthe reason") || !utf8.ValidString(r.Text) || r.Enhanced != (queue.Enhanced{5, 7, 1}) {
		t.Errorf("%d octets, %s: %q", len(r.Text), r.Enhanced, r.Text)
	}
	one := rawReply{code: 550, text: []byte(strings.Repeat("x", 3000))}.reply("MAIL")
	if len(one.Text) != maxReplyText {
		t.Errorf("%d octets of one line", len(one.Text))
	}
	many := rawReply{code: 550, text: []byte(strings.Repeat("line of text\n", 120) + "5.2.2 full")}.reply("RCPT")
	if len(many.Text) > maxReplyText || many.Enhanced != (queue.Enhanced{5, 2, 2}) || !strings.HasSuffix(many.Text, "full") {
		t.Errorf("%s %q", many.Enhanced, many.Text)
	}
}
