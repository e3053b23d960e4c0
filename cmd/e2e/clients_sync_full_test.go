//go:build full

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"postrider/cmd/e2e/e2etest"
)

// These programs keep a copy of all folders in Maildirs.

// oneOf returns a file of a Maildir, from new or cur.
func oneOf(t *testing.T, maildir, sub string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(maildir, sub, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s/%s is empty, %v", maildir, sub, err)
	}
	return files[0]
}

// readOne marks an unread message of a Maildir as read.
func readOne(t *testing.T, maildir string) {
	t.Helper()
	file := oneOf(t, maildir, "new")
	name, flags, _ := strings.Cut(filepath.Base(file), ":2,")
	if err := os.Rename(file, filepath.Join(maildir, "cur", name+":2,"+flags+"S")); err != nil {
		t.Fatal(err)
	}
}

// addOne puts a message into a Maildir that nobody has sent.
func addOne(t *testing.T, maildir string) (path string) {
	t.Helper()
	return write(t, filepath.Join(maildir, "new"), "1.mine.shop", "From: <shop@shop.test>\nSubject: mine\nMessage-ID: <mine@shop.test>\n\nmine\n")
}

// hasAll compares the Maildirs of all folders.
func (a *clientAccount) hasAll(t *testing.T, dir string) (n int) {
	t.Helper()
	for _, folder := range shownFolders {
		n += a.has(t, filepath.Join(dir, folder, "new"), a.only(folder, "Bounced", "INBOX", "Deferred")...)
		n += a.has(t, filepath.Join(dir, folder, "cur"), a.only(folder, "Queued", "Sent")...)
	}
	return n
}

// only returns the folder if it is one of these.
func (a *clientAccount) only(folder string, of ...string) []string {
	if slices.Contains(of, folder) {
		return []string{folder}
	}
	return nil
}

func mbsync(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	dir := e2etest.Dir(t)
	maildir := subdir(t, dir, "mail")
	conf := func(name, options string) string {
		return write(t, dir, name, `IMAPStore far
Host localhost
Port %s
User %s
Pass %s
SSLType STARTTLS
CertificateFile %s

MaildirStore near
Path %[5]s/
Inbox %[5]s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
SyncState *
%[6]s
`, a.imap.start, a.name, e2etest.Password, a.cert.cert, maildir, options)
	}
	pull, both := conf("pull", "Create Near\nSync Pull"), conf("both", "Create Both\nSync All\nExpunge Far")
	runs(ctx, t, 0, dir, "mbsync", "-c", pull, "-a")
	row.first = fmt.Sprintf("all %d, and months and reasons as sub-folders", a.hasAll(t, maildir))
	a.has(t, maildir+"/Bounced/Bad address", "Bounced")
	runs(ctx, t, 0, dir, "mbsync", "-c", pull, "-a")
	a.hasAll(t, maildir)
	row.second = "nothing"

	unread := a.unread(ctx, t, "INBOX")
	readOne(t, maildir+"/INBOX")
	runs(ctx, t, 0, dir, "mbsync", "-c", both, "all:INBOX")
	a.awaitUnread(ctx, t, "INBOX", unread-1)
	row.reading = "yes; others see it"
	a.bounce(ctx, t, "came")
	a.awaitUnread(ctx, t, "INBOX", unread)
	runs(ctx, t, 0, dir, "mbsync", "-c", pull, "all:INBOX")
	a.has(t, maildir+"/INBOX", "INBOX")
	row.waiting = "copied by the next run"

	mine := addOne(t, maildir+"/INBOX")
	if text := runs(ctx, t, 0, dir, "mbsync", "-c", both, "all:INBOX"); !strings.Contains(text, "far side refuses to store message") {
		t.Errorf("adding a message says %s", text)
	}
	removeNamed(t, filepath.Dir(mine), "1.mine.shop")
	if err := os.Remove(oneOf(t, maildir+"/INBOX", "new")); err != nil {
		t.Fatal(err)
	}
	runs(ctx, t, 0, dir, "mbsync", "-c", both, "all:INBOX")
	subdir(t, maildir, "Mine", "cur")
	subdir(t, maildir, "Mine", "new")
	subdir(t, maildir, "Mine", "tmp")
	if text := runs(ctx, t, 1, dir, "mbsync", "-c", both, "-a"); !strings.Contains(text, "they cannot be made") {
		t.Errorf("making a folder says %s", text)
	}
	if err := os.RemoveAll(filepath.Join(maildir, "Mine")); err != nil {
		t.Fatal(err)
	}
	runs(ctx, t, 0, dir, "mbsync", "-c", pull, "-a")
	a.awaitFiled(ctx, t)
	row.writing = "a new message is refused with a warning, a new folder with exit 1, deleting does nothing; it goes on"
}

// removeNamed removes the file that begins with a name: programs put their own
// words behind it.
func removeNamed(t *testing.T, dir, name string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, name+"*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s is there as %q, %v", name, files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
}

func offlineimap(ctx context.Context, t *testing.T, a *clientAccount, row *clientRow) {
	dir := e2etest.Dir(t)
	maildir := subdir(t, dir, "mail")
	conf := func(name, readonly, account string) string {
		return write(t, dir, name, `[general]
metadata = %[1]s/state
accounts = relay
[Account relay]
localrepository = near
remoterepository = far
%[7]s
[Repository near]
type = Maildir
localfolders = %[2]s
sep = /
[Repository far]
type = IMAP
remotehost = localhost
remoteport = %[3]s
remoteuser = %[4]s
remotepass = %[5]s
ssl = yes
sslcacertfile = %[6]s
readonly = %[8]s
idlefolders = ["INBOX"]
folderfilter = lambda folder: folder in ["INBOX", "Queued", "Deferred", "Sent", "Bounced"]
`, dir, maildir, a.imap.tls, a.name, e2etest.Password, a.cert.cert, account, readonly)
	}
	sync := func(status int, conf string) string {
		t.Helper()
		return runs(ctx, t, status, dir, "offlineimap", "-c", conf, "-o", "-u", "basic")
	}
	look, change := conf("look", "True", ""), conf("change", "False", "")
	sync(0, look)
	row.first = fmt.Sprintf("all %d", a.hasAll(t, maildir))
	if text := sync(0, look); strings.Contains(text, "Copy message") {
		t.Errorf("the second time says %s", text)
	}
	a.hasAll(t, maildir)
	row.second = "nothing"

	idle := start(t, dir, e2etest.Env{"PYTHONUNBUFFERED": "yes"}, "offlineimap", "-c", conf("idle", "True", "autorefresh = 5"), "-u", "basic", "-d", "imap")
	idle.await(ctx, t, "server IDLE started")
	a.bounce(ctx, t, "came")
	awaitFiles(ctx, t, maildir+"/INBOX/new", len(a.in("INBOX")))
	idle.end(ctx, t, syscall.SIGTERM)
	row.waiting = "copied at once (`idlefolders`)"

	unread := a.unread(ctx, t, "INBOX")
	readOne(t, maildir+"/INBOX")
	addOne(t, maildir+"/INBOX")
	sync(0, look)
	a.awaitUnread(ctx, t, "INBOX", unread)
	removeNamed(t, maildir+"/INBOX/new", "1.mine.shop")
	sync(0, change)
	a.awaitUnread(ctx, t, "INBOX", unread-1)
	row.reading = "with `readonly = False`; others see it"
	addOne(t, maildir+"/INBOX")
	if text := sync(100, change); !strings.Contains(text, "Postrider's folders are read-only") {
		t.Errorf("adding a message says %s", text)
	}
	sync(0, look)
	a.awaitFiled(ctx, t)
	row.writing = "sends nothing; with `readonly = False` a new message is refused, exit 100, and later runs go on"
}
