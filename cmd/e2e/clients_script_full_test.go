//go:build full

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/cmd/e2e/e2etest"
)

// These are what people write scripts with.

// scriptWord and scriptRecipient belong to one bounce of an account.
const scriptWord = "Order 119"

func (a *clientAccount) scriptRecipient() string { return a.name + ".19@" + domainNone }

func (a *clientAccount) scriptEnv(dir, port string) e2etest.Env {
	return e2etest.Env{
		"NAME": a.name, "PASSWORD": e2etest.Password, "PORT": port, "CERT": a.cert.cert, "DIR": dir,
		"WORD": scriptWord, "RECIPIENT": a.scriptRecipient(),
	}
}

// play runs a script that waits for a bounce in the end, and returns what it told.
func (a *clientAccount) play(ctx context.Context, t *testing.T, dir string, env e2etest.Env, name string, args ...string) told {
	t.Helper()
	b := start(t, dir, env, name, args...)
	b.await(ctx, t, "waiting")
	a.bounce(ctx, t, "came")
	if status := b.end(ctx, t, 0); status != 0 {
		t.Fatalf("%s exits %d:\n%s", name, status, endOf([]byte(b.text())))
	}
	return tellings(b.text())
}

const refusal = "Postrider's folders are read-only"

func imapfilter(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	dir := e2etest.Dir(t)
	got := subdir(t, dir, "got")
	all := a.in("INBOX", "Queued", "Deferred", "Sent")
	steps := a.play(ctx, t, dir, a.scriptEnv(got, a.imap.start), "imapfilter", "-t", a.cert.cert, "-c", script(t, "filter.lua"))
	steps.want(t, "subject", "1", "recipient", "1", "marked", "true", "unread", "8", "deleted", "true",
		"moved", "false", "copied", "false", "made", "false", "left", "9", "woke", "true\tEXISTS", "came", "1")
	n := a.hasOnce(t, got, all)
	row.first, row.second = fmt.Sprintf("all %d", n), "the same"
	row.search = "subject and address"
	row.waiting = "woken at once (`enter_idle`)"
	a.awaitUnread(ctx, t, "INBOX", 9)
	row.reading = "yes; others see it"
	a.awaitFiled(ctx, t)
	row.writing = "deleting does nothing; moving, copying and new folders are refused; it goes on"
}

func curlIMAP(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	dir := e2etest.Dir(t)
	url := "imaps://localhost:" + a.imap.tls + "/"
	curl := func(status int, args ...string) string {
		t.Helper()
		return runs(ctx, t, status, dir, "curl", append([]string{"-sS", "--cacert", a.cert.cert, "--user", a.name + ":" + e2etest.Password}, args...)...)
	}
	uids := func(folder string) []string { return strings.Fields(curl(0, url+folder, "-X", "UID SEARCH ALL"))[2:] }
	save := func(to string) (n int) {
		t.Helper()
		for _, folder := range []string{"INBOX", "Queued", "Deferred", "Sent"} {
			into := subdir(t, dir, to, folder)
			curl(0, url+folder+";UID={"+strings.Join(uids(folder), ",")+"}", "-o", into+"/#1")
			n += a.has(t, into, folder)
		}
		return n
	}
	row.first = fmt.Sprintf("all %d", save("first"))
	save("again")
	row.second = "the same"
	for _, query := range []string{`?SUBJECT%20"` + strings.ReplaceAll(scriptWord, " ", "%20") + `"`, "?FROM%20" + a.scriptRecipient()} {
		if found := strings.Fields(curl(0, url+"INBOX"+query)); len(found) != 3 {
			t.Errorf("searching for %s finds %q", query, found)
		}
	}
	row.search = "subject and address"
	curl(0, url+"INBOX", "-X", `STORE 1 -FLAGS (\Seen)`)
	row.reading = "what it fetches, and by STORE; others see it"
	other := runs(ctx, t, 0, dir, "env", "NAME="+a.name, "PASSWORD="+e2etest.Password, "PORT="+a.imap.start, "CERT="+a.cert.cert, "WORD=", "python3", script(t, "imap.py"), "unread")
	tellings(other).want(t, "unread", "1")

	mine := write(t, dir, "mine", "Subject: mine\r\n\r\nmine\r\n")
	const uploadFailed, commandRefused = 25, 21
	curl(uploadFailed, url+"Sent", "-T", mine)
	curl(commandRefused, url, "-X", "CREATE Mine")
	curl(commandRefused, url, "-X", "DELETE Sent")
	curl(commandRefused, url+"INBOX", "-X", "COPY 1 Sent")
	curl(0, url+"INBOX", "-X", `STORE 1 +FLAGS (\Deleted)`)
	curl(0, url+"INBOX", "-X", "EXPUNGE")
	a.awaitFiled(ctx, t)
	row.writing = "deleting does nothing; uploading ends with exit 25, COPY, CREATE and DELETE with exit 21"
}

func curlPOP3(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	dir := e2etest.Dir(t)
	url := "pop3s://localhost:" + a.pop3.tls + "/"
	curl := func(user string, args ...string) string {
		t.Helper()
		return runs(ctx, t, 0, dir, "curl", append([]string{"-sS", "--cacert", a.cert.cert, "--user", user + ":" + e2etest.Password}, args...)...)
	}
	n := len(a.in("INBOX"))
	unique := curl(a.name, url, "-X", "UIDL")
	save := func(to string) {
		curl(a.name, fmt.Sprintf("%s[1-%d]", url, n), "-o", subdir(t, dir, to)+"/#1")
		a.has(t, dir+"/"+to, "INBOX")
	}
	save("first")
	curl(a.name+"+sent", url+"[1-19]", "-o", subdir(t, dir, "sent")+"/#1")
	row.first = fmt.Sprintf("%d of INBOX, %d of `+sent`", n, a.has(t, dir+"/sent", "Sent"))
	save("again")
	if now := curl(a.name, url, "-X", "UIDL"); now != unique || strings.Count(now, "\n") != n {
		t.Errorf("UIDL says %q and then %q", unique, now)
	}
	row.second = "the same"
	curl(a.name, url+"1", "-X", "DELE", "-I")
	if left := curl(a.name, url); strings.Count(left, "\n") != n-1 {
		t.Errorf("after DELE LIST says %s", left)
	}
	a.awaitFiled(ctx, t)
	row.writing = "DELE: gone for this login, still there for others"
}

// imapflowVersion is the one that the lock file names.
func imapflowVersion(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(script(t, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var p struct{ Dependencies map[string]string }
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p.Dependencies["imapflow"]
}

func imapflow(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	dir := e2etest.Dir(t)
	for _, file := range []string{"package.json", "package-lock.json", "flow.mjs"} {
		text, err := os.ReadFile(script(t, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	installNode(ctx, t, dir)
	got := subdir(t, dir, "got")
	env := a.scriptEnv(got, a.imap.tls)
	env["NODE_EXTRA_CA_CERTS"] = a.cert.cert
	all := a.in("INBOX", "Queued", "Deferred", "Sent")
	steps := a.play(ctx, t, dir, env, "node", "flow.mjs")
	steps.want(t, "special", `\Sent Sent`, "again", "0", "readonly", "false", "subject", "1", "recipient", "1", "utf8", "1", "mark", "true",
		"delete", "false", "move", "false", "append", refusal, "create", refusal, "left", "9", "woke", "1", "came", "1")
	for _, step := range []string{"odd", "error"} {
		if words, ok := steps[step]; ok {
			t.Errorf("it tells of something %s: %s", step, words)
		}
	}
	n := a.hasOnce(t, got, all)
	row.first, row.second = fmt.Sprintf("all %d", n), "nothing"
	row.search = "subject and address, also in UTF-8"
	row.waiting = "told at once (`idle`)"
	a.awaitUnread(ctx, t, "INBOX", 9)
	row.reading = "yes; others see it"
	a.awaitFiled(ctx, t)
	row.writing = "deleting and moving return false, `append` and `mailboxCreate` are refused with the reason; it goes on"
}

func imaplib(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	dir := e2etest.Dir(t)
	got := subdir(t, dir, "got")
	all := a.in("INBOX", "Queued", "Deferred", "Sent")
	steps := a.play(ctx, t, dir, a.scriptEnv(got, a.imap.start), "python3", script(t, "imap.py"))
	steps.want(t, "again", "0", "subject", "1", "recipient", "1", "utf8", "1", "mark", `OK`, "delete", "OK", "expunge", "OK",
		"copy", refusal, "append", refusal, "create", refusal, "left", "9", "woke", "OK", "came", "1")
	if strings.Contains(steps["delete"], `\Deleted`) {
		t.Errorf("a message is deleted: %s", steps["delete"])
	}
	n := a.hasOnce(t, got, all)
	row.first, row.second = fmt.Sprintf("all %d", n), "nothing"
	row.search = "subject and address, also in UTF-8"
	row.waiting = "told at once (IDLE by hand)"
	a.awaitUnread(ctx, t, "INBOX", 9)
	row.reading = "yes; others see it"
	a.awaitFiled(ctx, t)
	row.writing = "deleting does nothing; `append`, `copy` and `create` return NO with the reason; it goes on"
}

func poplib(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	dir := e2etest.Dir(t)
	got := subdir(t, dir, "got")
	all := a.in("INBOX", "Queued", "Deferred", "Sent")
	b := start(t, dir, a.scriptEnv(got, a.pop3.tls), "python3", script(t, "pop.py"))
	if status := b.end(ctx, t, 0); status != 0 {
		t.Fatalf("poplib exits %d:\n%s", status, b.text())
	}
	n := a.hasOnce(t, got, all)
	tellings(b.text()).want(t, "first", fmt.Sprint(n), "again", "0", "left", "0")
	row.first, row.second = fmt.Sprintf("all %d, of four logins", n), "nothing"
	a.awaitFiled(ctx, t)
	row.writing = "`dele`: gone for this login, still there for others"
}
