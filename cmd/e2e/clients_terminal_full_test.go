//go:build full

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postrider/cmd/e2e/e2etest"
)

// These programs are looked at: what is typed and seen is in terminal.exp.

func mutt(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	terminalProgram(ctx, t, a, row, "mutt", "imap://localhost:"+a.imap.plain+"/")
}

func neomutt(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	terminalProgram(ctx, t, a, row, "neomutt", "imaps://localhost:"+a.imap.tls+"/")
}

// idling is what they note when they begin to wait.
var idling = regexp.MustCompile(`(?m)\ba\d+ IDLE\r?$`)

func terminalProgram(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow, program, url string) {
	dir := e2etest.Dir(t)
	conf := func(name, keys string) string {
		return write(t, dir, name, `set imap_user="%s"
set imap_pass="%s"
set folder="%s"
set spoolfile="+INBOX"
set record=""
set header_cache="%s/cache"
set certificate_file="%s"
set ssl_starttls=no
set ssl_force_tls=no
set mbox_type=Maildir
set confirmappend=no
set confirmcreate=no
set delete=yes
set quit=yes
set copy=no
set move=no
set mark_old=no
set sleep_time=0
set wait_key=no
set timeout=1
set mail_check=1
set imap_idle=yes
set imap_check_subscribed=yes
set pager_stop=yes
set index_format="%%4C %%Z %%s"
%s
`, a.name, e2etest.Password, url, dir, a.cert.cert, keys)
	}
	person := func(act, conf string, sees ...string) []string {
		return append([]string{script(t, "terminal.exp"), act, program, conf}, sees...)
	}
	copyAll := func(to string) (n int) {
		t.Helper()
		keys := "push \""
		for _, folder := range []string{"INBOX", "Queued", "Deferred", "Sent"} {
			keys += fmt.Sprintf("<change-folder><kill-line>=%s<enter><tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>%s/%s/%s<enter>", folder, dir, to, folder)
		}
		subdir(t, dir, to)
		runs(ctx, t, 0, dir, "expect", person("copy", conf("copy", keys+"<quit>\""))...)
		for _, folder := range []string{"INBOX", "Queued", "Deferred", "Sent"} {
			n += a.has(t, dir+"/"+to+"/"+folder, folder)
		}
		return n
	}
	row.first = fmt.Sprintf("all %d", copyAll("first"))
	copyAll("again")
	row.second = "the same, from its header cache"

	unread := a.unread(ctx, t, "INBOX")
	text := runs(ctx, t, 0, dir, "expect", person("look", conf("look", ""), fmt.Sprint(len(a.in("INBOX"))), scriptWord, a.scriptRecipient())...)
	for _, step := range []string{"found", "refused to delete", "refused to move"} {
		if !strings.Contains(text, "*** "+step) {
			t.Errorf("no %q in %s", step, text)
		}
	}
	row.search = "subject and address, on the server (`=h`)"
	a.awaitUnread(ctx, t, "INBOX", unread-1)
	row.reading = "yes; others see it"
	row.writing = "deleting: \"not permitted by ACL\"; moving and copying: refused with the reason; it goes on"

	home := subdir(t, dir, "waiting")
	idle := start(t, home, nil, "expect", person("wait", conf("wait", ""), fmt.Sprint(len(a.in("INBOX"))), "Order came")...)
	e2etest.Poll(ctx, t, func() error {
		said, err := os.ReadFile(filepath.Join(home, "."+program+"debug0"))
		if err == nil && !idling.Match(said) {
			err = fmt.Errorf("%s does not idle", program)
		}
		return err
	})
	a.bounce(ctx, t, "came")
	if status := idle.end(ctx, t, 0); status != 0 {
		t.Errorf("%s that waits exits %d", program, status)
	}
	row.waiting = "shown at once (`imap_idle`)"
	a.awaitFiled(ctx, t)
}
