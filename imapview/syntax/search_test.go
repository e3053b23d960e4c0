package syntax

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func TestSearchKeys(t *testing.T) {
	t.Parallel()
	seen, flagged := Key{Op: OpSeen}, Key{Op: OpFlagged}
	tests := []struct {
		keys string
		want Key
	}{
		{"ALL", Key{Op: OpAll}}, {"old", Key{Op: OpAll}}, {"UNANSWERED", Key{Op: OpAll}}, {"UNDELETED", Key{Op: OpAll}}, {"UNDRAFT", Key{Op: OpAll}},
		{"ANSWERED", Key{Op: OpNone}}, {"DELETED", Key{Op: OpNone}}, {"DRAFT", Key{Op: OpNone}}, {"NEW", Key{Op: OpNone}}, {"RECENT", Key{Op: OpNone}},
		{"SEEN", seen}, {"unseen", not(seen)}, {"FLAGGED", flagged}, {"UNFLAGGED", not(flagged)},
		{"KEYWORD $HardBounce", Key{Op: OpKeyword, Name: "$HardBounce"}}, {"UNKEYWORD x", not(Key{Op: OpKeyword, Name: "x"})},
		{"BCC a", Key{Op: OpBcc, Text: "a"}}, {"BODY a", Key{Op: OpBody, Text: "a"}}, {"CC a", Key{Op: OpCc, Text: "a"}}, {"FROM a", Key{Op: OpFrom, Text: "a"}},
		{"SUBJECT a", Key{Op: OpSubject, Text: "a"}}, {"TEXT a", Key{Op: OpText, Text: "a"}}, {"TO a", Key{Op: OpTo, Text: "a"}},
		{`SUBJECT "Ärger \"X\""`, Key{Op: OpSubject, Text: `ärger "x"`}},
		{`SUBJECT ""`, Key{Op: OpSubject}},
		{"SUBJECT {6+}\r\n\xc3\x84rger", Key{Op: OpSubject, Text: "ärger"}},
		{"SUBJECT {5+}\r\n\xc4rger", Key{Op: OpSubject, Text: "\uFFFDrger"}},
		{"CHARSET utf-8 SUBJECT {6+}\r\n\xc3\x84rger", Key{Op: OpSubject, Text: "ärger"}},
		{"CHARSET \"iso-8859-1\" SUBJECT {5+}\r\n\xc4rger", Key{Op: OpSubject, Text: "ärger"}},
		{"HEADER Message-ID <A@B>", Key{Op: OpHeader, Name: "message-id", Text: "<a@b>"}},
		{`HEADER X-Relay-Id ""`, Key{Op: OpHeader, Name: "x-relay-id"}},
		{"BEFORE 1-Feb-2026", Key{Op: OpBefore, Date: day(2026, 2, 1)}}, {`ON "01-FEB-2026"`, Key{Op: OpOn, Date: day(2026, 2, 1)}},
		{"SINCE 28-feb-1994", Key{Op: OpSince, Date: day(1994, 2, 28)}}, {"SENTBEFORE 29-Feb-2024", Key{Op: OpSentBefore, Date: day(2024, 2, 29)}},
		{"SENTON 31-Dec-2026", Key{Op: OpSentOn, Date: day(2026, 12, 31)}}, {"SENTSINCE 10-Nov-2026", Key{Op: OpSentSince, Date: day(2026, 11, 10)}},
		{"LARGER 0", Key{Op: OpLarger}}, {"SMALLER 5000000000", Key{Op: OpSmaller, N: 5e9}},
		{"YOUNGER 60", Key{Op: OpYounger, N: 60}}, {"OLDER 86400", Key{Op: OpOlder, N: 86400}},
		{"UID 1:3,9", Key{Op: OpUID, Set: Set{Ranges: []Range{{1, 3}, {9, 9}}}}}, {"UID $", Key{Op: OpSaved}}, {"$", Key{Op: OpSaved}},
		{"5", Key{Op: OpSeq, Set: Set{Ranges: []Range{{5, 5}}}}}, {"*:2", Key{Op: OpSeq, Set: Set{Ranges: []Range{{Star, 2}}}}},
		{"MODSEQ 12", Key{Op: OpModSeq, Mod: 12}}, {"MODSEQ 0", Key{Op: OpModSeq}}, {`MODSEQ "/flags/\\Seen" all 7`, Key{Op: OpModSeq, Mod: 7}},
		{"NOT SEEN", not(seen)}, {"NOT NOT SEEN", not(not(seen))},
		{"OR SEEN FLAGGED", Key{Op: OpOr, Keys: []Key{seen, flagged}}},
		{"OR (SEEN FLAGGED) NOT 5", Key{Op: OpOr, Keys: []Key{and([]Key{seen, flagged}), not(Key{Op: OpSeq, Set: Set{Ranges: []Range{{5, 5}}}})}}},
		{"SEEN FLAGGED", Key{Op: OpAnd, Keys: []Key{seen, flagged}}},
		{"(SEEN FLAGGED)", Key{Op: OpAnd, Keys: []Key{seen, flagged}}},
		{"((SEEN))", seen},
		{"SEEN (FLAGGED SEEN)", Key{Op: OpAnd, Keys: []Key{seen, {Op: OpAnd, Keys: []Key{flagged, seen}}}}},
	}
	for _, tt := range tests {
		for _, form := range []string{"SEARCH ", "UID SEARCH ", "SEARCH RETURN (COUNT) "} {
			c, bad := parse(t, form+tt.keys)
			if bad != nil {
				t.Errorf("%s%q: %v", form, tt.keys, bad)
			} else if got := c.Args.(Search).Key; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s%q:\n got %+v\nwant %+v", form, tt.keys, got, tt.want)
			}
		}
	}
}

func TestSearchesThatAreWrong(t *testing.T) {
	t.Parallel()
	testRefused(t, "SEARCH", "SEARCH ", "SEARCH X", "SEARCH X-GM-RAW a", "SEARCH RETURNED", "SEARCH SEEN,FLAGGED", "SEARCH NOT", "SEARCH OR SEEN", "SEARCH ()", "SEARCH (SEEN", "SEARCH SEEN)",
		"SEARCH SUBJECT", "SEARCH HEADER a", "SEARCH KEYWORD", `SEARCH KEYWORD \Seen`, "SEARCH 0", "SEARCH 1,", "SEARCH 1:x", "SEARCH UID", "SEARCH UID 0", "SEARCH UID ALL",
		"SEARCH BEFORE x", "SEARCH ON 31-Feb-2026", "SEARCH ON 0-Jan-2026", "SEARCH ON 1-Foo-2026", `SEARCH ON "1-Jan-2026`, "SEARCH ON 1-Jan-26", "SEARCH ON 1-Jan-2026x", "SEARCH ON 001-Jan-2026",
		"SEARCH LARGER x", "SEARCH LARGER -1", "SEARCH LARGER 9223372036854775808", "SEARCH YOUNGER 0", "SEARCH OLDER 0", "SEARCH OLDER 4294967296",
		"SEARCH MODSEQ", "SEARCH MODSEQ x", `SEARCH MODSEQ "/flags/x" 1`, `SEARCH MODSEQ "/flags/x" none 1`, "SEARCH CHARSET", "SEARCH CHARSET UTF-8", "SEARCH RETURN (ALL)", "SEARCH RETURN ALL ALL",
		"SEARCH RETURN (ALL SEEN", "SEARCH ALL RETURN (ALL)", "SEARCH ALL CHARSET UTF-8", "SEARCH $x", "SEARCH $,1")
}

func TestSearchReturnOptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		options string
		want    Return
	}{
		{"()", Return{All: true}},
		{"(ALL)", Return{All: true}},
		{"(min MAX Count)", Return{Min: true, Max: true, Count: true}},
		{"(SAVE)", Return{Save: true}},
		{"(ALL SAVE)", Return{All: true, Save: true}},
		{"(COUNT PARTIAL 1:500)", Return{Count: true}},
		{"(PARTIAL -1:-100 COUNT)", Return{Count: true}},
		{"(PARTIAL 1:500)", Return{All: true}},
		{"(RELEVANCY COUNT)", Return{Count: true}},
		{"(X (a (b \"c\") {1+}\r\nd) COUNT Y ())", Return{Count: true}},
		{"( COUNT  MIN )", Return{Count: true, Min: true}},
	}
	for _, tt := range tests {
		c, bad := parse(t, "SEARCH RETURN "+tt.options+" ALL")
		if bad != nil {
			t.Errorf("%q: %v", tt.options, bad)
		} else if got := c.Args.(Search).Return; *got != tt.want {
			t.Errorf("%q: got %+v", tt.options, *got)
		}
	}
	if c, _ := parse(t, "SEARCH ALL"); c.Args.(Search).Return != nil {
		t.Error("a plain search has return options")
	}
	testRefused(t, "SEARCH RETURN (X "+strings.Repeat("(", 10000)+" ALL", "SEARCH RETURN (X (a) ALL")
}

func TestSearchCharsets(t *testing.T) {
	t.Parallel()
	for sent, known := range map[string]bool{"us-ascii": true, "UTF-8": true, `"iso-8859-1"`: true, "KOI8-R": false} {
		c, bad := parse(t, "SEARCH CHARSET "+sent+" ALL")
		if bad != nil {
			t.Fatal(bad)
		}
		s := c.Args.(Search)
		if s.Charset != strings.ToUpper(strings.Trim(sent, `"`)) || KnownCharset(s.Charset) != known {
			t.Errorf("%s: got %q", sent, s.Charset)
		}
	}
	for charset := range strings.FieldsSeq(Charsets) {
		if !KnownCharset(charset) {
			t.Errorf("%s is listed, but not known", charset)
		}
	}
}

func TestASearchIsBounded(t *testing.T) {
	t.Parallel()
	for _, keys := range []string{
		strings.Repeat("SEEN ", 99) + "SEEN",
		strings.Repeat("NOT ", 20) + "SEEN",
		strings.Repeat("(", 20) + "SEEN" + strings.Repeat(")", 20),
		strings.Repeat("OR SEEN ", 20) + "SEEN",
	} {
		if _, bad := parse(t, "SEARCH "+keys); bad != nil {
			t.Errorf("%.40q: %v", keys, bad)
		}
	}
	testRefused(t,
		"SEARCH "+strings.Repeat("SEEN ", 101),
		"SEARCH "+strings.Repeat("NOT ", 12000)+"SEEN",
		"SEARCH "+strings.Repeat("NOT ", 21)+"SEEN",
		"SEARCH "+strings.Repeat("(", 30000),
		"SEARCH "+strings.Repeat("(", 21)+"SEEN"+strings.Repeat(")", 21),
		"SEARCH "+strings.Repeat("OR SEEN ", 21)+"SEEN",
		"SEARCH "+strings.Repeat("OR ", 20000),
	)
}
