//go:build full

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

var updateSDKs = flag.Bool("update-sdks", false, "write the tables of configs/docs/sdks.md anew")

// sdkStep is what a script tells of one step.
type sdkStep struct {
	SDK, Version, Name, Call string
	OK                       bool
	Type                     string
	Status                   any
	text                     string // the whole line
}

// The providers' official libraries, unmodified, send through the relay.
func TestLibrariesOfOtherProviders(t *testing.T) {
	ctx := within(t, 10*time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	key, err := relay.Admin().CreateKey(ctx, v1.NewKey{Account: e2etest.User, Label: "libraries", Scopes: []string{"send", "read", "manage"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := relay.Admin().Suppress(ctx, v1.NewSuppression{Account: e2etest.User, Email: "gone@customer.test", Reason: "bounce"}); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "BASE=http://"+relay.HTTP, "SMTP="+relay.SMTP, "KEY="+key.Secret)
	steps := append(runNode(ctx, t, env), runGo(ctx, t, env)...)

	checkSteps(t, steps)
	checkArrivals(ctx, t, mx)
	checkMatrix(t, steps)
	if text := relay.Out.Text() + relay.Err.Text(); strings.Contains(text, key.Secret) || strings.Contains(text, "Hällo") {
		t.Error("the log holds a key or a body")
	}
}

// runNode installs what the lock file names, away from the tree, and runs a script
// for each library.
func runNode(ctx context.Context, t *testing.T, env []string) (steps []sdkStep) {
	t.Helper()
	dir := e2etest.Dir(t)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "sdk", "node"))); err != nil {
		t.Fatal(err)
	}
	installNode(ctx, t, dir)
	for _, script := range []string{"resend", "postmark", "sendgrid", "mailgun", "nodemailer"} {
		cmd := exec.CommandContext(ctx, "node", script+".mjs")
		cmd.Dir = dir
		steps = append(steps, sdkSteps(t, cmd, env)...)
	}
	return steps
}

// installNode installs what the lock file of a directory names.
func installNode(ctx context.Context, t *testing.T, dir string) {
	t.Helper()
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, endOf(out))
	}
}

func runGo(ctx context.Context, t *testing.T, env []string) []sdkStep {
	t.Helper()
	program := filepath.Join(e2etest.Dir(t), "sdk")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir = filepath.Join("testdata", "sdk", "go")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, endOf(out))
	}
	return sdkSteps(t, exec.CommandContext(ctx, program), env)
}

func sdkSteps(t *testing.T, cmd *exec.Cmd, env []string) (steps []sdkStep) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Env, cmd.Stderr = env, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%v: %v\n%s\n%s", cmd.Args, err, endOf(stderr.Bytes()), endOf(out))
	}
	for line := range strings.Lines(string(out)) {
		s := sdkStep{text: strings.TrimSpace(line)}
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Errorf("%v printed %q: %v", cmd.Args, line, err)
			continue
		}
		steps = append(steps, s)
	}
	return steps
}

// checkSteps compares what the libraries made of the relay's answers.
func checkSteps(t *testing.T, steps []sdkStep) {
	t.Helper()
	seen := map[string]bool{}
	for _, s := range steps {
		name := s.SDK + ": " + s.Name
		want, known := sdkWants[s.SDK][s.Name]
		if !known {
			t.Errorf("%s is not expected: %s", name, s.text)
			continue
		}
		seen[name] = true
		if s.OK == strings.HasPrefix(want, "!") {
			t.Errorf("%s went another way: %s", name, s.text)
			continue
		}
		for part := range strings.SplitSeq(strings.TrimPrefix(want, "!"), " & ") {
			if !strings.Contains(s.text, part) {
				t.Errorf("%s: %s is not in %s", name, part, s.text)
			}
		}
	}
	for sdk, wants := range sdkWants {
		for name := range wants {
			if !seen[sdk+": "+name] {
				t.Errorf("%s: %s did not happen", sdk, name)
			}
		}
	}
}

// sdkArrivals are the subjects that reach the mail server, and how often.
var sdkArrivals = map[string]int{
	"full resend-node ü": 1, "once resend-node": 1, "batch1 resend-node": 1, "batch2 resend-node": 1, "batch3 resend-node": 1,
	"full postmark-node ü": 1, "batch1 postmark-node": 1, "partly postmark-node": 1,
	"full sendgrid-node ü": 1, "multiple sendgrid-node": 2, "personal sendgrid-node Bee": 1, "personal sendgrid-node Cee": 1, "once sendgrid-node": 1,
	"full mailgun-node ü": 1, "personal mailgun-node Bee": 1, "personal mailgun-node Cee": 1, "mime mailgun-node": 2,
	"full nodemailer ü": 1, "once nodemailer": 1,
	"full resend-go ü": 1, "once resend-go": 1, "batch1 resend-go": 1, "batch2 resend-go": 1, "batch3 resend-go": 1,
	"full postmark-go ü": 1, "batch1 postmark-go": 1, "partly postmark-go": 1,
	"full sendgrid-go ü": 1, "personal sendgrid-go Bee": 1, "personal sendgrid-go Cee": 1, "gzip sendgrid-go": 1, "once sendgrid-go": 1,
	"full mailgun-go ü": 1, "personal mailgun-go Bee": 1, "personal mailgun-go Cee": 1, "mime mailgun-go": 1, "large mailgun-go": 1, "once mailgun-go": 1,
}

// checkArrivals compares the mail itself.
func checkArrivals(ctx context.Context, t *testing.T, mx *smtpsim.Server) {
	t.Helper()
	total := 0
	for _, n := range sdkArrivals {
		total += n
	}
	waiting, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if _, err := mx.Wait(waiting, total); err != nil {
		t.Errorf("wait for %d messages: %v", total, err)
	}
	got := map[string]int{}
	for _, m := range mx.Messages() {
		p, err := readMail(m.Raw)
		if err != nil {
			t.Errorf("a message cannot be read: %v\n%.2000s", err, m.Raw)
			continue
		}
		got[p.subject]++
		switch first, _, _ := strings.Cut(p.subject, " "); first {
		case "full":
			t.Run(p.subject, func(t *testing.T) { checkFull(t, m, p) })
		case "personal", "multiple":
			name := strings.ToUpper(p.subject[strings.LastIndexByte(p.subject, ' ')+1:][:1])
			if len(m.Rcpts) != 1 || len(p.to) != 1 || p.to[0].Address != m.Rcpts[0].Address || first == "personal" && p.text != "Hi "+name+"ee\n" {
				t.Errorf("%s for %v shows %v and says %q", p.subject, m.Rcpts, p.to, p.text)
			}
		case "mime", "large":
			if !bytes.Contains(m.Raw, []byte("X-Kept: as  it is\r\n")) {
				t.Errorf("%s was changed:\n%.1000s", p.subject, m.Raw)
			}
		}
	}
	for subject, n := range sdkArrivals {
		if got[subject] != n {
			t.Errorf("%q arrived %d times, want %d", subject, got[subject], n)
		}
		delete(got, subject)
	}
	for subject, n := range got {
		t.Errorf("%q arrived %d times, and should not", subject, n)
	}
}

// checkFull compares the message that every library sends.
func checkFull(t *testing.T, m *smtpsim.Message, p *sdkMail) {
	var rcpts []string
	for _, r := range m.Rcpts {
		rcpts = append(rcpts, r.Address)
	}
	slices.Sort(rcpts)
	if m.From.Address != "shop@shop.test" || !slices.Equal(rcpts, []string{"b@customer.test", "c@customer.test", "d@customer.test"}) {
		t.Errorf("the envelope is %v %q", m.From, rcpts)
	}
	for field, want := range map[string]string{"From": "Shop Ä <shop@shop.test>", "To": "B, Two <b@customer.test>", "Cc": "c@customer.test", "Reply-To": "r@shop.test"} {
		if got := mailboxes(p.header, field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if p.header.Get("Bcc") != "" || p.header.Get("X-Order") != "42" || p.header.Get("Message-Id") == "" || p.header.Get("Date") == "" {
		t.Errorf("the header is %v", p.header)
	}
	// Forms end lines in their own ways, and so may a mail's last one.
	if strings.TrimRight(p.text, "\n") != "Hällo text" || strings.TrimRight(p.html, "\n") != `<p>Hällo <img src="cid:logo.png"></p>` {
		t.Errorf("the texts are %q and %q", p.text, p.html)
	}
	if f := p.files["grüße.txt"]; f.content != "attachment ü\n" || f.kind != "text/plain" || f.inline {
		t.Errorf("the attachment is %+v of %v", f, p.files)
	}
	if f := p.files["logo.png"]; f.content != "\x89PNG\r\n\x1a\n\x00\xff" || f.kind != "image/png" || f.id != "<logo.png>" || !f.inline {
		t.Errorf("the picture is %+v", f)
	}
	if len(p.files) != 2 {
		t.Errorf("there are %d files", len(p.files))
	}
}

func mailboxes(h mail.Header, field string) string {
	list, err := h.AddressList(field)
	if err != nil {
		return err.Error()
	}
	var texts []string
	for _, a := range list {
		if a.Name != "" {
			texts = append(texts, a.Name+" <"+a.Address+">")
			continue
		}
		texts = append(texts, a.Address)
	}
	return strings.Join(texts, ", ")
}

const (
	matrixStart = "<!-- The tables below are written by the test: go test -tags full ./cmd/e2e -run TestLibraries -update-sdks -->\n"
	sdksPage    = "../../configs/docs/sdks.md"
)

// checkMatrix holds the page to what happened.
func checkMatrix(t *testing.T, steps []sdkStep) {
	t.Helper()
	page, err := os.ReadFile(sdksPage)
	if err != nil {
		t.Fatal(err)
	}
	before, now, found := strings.Cut(string(page), matrixStart)
	if !found {
		t.Fatalf("%s has no place for the tables", sdksPage)
	}
	want := matrix(steps)
	if *updateSDKs {
		if t.Failed() {
			t.Fatal("the tables are not written, since the libraries failed")
		}
		if err := os.WriteFile(sdksPage, []byte(before+matrixStart+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if now != want {
		t.Errorf("%s is not up to date: run the test with -update-sdks", sdksPage)
	}
}

func matrix(steps []sdkStep) string {
	var b strings.Builder
	last := ""
	for _, s := range steps {
		if s.SDK != last {
			fmt.Fprintf(&b, "\n### %s %s\n\n| call | outcome |\n| --- | --- |\n", s.SDK, s.Version)
			last = s.SDK
		}
		fmt.Fprintf(&b, "| %s | %s |\n", s.Call, s.outcome())
	}
	return b.String()
}

func (s sdkStep) outcome() string {
	switch {
	case strings.Contains(s.text, `"same":true`):
		return "the first one's id; nothing is sent twice"
	case s.OK && (strings.Contains(s.text, `"errors":[`) || strings.Contains(s.text, `"ErrorCode":300`)):
		return "the good ones are sent, the others are named"
	case strings.Contains(s.text, "will not deliver to"):
		return "sent to the good one; the answer names the other"
	case s.OK && s.Name == "suppressed":
		return "accepted, and reported to its sender as not sent"
	case s.OK:
		return "as asked"
	case s.Status == nil:
		return "refused: `" + s.Type + "`"
	}
	return fmt.Sprintf("refused: `%s`, %v", s.Type, s.Status)
}
