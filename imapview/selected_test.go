package imapview_test

import (
	"strings"
	"testing"

	"postrider/imapview"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

func TestSelectTellsOfTheFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("Bounced", "zero")
	w.file(`INBOX,Bounced,flag:\Flagged,flag:tag-x`, "one", "two", "three")
	w.seen(2)
	c := w.login(account)
	answer := []string{
		`* FLAGS (\Answered \Flagged \Deleted \Seen \Draft tag-x $Bounced)`,
		`* OK [PERMANENTFLAGS (\Seen)] That is what is kept`,
		"* 3 EXISTS", "* 0 RECENT",
		"* OK [UNSEEN 2] The first unread",
		"* OK [UIDVALIDITY 1795410000] UIDs are valid",
		"* OK [UIDNEXT 5] The next UID",
		"* OK [HIGHESTMODSEQ 4194305] As of now",
		"OK [READ-WRITE]",
	}
	c.want("SELECT INBOX", answer...)
	answer[1], answer[8] = `* OK [PERMANENTFLAGS ()] That is what is kept`, "OK [READ-ONLY]"
	c.want("EXAMINE inbox", append([]string{"* OK [CLOSED] The folder is closed"}, answer...)...)
	c.want("UNSELECT", "OK")
	c.want("UNSELECT", "BAD")
	c.want("SELECT Queued",
		`* FLAGS (\Answered \Flagged \Deleted \Seen \Draft tag-x $Bounced)`, `* OK [PERMANENTFLAGS (\Seen)] That is what is kept`,
		"* 0 EXISTS", "* 0 RECENT", "* OK [UIDVALIDITY 1795410000] UIDs are valid", "* OK [UIDNEXT 1] The next UID", "* OK [HIGHESTMODSEQ 4194305] As of now", "OK [READ-WRITE]")
}

func TestWithSeenOffNothingIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *imapview.Options) { o.SeenOff = true })
	w.file("INBOX", "one")
	c := w.login(account)
	if got := c.cmd("SELECT INBOX"); got[len(got)-1] != "OK [READ-ONLY] Selected" || got[1] != `* OK [PERMANENTFLAGS ()] That is what is kept` {
		t.Errorf("%q", got)
	}
	c.want(`STORE 1 +FLAGS (\Seen)`, "NO [READ-ONLY]")
	c.ok("FETCH 1 BODY[]")
	c.want("FETCH 1 FLAGS", "* 1 FETCH (UID 1 FLAGS ())", "OK")
	c.want("MYRIGHTS INBOX", `* MYRIGHTS "INBOX" lr`, "OK")
}

func TestChangesAreToldBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX,Bounced", "one", "two", "three", "four", "five")
	c := w.in("INBOX")
	c.want("NOOP", "OK")
	w.expunge(2, 4, 5)
	w.file("INBOX", "six", "seven")
	w.seen(3, 6)
	c.want("NOOP", "* 5 EXPUNGE", "* 4 EXPUNGE", "* 2 EXPUNGE", "* 4 EXISTS", "* 0 RECENT", `* 2 FETCH (UID 3 FLAGS (\Seen $Bounced))`, "OK")
	c.want("FETCH 1:* FLAGS", "* 1 FETCH (UID 1 FLAGS ($Bounced))", `* 2 FETCH (UID 3 FLAGS (\Seen $Bounced))`,
		`* 3 FETCH (UID 6 FLAGS (\Seen))`, "* 4 FETCH (UID 7 FLAGS ())", "OK")
	w.edit(account, folders.Edit{Leave: map[string][]folders.UID{"INBOX": {1}}, Unseen: bitmap.Of(3)})
	c.want("CHECK", "* 1 EXPUNGE", "* 1 FETCH (UID 3 FLAGS ($Bounced))", "OK")
}

// imapflow takes what STATUS says of the selected folder for the number of its
// messages.
func TestStatusOfTheSelectedFolderIsWhatTheClientKnows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one", "two", "three")
	c, other := w.in("INBOX"), w.in("Sent")
	w.expunge(1, 3)
	w.file("INBOX", "four")
	c.want(`LIST "" INBOX RETURN (STATUS (MESSAGES))`, `* LIST (\HasNoChildren) "/" "INBOX"`, `* STATUS "INBOX" (MESSAGES 3)`, "OK")
	c.want("STATUS INBOX (MESSAGES UIDNEXT)", "* 3 EXPUNGE", "* 1 EXPUNGE", "* 2 EXISTS", "* 0 RECENT", `* STATUS "INBOX" (MESSAGES 2 UIDNEXT 5)`, "OK")
	other.want("STATUS INBOX (MESSAGES UIDNEXT)", `* STATUS "INBOX" (MESSAGES 2 UIDNEXT 5)`, "OK")
}

func TestANewKeywordIsListedBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one")
	c := w.in("INBOX")
	w.file(`INBOX,flag:tag-new`, "two")
	w.seen(1)
	c.want("NOOP", `* FLAGS (\Answered \Flagged \Deleted \Seen \Draft tag-new)`, "* 2 EXISTS", "* 0 RECENT", `* 1 FETCH (UID 1 FLAGS (\Seen))`, "OK")
	w.file(`INBOX,flag:tag-newer`, "three")
	c.want("NOOP", `* FLAGS (\Answered \Flagged \Deleted \Seen \Draft tag-new tag-newer)`, "* 3 EXISTS", "* 0 RECENT", "OK")
}

// RFC 3501 §7.4.1.
func TestNumbersStayDuringCommandsBySequenceNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one", "two", "three")
	c := w.in("INBOX")
	w.expunge(1)
	c.want("FETCH 3 FLAGS", "* 3 FETCH (UID 3 FLAGS ())", "OK")
	c.want("SEARCH ALL", "* SEARCH 1 2 3", "OK") // it is still known
	c.want("SEARCH SUBJECT e", "* SEARCH 3", "OK")
	c.want(`STORE 2 +FLAGS (\Seen)`, `* 2 FETCH (UID 2 FLAGS (\Seen))`, "OK")
	c.want("FETCH 1:2 (FLAGS)", `* 2 FETCH (UID 2 FLAGS (\Seen))`, "OK [EXPUNGEISSUED]")
	c.want("FETCH 1 (ENVELOPE)", "NO [EXPUNGEISSUED]")
	w.file("INBOX", "four")
	c.want("FETCH 3 FLAGS", "* 3 FETCH (UID 3 FLAGS ())", "* 4 EXISTS", "* 0 RECENT", "OK")
	c.want("UID FETCH 1:3 FLAGS", `* 2 FETCH (UID 2 FLAGS (\Seen))`, `* 3 FETCH (UID 3 FLAGS ())`, "* 1 EXPUNGE", "OK")
	c.want("FETCH 1 FLAGS", `* 1 FETCH (UID 2 FLAGS (\Seen))`, "OK")
	w.expunge(2)
	c.want("UID SEARCH ALL", "* SEARCH 2 3 4", "* 1 EXPUNGE", "OK")
	w.expunge(3)
	c.want(`UID STORE 3:4 +FLAGS (\Seen)`, `* 2 FETCH (UID 4 FLAGS (\Seen))`, "* 1 EXPUNGE", "OK")
}

func TestMadeAnewFoldersEndTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one")
	c := w.in("INBOX")
	if err := w.book.Reset(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	c.send("x NOOP\r\n")
	if rest := c.closed(); !strings.HasPrefix(rest, "* BYE The folders were made anew") {
		t.Error(rest)
	}
	c = w.in("INBOX")
	c.want("UID SEARCH ALL", "* SEARCH", "OK")
}

func TestExpungesOfManyAreNumberedRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var subjects []string
	for range 300 {
		subjects = append(subjects, "x")
	}
	uids := w.file("INBOX", subjects...)
	c := w.in("INBOX")
	var gone []folders.UID
	for i, uid := range uids {
		if i%7 < 3 || i > 200 && i < 250 {
			gone = append(gone, uid)
		}
	}
	w.expunge(gone...)
	model := append([]folders.UID{}, uids...)
	for _, line := range c.ok("NOOP") {
		n := number(t, line, "EXPUNGE")
		model = append(model[:n-1], model[n:]...)
	}
	var want []string
	for i, uid := range model {
		want = append(want, "* "+itoa(i+1)+" FETCH (UID "+itoa(int(uid))+" FLAGS ())")
	}
	c.want("FETCH 1:* FLAGS", append(want, "OK")...)
}
