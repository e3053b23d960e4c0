package sendmail

import (
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"time"
)

func TestSMTPOnStdin(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-bs"}, {"-bs", "-i"}} {
		relay := &scriptedRelay{extensions: fullExtensions}
		script := "EHLO me\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n" +
			"Subject: s\r\n\r\n..dot\r\n.\r\nQUIT\r\n"
		r := call(relay.start(t), args...).run(t, script)
		r.must(t, 0)
		if m := relay.one(t); m.data != "Subject: s\r\n\r\n.dot\r\n" || m.to() != "b@y.example" {
			t.Errorf("got %+v", m)
		}
		if !strings.HasPrefix(r.stdout, "220 relay.test ESMTP\r\n250-relay.test\r\n") || !strings.HasSuffix(r.stdout, "queued as msg_1\r\n221 2.0.0 Bye\r\n") {
			t.Errorf("stdout %q", r.stdout)
		}
	}
}

func TestSMTPOnStdinEndsWhileStdinStaysOpen(t *testing.T) {
	t.Parallel()
	relay := &scriptedRelay{}
	in, out := io.Pipe()
	defer out.Close()
	inv := call(relay.start(t), "-bs")
	inv.Stdin = in
	done := make(chan result, 1)
	go func() { done <- inv.run(t, "") }()
	if _, err := io.WriteString(out, "QUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-done:
		r.must(t, 0)
	case <-time.After(10 * time.Second):
		t.Fatal("still waiting for stdin after the relay hung up")
	}
}

func TestSMTPOnStdinEndsAtEOF(t *testing.T) {
	t.Parallel()
	relay := &scriptedRelay{}
	r := call(relay.start(t), "-bs").run(t, "NOOP\r\n")
	r.must(t, 0)
	if r.stdout != "220 relay.test ESMTP\r\n250 2.0.0 Ok\r\n" {
		t.Errorf("stdout %q", r.stdout)
	}
}

func TestSMTPOnStdinWithoutRelaySays421(t *testing.T) {
	t.Parallel()
	r := call("/nonexistent/s", "-bs").run(t, "EHLO me\r\n")
	r.must(t, 69)
	if !strings.HasPrefix(r.stdout, "421 4.3.0 ") || !strings.HasSuffix(r.stdout, "\r\n") {
		t.Errorf("stdout %q", r.stdout)
	}
}

func TestSMTPOnStdinLogsInFirst(t *testing.T) {
	t.Parallel()
	relay := &scriptedRelay{extensions: []string{"AUTH LOGIN PLAIN"}}
	inv := call("/nonexistent/s", "-bs")
	relay.serve(t, "tcp", "127.0.0.1:0")
	inv.Environ = []string{"POSTRIDER_SUBMIT=smtp://shop:secret@" + relay.listener.Addr().String()}
	r := inv.run(t, "EHLO me\r\nQUIT\r\n")
	r.must(t, 0)
	if !strings.HasPrefix(r.stdout, "220 relay.test ESMTP\r\n250-relay.test\r\n") {
		t.Errorf("stdout %q", r.stdout)
	}
	want := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00shop\x00secret"))
	if said := relay.said(); len(said) < 2 || said[1] != want {
		t.Errorf("commands %q", said)
	}
}
