//go:build full && linux

package e2e_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// office is a relay as a newcomer has it, with programs that send through it. It
// refuses senders of other domains, so that there is something to see.
type office struct {
	relay *e2etest.Relay
	mx    *smtpsim.Server // of customer.test; nobody@ is unknown there
	ops   *smtpsim.Server // of ops.test, where cron's mail goes
	dir   string          // of the programs
	env   []string        // of the programs: how they reach the relay
	came  int             // messages that arrived so far
}

func openOffice(ctx context.Context, t *testing.T) *office {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("needs root, to put our sendmail in the place of the system's for the programs alone")
	}
	world := e2etest.NewInternet(t)
	o := &office{dir: e2etest.Dir(t)}
	o.mx = world.Domain(t, "customer.test", smtpsim.Options{Rules: []smtpsim.Rule{
		{Name: "unknown", Stage: smtpsim.Rcpt, Rcpt: "nobody@customer.test", Do: smtpsim.Do(smtpsim.Reply(550, "5.1.1", "No such user here"))},
	}})
	o.ops = world.Domain(t, "ops.test", smtpsim.Options{})
	world.Domain(t, "shop.test", smtpsim.Options{})
	o.relay = e2etest.Start(t, world.Env(), e2etest.Env{
		"POSTRIDER_ALLOWED_SENDERS": "shop.test", "POSTRIDER_FROM_POLICY": "reject", "POSTRIDER_DKIM_AUTOGENERATE": "false",
	})
	key, err := o.relay.Admin().CreateKey(ctx, v1.NewKey{Account: e2etest.User, Label: "programs", Scopes: []string{"send"}})
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(o.relay.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	o.env = append(os.Environ(), "MAIL_PORT="+port, "MAIL_PASSWORD="+e2etest.Password, "MAIL_URL=http://"+o.relay.HTTP, "MAIL_KEY="+key.Secret, "POSTRIDER_SUBMIT="+o.relay.SubmitSocket())
	for _, from := range []string{"newcomers", "sdk/node"} {
		if err := os.CopyFS(o.dir, os.DirFS(filepath.Join("testdata", from))); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// run runs a command line with our sendmail at /usr/sbin/sendmail, and returns
// what a person sees, and whether the program was content.
func (o *office) run(ctx context.Context, t *testing.T, line string, env ...string) (seen string, ok bool) {
	t.Helper()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "sh", "-ec", `mount --bind "$0" /usr/sbin/sendmail; exec `+line, e2etest.Program(t))
	cmd.Dir, cmd.Env = o.dir, append(slices.Clone(o.env), env...)
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", line, err)
	}
	return string(out), err == nil
}

// arrives waits for one more message.
func (o *office) arrives(ctx context.Context, t *testing.T, subject string) {
	t.Helper()
	o.came++
	m := e2etest.Receive(ctx, t, o.mx, o.came)[o.came-1]
	if !strings.Contains(string(m.Raw), "\r\nSubject: "+subject) {
		t.Errorf("this arrived:\n%s", m.Raw)
	}
}

// try is one command line and what becomes of it.
type try struct {
	name  string // of what the page quotes
	typed string
	env   string // beside the usual
	says  string // must be in what is seen
	fails bool   // the program says that it failed; else the mail arrives
	last  bool   // of what is seen, only the last line is worth showing
}

// programs are the ways in, by the chapter of the page.
func programs() map[string][]try {
	return map[string][]try{
		"symfony": {
			{name: "success", typed: "php symfony.php you@shop.test ann@customer.test", says: "sent"},
			{name: "sender", typed: "php symfony.php you@other.test ann@customer.test", says: "550-5.7.1 The sender you@other.test is not allowed", fails: true},
			{name: "down", typed: "php symfony.php you@shop.test ann@customer.test", env: "POSTRIDER_SUBMIT=/run/postrider/submit.sock", says: "the relay is not available", fails: true},
		},
		"node": {
			{name: "success", typed: "node node.mjs you@shop.test ann@customer.test", says: "250 2.0.0 Ok: queued as msg_"},
			{name: "sender", typed: "node node.mjs you@other.test ann@customer.test", says: "550-5.7.1 The sender you@other.test is not allowed", fails: true},
			{name: "password", typed: "node node.mjs you@shop.test ann@customer.test", env: "MAIL_PASSWORD=wrong", says: "Invalid login: 535 5.7.8", fails: true},
			{name: "down", typed: "node node.mjs you@shop.test ann@customer.test", env: "MAIL_PORT=1", says: "ECONNREFUSED", fails: true},
		},
		"python": {
			{name: "success", typed: "python3 oversmtp.py you@shop.test ann@customer.test", says: "sent"},
			{name: "sender", typed: "python3 oversmtp.py you@other.test ann@customer.test", says: "SMTPSenderRefused: (550, b", fails: true, last: true},
			{name: "password", typed: "python3 oversmtp.py you@shop.test ann@customer.test", env: "MAIL_PASSWORD=wrong", says: "SMTPAuthenticationError: (535", fails: true, last: true},
			{name: "down", typed: "python3 oversmtp.py you@shop.test ann@customer.test", env: "MAIL_PORT=1", says: "Connection refused", fails: true, last: true},
		},
		"python-http": {
			{name: "success", typed: "python3 overhttp.py you@shop.test ann@customer.test", says: "202 msg_"},
			{name: "sender", typed: "python3 overhttp.py you@other.test ann@customer.test", says: "403 sender_not_allowed", fails: true},
			{name: "key", typed: "python3 overhttp.py you@shop.test ann@customer.test", env: "MAIL_KEY=wrong", says: "401 unauthorized", fails: true},
			{name: "down", typed: "python3 overhttp.py you@shop.test ann@customer.test", env: "MAIL_URL=http://127.0.0.1:1", says: "Connection refused", fails: true, last: true},
		},
	}
}

// programFiles are the programs themselves, as the page shows them.
func programFiles() map[string]string {
	return map[string]string{"symfony": "symfony.php", "node": "node.mjs", "python": "oversmtp.py", "python-http": "overhttp.py"}
}

// Programs that know nothing of this relay send through it, and a person sees
// why when they cannot: Symfony's mailer by `sendmail -bs`, Node, Python, cron.
func TestNewcomersWithPrograms(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	o := openOffice(ctx, t)
	crons := o.startCrons(ctx, t) // they wait for the minute meanwhile
	installNode(ctx, t, o.dir)
	for chapter, tries := range programs() {
		t.Run(chapter, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", "newcomers", programFiles()[chapter]))
			if err != nil {
				t.Fatal(err)
			}
			showsNewcomer(t, chapter+"/program", string(text))
			for _, c := range tries {
				o.try(ctx, t, chapter, c)
			}
		})
	}
	t.Run("later", func(t *testing.T) { o.laterBounce(ctx, t) })
	t.Run("cron", func(t *testing.T) { o.checkCrons(ctx, t, crons) })
}

func (o *office) try(ctx context.Context, t *testing.T, chapter string, c try) {
	t.Helper()
	seen, ok := o.run(ctx, t, c.typed, strings.Fields(c.env)...)
	if ok == c.fails || !strings.Contains(seen, c.says) {
		t.Errorf("%s: %s %s ends well: %v, and one sees\n%s", c.name, c.env, c.typed, ok, seen)
		return
	}
	if !c.fails {
		o.arrives(ctx, t, "First mail")
	}
	if c.last {
		lines := strings.Split(strings.TrimSpace(seen), "\n")
		seen = lines[len(lines)-1]
	}
	showsNewcomer(t, chapter+"/"+c.name, o.unvarying(t, "$ "+c.typed+"\n"+seen))
}

// unvarying replaces what differs from run to run, and this machine's name.
func (o *office) unvarying(t *testing.T, seen string) string {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	seen = regexp.MustCompile(`\b`+regexp.QuoteMeta(host)+`\b`).ReplaceAllString(seen, "web1")
	seen = strings.NewReplacer("\r\n", "\n", "127.0.0.1:1\n", "127.0.0.1:2525\n").Replace(seen)
	for _, w := range varyingWords() {
		seen = regexp.MustCompile(w[0]).ReplaceAllString(seen, w[1])
	}
	return seen
}

// laterBounce is mail that the program has sent, and the receiver does not take:
// the queue tells of it.
func (o *office) laterBounce(ctx context.Context, t *testing.T) {
	t.Helper()
	if seen, ok := o.run(ctx, t, "php symfony.php you@shop.test nobody@customer.test"); !ok || seen != "sent\n" {
		t.Errorf("one sees %q", seen)
	}
	o.relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("bounced") && l.Attr("rcpt") == "nobody@customer.test" })
	seen := o.relay.CLI(ctx, t, "queue", "list", "--state", "bounced")
	if !strings.Contains(seen, "nobody@customer.test") || !strings.Contains(seen, "rcpt.unknown") {
		t.Errorf("one sees\n%s", seen)
	}
	var rows []string // columns are as wide as what stood in them
	for line := range strings.Lines(o.unvarying(t, seen)) {
		rows = append(rows, strings.Join(columns.Split(strings.TrimSpace(line), -1), "  "))
	}
	showsNewcomer(t, "symfony/bounce", "$ postrider queue list --state bounced\n"+strings.Join(rows, "\n"))
}

var columns = regexp.MustCompile(` {2,}`)

// cronRun is one cron with its own settings of sendmail.
type cronRun struct {
	name, settings, mailto string
	says                   string // in the log of cron or on its standard error; empty: the mail arrives
}

func (o *office) cronRuns() []cronRun {
	good := "submit = " + o.relay.SubmitSocket() + "\ndomain = shop.test\nroot_address = ops@ops.test\n"
	return []cronRun{
		{"success", good, "root", ""},
		{"down", strings.Replace(good, o.relay.SubmitSocket(), "/run/postrider/submit.sock", 1), "root", "/run/postrider/submit.sock"},
		{"sender", good + "default_from = cron@other.test\n", "root", "The sender cron@other.test is not allowed"},
		{"recipient", good, "ops@", "no usable recipient"},
	}
}

// startCrons lets Debian's cron run one job in each of several worlds.
func (o *office) startCrons(ctx context.Context, t *testing.T) []chan string {
	t.Helper()
	program := e2etest.Program(t)
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	// Something to mount their settings on, which is not there unless Postrider is.
	const settings = "/etc/postrider"
	err := os.Mkdir(settings, 0o755)
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err != nil {
			return // it was there before
		}
		if err := os.Remove(settings); err != nil {
			t.Error(err)
		}
	})
	if err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	var all []chan string
	for _, r := range o.cronRuns() {
		seen := make(chan string, 1)
		all = append(all, seen)
		running.Go(func() {
			text, err := o.cron(ctx, program, r)
			if err != nil {
				text += "\n" + err.Error()
			}
			seen <- text
		})
	}
	return all
}

func (o *office) checkCrons(ctx context.Context, t *testing.T, crons []chan string) {
	t.Helper()
	m := e2etest.Receive(ctx, t, o.ops, 1)[0]
	if text := string(m.Raw); !strings.Contains(text, "\r\nSubject: Cron <root@") || !strings.Contains(text, "backup: 3 files\r\n") {
		t.Errorf("cron's mail is\n%s", text)
	}
	for i, r := range o.cronRuns() {
		text := <-crons[i]
		if !strings.Contains(text, r.says) || (r.says != "") != strings.Contains(text, "from MTA") {
			t.Errorf("%s: cron said\n%s", r.name, text)
		}
		showsNewcomer(t, "cron/"+r.name, o.unvarying(t, text))
	}
}

// cronWorld puts what one cron sees in the place of the system's: its tables, the
// settings of sendmail, a /dev with our log, and our sendmail.
const cronWorld = `mount --bind "$0" /usr/sbin/sendmail
for at in etc/postrider etc/cron.d var/spool/cron/crontabs run; do mount --bind "$1/$at" "/$at"; done
mount --bind "$1/etc/crontab" /etc/crontab
mount -t tmpfs tmpfs "$1/dev"
cp -a /dev/null /dev/zero /dev/urandom "$1/dev/"
ln -s "$1/log" "$1/dev/log"
mount --bind "$1/dev" /dev
exec cron -f -L 15`

// cron runs a cron until its job is done, and returns what its log and its
// standard error say of mail.
func (o *office) cron(ctx context.Context, program string, r cronRun) (string, error) {
	dir, err := os.MkdirTemp(o.dir, "cron-")
	if err != nil {
		return "", err
	}
	for _, d := range []string{"etc/postrider", "etc/cron.d", "var/spool/cron/crontabs", "run", "dev"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return "", err
		}
	}
	for name, text := range map[string]string{
		"etc/postrider/sendmail.conf": r.settings, "etc/cron.d/backup": "MAILTO=" + r.mailto + "\n* * * * * root echo 'backup: 3 files'\n", "etc/crontab": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "log"), Net: "unixgram"})
	if err != nil {
		return "", err
	}
	defer log.Close()
	running, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(running, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", cronWorld, program, dir)
	var said strings.Builder
	cmd.Stderr, cmd.Stdout = &said, &said
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed, unless it could not start: then said has why
		log.Close()
	}()
	lines := cronLog(log)
	stop()
	<-ended
	return lines + said.String(), nil
}

var (
	cronLine   = regexp.MustCompile(`\(root\) (CMD|MAIL|END) [^\n]*`)
	cronNumber = regexp.MustCompile(`\(\[\d+\] `) // of a process
)

// cronLog reads cron's log until the job has ended, or the log has.
func cronLog(log *net.UnixConn) (lines string) {
	for b := make([]byte, 8192); ; {
		n, err := log.Read(b)
		if err != nil {
			return lines
		}
		m := cronLine.FindStringSubmatch(string(b[:n]))
		if m == nil {
			continue
		}
		if m[1] == "MAIL" && !strings.HasSuffix(m[0], ")") {
			m[0] += ")" // cron puts a line end before it
		}
		lines += cronNumber.ReplaceAllString(m[0], "(") + "\n"
		if m[1] == "END" {
			return lines
		}
	}
}
