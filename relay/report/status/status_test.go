package status_test

import (
	"bytes"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"bufio"

	"postrider/queue"
	"postrider/relay/report/status"
)

func TestForeignTextAddsNoField(t *testing.T) {
	t.Parallel()
	evil := "x\r\nAction: delivered\r\n\r\n\x1b[1m\xff" + strings.Repeat("ü", 800)
	at := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	r := status.Report{
		Hostname: "relay.example.com",
		Message:  &queue.Message{ID: queue.MessageID{1}, AcceptedAt: at, Envelope: queue.Envelope{EnvID: evil}},
		Recipients: []status.Recipient{{
			Address: queue.Address{Local: "ü", Domain: "example.net"}, ORCPT: "rfc822;" + evil, Action: status.Delayed,
			Code: queue.Enhanced{4, 7, 1}, Attempt: &queue.Attempt{Start: at, Host: evil, Reply: queue.Reply{Code: 451, Text: evil}}, Until: at,
		}},
	}
	var b bytes.Buffer
	r.Write(&b)
	blocks := strings.Split(b.String(), "\r\n\r\n")
	if len(blocks) != 2 {
		t.Fatalf("%d blocks, want 2:\n%s", len(blocks), b.String())
	}
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(blocks[1] + "\r\n"))).ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	if h.Get("Action") != "delayed" || h.Get("Final-Recipient") != `utf-8; \x{FC}@example.net` || h.Get("Will-Retry-Until") == "" {
		t.Errorf("fields %v", h)
	}
	for line := range strings.SplitSeq(b.String(), "\r\n") {
		if len(line) > 998 || strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			t.Errorf("unsafe line %q", line)
		}
	}
}

func TestACodeFitsItsAction(t *testing.T) {
	t.Parallel()
	a := &queue.Attempt{Reply: queue.Reply{Code: 451, Enhanced: queue.Enhanced{4, 7, 1}}}
	for _, c := range []struct {
		act     status.Action
		expired bool
		attempt *queue.Attempt
		want    string
	}{
		{status.Delayed, false, a, "4.7.1"},
		{status.Failed, false, a, "5.0.0"},
		{status.Failed, true, a, "5.4.7"},
		{status.Delivered, false, nil, "2.0.0"},
	} {
		if got := status.Code(c.act, c.expired, c.attempt); got.String() != c.want {
			t.Errorf("%s, expired %v: %s, want %s", c.act, c.expired, got, c.want)
		}
	}
}

// RFC 6533 §3: with SMTPUTF8 addresses are as they are, without they are ASCII.
func TestAddressesInOtherAlphabetsHaveTwoForms(t *testing.T) {
	t.Parallel()
	r := status.Recipient{Address: queue.Address{Local: "jörg+1", Domain: "exämple.net"}, ORCPT: "utf-8;jörg@\u202eexample.net", Action: status.Failed}
	for global, want := range map[bool][]string{
		false: {`Final-Recipient: utf-8; j\x{F6}rg\x{2B}1@ex\x{E4}mple.net`, `Original-Recipient: utf-8; j\x{F6}rg@\x{202E}example.net`},
		true:  {"Final-Recipient: utf-8; jörg+1@exämple.net", "Original-Recipient: utf-8; jörg@example.net"},
	} {
		r.Global = global
		var b bytes.Buffer
		r.Write(&b)
		for _, line := range want {
			if !strings.Contains(b.String(), line+"\r\n") {
				t.Errorf("global %v: no %q in\n%s", global, line, b.String())
			}
		}
	}
	if got := status.Plain("a\r\nb\x1b[1m\u202e ü\xff\u2028"); got != "a b[1m ü?" {
		t.Errorf("plain text %q", got)
	}
}
