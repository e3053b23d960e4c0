package imaptest_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"postrider/imapview/imaptest"
)

// right are responses that a server may send.
var right = []string{
	"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready",
	"* BYE Good-bye",
	"+ Idling",
	"+ ",
	"a1 OK [READ-WRITE] Selected",
	"a1 NO [EXPUNGEISSUED] Some are gone",
	"a1 OK [MODIFIED 1:3,7] Done",
	"* OK [UIDVALIDITY 1795410003] UIDs are valid",
	"* OK [HIGHESTMODSEQ 9223372036854775807] As of now",
	`* OK [PERMANENTFLAGS (\Seen \*)] kept`,
	`* FLAGS (\Answered \Seen $Bounced tag-1)`,
	"* FLAGS ()",
	"* 0 EXISTS",
	"* 12 EXPUNGE",
	"* SEARCH",
	"* SEARCH 1 2 4294967295 (MODSEQ 7)",
	`* ESEARCH (TAG "a1") UID MIN 1 MAX 9 ALL 1:3,9 COUNT 4 MODSEQ 5`,
	`* ESEARCH (TAG "a1")`,
	`* STATUS "Sent/2026-11" (MESSAGES 3 UIDNEXT 4 SIZE 99999999999)`,
	`* LIST (\HasNoChildren \Sent) "/" "Sent"`,
	`* LIST (\NonExistent) "/" Sent ("CHILDINFO" ("SUBSCRIBED"))`,
	`* 1 FETCH (UID 7 FLAGS (\Seen) MODSEQ (7340032))`,
	`* 1 FETCH (INTERNALDATE " 3-Nov-2026 05:00:00 +0000" RFC822.SIZE 0)`,
	`* 1 FETCH (ENVELOPE ("x" "y \"z\"" ((NIL NIL "a" "b.test")("n" NIL "c" "d.test")) NIL NIL NIL NIL NIL NIL "<i>"))`,
	`* 1 FETCH (BODY ("text" "plain" ("charset" "utf-8" "x" "y") NIL NIL "7bit" 12 1))`,
	`* 1 FETCH (BODYSTRUCTURE (("text" "plain" NIL NIL NIL "7bit" 12 1 NIL NIL NIL NIL)("application" "pdf" NIL NIL NIL "base64" 9 NIL ("attachment" ("filename" "a")) ("en" "de") NIL) "mixed" ("boundary" "b") NIL NIL NIL))`,
	`* 1 FETCH (BODY (("text" "plain" NIL NIL NIL "7bit" 1 1)("message" "rfc822" NIL NIL NIL "8bit" 9 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" NIL NIL NIL "7bit" 1 1) 4) "report"))`,
	"* 1 FETCH (BODY[] {3}\r\na)b BODY[1.2.MIME] NIL BODY[HEADER.FIELDS (SUBJECT \"From\")]<0> \"x\")",
	"* 1 FETCH (BODY[] {0}\r\n)",
}

func TestWhatIsRightIsRead(t *testing.T) {
	t.Parallel()
	for _, line := range right {
		if _, err := imaptest.Parse([]byte(line + "\r\n")); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestWhatIsWrongIsNot(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"", "*", "* ", "* 1", "* OK", "* OK ", "* OK [READ-ONLY]", "* OK [UIDNEXT 0] next", "* OK [UIDNEXT x] next",
		"a1 FETCH done", "a1 ok done", "* 1 exists", "* 01 EXISTS", "* -1 EXISTS", "* 4294967296 EXISTS", "* 0 EXPUNGE", "* 1 EXPUNGE ",
		"* FLAGS", "* FLAGS (a  b)", "* FLAGS (a a)", `* FLAGS (\*)`, "* SEARCH ", "* SEARCH 0", "* SEARCH 1  2", "* SEARCH 1 ", "* SEARCH 1,2",
		"* ESEARCH (TAG a1)", "* ESEARCH MIN 0", "* ESEARCH ALL 1:*", "* STATUS x (MESSAGES)", "* STATUS x (MESSAGES 1", "* STATUS x MESSAGES 1",
		`* LIST () "." x`, `* LIST "/" x`, "* 0 FETCH (UID 1)", "* 1 FETCH ()", "* 1 FETCH (UID 0)", "* 1 FETCH (UID 1) ", "* 1 FETCH (UID 1 )",
		"* 1 FETCH (UID 1  FLAGS ())", "* 1 FETCH (MODSEQ 5)", "* 1 FETCH (MODSEQ (9223372036854775808))", "* 1 FETCH (FLAGS () FLAGS ())",
		`* 1 FETCH (INTERNALDATE "3-Nov-2026 05:00:00 +0000")`, `* 1 FETCH (ENVELOPE ("x" "y" NIL NIL NIL NIL NIL NIL NIL))`,
		`* 1 FETCH (ENVELOPE (NIL NIL () NIL NIL NIL NIL NIL NIL NIL))`, `* 1 FETCH (ENVELOPE (NIL NIL ((NIL NIL NIL NIL) (NIL NIL NIL NIL)) NIL NIL NIL NIL NIL NIL NIL))`,
		`* 1 FETCH (BODY ("text" "plain" NIL NIL NIL "7bit" 12))`, `* 1 FETCH (BODY ("text" "plain" NIL NIL NIL NIL 12 1))`, `* 1 FETCH (BODY ("text" "plain" NIL NIL NIL "7bit" 12 1 NIL))`,
		`* 1 FETCH (BODY (("text" "plain" NIL NIL NIL "7bit" 1 1) ("text" "plain" NIL NIL NIL "7bit" 1 1) "mixed"))`, `* 1 FETCH (BODY ("a" "b" () NIL NIL "7bit" 1))`,
		"* 1 FETCH (BODY[] {4}\r\nabc)", "* 1 FETCH (BODY[] {2}\r\nabc)", "* 1 FETCH (BODY[x] NIL)", "* 1 FETCH (BODY[HEADER.FIELDS ()] NIL)", "* 1 FETCH (BODY[0] NIL)",
		"* 1 FETCH (BODY[] \"a\x80\")", "* 1 FETCH (BODY[] {1}\r\n\x00)", `* 1 FETCH (BODY[] "a\b")`, "* WHAT", "* OK a\rb", "* OK a\nb",
	} {
		if r, err := imaptest.Parse([]byte(line + "\r\n")); err == nil {
			t.Errorf("%q is read as %+v", line, r)
		}
	}
	if _, err := imaptest.Parse([]byte("* 1 EXISTS\n")); err == nil {
		t.Error("a bare LF ends a response")
	}
}

func TestResponsesAreTakenApart(t *testing.T) {
	t.Parallel()
	r, err := imaptest.Parse([]byte("* 3 FETCH (UID 7 BODY[]<2> {4}\r\n\r\n)( FLAGS (\\Seen $x) MODSEQ (8))\r\n"))
	if err != nil || r.Kind != "FETCH" || r.Number != 3 || r.Fetch.UID != 7 || r.Fetch.ModSeq != 8 || !slices.Equal(r.Fetch.Flags, []string{`\Seen`, "$x"}) ||
		!bytes.Equal(r.Fetch.Items["BODY[]<2>"], []byte("{4}\r\n\r\n)(")) {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = imaptest.Parse([]byte(`* ESEARCH (TAG "t1") UID ALL 2:4,9 COUNT 4` + "\r\n"))
	if err != nil || r.Search.Tag != "t1" || !r.Search.UID || r.Search.Count != 4 || !slices.Equal(r.Search.Numbers, []uint32{2, 3, 4, 9}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range right {
		f.Add([]byte(line + "\r\n"))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := imaptest.Parse(line)
		if err == nil && !strings.HasSuffix(string(line), "\r\n") {
			t.Errorf("%q is read as %+v", line, r)
		}
	})
}
