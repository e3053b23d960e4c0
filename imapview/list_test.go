package imapview_test

import (
	"slices"
	"strings"
	"testing"

	"postrider/queue/folders"
)

const topFive = `* LIST (\HasNoChildren) "/" "INBOX"
* LIST (\HasNoChildren) "/" "Queued"
* LIST (\HasNoChildren) "/" "Deferred"
* LIST (\HasNoChildren \Sent) "/" "Sent"
* LIST (\HasNoChildren) "/" "Bounced"
OK`

func lines(s string) []string { return strings.Split(s, "\n") }

func TestAnEmptyAccountHasFiveFolders(t *testing.T) {
	t.Parallel()
	c := newWorld(t).login(account)
	c.want(`LIST "" "*"`, lines(topFive)...)
	c.want(`LIST "" %`, lines(topFive)...)
	c.want(`LIST "" ""`, `* LIST (\Noselect) "/" ""`, "OK")
	c.want(`LSUB "" ""`, `* LSUB (\Noselect) "/" ""`, "OK")
	c.want(`LIST "" inbox`, `* LIST (\HasNoChildren) "/" "INBOX"`, "OK")
	c.want(`LIST "" nothing`, "OK")
	c.want(`LIST (SPECIAL-USE) "" "*"`, `* LIST (\HasNoChildren \Sent) "/" "Sent"`, "OK")
	c.want(`XLIST "" "%en%"`, `* XLIST (\HasNoChildren \Sent) "/" "Sent"`, "OK")
	c.want(`XLIST "" INBOX`, `* XLIST (\Inbox \HasNoChildren) "/" "INBOX"`, "OK")
	c.want("NAMESPACE", `* NAMESPACE (("" "/")) NIL NIL`, "OK")
}

func TestViewsAreChildren(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("Sent,Sent/2026-11,Sites/a.example/Sent", "one")
	c := w.login(account)
	c.want(`LIST "" "S*"`, `* LIST (\HasChildren \Sent) "/" "Sent"`, `* LIST (\HasNoChildren) "/" "Sent/2026-11"`, "OK")
	w.file("Bounced,Bounced/Mailbox full,Sites/b.example/Bounced,flag:$HardBounce", "two")
	c.want(`LIST "" "S*"`,
		`* LIST (\HasChildren \Sent) "/" "Sent"`, `* LIST (\HasNoChildren) "/" "Sent/2026-11"`,
		`* LIST (\Noselect \HasChildren) "/" "Sites"`,
		`* LIST (\Noselect \HasChildren) "/" "Sites/a.example"`, `* LIST (\HasNoChildren) "/" "Sites/a.example/Sent"`,
		`* LIST (\Noselect \HasChildren) "/" "Sites/b.example"`, `* LIST (\HasNoChildren) "/" "Sites/b.example/Bounced"`, "OK")
	c.want(`LIST "Bounced/" "%"`, `* LIST (\HasNoChildren) "/" "Bounced/Mailbox full"`, "OK")
	c.want(`LIST "" (INBOX "Bounced/%") RETURN (STATUS (MESSAGES UNSEEN))`,
		`* LIST (\HasNoChildren) "/" "INBOX"`, `* STATUS "INBOX" (MESSAGES 0 UNSEEN 0)`,
		`* LIST (\HasNoChildren) "/" "Bounced/Mailbox full"`, `* STATUS "Bounced/Mailbox full" (MESSAGES 1 UNSEEN 1)`, "OK")
	c.ok(`SELECT "Bounced/Mailbox full"`)
	c.want("SELECT Nothing", "* OK [CLOSED] The folder is closed", "NO [NONEXISTENT]")
	for _, name := range []string{"Sites", "Sites/a.example", "sent", "Sent/2020-01", `"flag:$HardBounce"`, "unseen", `"kind:Sent"`, "Sent/", `""`} {
		c.want("SELECT "+name, "NO [NONEXISTENT]")
	}
}

func TestSubscriptionsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("Sent,Sent/2026-11", "one")
	c := w.login(account)
	c.want(`LIST (SUBSCRIBED) "" "*"`,
		`* LIST (\HasNoChildren \Subscribed) "/" "INBOX"`, `* LIST (\HasNoChildren \Subscribed) "/" "Queued"`, `* LIST (\HasNoChildren \Subscribed) "/" "Deferred"`,
		`* LIST (\HasChildren \Sent \Subscribed) "/" "Sent"`, `* LIST (\HasNoChildren \Subscribed) "/" "Bounced"`, "OK")
	c.ok("SUBSCRIBE Sent/2026-11")
	c.ok("UNSUBSCRIBE Sent")
	c.ok("UNSUBSCRIBE Queued")
	c.want("SUBSCRIBE nothing", "NO [NONEXISTENT]")
	c = w.login(account)
	c.want(`LSUB "" "*"`,
		`* LSUB (\HasNoChildren) "/" "INBOX"`, `* LSUB (\HasNoChildren) "/" "Deferred"`, `* LSUB (\HasNoChildren) "/" "Sent/2026-11"`,
		`* LSUB (\HasNoChildren) "/" "Bounced"`, "OK")
	c.want(`LSUB "" "S%"`, `* LSUB (\Noselect \HasChildren) "/" "Sent"`, "OK")
	c.want(`LIST (SUBSCRIBED RECURSIVEMATCH) "" "S%"`, `* LIST (\HasChildren \Sent) "/" "Sent" ("CHILDINFO" ("SUBSCRIBED"))`, "OK")
	c.want(`LIST "" "S*" RETURN (SUBSCRIBED)`,
		`* LIST (\HasChildren \Sent) "/" "Sent"`, `* LIST (\HasNoChildren \Subscribed) "/" "Sent/2026-11"`, "OK")
	w.expunge(1)
	c.want(`LIST (SUBSCRIBED) "" "S*"`, `* LIST (\NonExistent \Subscribed) "/" "Sent/2026-11"`, "OK")
	c.ok("UNSUBSCRIBE Sent/2026-11")
	c.want(`LIST (SUBSCRIBED) "" "S*"`, "OK")
}

func TestNamesAreInUTF7UntilTheClientTakesUTF8(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("Bounced,Bounced/Größe & mehr", "one")
	c := w.login(account)
	c.want(`LIST "Bounced/" "*"`, `* LIST (\HasNoChildren) "/" "Bounced/Gr&APYA3w-e &- mehr"`, "OK")
	c.ok(`SELECT "Bounced/Gr&APYA3w-e &- mehr"`)
	c.ok("ENABLE UTF8=ACCEPT")
	c.want(`LIST "Bounced/" "*"`, `* LIST (\HasNoChildren) "/" "Bounced/Größe & mehr"`, "OK")
	c.ok(`SELECT "Bounced/Größe & mehr"`)
}

func TestOnlyOperatorsSeeOtherUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one", "two")
	w.edit("blog", folders.Edit{Append: []folders.Item{item("three", "Sent", "Sent/2026-11")}})

	c := w.login(account)
	c.want(`LIST "" "Other*"`, "OK")
	c.want(`SELECT "Other Users/blog/Sent"`, "NO [NONEXISTENT]")
	c.want(`STATUS "Other Users/blog/Sent" (MESSAGES)`, "NO [NONEXISTENT]")
	c.want(`SELECT "Other Users/shop/INBOX"`, "NO [NONEXISTENT]")

	op := w.login("root")
	op.want("NAMESPACE", `* NAMESPACE (("" "/")) (("Other Users/" "/")) NIL`, "OK")
	op.want(`LIST "" "Other%"`, `* LIST (\Noselect \HasChildren) "/" "Other Users"`, "OK")
	op.want(`LIST "Other Users/" %`, `* LIST (\Noselect \HasChildren) "/" "Other Users/blog"`, `* LIST (\Noselect \HasChildren) "/" "Other Users/shop"`, "OK")
	op.want(`LIST "" "Other Users/blog/S*"`, `* LIST (\HasChildren) "/" "Other Users/blog/Sent"`, `* LIST (\HasNoChildren) "/" "Other Users/blog/Sent/2026-11"`, "OK")
	if got := op.ok(`LIST "" "*"`); len(got) != 5+1+(1+6)+(1+5) {
		t.Errorf("%d folders: %q", len(got), got)
	}
	op.want(`STATUS "Other Users/shop/inbox" (MESSAGES UNSEEN)`, `* STATUS "Other Users/shop/inbox" (MESSAGES 2 UNSEEN 2)`, "OK")
	op.want(`SELECT "Other Users/nobody/INBOX"`, "NO [NONEXISTENT]")
	op.want(`SELECT "Other Users/root/INBOX"`, "NO [NONEXISTENT]")
	op.want(`SELECT "Other Users/shop"`, "NO [NONEXISTENT]")
	op.ok(`SELECT "Other Users/shop/INBOX"`)
	op.want("UID SEARCH ALL", "* SEARCH 1 2", "OK")
	if all, err := w.book.Accounts(t.Context()); err != nil || slices.Contains(all, "nobody") {
		t.Errorf("asking for a name made an account: %v, %v", all, err)
	}
}

func TestOtherUsersAreSubscribedUntilTheOperatorSaysOtherwise(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one")
	op := w.login("root")
	if got := op.ok(`LIST (SUBSCRIBED) "" "*"`); len(got) != 10 {
		t.Errorf("%q", got)
	}
	op.ok(`UNSUBSCRIBE "Other Users/shop/Sent"`)
	op.want(`LSUB "" "*Sent"`, `* LSUB (\HasNoChildren) "/" "Sent"`, "OK")
	if got := op.ok(`LIST (SUBSCRIBED) "" "*"`); len(got) != 9 {
		t.Errorf("%q", got)
	}
	op.ok(`SUBSCRIBE "Other Users/shop/Sent"`)
	if got := op.ok(`LIST (SUBSCRIBED) "" "*"`); len(got) != 10 {
		t.Errorf("%q", got)
	}
	op.want(`UNSUBSCRIBE "Other Users"`, "OK")
}

func TestWhatWouldChangeFoldersIsRefusedWithASentence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one")
	c := w.in("INBOX")
	for _, cmd := range []string{
		"CREATE Trash", "DELETE INBOX", "RENAME INBOX Old", "COPY 1 Sent", "UID COPY 1 Sent", "MOVE 1 Sent", "UID MOVE 1 Sent",
		"SETACL INBOX fred lrs", "DELETEACL INBOX fred", "APPEND Sent {3+}\r\nabc", "APPEND Sent (\\Seen) {100000}",
	} {
		got := c.cmd(cmd)
		if !strings.HasPrefix(got[0], "NO [NOPERM] Postrider's ") {
			t.Errorf("%.20s: %q", cmd, got)
		}
	}
	c.want("UID EXPUNGE 1", "OK")
	c.want("EXPUNGE", "OK")
	c.want("MYRIGHTS INBOX", `* MYRIGHTS "INBOX" lrs`, "OK")
	c.want("GETACL INBOX", `* ACL "INBOX" "shop" lrs`, "OK")
	c.want("LISTRIGHTS INBOX shop", `* LISTRIGHTS "INBOX" "shop" lrs`, "OK")
	c.want("MYRIGHTS nothing", "NO [NONEXISTENT]")
	c.ok("CLOSE")
	c.want("FETCH 1 FLAGS", "BAD")
	c.want("STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE)",
		`* STATUS "INBOX" (MESSAGES 1 RECENT 0 UIDNEXT 2 UIDVALIDITY 1795410000 UNSEEN 1 SIZE 53)`, "OK")
}
