//go:build full

package e2e_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
)

// thunderbird is a running Thunderbird without a screen.
type thunderbird struct {
	*marionette
	script string
	cmd    *exec.Cmd
	output output
	ended  chan struct{}
}

// output is what a program prints. It is safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// thunderbirdProfile makes a profile with one account at an IMAP server.
func thunderbirdProfile(t *testing.T, imap string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(imap)
	if err != nil {
		t.Fatal(err)
	}
	prefs, err := os.ReadFile("testdata/gui/user.js")
	if err != nil {
		t.Fatal(err)
	}
	profile := filepath.Join(e2etest.Dir(t), "profile")
	if err := os.Mkdir(profile, 0o700); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("IMAP_PORT", port, "IMAP_USER", e2etest.User).Replace(string(prefs))
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return profile
}

// startThunderbird starts Thunderbird on a profile and waits until it can be
// driven. It is killed when the test ends.
func startThunderbird(ctx context.Context, t *testing.T, profile string) *thunderbird {
	t.Helper()
	script, err := os.ReadFile("testdata/gui/thunderbird.js")
	if err != nil {
		t.Fatal(err)
	}
	portFile := filepath.Join(profile, "MarionetteActivePort")
	if err := os.RemoveAll(portFile); err != nil {
		t.Fatal(err)
	}
	b := &thunderbird{script: string(script), ended: make(chan struct{})}
	b.cmd = exec.Command("thunderbird", "--headless", "--marionette", "--remote-allow-system-access", "--profile", profile)
	b.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(profile), "LANG=C.UTF-8", "TZ=UTC",
		"MOZ_HEADLESS_WIDTH=1440", "MOZ_HEADLESS_HEIGHT=810", "MOZ_CRASHREPORTER_DISABLE=1",
	}
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has children
	// A pipe, so that Wait waits for all that have it.
	b.cmd.Stdout, b.cmd.Stderr = &b.output, &b.output
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = b.cmd.Wait() // that it was killed is no news
		close(b.ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		<-b.ended
		if t.Failed() {
			t.Logf("Thunderbird printed:\n%s", endOf(b.output.String()))
		}
	})
	e2etest.Poll(ctx, t, func() error {
		text, err := os.ReadFile(portFile)
		if err != nil {
			return err
		}
		port, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil {
			b.marionette, err = dialMarionette(ctx, port)
		}
		return err
	})
	t.Cleanup(b.close)
	if err := b.context("chrome"); err != nil {
		t.Fatal(err)
	}
	return b
}

// do calls a function of testdata/gui/thunderbird.js.
func (b *thunderbird) do(t *testing.T, result any, function string, args ...any) {
	t.Helper()
	began := time.Now()
	if err := b.run(b.script, function, args, result); err != nil {
		t.Fatalf("%s: %v", function, err)
	}
	t.Logf("%s%v took %v", function, args, time.Since(began).Round(time.Millisecond))
}

// quit ends the program in good order, so that it keeps what it has.
func (b *thunderbird) quit(ctx context.Context, t *testing.T) {
	t.Helper()
	if err := b.call("Marionette:Quit", map[string]any{"flags": []string{"eForceQuit"}}, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.ended:
	case <-ctx.Done():
		t.Fatalf("Thunderbird has not ended: %v", ctx.Err())
	}
}

// topFolders are those that are subscribed, in the order in which they are opened:
// it ends in the one that is idled in.
func topFolders() []string { return []string{"Sent", "Queued", "Deferred", "Bounced", "INBOX"} }

// syncAll opens every folder and returns what Thunderbird has of it.
func (b *thunderbird) syncAll(t *testing.T, s *site) map[string][]entry {
	t.Helper()
	all := make(map[string][]entry)
	for _, name := range topFolders() {
		var entries []entry
		b.do(t, &entries, "sync", name, len(s.sent[name]))
		all[name] = entries
	}
	return all
}

func TestThunderbird(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	s := openSite(ctx, t)
	w := tapWire(t, s.relay.IMAP)
	profile := thunderbirdProfile(t, w.addr)
	b := startThunderbird(ctx, t, profile)
	b.do(t, nil, "logIn", e2etest.User, e2etest.Password)
	var names []string
	b.do(t, &names, "discover", len(topFolders()))
	if slices.Sort(names); !slices.Equal(names, slices.Sorted(slices.Values(topFolders()))) {
		t.Errorf("it has the folders %v", names)
	}
	first := b.syncAll(t, s)
	for name, entries := range first {
		s.check(t, name, entries)
	}

	for _, c := range []struct{ folder, attribute, text, subject string }{
		{"INBOX", "Subject", "Mailbox full", "Your subscription renews"},
		{"Bounced", "Sender", "fjordmail", "Winter letter"},
		{"Bounced", "Body", "No mailbox by that name", "Confirm your address"},
		{"Sent", "Body", "Lapsang", "Your order #10479 has shipped"},
		{"Sent", "To", "mara.ellison@example.com", "Receipt for order #10482"},
	} {
		before := w.now()
		var uids []int
		b.do(t, &uids, "search", c.folder, c.attribute, c.text)
		if e := find(t, first[c.folder], c.subject); !slices.Contains(uids, e.UID) || len(uids) > 2 {
			t.Errorf("searching the %s in %s for %q finds %v, want %d", c.attribute, c.folder, c.text, uids, e.UID)
		}
		if len(w.saidSince(before, "SEARCH")) != 1 {
			t.Errorf("the server was not asked to search %s", c.folder)
		}
	}

	w.awaitIdle(ctx, t, "INBOX")
	s.mistype(ctx, t)
	var inbox []entry
	b.do(t, &inbox, "arrival", "INBOX", len(s.sent["INBOX"]))
	s.check(t, "INBOX", inbox)
	bounce := find(t, inbox, "#10486")
	b.look(ctx, t, s, bounce)

	b.quit(ctx, t)
	before := w.now()
	b = startThunderbird(ctx, t, profile)
	second := b.syncAll(t, s)
	for name, entries := range second {
		for i, e := range entries {
			if e.UID == bounce.UID && e.Read {
				entries[i].Read = false // for the check; that it is known was asked for
			} else if e.UID == bounce.UID {
				t.Errorf("%s has forgotten that this was read: %+v", name, e)
			}
		}
		s.check(t, name, entries)
	}
	if again := w.saidSince(before, "BODY"); len(again) > 0 {
		t.Errorf("the second sync fetches what the first has:\n%s", strings.Join(again, "\n"))
	}
}

// look opens a bounce as a click does, which says that it was read.
func (b *thunderbird) look(ctx context.Context, t *testing.T, s *site, bounce entry) {
	t.Helper()
	for _, want := range []string{"$label1", "$bounced", "$hardbounce"} {
		if !slices.Contains(bounce.Keywords, want) {
			t.Errorf("%s is not among the keywords of %+v", want, bounce)
		}
	}
	var shown struct {
		Body string
		Tags []string
	}
	b.do(t, &shown, "look", "INBOX", bounce.UID)
	for _, want := range []string{
		"to " + typo + " was not delivered", "550 5.1.1 No mailbox by that name", // the sentence and the reply
		"Final-Recipient: rfc822; " + typo, "2 Sencha", // the status and the original
	} {
		if !strings.Contains(strings.Join(strings.Fields(shown.Body), " "), want) {
			t.Errorf("%q is not in:\n%s", want, shown.Body)
		}
	}
	if !slices.Equal(shown.Tags, []string{"Important"}) { // which is red
		t.Errorf("the tags are %q", shown.Tags)
	}
	s.awaitSeen(ctx, t, "INBOX", bounce.UID, true)
	b.do(t, nil, "known", "Bounced", bounce.UID) // where the same entry is
	b.do(t, nil, "arrange")
	keepPicture(t, "thunderbird.png", steady(ctx, t, b.screenshot))
}
