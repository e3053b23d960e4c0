package alert_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/alert"
)

// program writes a script and returns its path.
func program(t *testing.T, script string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}

func (w *world) tellBy(command ...string) {
	w.t.Helper()
	a := w.watch(0, func(o *alert.Options) {
		o.Command, o.Address, o.Timeout = command, queue.Address{}, 500*time.Millisecond
	})
	w.round(a)
	w.happen(trouble{state: bounced, class: queue.ClassBlockIP, reply: "no\r\nX: $(id)"})
	w.round(a)
	w.pass(time.Minute)
	w.round(a)
}

func TestACommandIsToldTheFacts(t *testing.T) {
	t.Setenv("POSTRIDER_API_KEY", "hidden")
	w := newWorld(t)
	out := filepath.Join(t.TempDir(), "out")
	w.tellBy(program(t, `{ echo "$#:$2"; env; cat; } > "$1"`), out, "$HOME;`id`")
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got := string(b)
	for _, line := range []string{
		"2:$HOME;`id`\n", "POSTRIDER_ALERT_KIND=refused\n", "POSTRIDER_ALERT_CLASS=block.ip\n", "POSTRIDER_ALERT_SITE=outlook.com\n",
		"POSTRIDER_ALERT_ADDRESS=192.0.2.1\n", "POSTRIDER_ALERT_REPLY=550 no X: $(id)\n", "POSTRIDER_ALERT_RECIPIENTS=1\n", "POSTRIDER_ALERT_SINCE=2026-11-23T05:00:00Z\n",
		"outlook.com refuses mail from 192.0.2.1: the address is blocked.\r\n", "mx.outlook.com said: 550 no X: $(id)\r\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
	if strings.Contains(got, "hidden") {
		t.Error("it is told a secret of ours")
	}
	if n := len(w.letters()); n != 0 {
		t.Errorf("%d letters", n)
	}
}

func TestACommandThatFailsIsLogged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, want string }{
		"an exit status": {"echo the pager is down >&2; exit 3", "exit status 3: the pager is down"},
		"much output":    {"i=0; while [ $i -lt 3000 ]; do echo xxxxxxxxxx; i=$((i+1)); done; exit 1", "exit status 1: xxxxxxxxxx"},
		"no end":         {"exec sleep 60", "it was ended after 500ms"},
		"no such file":   {"", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			command := program(t, c.script)
			if c.script == "" {
				command += "x"
			}
			w.tellBy(command)
			log := w.log.String()
			if !strings.Contains(log, "alert command failed") || !strings.Contains(log, c.want) {
				t.Errorf("the log has no %q:\n%s", c.want, log)
			}
			if len(log) > 8<<10 {
				t.Errorf("the log got %d octets", len(log))
			}
		})
	}
}
