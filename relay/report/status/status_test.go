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
