//go:build full

package e2e_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postrider/cmd/e2e/e2etest"
)

// These programs collect mail and hand it on.

// fetchmail writes a configuration and returns the arguments to run with it. What
// it collects goes into the directory got beside it.
func (a *clientAccount) fetchmail(t *testing.T, dir, name, server, user, options string) []string {
	t.Helper()
	file := write(t, dir, name, `set no bouncemail
set invisible
set idfile "%[1]s/ids"
poll %[2]s username "%[3]s" password "%[4]s" no rewrite pass8bits %[5]s mda "%[6]s %[1]s/got"
`, dir, server, user, e2etest.Password, options, script(t, "deliver.sh"))
	subdir(t, dir, "got")
	return []string{"-f", file, "--nodetach"}
}

// The exit statuses of fetchmail.
const (
	fetchmailGot     = 0
	fetchmailNothing = 1
	fetchmailError   = 7
)

func fetchmailIMAP(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	server := "localhost service " + a.imap.start + " protocol IMAP"
	secure := fmt.Sprintf(`sslproto "TLS1.2+" sslcertck sslcertfile "%s" `, a.cert.cert)
	unread, all := e2etest.Dir(t), e2etest.Dir(t)
	keep := a.fetchmail(t, unread, "keep", server, a.name, "folder INBOX,Deferred "+secure+"keep")
	runs(ctx, t, fetchmailGot, unread, "fetchmail", keep...)
	n := a.has(t, unread+"/got", "INBOX", "Deferred")
	a.awaitUnread(ctx, t, "INBOX", 0)
	a.awaitUnread(ctx, t, "Deferred", 0)
	row.reading = "what it collects; others see it"
	runs(ctx, t, fetchmailNothing, unread, "fetchmail", keep...)
	a.has(t, unread+"/got", "INBOX", "Deferred")
	row.second = "nothing, exit 1"

	runs(ctx, t, fetchmailGot, all, "fetchmail", a.fetchmail(t, all, "all", server, a.name, "folder Queued,Sent "+secure+"keep fetchall")...)
	row.first = fmt.Sprintf("%d unread; %d read ones with `fetchall`", n, a.has(t, all+"/got", "Queued", "Sent"))

	idle := start(t, unread, nil, "fetchmail", append(a.fetchmail(t, unread, "idle", server, a.name, "folder INBOX "+secure+"keep idle"), "-v")...)
	idle.await(ctx, t, "IMAP< + Idling")
	a.bounce(ctx, t, "came")
	awaitFiles(ctx, t, unread+"/got", n+1)
	if status := idle.end(ctx, t, syscall.SIGTERM); status != 0 {
		t.Errorf("fetchmail that idles exits %d", status)
	}
	a.has(t, unread+"/got", "INBOX", "Deferred")
	row.waiting = "collected at once (`idle`)"

	remove := a.fetchmail(t, all, "remove", server, a.name, "folder INBOX "+secure+"nokeep fetchall")
	if text := runs(ctx, t, fetchmailError, all, "fetchmail", remove...); !strings.Contains(text, "mail expunge mismatch") {
		t.Errorf("without keep it says %s", text)
	}
	a.awaitFiled(ctx, t)
	row.writing = "without `keep`: \"mail expunge mismatch\", exit 7, one message a run; nothing is lost"
}

func fetchmailPOP3(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	server := "127.0.0.1 service " + a.pop3.plain + " protocol POP3 uidl"
	sent, inbox := e2etest.Dir(t), e2etest.Dir(t)
	keep := a.fetchmail(t, sent, "keep", server, a.name+"+sent", "sslproto '' keep")
	runs(ctx, t, fetchmailGot, sent, "fetchmail", keep...)
	n := a.has(t, sent+"/got", "Sent")
	runs(ctx, t, fetchmailNothing, sent, "fetchmail", keep...)
	if text := runs(ctx, t, fetchmailNothing, sent, "fetchmail", append(keep, "--flush")...); strings.Count(text, " flushed") != n {
		t.Errorf("flushing says %s", text)
	}
	if text := runs(ctx, t, fetchmailNothing, sent, "fetchmail", keep...); !strings.Contains(text, "No mail") {
		t.Errorf("after flushing it says %s", text)
	}
	a.has(t, sent+"/got", "Sent")

	remove := a.fetchmail(t, inbox, "remove", server, a.name, "sslproto '' nokeep")
	runs(ctx, t, fetchmailGot, inbox, "fetchmail", remove...)
	row.first = fmt.Sprintf("%d of `+sent`, %d of INBOX", n, a.has(t, inbox+"/got", "INBOX"))
	runs(ctx, t, fetchmailNothing, inbox, "fetchmail", remove...)
	row.second = "nothing, exit 1"
	before := a.unread(ctx, t, "INBOX")
	a.bounce(ctx, t, "came")
	a.awaitUnread(ctx, t, "INBOX", before+1)
	runs(ctx, t, fetchmailGot, inbox, "fetchmail", remove...)
	a.has(t, inbox+"/got", "INBOX")
	row.waiting = "collected by the next run"
	a.awaitFiled(ctx, t)
	row.writing = "`flush` and `nokeep`: gone for this login, still there for others"
}

// getmail writes a configuration and returns the arguments to run with it.
func (a *clientAccount) getmail(t *testing.T, dir, retriever, port, mailboxes string, remove bool) []string {
	t.Helper()
	write(t, dir, "getmailrc", `[retriever]
type = %s
server = localhost
port = %s
username = %s
password = %s
ca_certs = %s
%s
[destination]
type = MDA_external
path = %s
arguments = ("%s", "0.2")
allow_root_commands = true
[options]
read_all = false
delete = %t
delivered_to = false
received = false
`, retriever, port, a.name, e2etest.Password, a.cert.cert, mailboxes, script(t, "deliver.sh"), subdir(t, dir, "got"), remove)
	return []string{"--getmaildir=" + dir}
}

func getmailIMAP(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	dir, found := e2etest.Dir(t), e2etest.Dir(t)
	const retriever = "SimpleIMAPSSLRetriever"
	const all = `mailboxes = ("INBOX", "Queued", "Deferred", "Sent")`
	folders := []string{"INBOX", "Queued", "Deferred", "Sent"}
	collect := func(mailboxes string, remove bool, says string) {
		t.Helper()
		if text := runs(ctx, t, 0, dir, "getmail", a.getmail(t, dir, retriever, a.imap.tls, mailboxes, remove)...); !strings.Contains(text, says) {
			t.Errorf("it says %s, and not %q", text, says)
		}
		a.has(t, dir+"/got", folders...)
	}
	n := len(a.in(folders...))
	collect(all, false, fmt.Sprintf("%d messages", n))
	row.first = fmt.Sprintf("all %d", n)
	collect(all, false, " 0 messages (0 bytes) retrieved")
	row.second = "nothing"
	unread := a.unread(ctx, t, "INBOX")

	waiting := e2etest.Dir(t)
	idle := start(t, waiting, e2etest.Env{"PYTHONUNBUFFERED": "yes"}, "getmail", append(a.getmail(t, waiting, retriever, a.imap.tls, `mailboxes = ("INBOX",)`, false), "--idle", "INBOX", "--trace")...)
	idle.await(ctx, t, "Entering IDLE mode")
	a.bounce(ctx, t, "came")
	awaitFiles(ctx, t, waiting+"/got", 10)
	idle.end(ctx, t, syscall.SIGKILL) // it ends well only if it is not interrupted a moment too soon
	a.has(t, waiting+"/got", "INBOX")
	row.waiting = "collected at once (`--idle`)"

	search := fmt.Sprintf("mailboxes = (\"INBOX\", \"Sent\")\nimap_search = (SUBJECT \"Order 119\" FROM \"%s.19@%s\")\nimap_on_delete = \\Seen", a.name, domainNone)
	runs(ctx, t, 0, found, "getmail", a.getmail(t, found, retriever, a.imap.tls, search, true)...)
	awaitFiles(ctx, t, found+"/got", 1)
	row.search = "subject and address (`imap_search`)"
	a.awaitUnread(ctx, t, "INBOX", unread)
	row.reading = "`imap_on_delete = \\Seen`; others see it"

	collect(all, true, " 1 messages")
	collect(all, true, " 0 messages (0 bytes) retrieved")
	a.awaitFiled(ctx, t)
	row.writing = "`delete = true`: takes everything for deleted, each time; nothing is"
}

func getmailPOP3(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	dir := e2etest.Dir(t)
	collect := func(remove bool, says string) int {
		t.Helper()
		if text := runs(ctx, t, 0, dir, "getmail", a.getmail(t, dir, "SimplePOP3SSLRetriever", a.pop3.tls, "", remove)...); !strings.Contains(text, says) {
			t.Errorf("it says %s, and not %q", text, says)
		}
		return a.has(t, dir+"/got", "INBOX")
	}
	row.first = fmt.Sprintf("all %d of INBOX", collect(false, " 9 messages"))
	collect(false, " 0 messages (0 bytes) retrieved, 9 skipped")
	row.second = "nothing"
	unread := a.unread(ctx, t, "INBOX")
	a.bounce(ctx, t, "came")
	a.awaitUnread(ctx, t, "INBOX", unread+1)
	collect(false, " 1 messages")
	row.waiting = "collected by the next run"
	collect(true, " 0 messages (0 bytes) retrieved, 10 skipped")
	collect(true, " 0 messages (0 bytes) retrieved, 0 skipped")
	a.awaitFiled(ctx, t)
	row.writing = "`delete = true`: gone for this login, still there for others"
}

func mpop(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	dir := e2etest.Dir(t)
	collect := func(user, keep, got string) string {
		t.Helper()
		file := write(t, dir, "mpoprc", `account default
host localhost
port %s
tls on
tls_starttls on
tls_trust_file %s
user %s
password %s
keep %s
received_header off
uidls_file %s
delivery mda "%s %s"
`, a.pop3.start, a.cert.cert, user, e2etest.Password, keep, filepath.Join(dir, "uidls"), script(t, "deliver.sh"), subdir(t, dir, got))
		return runs(ctx, t, 0, dir, "mpop", "--file="+file, "--quiet")
	}
	collect(a.name+"+sent", "on", "sent")
	n := a.has(t, dir+"/sent", "Sent")
	collect(a.name+"+sent", "on", "sent")
	a.has(t, dir+"/sent", "Sent")
	collect(a.name, "off", "inbox")
	row.first = fmt.Sprintf("%d of `+sent`, %d of INBOX", n, a.has(t, dir+"/inbox", "INBOX"))
	collect(a.name, "off", "inbox")
	a.has(t, dir+"/inbox", "INBOX")
	row.second = "nothing"
	unread := a.unread(ctx, t, "INBOX")
	a.bounce(ctx, t, "came")
	a.awaitUnread(ctx, t, "INBOX", unread+1)
	collect(a.name, "off", "inbox")
	a.has(t, dir+"/inbox", "INBOX")
	row.waiting = "collected by the next run"
	a.awaitFiled(ctx, t)
	row.writing = "`keep off`: gone for this login, still there for others"
}
