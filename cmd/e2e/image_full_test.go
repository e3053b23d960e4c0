//go:build full

package e2e_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// maxImage is the most that pulling the image may take, in octets.
const maxImage = 20 << 20

// containerSuite are the tests of the program that are repeated with it in a
// container: all that start it with settings alone, and none that give it files
// of the host, look at its paths, or measure it.
const containerSuite = "^(TestSocketsAreOpenToThoseTheyAreFor|TestMailNeedsALoginAndIsDelivered|TestSIGTERMUnderLoadExitsZeroInTime|TestSecondSignalEndsAtOnce" +
	"|TestKilledRelayLosesNothingItAcknowledged" +
	"|TestTroubleEndsAsItShould|TestNullSenderHearsNothing|TestOperatorHoldsReleasesRetriesAndCancels|TestIdempotencyKeyIsHonouredAndStripped|TestMetricsAndProbes" +
	"|TestVisitorsFromBecomesReplyTo|TestPolicyIsToldAtMail|TestTrustedNetworkNeedsNoLogin|TestSurgeIsHeldUntilReleased" +
	"|TestSignaturesVerifyWithThePrintedRecords|TestReportsAreThoseThatWereAskedFor|TestSendmailWorksForEveryUser" +
	"|TestFoldersShowWhatBecameOfMail|TestPOP3ShowsTheFolders|TestAHundredRequestsWithOneKeyMakeOneMessage|TestScheduledMailOutlivesTheRelay)$"

func TestTheImageRunsReadOnlyAsNobodyWithOneVolume(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run as root: it makes namespaces and gives its rights up")
	}
	dir := e2etest.Dir(t)
	img := buildImage(t, dir, runtime.GOARCH)
	program := filepath.Join(dir, "postrider")
	command(t, "go", "build", "-o", program, "postrider/cmd/e2e/container")
	t.Setenv("POSTRIDER_TEST_BINARY", program)
	before := tree(t, img.root)

	t.Run("mail by SMTP, HTTP and sendmail is delivered", imageDelivers)
	t.Run("it has no rights and nothing to write to but its volume", imageHasNoRights)
	t.Run("it starts from the environment alone, and lets no stranger send", imageStartsFromTheEnvironment)
	t.Run("it refuses to be an open relay", imageIsNoOpenRelay)
	t.Run("it counts by days of a time zone", imageKnowsTimeZones)
	t.Run("sendmail copied out of it works alone", func(t *testing.T) { sendmailWorksAlone(t, img) })
	t.Run("tests of the program pass in it", func(t *testing.T) {
		cmd := exec.CommandContext(within(t, 5*time.Minute), os.Args[0], "-test.run", containerSuite, "-test.v", "-test.parallel", "4")
		out, err := cmd.CombinedOutput()
		passed := bytes.Count(out, []byte("\n--- PASS: "))
		if want := strings.Count(containerSuite, "Test"); err != nil || passed < want {
			t.Errorf("%d of %d passed: %v\n%s", passed, want, err, out)
		}
	})
	if after := tree(t, img.root); !slices.Equal(before, after) {
		t.Error("the root file system has changed")
	}
	checkSize(t, img)
}

func TestTheImageIsStaticForBothProcessorsAndSmall(t *testing.T) {
	t.Parallel()
	for architecture, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		if architecture == runtime.GOARCH {
			continue // the test above has it
		}
		img := buildImage(t, e2etest.Dir(t), architecture)
		checkStatic(t, filepath.Join(img.root, "usr/bin/postrider"), machine)
		checkSize(t, img)
	}
}

// checkStatic demands a program that needs no loader and no library.
func checkStatic(t *testing.T, path string, machine elf.Machine) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != machine {
		t.Errorf("%s is for %v, want %v", path, f.Machine, machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s needs a loader", path)
		}
	}
	if libs, err := f.ImportedLibraries(); err != nil || len(libs) > 0 {
		t.Errorf("%s needs %q (%v)", path, libs, err)
	}
}

// checkSize packs the layers as a registry keeps them.
func checkSize(t *testing.T, img builtImage) {
	t.Helper()
	pack := exec.Command("tar", "-C", img.root, "-c", ".")
	tar, err := pack.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := pack.Start(); err != nil {
		t.Fatal(err)
	}
	var size counter
	z := gzip.NewWriter(&size)
	plain, err := io.Copy(z, tar)
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := pack.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d KiB, compressed %d KiB", img.architecture, plain>>10, size>>10)
	if size > maxImage {
		t.Errorf("compressed it has %d octets, want %d at most", size, maxImage)
	}
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// large is a message that sendmail cannot hold in memory.
func large() string {
	return "From: a@shop.test\nTo: b@customer.test\nSubject: large\n\n" + strings.Repeat("All work and no play makes a dull line.\n", 100_000)
}

func imageDelivers(t *testing.T) {
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_API_KEY": "operator-key-of-the-test-0123456789"})
	health := func() int {
		return e2etest.Run(ctx, t, e2etest.Command{Args: []string{"health"}, Env: inContainer(relay)}).Status
	}
	if status := health(); status != 0 {
		t.Errorf("postrider health exits %d", status)
	}
	relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, []byte("From: a@shop.test\r\nSubject: smtp\r\n\r\nHello\r\n"))

	body := `{"from": "a@shop.test", "to": ["b@customer.test"], "subject": "http", "text": "Hello"}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+relay.HTTP+"/v1/messages", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(e2etest.User, e2etest.Password)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		t.Errorf("HTTP answers %s", res.Status)
	}

	for _, text := range []string{"Subject: sendmail\n\nHello\n", large()} {
		sent := e2etest.Run(ctx, t, e2etest.Command{
			Args: []string{"sendmail", "-i", "-f", "a@shop.test", "b@customer.test"}, Env: inContainer(relay), Stdin: strings.NewReader(text),
		})
		if sent.Status != 0 {
			t.Errorf("sendmail exits %d: %s", sent.Status, sent.Stderr)
		}
	}
	e2etest.Receive(ctx, t, mx, 4)

	relay.Signal(t, syscall.SIGTERM)
	if status := relay.Wait(ctx, t); status != 0 {
		t.Errorf("after SIGTERM the exit status is %d", status)
	}
	if status := e2etest.Run(ctx, t, e2etest.Command{Args: []string{"health"}, Env: e2etest.Env{"POSTRIDER_DATA_DIR": relay.DataDir}}).Status; status == 0 {
		t.Error("postrider health exits 0 though nothing runs")
	}
}

// inContainer is for commands beside a running relay, as `docker exec` runs them.
func inContainer(relay *e2etest.Relay) e2etest.Env {
	return e2etest.Env{"CONTAINER_EXEC": fmt.Sprint(relay.PID())}
}

func imageHasNoRights(t *testing.T) {
	relay := e2etest.Start(t)
	status := string(readFile(t, fmt.Sprintf("/proc/%d/status", relay.PID())))
	for _, want := range []string{
		"Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "Groups:\t \n", "NoNewPrivs:\t1",
		"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("/proc/PID/status lacks %q:\n%s", want, status)
		}
	}
	writable := 0
	for line := range strings.Lines(string(readFile(t, fmt.Sprintf("/proc/%d/mountinfo", relay.PID())))) {
		fields := strings.Fields(line)
		if strings.HasPrefix(fields[5], "rw") {
			writable++
			if fields[4] != "/var/lib/postrider" {
				t.Errorf("%s can be written to", fields[4])
			}
		}
	}
	if writable != 1 {
		t.Errorf("%d mounts can be written to, want the volume alone", writable)
	}
	err := filepath.WalkDir(relay.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 65532 || owner.Gid != 65532 {
			t.Errorf("%s is owned by %d:%d", path, owner.Uid, owner.Gid)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// imageStartsFromTheEnvironment does what one line does:
//
//	docker run -e POSTRIDER_SMARTHOST=smtp://… -v queue:/var/lib/postrider postrider
//
// in a network of its own, with the ports that the image has by itself.
func imageStartsFromTheEnvironment(t *testing.T) {
	ctx := within(t, time.Minute)
	dir := e2etest.Dir(t)
	relay := e2etest.Launch(t, dir, e2etest.Env{
		"CONTAINER_NETWORK": "own", "POSTRIDER_DATA_DIR": filepath.Join(dir, "queue"),
		"POSTRIDER_SMARTHOST": "smtp://127.0.0.1:2600",
	})
	started := relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("relay started") })
	for listener, want := range map[string]string{"submission": "[::]:2525", "http": "[::]:8025", "imap": "[::]:1143", "pop3": "[::]:1110"} {
		if got := started.Attr(listener); !strings.Contains(got, want) {
			t.Errorf("%s listens on %s, want %s", listener, got, want)
		}
	}
	if started.Attr("data_dir") != "/var/lib/postrider" {
		t.Errorf("its data is in %s", started.Attr("data_dir"))
	}
	if !strings.Contains(relay.Err.Text(), "A first account was made") {
		t.Errorf("no account was made: %s", relay.Err.Text())
	}
	e2etest.Poll(ctx, t, func() error {
		if res := e2etest.Run(ctx, t, e2etest.Command{Args: []string{"health"}, Env: inContainer(relay)}); res.Status != 0 {
			return fmt.Errorf("postrider health exits %d: %s", res.Status, res.Stderr)
		}
		return nil
	})

	var upstream *smtpsim.Server
	inNetworkOf(t, relay.PID(), func() error {
		var err error
		upstream, err = smtpsim.Start(smtpsim.Options{Addr: "127.0.0.1:2600"})
		return err
	})
	defer upstream.Close()
	inNetworkOf(t, relay.PID(), func() error {
		c, err := e2etest.Dial(ctx, "127.0.0.1:2525")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Do(530, "MAIL FROM:<stranger@example.com>")
		return err
	})
	link := filepath.Join(dir, "sendmail")
	if err := os.Symlink(e2etest.Program(t), link); err != nil {
		t.Fatal(err)
	}
	sent := e2etest.Run(ctx, t, e2etest.Command{
		Path: link, Args: []string{"-i", "-t", "-f", "a@shop.test"}, Env: inContainer(relay),
		Stdin: strings.NewReader("From: a@shop.test\nTo: b@customer.test\nSubject: one line\n\nHello\n"),
	})
	if sent.Status != 0 {
		t.Errorf("sendmail exits %d: %s", sent.Status, sent.Stderr)
	}
	e2etest.Receive(ctx, t, upstream, 1)
	relay.Signal(t, syscall.SIGTERM)
	if status := relay.Wait(ctx, t); status != 0 {
		t.Errorf("after SIGTERM the exit status is %d", status)
	}
}

// inNetworkOf runs do in the network namespace of a process. The sockets that it
// opens stay there.
func inNetworkOf(t *testing.T, pid int, do func() error) {
	t.Helper()
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock it: the thread ends with the goroutine
		failed <- func() error {
			ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			return do()
		}()
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

func imageIsNoOpenRelay(t *testing.T) {
	dir := e2etest.Dir(t)
	res := e2etest.Run(within(t, time.Minute), t, e2etest.Command{Args: []string{"serve"}, Env: e2etest.Env{
		"CONTAINER_NETWORK": "own", "POSTRIDER_DATA_DIR": dir, "POSTRIDER_TRUSTED_NETWORKS": "0.0.0.0/0",
	}})
	if res.Status != 78 || !strings.Contains(res.Stderr, "this would be an open relay") {
		t.Errorf("it exits %d: %s", res.Status, res.Stderr)
	}
}

func imageKnowsTimeZones(t *testing.T) {
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+relay.HTTP+"/v1/stats?granularity=day&timezone=Europe/Berlin", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(e2etest.User, e2etest.Password)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("counts by day in Berlin: %s %s (%v)", res.Status, text, err)
	}
}

// sendmailWorksAlone runs the shim as the web server's user of a wordpress:*
// image, in a root that holds nothing else.
func sendmailWorksAlone(t *testing.T, img builtImage) {
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_TRUSTED_NETWORKS": "127.0.0.0/8"})
	bare := filepath.Join(e2etest.Dir(t), "bare")
	for _, i := range stageOf(t, "sendmail").does {
		words := strings.Fields(i.rest)
		from := filepath.Join(img.dir, "build", words[1])
		to := filepath.Join(bare, words[2])
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		command(t, "cp", "-a", from, to)
	}
	out, err := bareSendmail(ctx, bare, "Subject: shim\n\nHello\n", "POSTRIDER_SUBMIT="+relay.SMTP)
	if err != nil {
		t.Errorf("sendmail: %v: %s", err, out)
	}
	if msg := e2etest.Receive(ctx, t, mx, 1)[0]; !strings.Contains(string(msg.Raw), "Subject: shim") {
		t.Errorf("what arrived: %s", msg.Raw)
	}
	// Without any environment it reads its one file.
	if err := os.MkdirAll(filepath.Join(bare, "etc/postrider"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bare, "etc/postrider/sendmail.conf"), []byte("submit = "+relay.SMTP+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := bareSendmail(ctx, bare, "Subject: file\n\nHello\n"); err != nil {
		t.Errorf("sendmail with its file: %v: %s", err, out)
	}
	e2etest.Receive(ctx, t, mx, 2)
}

func bareSendmail(ctx context.Context, root, text string, env ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "/usr/sbin/sendmail", "-t", "-i", "-fa@shop.test", "b@customer.test")
	cmd.Path, cmd.Err = "/usr/sbin/sendmail", nil // below root, not here
	cmd.Env, cmd.Dir, cmd.Stdin = env, "/", strings.NewReader(text)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 33, Gid: 33}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
