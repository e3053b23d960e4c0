package syntax

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func kinds(kinds ...FetchKind) []FetchItem {
	var items []FetchItem
	for _, k := range kinds {
		items = append(items, FetchItem{Kind: k})
	}
	return items
}

func TestFetchItems(t *testing.T) {
	t.Parallel()
	tests := []struct {
		items string
		want  []FetchItem
	}{
		{"FAST", kinds(FetchFlags, FetchInternalDate, FetchSize)},
		{"ALL", kinds(FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope)},
		{"full", kinds(FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope, FetchBody)},
		{"UID", kinds(FetchUID)},
		{"BODY", kinds(FetchBody)},
		{"(BODY)", kinds(FetchBody)},
		{"( uid  flags )", kinds(FetchUID, FetchFlags)},
		{"(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE MODSEQ)",
			kinds(FetchUID, FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope, FetchBody, FetchBodyStructure, FetchModSeq)},
		{"(FLAGS FLAGS UID FLAGS)", kinds(FetchFlags, FetchUID)},
		{"(FLAGS FAST)", kinds(FetchFlags, FetchInternalDate, FetchSize)},
	}
	for _, tt := range tests {
		c, bad := parse(t, "FETCH 1 "+tt.items)
		if want := (Fetch{Set: Set{Ranges: []Range{{1, 1}}}, Items: tt.want}); bad != nil || !reflect.DeepEqual(c.Args, want) {
			t.Errorf("%s: got %+v, %v", tt.items, c.Args, bad)
		}
	}
}

func TestFetchSections(t *testing.T) {
	t.Parallel()
	tests := []struct {
		item string
		want Section
	}{
		{"RFC822", Section{Name: "RFC822"}},
		{"rfc822.header", Section{Name: "RFC822.HEADER", What: SectionHeader, Peek: true}},
		{"RFC822.TEXT", Section{Name: "RFC822.TEXT", What: SectionText}},
		{"BODY[]", Section{Name: "BODY[]"}},
		{"body.peek[]", Section{Name: "BODY[]", Peek: true}},
		{"BODY[HEADER]", Section{Name: "BODY[HEADER]", What: SectionHeader}},
		{"BODY[text]", Section{Name: "BODY[TEXT]", What: SectionText}},
		{"BODY[1]", Section{Name: "BODY[1]", Path: "1"}},
		{"BODY[1.20.3]", Section{Name: "BODY[1.20.3]", Path: "1.20.3"}},
		{"BODY[01.MIME]", Section{Name: "BODY[1.MIME]", Path: "1", What: SectionMIME}},
		{"BODY.PEEK[1.HEADER]", Section{Name: "BODY[1.HEADER]", Path: "1", What: SectionHeader, Peek: true}},
		{"BODY[2.1.TEXT]", Section{Name: "BODY[2.1.TEXT]", Path: "2.1", What: SectionText}},
		{"BODY[HEADER.FIELDS (Subject \"FROM\" {2+}\r\nto)]",
			Section{Name: "BODY[HEADER.FIELDS (Subject FROM to)]", What: SectionHeaderFields, Fields: []string{"Subject", "FROM", "to"}}},
		{`BODY[HEADER.FIELDS ("a(b")]`, Section{Name: `BODY[HEADER.FIELDS ("a(b")]`, What: SectionHeaderFields, Fields: []string{"a(b"}}},
		{"BODY[1.header.fields.not (X]Y)]",
			Section{Name: "BODY[1.HEADER.FIELDS.NOT (X]Y)]", Path: "1", What: SectionHeaderFieldsNot, Fields: []string{"X]Y"}}},
		{"BODY[]<0.100>", Section{Name: "BODY[]", Partial: true, Count: 100}},
		{"BODY.PEEK[1.MIME]<7.4294967295>", Section{Name: "BODY[1.MIME]", Path: "1", What: SectionMIME, Peek: true, Partial: true, Offset: 7, Count: 4294967295}},
	}
	for _, tt := range tests {
		for _, form := range []string{"UID FETCH 1 %s", "FETCH 1 (%s)", "FETCH 1 (%s %[1]s)", "FETCH 1 (%s) (CHANGEDSINCE 9)"} {
			command := fmt.Sprintf(form, tt.item)
			c, bad := parse(t, command)
			if bad != nil {
				t.Errorf("%q: %v", command, bad)
				continue
			}
			if got, want := c.Args.(Fetch).Items, []FetchItem{{FetchSection, tt.want}}; !reflect.DeepEqual(got, want) {
				t.Errorf("%q:\n got %+v\nwant %+v", command, got, want)
			}
		}
	}
}

func TestFetchModifiers(t *testing.T) {
	t.Parallel()
	c, bad := parse(t, "FETCH 1:* FLAGS (changedsince 9223372036854775807)")
	if bad != nil || *c.Args.(Fetch).ChangedSince != 1<<63-1 {
		t.Errorf("got %+v, %v", c, bad)
	}
	testRefused(t, "FETCH 1 FLAGS ()", "FETCH 1 FLAGS (X 1)", "FETCH 1 FLAGS (CHANGEDSINCE)", "FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
		"FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)", "FETCH 1 FLAGS CHANGEDSINCE 1")
}

func TestFetchesThatAreWrong(t *testing.T) {
	t.Parallel()
	testRefused(t, "FETCH", "FETCH 1", "FETCH 0 FLAGS", "FETCH 1:0 FLAGS", "FETCH 4294967296 FLAGS", "FETCH x FLAGS", "FETCH 1, FLAGS", "FETCH 1 ()", "FETCH 1 (FLAGS",
		"FETCH 1 FLAGS UID", "FETCH 1 (FLAGS,UID)", "FETCH 1 X", "FETCH 1 BINARY[1]", "FETCH 1 (FLAGS (UID))", "FETCH 1 BODY.PEEK", "FETCH 1 BODY[", "FETCH 1 BODY[]]",
		"FETCH 1 BODY[0]", "FETCH 1 BODY[1.]", "FETCH 1 BODY[.1]", "FETCH 1 BODY[1..2]", "FETCH 1 BODY[MIME]", "FETCH 1 BODY[1.0]", "FETCH 1 BODY[HEADER.1]", "FETCH 1 BODY[X]",
		"FETCH 1 BODY[4294967296]", "FETCH 1 BODY[1.X]", "FETCH 1 BODY[1HEADER]", "FETCH 1 BODY[HEADER.FIELDS]", "FETCH 1 BODY[HEADER.FIELDS ()]", "FETCH 1 BODY[HEADER.FIELDS (a]",
		"FETCH 1 BODY[HEADER.FIELDS a]", `FETCH 1 BODY[HEADER.FIELDS ("")]`, `FETCH 1 BODY[HEADER.FIELDS ("a:")]`, `FETCH 1 BODY[HEADER.FIELDS ("a b")]`,
		"FETCH 1 BODY[HEADER.FIELDS ({4+}\r\na\r\nb)]", "FETCH 1 BODY[]<0>", "FETCH 1 BODY[]<0.0>", "FETCH 1 BODY[]<.1>", "FETCH 1 BODY[]<0.1", "FETCH 1 BODY[]<4294967296.1>",
		"FETCH 1 RFC822.PEEK", "FETCH 1 FLAGS[]", "FETCH 1 BODYSTRUCTURE[]", "FETCH 1 BODY[HEADER.FIELDS ("+strings.Repeat("a ", 300)+")]",
		"FETCH 1 BODY["+strings.Repeat("1.", 65)+"1]")
}

func TestAFetchOfTooMuch(t *testing.T) {
	t.Parallel()
	sections := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "BODY.PEEK[%d] ", i+1)
		}
		return "FETCH 1 (" + b.String() + ")"
	}
	if c, bad := parse(t, sections(16)); bad != nil || len(c.Args.(Fetch).Items) != 16 {
		t.Errorf("got %v, %v", c, bad)
	}
	testRefused(t, sections(17))
	if c, bad := parse(t, "FETCH 1 ("+strings.Repeat("BODY[] ", 1000)+")"); bad != nil || len(c.Args.(Fetch).Items) != 1 {
		t.Errorf("got %v, %v", c, bad)
	}
}
