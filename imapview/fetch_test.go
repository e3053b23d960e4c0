package imapview_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

func itoa(n int) string { return strconv.Itoa(n) }

// number reads "* n WHAT".
func number(t *testing.T, line, what string) int {
	t.Helper()
	text, ok := strings.CutSuffix(line, " "+what)
	n, err := strconv.Atoi(strings.TrimPrefix(text, "* "))
	if !ok || err != nil {
		t.Fatalf("%q is no %s", line, what)
	}
	return n
}

// The pieces of a report: its octets are put together from them, and so are the
// answers.
const (
	reportHeader = "Subject: Bounced\r\nX-Relay-Id: msg_1\r\nReferences: <a@x>\r\n <b@x>\r\nContent-Type: multipart/report; boundary=b\r\n\r\n"
	textMIME     = "Content-Type: text/plain\r\n\r\n"
	textBody     = "It was not delivered.\r\n"
	mailMIME     = "Content-Type: message/rfc822\r\n\r\n"
	mailHeader   = "Subject: the original\r\nFrom: shop@example.com\r\nContent-Type: text/plain\r\n\r\n"
	mailBody     = "Hello, Bob!\r\n"
)

// report is an entry with the original inside by reference.
func (w *world) report() folders.Item {
	id, ref := w.content(mailHeader + mailBody)
	front := reportHeader + "--b\r\n" + textMIME + textBody + "\r\n--b\r\n" + mailMIME
	back := "\r\n--b--\r\n"
	it := folders.Item{Sets: []string{"INBOX", "Bounced"}, Key: "report", Unseen: true}
	it.Entry = folders.Entry{
		Message: id, At: start, Front: []byte(front), Content: ref, Back: []byte(back),
		Envelope: []byte(`(NIL "Bounced" NIL NIL NIL NIL NIL NIL NIL NIL)`), Body: []byte(`(B)`), BodyStructure: []byte(`(BS)`),
	}
	at := func(s string) int64 { return int64(strings.Index(front, s)) }
	inner := int64(len(front)) + int64(len(mailHeader))
	end := inner + int64(len(mailBody))
	it.Entry.Parts = []folders.Part{
		{Path: "", Header: 0, Body: int64(len(reportHeader)), End: it.Entry.Size()},
		{Path: "1", Header: at(textMIME), Body: at(textBody), End: at(textBody) + int64(len(textBody))},
		{Path: "2", Header: at(mailMIME), Body: int64(len(front)), End: end, Inner: inner},
		{Path: "2.1", Header: int64(len(front)), Body: inner, End: end},
	}
	it.Search = folders.Search{At: start, Subject: "bounced", Other: "msg_1 reply 550"}
	return it
}

func literal(s string) string { return fmt.Sprintf("{%d}\r\n%s", len(s), s) }

func TestFetchOfSections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	it := w.report()
	w.edit(account, folders.Edit{Append: []folders.Item{it}})
	whole := string(it.Entry.Front) + mailHeader + mailBody + string(it.Entry.Back)
	c := w.in("INBOX")
	for _, tt := range []struct{ ask, want string }{
		{"BODY.PEEK[]", "BODY[] " + literal(whole)},
		{"BODY.PEEK[HEADER]", "BODY[HEADER] " + literal(reportHeader)},
		{"RFC822.HEADER", "RFC822.HEADER " + literal(reportHeader)},
		{"BODY.PEEK[TEXT]", "BODY[TEXT] " + literal(whole[len(reportHeader):])},
		{"BODY.PEEK[1]", "BODY[1] " + literal(textBody)},
		{"BODY.PEEK[1.MIME]", "BODY[1.MIME] " + literal(textMIME)},
		{"BODY.PEEK[2]", "BODY[2] " + literal(mailHeader+mailBody)},
		{"BODY.PEEK[2.MIME]", "BODY[2.MIME] " + literal(mailMIME)},
		{"BODY.PEEK[2.HEADER]", "BODY[2.HEADER] " + literal(mailHeader)},
		{"BODY.PEEK[2.TEXT]", "BODY[2.TEXT] " + literal(mailBody)},
		{"BODY.PEEK[2.1]", "BODY[2.1] " + literal(mailBody)},
		{"BODY.PEEK[2.HEADER.FIELDS (FROM)]", "BODY[2.HEADER.FIELDS (FROM)] " + literal("From: shop@example.com\r\n\r\n")},
		{"BODY.PEEK[HEADER.FIELDS (references Subject X-None)]", "BODY[HEADER.FIELDS (references Subject X-None)] " + literal("Subject: Bounced\r\nReferences: <a@x>\r\n <b@x>\r\n\r\n")},
		{"BODY.PEEK[HEADER.FIELDS.NOT (references content-type)]", "BODY[HEADER.FIELDS.NOT (references content-type)] " + literal("Subject: Bounced\r\nX-Relay-Id: msg_1\r\n\r\n")},
		{"BODY.PEEK[HEADER.FIELDS (X-None)]", "BODY[HEADER.FIELDS (X-None)] " + literal("\r\n")},
		{"BODY.PEEK[HEADER.FIELDS (SUBJECT)]<3.5>", "BODY[HEADER.FIELDS (SUBJECT)]<3> " + literal("ject:")},
		{"BODY.PEEK[]<0.10>", "BODY[]<0> " + literal(whole[:10])},
		{"BODY.PEEK[]<10.100000>", "BODY[]<10> " + literal(whole[10:])},
		{"BODY.PEEK[]<100000.10>", "BODY[]<100000> " + literal("")},
		{"BODY.PEEK[2]<20.30>", "BODY[2]<20> " + literal((mailHeader + mailBody)[20:50])},
		{"BODY.PEEK[3]", "BODY[3] NIL"},
		{"BODY.PEEK[1.HEADER]", "BODY[1.HEADER] NIL"},
		{"BODY.PEEK[2.1.1]", "BODY[2.1.1] NIL"},
		{"ENVELOPE", `ENVELOPE (NIL "Bounced" NIL NIL NIL NIL NIL NIL NIL NIL)`},
		{"BODY", "BODY (B)"},
		{"BODYSTRUCTURE", "BODYSTRUCTURE (BS)"},
		{"RFC822.SIZE", "RFC822.SIZE " + itoa(len(whole))},
		{"INTERNALDATE", `INTERNALDATE "23-Nov-2026 05:00:00 +0000"`},
		{"UID", ""},
		{"FAST", `FLAGS ($Bounced) INTERNALDATE "23-Nov-2026 05:00:00 +0000" RFC822.SIZE ` + itoa(len(whole))},
		{"(BODY.PEEK[1] UID BODY.PEEK[2.TEXT])", "BODY[1] " + literal(textBody) + " BODY[2.TEXT] " + literal(mailBody)},
	} {
		got := c.cmd("UID FETCH 1 " + tt.ask)
		if want := strings.TrimSuffix("* 1 FETCH (UID 1 "+tt.want, " ") + ")"; len(got) != 2 || got[0] != want {
			t.Errorf("%s:\n got %q\nwant %q", tt.ask, got, want)
		}
	}
}

func TestReadingMarksAsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one", "two", "three")
	c, other := w.in("INBOX"), w.in("INBOX")
	c.want("FETCH 1 BODY.PEEK[TEXT]", "* 1 FETCH (UID 1 BODY[TEXT] "+literal("body of one\r\n")+")", "OK")
	c.want("FETCH 1 BODY[TEXT]", `* 1 FETCH (UID 1 FLAGS (\Seen) BODY[TEXT] `+literal("body of one\r\n")+")", "OK")
	c.want("FETCH 1 RFC822.TEXT", `* 1 FETCH (UID 1 RFC822.TEXT `+literal("body of one\r\n")+")", "OK")
	c.want("FETCH 2 RFC822.TEXT", `* 2 FETCH (UID 2 FLAGS (\Seen) RFC822.TEXT `+literal("body of two\r\n")+")", "OK")
	other.want("NOOP", `* 1 FETCH (UID 1 FLAGS (\Seen))`, `* 2 FETCH (UID 2 FLAGS (\Seen))`, "OK")
	c.ok("EXAMINE INBOX")
	c.want("FETCH 3 BODY[TEXT]", `* 3 FETCH (UID 3 BODY[TEXT] `+literal("body of three\r\n")+")", "OK")
	other.want("NOOP", "OK")
}

func TestAnEntryWithoutItsContentIsLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	it := w.report()
	w.edit(account, folders.Edit{Append: []folders.Item{it, item("two", "INBOX")}})
	c := w.in("INBOX")
	w.removeContent(it.Entry.Message)
	two := "Subject: two\r\nFrom: shop@example.com\r\n\r\nbody of two\r\n"
	c.want("FETCH 1:2 BODY.PEEK[]", "* 2 FETCH (UID 2 BODY[] "+literal(two)+")", "OK [EXPUNGEISSUED]")
	c.want("UID FETCH 1:2 BODY.PEEK[]", "* 2 FETCH (UID 2 BODY[] "+literal(two)+")", "OK [EXPUNGEISSUED]")
	c.want("UID FETCH 1 BODY.PEEK[]", "NO [EXPUNGEISSUED]")
	c.want("FETCH 1 BODY.PEEK[HEADER]", "* 1 FETCH (UID 1 BODY[HEADER] "+literal(reportHeader)+")", "OK")
	c.want("UID SEARCH BODY hello", "* SEARCH", "OK")
	w.seen(1, 2)
	c.want("FETCH 1:2 (FLAGS BODY.PEEK[])", `* 2 FETCH (UID 2 FLAGS (\Seen) BODY[] `+literal(two)+")", `* 1 FETCH (UID 1 FLAGS (\Seen $Bounced))`, "OK [EXPUNGEISSUED]")
}

func TestALargeMessageComesWholeAndInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	header := "Subject: large\r\n" + "X-Long: " + strings.Repeat("long ", 20_000) + "\r\n\r\n"
	text := header + strings.Repeat("0123456789abcde\r\n", 20_000)
	id, ref := w.content(text)
	it := folders.Item{Sets: []string{"Sent"}, Key: "x", Entry: folders.Entry{
		Message: id, At: start, Content: ref,
		Parts: []folders.Part{{Body: int64(len(header)), End: int64(len(text))}, {Path: "1", Body: int64(len(header)), End: int64(len(text))}},
	}}
	w.edit(account, folders.Edit{Append: []folders.Item{it}})
	c := w.in("Sent")
	c.want("FETCH 1 BODY[]", `* 1 FETCH (UID 1 BODY[] `+literal(text)+")", "OK")
	c.want("FETCH 1 BODY[HEADER.FIELDS (X-Long)]", `* 1 FETCH (UID 1 BODY[HEADER.FIELDS (X-Long)] `+literal(header[16:])+")", "OK")
	c.want("FETCH 1 BODY[HEADER.FIELDS (X-Long)]<50000.40000>", `* 1 FETCH (UID 1 BODY[HEADER.FIELDS (X-Long)]<50000> `+literal(header[16:][50000:90000])+")", "OK")
	var all strings.Builder
	for at := 0; at < len(text); at += 50_000 {
		got := c.ok(fmt.Sprintf("FETCH 1 BODY[]<%d.50000>", at))[0]
		part := text[at:min(len(text), at+50_000)]
		if want := fmt.Sprintf("* 1 FETCH (UID 1 BODY[]<%d> %s)", at, literal(part)); got != want {
			t.Fatalf("at %d: %d octets", at, len(got))
		}
		all.WriteString(part)
	}
	if all.String() != text {
		t.Error("the parts are not the whole")
	}
}

func TestFetchNamesMessagesInAllWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("Sent", "a")
	w.file("INBOX", "one", "two")
	w.file("Sent", "b")
	w.file("INBOX", "three", "four") // UIDs 2 3 5 6
	c := w.in("INBOX")
	for _, tt := range []struct {
		command string
		uids    []int
	}{
		{"FETCH 1", []int{2}}, {"FETCH *", []int{6}}, {"FETCH 2:3", []int{3, 5}}, {"FETCH 3:2", []int{3, 5}}, {"FETCH 4,1,1:2", []int{2, 3, 6}},
		{"FETCH 1:*", []int{2, 3, 5, 6}}, {"FETCH *:3", []int{5, 6}},
		{"UID FETCH 1", nil}, {"UID FETCH 4", nil}, {"UID FETCH 1:3", []int{2, 3}}, {"UID FETCH *", []int{6}}, {"UID FETCH 100:*", []int{6}},
		{"UID FETCH 6,2,3", []int{2, 3, 6}}, {"UID FETCH 1:4294967295", []int{2, 3, 5, 6}},
	} {
		var want []string
		for _, uid := range tt.uids {
			want = append(want, fmt.Sprintf("* %d FETCH (UID %d FLAGS ())", slices.Index([]int{0, 2, 3, 5, 6}, uid), uid))
		}
		c.want(tt.command+" FLAGS", append(want, "OK")...)
	}
	c.want("FETCH 5 FLAGS", "BAD")
	c.want("FETCH 1:5 FLAGS", "BAD")
	c.ok("SELECT Queued")
	c.want("FETCH 1:* FLAGS", "OK")
	c.want("FETCH 1 FLAGS", "BAD")
	c.want("UID FETCH 1:* FLAGS", "OK")
}

func TestStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file(`INBOX,flag:\Flagged`, "one", "two")
	c, other := w.in("INBOX"), w.in("INBOX")
	c.want(`STORE 1 +FLAGS (\Seen)`, `* 1 FETCH (UID 1 FLAGS (\Seen \Flagged))`, "OK")
	other.want("NOOP", `* 1 FETCH (UID 1 FLAGS (\Seen \Flagged))`, "OK")
	c.want("NOOP", "OK")
	c.want(`STORE 1:2 +FLAGS (\Deleted tag)`, `* 1 FETCH (UID 1 FLAGS (\Seen \Flagged))`, `* 2 FETCH (UID 2 FLAGS (\Flagged))`, "OK")
	c.want(`STORE 2 +FLAGS.SILENT (\Deleted \Answered)`, "OK")
	c.want(`UID STORE 2 FLAGS (\Seen)`, `* 2 FETCH (UID 2 FLAGS (\Seen \Flagged))`, "OK")
	c.want(`UID STORE 1 FLAGS.SILENT ()`, "OK")
	c.want(`FETCH 1 FLAGS`, `* 1 FETCH (UID 1 FLAGS (\Flagged))`, "OK")
	c.want(`STORE 2 -FLAGS \seen`, `* 2 FETCH (UID 2 FLAGS (\Flagged))`, "OK")
	c.want(`STORE 2 -FLAGS (\Flagged)`, `* 2 FETCH (UID 2 FLAGS (\Flagged))`, "OK")
	c.want(`UID STORE 77 +FLAGS (\Seen)`, "OK")
	c.want(`STORE 77 +FLAGS (\Seen)`, "BAD")
	c.want("EXPUNGE", "OK")
	c.ok("EXAMINE INBOX")
	c.want(`STORE 1 +FLAGS (\Seen)`, "NO [READ-ONLY]")
	c.want("EXPUNGE", "NO [READ-ONLY]")
	c.want("UID EXPUNGE 1", "NO [READ-ONLY]")
	c.want("CLOSE", "OK")
	other.want("FETCH 1:* FLAGS", `* 1 FETCH (UID 1 FLAGS (\Flagged))`, `* 2 FETCH (UID 2 FLAGS (\Flagged))`, "OK")
}

func TestASilentStoreDoesNotHideWhatOthersDid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one")
	c := w.in("INBOX")
	w.seen(1)
	c.want(`STORE 1 +FLAGS.SILENT (\Flagged)`, `* 1 FETCH (UID 1 FLAGS (\Seen))`, "OK")
}

func TestModificationSequencesAreForThoseWhoAsk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one", "two", "three")
	c := w.in("INBOX")
	w.seen(1)
	c.want("NOOP", `* 1 FETCH (UID 1 FLAGS (\Seen))`, "OK")
	c.want("FETCH 1:2 (FLAGS) (CHANGEDSINCE 3145728)", "* OK [HIGHESTMODSEQ 3145729] As of now", `* 1 FETCH (UID 1 FLAGS (\Seen) MODSEQ (3145729))`, "OK")
	w.seen(2)
	c.want("NOOP", `* 2 FETCH (UID 2 FLAGS (\Seen) MODSEQ (3145730))`, "OK")
	c.want("FETCH 1:* MODSEQ", "* 1 FETCH (UID 1 MODSEQ (3145729))", "* 2 FETCH (UID 2 MODSEQ (3145730))", "* 3 FETCH (UID 3 MODSEQ (3145728))", "OK")
	c.want(`STORE 3 +FLAGS.SILENT (\Seen)`, "* 3 FETCH (UID 3 MODSEQ (3145731))", "OK")
	c.want(`STATUS INBOX (HIGHESTMODSEQ)`, `* STATUS "INBOX" (HIGHESTMODSEQ 3145731)`, "OK")
	c.want("UID SEARCH MODSEQ 3145730", "* SEARCH 2 3 (MODSEQ 3145731)", "OK")
	c.want("SEARCH RETURN (COUNT) MODSEQ 3145730", fmt.Sprintf(`* ESEARCH (TAG "a%d") COUNT 2 MODSEQ 3145731`, c.n+1), "OK")
	c.want(`UID STORE 1:3 (UNCHANGEDSINCE 3145729) -FLAGS (\Seen)`, "* 1 FETCH (UID 1 FLAGS () MODSEQ (3145732))", "OK [MODIFIED 2:3]")
	c.want(`STORE 2 (UNCHANGEDSINCE 1) -FLAGS.SILENT (\Seen)`, "OK [MODIFIED 2]")
	if got := c.cmd("FETCH 1 BODY[TEXT]"); !strings.HasPrefix(got[0], `* 1 FETCH (UID 1 FLAGS (\Seen) MODSEQ (3145733) BODY[TEXT] `) {
		t.Errorf("%q", got)
	}
}

// A client that is cut off goes on from the last sequence it saw: so none may come
// before an older one.
func TestOlderChangesAreToldFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one", "two", "three")
	c := w.login(account)
	c.ok("SELECT INBOX (CONDSTORE)")
	for _, uid := range []folders.UID{3, 1, 2} {
		w.edit(account, folders.Edit{Seen: bitmap.Of(uid)})
	}
	c.want("NOOP", `* 3 FETCH (UID 3 FLAGS (\Seen) MODSEQ (3145729))`, `* 1 FETCH (UID 1 FLAGS (\Seen) MODSEQ (3145730))`,
		`* 2 FETCH (UID 2 FLAGS (\Seen) MODSEQ (3145731))`, "OK")
}
