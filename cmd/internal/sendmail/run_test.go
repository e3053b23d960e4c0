package sendmail

import (
	"strings"
	"testing"
)

func TestEveryCallerIsUnderstood(t *testing.T) {
	t.Parallel()
	const mailed = "To: a@x.example\nSubject: s\nFrom: site@x.example\n\nbody\n"
	const cron = "From: root (Cron Daemon)\nTo: root\nSubject: Cron\n\noutput\n"
	const sent = "To: hidden@x.example\nFrom: me@x.example\n\nbody\n"
	cases := []struct {
		name, args, input, from, to string
	}{
		{"PHP mail()", "-t -i", mailed, "www-data@web1", "a@x.example"},
		{"PHP mail() with glued sender", "-t -i -fsite@x.example", mailed, "site@x.example", "a@x.example"},
		{"PHPMailer up to 7.0", "-oi -fsite@x.example -t", mailed, "site@x.example", "a@x.example"},
		{"PHPMailer 7.1", "-fsite@x.example -i -t", mailed, "site@x.example", "a@x.example"},
		{"PHPMailer qmail mode", "-fsite@x.example", mailed, "site@x.example", "a@x.example"},
		{"two senders, the last wins", "-t -i -f site@x.example -fwordpress@y.example", mailed, "wordpress@y.example", "a@x.example"},
		{"an empty sender does not swallow -t", "-i -f -t", mailed, "www-data@web1", "a@x.example"},
		{"cronie", "-FCronDaemon -i -odi -oem -oi -t -f root", cron, "root@web1", "root@web1"},
		{"vixie", "-FCronDaemon -odi -oem -t", cron, "www-data@web1", "root@web1"},
		{"Debian cron", "-i -FCronDaemon -B8BITMIME -oem root", cron, "www-data@web1", "root@web1"},
		{"anacron", "-FAnacron -odi root", cron, "www-data@web1", "root@web1"},
		{"atd", "-i user", cron, "www-data@web1", "user@web1"},
		{"busybox", "-ti", mailed, "www-data@web1", "a@x.example"},
		{"systemd-cron", "-i -B 8BITMIME user", cron, "www-data@web1", "user@web1"},
		{"mdadm", "-t -fops@x.example", mailed, "ops@x.example", "a@x.example"},
		{"git send-email", "-i a@x.example b@y.example", sent, "www-data@web1", "a@x.example b@y.example"},
		{"git send-email --envelope-sender", "-f me@x.example -i a@x.example", sent, "me@x.example", "a@x.example"},
		{"mutt", "-oem -oi -f me@x.example -N failure,delay -R full -- a@x.example b@y.example", sent, "me@x.example", "a@x.example b@y.example"},
		{"mutt without notify", "-oem -oi -- a@x.example", sent, "www-data@web1", "a@x.example"},
		{"cPanel-era", "-oem -oi -F Name -f addr@x.example -t", mailed, "addr@x.example", "a@x.example"},
		{"-t and arguments are united", "-t -i b@y.example a@x.example", mailed, "www-data@web1", "b@y.example a@x.example"},
		{"flags with values we ignore", "-A c -C /etc/x -d 0 -h 10 -L tag -O opt=1 -o x -p proto -X log -t", mailed, "www-data@web1", "a@x.example"},
		{"flags without values we ignore", "-Gmn -U -v -em -ep -t -i", mailed, "www-data@web1", "a@x.example"},
		{"an unknown flag", "-t -Z --dry", mailed, "www-data@web1", "a@x.example"},
		{"-r is -f", "-t -r site@x.example", mailed, "site@x.example", "a@x.example"},
		{"-bm", "-bm a@x.example", sent, "www-data@web1", "a@x.example"},
		{"null sender", "-t -f <>", mailed, "", "a@x.example"},
		{"sender with a name", "-t -fSite<site@x.example>", mailed, "site@x.example", "a@x.example"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			relay := &scriptedRelay{extensions: fullExtensions}
			r := call(relay.start(t), strings.Fields(c.args)...).run(t, c.input)
			r.must(t, 0)
			m := relay.one(t)
			if m.from() != c.from || m.to() != c.to {
				t.Errorf("envelope from %q to %q, want from %q to %q", m.from(), m.to(), c.from, c.to)
			}
			if !strings.HasSuffix(m.data, "\r\n\r\n"+c.input[strings.Index(c.input, "\n\n")+2:len(c.input)-1]+"\r\n") {
				t.Errorf("body changed: %q", m.data)
			}
			if warned := strings.Contains(r.stderr, "warning"); warned != (strings.Contains(c.args, "-Z") || strings.Contains(c.args, "-f -t")) {
				t.Errorf("stderr %q", r.stderr)
			}
		})
	}
}

func TestNothingToDoIsDone(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"newaliases"}, {"sendmail", "-bi"}, {"sendmail", "-q"}, {"sendmail", "-q30m"}, {"sendmail", "-I"},
	} {
		inv := call("/nonexistent/s")
		inv.Args = args
		if r := inv.run(t, ""); r.code != 0 || r.stdout != "" || r.stderr != "" {
			t.Errorf("%q: %+v", args, r)
		}
	}
	inv := call("/nonexistent/s", "--version")
	inv.Version = "1.2.3"
	if r := inv.run(t, ""); r.code != 0 || r.stdout != "postrider sendmail 1.2.3\n" {
		t.Errorf("--version: %+v", r)
	}
	if r := call("/nonexistent/s", "--help").run(t, ""); r.code != 0 || !strings.HasPrefix(r.stdout, "usage:") {
		t.Errorf("--help: %+v", r)
	}
}

func TestVerifyShowsWhereMailGoes(t *testing.T) {
	t.Parallel()
	inv := call("/nonexistent/s", "-bv", "root", "a@x.example")
	inv.Environ = []string{"POSTRIDER_ROOT_ADDRESS=ops@x.example"}
	r := inv.run(t, "")
	r.must(t, 0)
	want := "root... deliverable: mailer relay, user ops@x.example\na@x.example... deliverable: mailer relay, user a@x.example\n"
	if r.stdout != want {
		t.Errorf("got %q", r.stdout)
	}
	call("/nonexistent/s", "-bv").run(t, "").must(t, 64)
	call("/nonexistent/s", "-bv", "a b").run(t, "").must(t, 65)
}
