//go:build full

package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
)

// mxByPostfix is an internet whose one mail server, for customer.example, is a
// real Postfix.
func mxByPostfix(ctx context.Context, t *testing.T) (*e2etest.Internet, *postfix) {
	t.Helper()
	world := e2etest.NewInternet(t)
	ip := world.Address()
	p := startPostfix(ctx, t, net.JoinHostPort(ip, "0"))
	_, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	world.Adopt(n)
	world.Publish(t, "customer.example", "@ MX 10 mx\nmx A "+ip)
	return world, p
}

// publishKeys puts into DNS what `postrider domain records` prints.
func publishKeys(ctx context.Context, t *testing.T, world *e2etest.Internet, relay *e2etest.Relay, domain string) {
	t.Helper()
	world.Publish(t, domain, relay.CLI(ctx, t, "domain", "records", "--zone", domain))
}

// endOf is as much of a text as is of use beside a failure.
func endOf[T string | []byte](text T) string {
	const most = 2000
	return string(text[max(0, len(text)-most):])
}

// verifiers are other people's implementations of DKIM, and the algorithms that
// each must know.
func verifiers() map[string][]string {
	return map[string][]string{
		"/usr/bin/python3 verify.py": {"ed25519-sha256", "rsa-sha256"},
		"/usr/bin/perl verify.pl":    {"rsa-sha256"}, // the packaged Mail::DKIM is older than RFC 8463
	}
}

// verifySignatures checks a message as the next hop got it.
func verifySignatures(ctx context.Context, t *testing.T, world *e2etest.Internet, message []byte) {
	t.Helper()
	host, port, err := net.SplitHostPort(world.DNS.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for command, algorithms := range verifiers() {
		program, script, _ := strings.Cut(command, " ")
		cmd := exec.CommandContext(ctx, program, filepath.Join("testdata", "dkim", script), host, port)
		var errs bytes.Buffer
		cmd.Stdin, cmd.Stderr = bytes.NewReader(message), &errs
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v\n%s", command, err, errs.String())
			continue
		}
		results := strings.Split(strings.TrimSpace(string(out)), "\n")
		for _, a := range algorithms {
			if !slices.Contains(results, a+" pass") {
				t.Errorf("%s says %q of\n%s", command, results, message)
			}
		}
	}
}

// awkward is a message with what a relay might damage.
func awkward(from, to, subject string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Jörg <%s>\r\nTo: <%s>\r\nSubject: %s\r\n", from, to, subject)
	b.WriteString("Date: Mon, 02 Jan 2006 15:04:05 +0000\r\nMessage-ID: <awkward@client.test>\r\n")
	b.WriteString("X-Folded: one\r\n\ttwo\r\n   three \r\nx-CASE:no space\r\nMIME-Version: 1.0\r\n")
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	b.WriteString(".\r\n..\r\n.leading dot\r\nFrom a line that mbox would escape\r\ntrailing blanks  \t \r\n\r\n\r\n")
	b.WriteString("Ünïcödé 中文 🎉\r\n" + strings.Repeat("x", 998) + "\r\n")
	b.WriteString("the end\r\n\r\n\r\n")
	return b.Bytes()
}

func TestBytesReachARealPostfix(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	for _, c := range []struct {
		name, state string
		env         func(*postfix) e2etest.Env
	}{
		{"as mail exchanger", "delivered", func(*postfix) e2etest.Env { return nil }},
		{"as smart host", "relayed", func(p *postfix) e2etest.Env {
			_, port, _ := net.SplitHostPort(p.addr)
			return e2etest.Env{"POSTRIDER_SMARTHOST": "smtp://mx.customer.example:" + port + "?tls=opportunistic"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			world, p := mxByPostfix(ctx, t)
			relay := e2etest.Start(t, world.Env(), c.env(p))
			publishKeys(ctx, t, world, relay, "shop.example")
			content := awkward("a@shop.example", "b@customer.example", "Grüße")
			id := relay.Submit(ctx, t, "a@shop.example", []string{"b@customer.example"}, content)
			relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is(c.state) && l.Attr("id") == id })

			got := p.read(ctx, t, 1)[0]
			if sha256.Sum256(got.Content) != sha256.Sum256(content) {
				t.Errorf("this was sent:\n%q\nand this stored:\n%q", content, got.Content)
			}
			received := got.Field("Received")
			if len(received) != 2 || !strings.Contains(received[0], "using TLSv1.3") || !strings.Contains(received[1], id) {
				t.Errorf("the trace is %q", received)
			}
			if from := got.Field("Return-Path"); len(from) != 1 || from[0] != "<a@shop.example>" {
				t.Errorf("the reverse-path is %q", from)
			}
			verifySignatures(ctx, t, world, got.signed())
		})
	}
}
