package imapview_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"postrider/imapview"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

func searchWorld(t *testing.T, change ...func(*imapview.Options)) *world {
	w := newWorld(t, change...)
	items := []folders.Item{
		item("Order one", "INBOX", "Sent"),
		item("Order two", "INBOX", "Bounced", `flag:\Flagged`, "flag:tag-x"),
		w.report(),
		item("Größe", "INBOX", "Queued"),
		item("old", "INBOX"),
	}
	items[0].Search.To, items[0].Search.Cc, items[0].Search.Bcc = "bob <bob@example.org>", "carol@example.org", "dave@example.org"
	items[0].Search.MessageID, items[0].Search.Sent = "<one@example.com>", start.AddDate(0, 0, -2)
	items[1].Search.Recipients = "erin@example.org"
	items[3].Entry = simple("Subject: x\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\nX-Extra: =?utf-8?q?Stra=C3=9Fe?=\r\n\r\nDie Gr=F6=\r\n=DFe\r\n")
	items[4].Entry = simple("Subject: x\r\nContent-Type: TEXT/HTML\r\nContent-Transfer-Encoding: BASE64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte("<b>Hidden treasure</b>"+strings.Repeat(" ", 5000))) + "\r\n")
	items[4].Entry.At = start.AddDate(0, 0, -10)
	w.edit(account, folders.Edit{Append: items})
	w.seen(1, 4)
	return w
}

func TestSearchKeys(t *testing.T) {
	t.Parallel()
	c := searchWorld(t).in("INBOX")
	for _, tt := range []struct{ key, want string }{
		{"ALL", "1 2 3 4 5"}, {"SEEN", "1 4"}, {"UNSEEN", "2 3 5"}, {"FLAGGED", "2"}, {"UNFLAGGED", "1 3 4 5"},
		{"ANSWERED", ""}, {"UNANSWERED", "1 2 3 4 5"}, {"DELETED", ""}, {"UNDELETED", "1 2 3 4 5"}, {"DRAFT", ""}, {"NEW", ""}, {"OLD", "1 2 3 4 5"}, {"RECENT", ""},
		{"KEYWORD tag-x", "2"}, {"UNKEYWORD TAG-X", "1 3 4 5"}, {"KEYWORD $submitted", "1"}, {"KEYWORD $Bounced", "2 3"}, {"KEYWORD $SubmitPending", "4"}, {"KEYWORD nothing", ""},
		{"2:3", "2 3"}, {"*", "5"}, {"UID 2:3,9", "2 3"}, {"7", ""}, {"NOT 2", "1 3 4 5"},
		{"SUBJECT ORDER", "1 2"}, {"SUBJECT order SUBJECT two", "2"}, {"FROM shop@example", "1 2 4 5"}, {"TO bob", "1"}, {"CC carol", "1"}, {"BCC dave", "1"},
		{"HEADER Message-ID <one@", "1"}, {"HEADER Subject two", "2"}, {`HEADER Subject ""`, "1 2 3 4 5"}, {"HEADER X-Relay-Id MSG_1", "3"}, {`HEADER X-Extra ""`, "4"},
		{"CHARSET UTF-8 HEADER X-Extra {7+}\r\nSTRAßE", "4"}, {"HEADER X-Extra foo", ""},
		{"SINCE 23-Nov-2026", "1 2 3 4"}, {"BEFORE 23-Nov-2026", "5"}, {"ON 13-Nov-2026", "5"}, {"ON 14-Nov-2026", ""}, {"SENTON 21-Nov-2026", "1"}, {"SENTSINCE 1-Jan-2026", "1"}, {"SENTBEFORE 1-Jan-2030", "1"},
		{"YOUNGER 3600", "1 2 3 4"}, {"OLDER 3600", "5"}, {"LARGER 4000", "5"}, {"SMALLER 4000", "1 2 3 4"},
		{"BODY hello", "3"}, {"BODY delivered", "3"}, {"BODY original", "3"}, {"BODY \"Body Of\"", "1 2"}, {"BODY treasure", "5"}, {`BODY ""`, "1 2 3 4 5"},
		{"CHARSET UTF-8 BODY {7+}\r\nGrößE", "4"}, {"BODY order", "1 2"}, {"BODY subject", "3"},
		{"TEXT order", "1 2"}, {"TEXT subject", "1 2 3 4 5"}, {"TEXT 550", "3"}, {"TEXT erin@", "2"}, {"TEXT references", "3"}, {"TEXT nowhere", ""},
		{"CHARSET UTF-8 SUBJECT {7+}\r\nGRÖSSE", ""}, {"CHARSET UTF-8 SUBJECT {7+}\r\nGRÖßE", "4"},
		{"OR SUBJECT two BODY treasure", "2 5"}, {"OR BODY treasure SEEN", "1 4 5"}, {"NOT BODY order", "3 4 5"}, {"NOT SUBJECT order", "3 4 5"},
		{"OR SUBJECT two FROM nobody", "2"}, {"OR SUBJECT two NOT SUBJECT order", "2 3 4 5"}, {"OR (SUBJECT o SUBJECT one) (UNSEEN SUBJECT old)", "1 5"}, {`SUBJECT ""`, "1 2 3 4 5"},
		{"NOT (OR SUBJECT order BODY treasure)", "3 4"}, {"UNSEEN (SUBJECT order BODY two)", "2"}, {"OR (SEEN SUBJECT one) (UNSEEN NOT TEXT o)", "1"},
		{"MODSEQ 1", "1 2 3 4 5 (MODSEQ 5242881)"}, {"NOT NOT NOT SEEN", "2 3 5"},
	} {
		want := strings.TrimSuffix("* SEARCH "+tt.want, " ")
		got := c.cmd("SEARCH " + tt.key)
		if tt.key == "MODSEQ 1" {
			got = got[1:] // what it enables
		}
		if len(got) != 2 || got[0] != want || !strings.HasPrefix(got[1], "OK") {
			t.Errorf("%s:\n got %q\nwant %q", tt.key, got, want)
		}
	}
	c.want("SEARCH CHARSET KLINGON SUBJECT x", "NO [BADCHARSET (US-ASCII UTF-8 ISO-8859-1)]")
}

func TestExtendedSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("Sent", "x")
	w.file("INBOX", "a", "b", "c", "d", "e") // UIDs 2 to 6
	w.expunge(4)                             // 2 3 5 6
	c := w.in("INBOX")
	es := func(s string) string { return fmt.Sprintf(`* ESEARCH (TAG "a%d")%s`, c.n+1, s) }
	c.want("SEARCH RETURN () ALL", es(" ALL 1:4"), "OK")
	c.want("UID SEARCH RETURN (MIN MAX ALL COUNT) ALL", es(" UID MIN 2 MAX 6 ALL 2:3,5:6 COUNT 4"), "OK")
	c.want("SEARCH RETURN (MIN MAX COUNT) SUBJECT zzz", es(" COUNT 0"), "OK")
	c.want("SEARCH RETURN (ALL) SUBJECT zzz", es(""), "OK")
	c.want("SEARCH RETURN (SAVE) UID 3:5", "OK")
	c.want("FETCH $ FLAGS", "* 2 FETCH (UID 3 FLAGS ())", "* 3 FETCH (UID 5 FLAGS ())", "OK")
	c.want("UID FETCH $ FLAGS", "* 2 FETCH (UID 3 FLAGS ())", "* 3 FETCH (UID 5 FLAGS ())", "OK")
	c.want("UID SEARCH NOT $", "* SEARCH 2 6", "OK")
	c.want("UID SEARCH UID $", "* SEARCH 3 5", "OK")
	c.want(`STORE $ +FLAGS (\Seen)`, `* 2 FETCH (UID 3 FLAGS (\Seen))`, `* 3 FETCH (UID 5 FLAGS (\Seen))`, "OK")
	c.want("SEARCH RETURN (SAVE COUNT) SEEN", es(" COUNT 2"), "OK")
	w.expunge(3)
	c.want("NOOP", "* 2 EXPUNGE", "OK")
	c.want("UID SEARCH $", "* SEARCH 5", "OK")
	c.want("SEARCH RETURN (SAVE MIN) ALL", es(" MIN 1"), "OK")
	c.want("UID SEARCH $", "* SEARCH 2", "OK")
	c.want("SEARCH RETURN (SAVE MIN MAX) ALL", es(" MIN 1 MAX 3"), "OK")
	c.want("UID SEARCH $", "* SEARCH 2 6", "OK")
	c.ok("SELECT INBOX")
	c.want("UID SEARCH $", "* SEARCH", "OK")
}

func TestSearchesThatTakeTooMuchAreCutShortAndSaySo(t *testing.T) {
	t.Parallel()
	t.Run("bodies", func(t *testing.T) {
		t.Parallel()
		c := searchWorld(t, func(o *imapview.Options) { o.SearchBodies = 2 }).in("INBOX")
		c.want("SEARCH BODY e", "* SEARCH 4 5", "NO [LIMIT]")
		c.want("SEARCH NOT BODY treasure", "* SEARCH 4", "NO [LIMIT]")
		c.want("SEARCH FLAGGED BODY two", "* SEARCH 2", "OK")
		c.want("SEARCH SUBJECT order BODY two", "* SEARCH 2", "OK")
		c.want("SEARCH RETURN (SAVE) BODY e", "NO [LIMIT]")
		c.want("SEARCH $", "* SEARCH", "OK")
	})
	t.Run("time", func(t *testing.T) {
		t.Parallel()
		c := searchWorld(t, func(o *imapview.Options) { o.SearchBudget = time.Nanosecond }).in("INBOX")
		c.want("SEARCH SUBJECT order", "* SEARCH", "NO [LIMIT]")
		c.want("SEARCH UNSEEN", "* SEARCH 2 3 5", "OK")
	})
}

func TestSearchesOfOneAccountTakeTurns(t *testing.T) {
	t.Parallel()
	w := searchWorld(t)
	var done []chan string
	for range 5 {
		c, d := w.in("INBOX"), make(chan string, 1)
		done = append(done, d)
		go func() { d <- c.cmd("SEARCH BODY hello")[0] }()
	}
	for _, d := range done {
		if got := <-d; got != "* SEARCH 3" {
			t.Error(got)
		}
	}
}

func TestSearchInAFolderOfSeveralBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var items []folders.Item
	for i := range 2500 {
		it := item("x", "INBOX")
		it.Search.Subject = fmt.Sprintf("number %d.", i+1)
		items = append(items, it)
	}
	w.edit(account, folders.Edit{Append: items})
	w.edit(account, folders.Edit{Seen: bitmap.Range(1, 2400)})
	c := w.in("INBOX")
	c.want(`SEARCH OR SUBJECT "number 2." SUBJECT "number 2500."`, "* SEARCH 2 2500", "OK")
	c.want(`SEARCH UNSEEN SUBJECT 00.`, "* SEARCH 2500", "OK")
	c.want(`SEARCH RETURN (COUNT) SUBJECT number`, fmt.Sprintf(`* ESEARCH (TAG "a%d") COUNT 2500`, c.n+1), "OK")
}
