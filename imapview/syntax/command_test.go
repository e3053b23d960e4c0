package syntax

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// parse reads one command and checks that nothing is left behind it.
func parse(t *testing.T, command string) (Command, *Error) {
	t.Helper()
	r := NewReader(strings.NewReader("t "+command+"\r\nnext NOOP\r\n"), Options{})
	c, err := r.Next()
	var bad *Error
	if err != nil && !errors.As(err, &bad) {
		t.Fatalf("%q: %v", command, err)
	}
	if bad != nil && bad.Tag != "t" || bad == nil && c.Tag != "t" {
		t.Fatalf("%q: the tag is lost", command)
	}
	if next, err := r.Next(); err != nil || next.Tag != "next" {
		t.Fatalf("%q: what follows is not read: %v", command, err)
	}
	return c, bad
}

type argumentTest struct {
	command string
	want    any
}

func testArguments(t *testing.T, tests []argumentTest) {
	t.Helper()
	for _, tt := range tests {
		c, bad := parse(t, tt.command)
		if bad != nil {
			t.Errorf("%q: %v", tt.command, bad)
		} else if !reflect.DeepEqual(c.Args, tt.want) {
			t.Errorf("%q:\n got %+v\nwant %+v", tt.command, c.Args, tt.want)
		}
	}
}

func testRefused(t *testing.T, commands ...string) {
	t.Helper()
	for _, command := range commands {
		if c, bad := parse(t, command); bad == nil {
			t.Errorf("%q is taken as %+v", command, c)
		} else if bad.Name == "" || bad.Text == "" || strings.ContainsAny(bad.Text, "\r\n") {
			t.Errorf("%q: got %+v", command, bad)
		}
	}
}

func TestCommandsWithoutArguments(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"CAPABILITY", "NOOP", "LOGOUT", "STARTTLS", "IDLE", "NAMESPACE",
		"CHECK", "CLOSE", "UNSELECT", "EXPUNGE"} {
		for _, sent := range []string{name, strings.ToLower(name)} {
			c, bad := parse(t, sent)
			if want := (Command{Tag: "t", Name: name}); bad != nil || !reflect.DeepEqual(c, want) {
				t.Errorf("%s: got %+v, %v", sent, c, bad)
			}
		}
		testRefused(t, name+" x")
	}
}

func TestCommandsOnUIDs(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"FETCH 1 UID", "store 1 FLAGS ()", "Copy 1 x", "MOVE 1 x", "SEARCH ALL", "EXPUNGE 1"} {
		name, _, _ := strings.Cut(strings.ToUpper(command), " ")
		if c, bad := parse(t, "uid "+command); bad != nil || c.Name != name || !c.UID {
			t.Errorf("%s: got %+v, %v", command, c, bad)
		}
	}
	testRefused(t, "UID", "UID ", "UID NOOP", "UID LOGIN a b", "UID XFOO", "UID UID FETCH 1 UID", "UID EXPUNGE")
}

func TestLogin(t *testing.T) {
	t.Parallel()
	testArguments(t, []argumentTest{
		{`LOGIN bob secret`, Login{"bob", "secret"}},
		{`LOGIN "bob" " a b "`, Login{"bob", " a b "}},
		{`LOGIN bob "a\"b\\c"`, Login{"bob", `a"b\c`}},
		{`LOGIN bob ""`, Login{"bob", ""}},
		{`LOGIN bob NIL`, Login{"bob", "NIL"}},
		{`LOGIN bob@shop.example a]b`, Login{"bob@shop.example", "a]b"}},
		{`LOGIN bob "grün"`, Login{"bob", "grün"}},
		{"LOGIN bob \"a\tb\"", Login{"bob", "a\tb"}},
		{"LOGIN {3+}\r\nbob {6+}\r\n a\r\nb ", Login{"bob", " a\r\nb "}},
		{"LOGIN \"bob\" {4+}\r\ngr\xfcn", Login{"bob", "gr\xfcn"}},
		{"LOGIN {3}\r\nbob {0}\r\n", Login{"bob", ""}},
	})
	testRefused(t, "LOGIN", "LOGIN bob", "LOGIN bob ", "LOGIN bob a b", `LOGIN bob "x`, `LOGIN bob x"y"`, `LOGIN bob "a\b"`,
		`LOGIN bob "a\`, "LOGIN bob \"a\x00b\"", "LOGIN bob \"a\x1bb\"", "LOGIN bob \"a\x7fb\"", "LOGIN bob \"\xff\"", "LOGIN bob a\x00b",
		"LOGIN bob {1+}\r\n\x00", "LOGIN bob grün", "LOGIN bob (x)", `LOGIN "bob"secret x`, "LOGIN bob ~{1+}\r\nx")
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	testArguments(t, []argumentTest{
		{"AUTHENTICATE plain", Authenticate{Mechanism: "PLAIN"}},
		{"AUTHENTICATE SCRAM-SHA-256", Authenticate{Mechanism: "SCRAM-SHA-256"}},
		{"AUTHENTICATE PLAIN =", Authenticate{"PLAIN", new("=")}},
		{"AUTHENTICATE PLAIN AGE+/w==", Authenticate{"PLAIN", new("AGE+/w==")}},
	})
	testRefused(t, "AUTHENTICATE", "AUTHENTICATE PLAIN a b", "AUTHENTICATE PLAIN a*b", `AUTHENTICATE PLAIN "a"`, `AUTHENTICATE "PLAIN"`)
}

func TestIDAndEnable(t *testing.T) {
	t.Parallel()
	many := strings.Repeat(`"a" "b" `, 40)
	testArguments(t, []argumentTest{
		{"ID NIL", ID(nil)},
		{"ID nil", ID(nil)},
		{"ID ()", ID{}},
		{`ID ("Name" "Thunderbird" "version" NIL)`, ID{"name": "Thunderbird", "version": ""}},
		{"ID ({4+}\r\nname {1+}\r\nx)", ID{"name": "x"}},
		{`ID ( "name" "x" )`, ID{"name": "x"}},
		{"ID (" + many + ")", ID{"a": "b"}},
		{"ENABLE UTF8=ACCEPT condstore", Enable{"UTF8=ACCEPT", "CONDSTORE"}},
		{"ENABLE X", Enable{"X"}},
	})
	var distinct strings.Builder
	for i := range 40 {
		distinct.WriteString(`"a` + string(rune('A'+i)) + `" "b" `)
	}
	testRefused(t, "ID", "ID x", `ID ("name")`, `ID ("name" "x"`, `ID "name"`, "ID ("+distinct.String()+")", "ENABLE", "ENABLE (X)")
}

func TestMailboxNames(t *testing.T) {
	t.Parallel()
	testArguments(t, []argumentTest{
		{"SUBSCRIBE Sent", Mailbox{"Sent"}},
		{"UNSUBSCRIBE iNbOx", Mailbox{"INBOX"}},
		{`MYRIGHTS "Bounced/Mailbox full"`, Mailbox{"Bounced/Mailbox full"}},
		{"GETACL {4+}\r\nSent", Mailbox{"Sent"}},
		{"DELETE T&AOk-l&AOk-", Mailbox{"Télé"}},
		{`DELETE "A&-B"`, Mailbox{"A&B"}},
		{`DELETE "A&B"`, Mailbox{"A&B"}},
		{`DELETE "Télé"`, Mailbox{"Télé"}},
		{"DELETE {6+}\r\nT\xc3\xa9l\xc3\xa9", Mailbox{"Télé"}},
		{`CREATE Trash`, Mailbox{"Trash"}},
		{`CREATE Trash (USE (\Trash))`, Mailbox{"Trash"}},
		{`RENAME "a b" c`, Mailbox{"a b"}},
		{`SETACL Sent bob +lrs`, Mailbox{"Sent"}},
		{`DELETEACL Sent bob`, Mailbox{"Sent"}},
		{`LISTRIGHTS Sent "bob"`, Mailbox{"Sent"}},
		{"APPEND Sent {3+}\r\na\r\n", Mailbox{"Sent"}},
		{"APPEND \"Sent\" (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {3+}\r\nabc {3+}\r\nabc", Mailbox{"Sent"}},
		{"APPEND Sent UTF8 (~{3+}\r\nabc)", Mailbox{"Sent"}},
		{"APPEND Sent {100000}", Mailbox{"Sent"}},
		{"COPY 1,3:* Trash", Copy{Set{Ranges: []Range{{1, 1}, {3, Star}}}, "Trash"}},
		{"MOVE $ Trash", Copy{Set{Saved: true}, "Trash"}},
		{"SELECT inbox", Select{Mailbox: "INBOX"}},
		{"EXAMINE inbox", Select{Mailbox: "INBOX"}},
		{"SELECT Sent (condstore)", Select{"Sent", true}},
		{`STATUS Sent (MESSAGES unseen UIDNEXT UIDVALIDITY RECENT SIZE HIGHESTMODSEQ DELETED)`,
			Status{"Sent", []StatusItem{StatusMessages, StatusUnseen, StatusUIDNext, StatusUIDValidity, StatusRecent, StatusSize, StatusHighestModSeq, StatusDeleted}}},
		{`STATUS Sent (MESSAGES MESSAGES )`, Status{"Sent", []StatusItem{StatusMessages}}},
	})
	long := strings.Repeat("x", 1001)
	testRefused(t, "SELECT", "SELECT a b", "SELECT a ()x", "SELECT a (QRESYNC (1 2))", "SELECT a (X)", "SELECT "+long, "SELECT (a)", "SELECT a%",
		"SELECT {3+}\r\na\r\n", "SELECT \"\xff\"", "SELECT {1+}\r\n\xff", "SELECT &AAA-", "EXAMINE", "SUBSCRIBE", "RENAME a", "RENAME a b c",
		"SETACL a b", "DELETEACL a", "LISTRIGHTS a", "MYRIGHTS", "GETACL a b", "CREATE a b", "CREATE a (", "CREATE a "+strings.Repeat("(", 10000),
		"APPEND", "APPEND a", "APPEND a x", "COPY 1", "COPY a b", "COPY 0 x", "MOVE 1:0 x",
		"STATUS", "STATUS a", "STATUS a ()", "STATUS a MESSAGES", "STATUS a (MESSAGES", "STATUS a (X)", "STATUS a (MESSAGES)x")
}

func TestMailboxNamesOfAClientThatEnabledUTF8(t *testing.T) {
	t.Parallel()
	r := NewReader(strings.NewReader("a DELETE \"T&AOk-l\u00e9\"\r\nb SEARCH CHARSET UTF-8 ALL\r\n"), Options{})
	r.AcceptUTF8()
	if c, err := r.Next(); err != nil || c.Args != (Mailbox{"T&AOk-lé"}) {
		t.Errorf("got %v, %v", c, err)
	}
	var bad *Error
	if _, err := r.Next(); !errors.As(err, &bad) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("got %v", err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	all := []string{"*"}
	testArguments(t, []argumentTest{
		{`LIST "" *`, List{Patterns: all}},
		{`LIST "" ""`, List{Patterns: []string{""}}},
		{`LIST "" "*"`, List{Patterns: all}},
		{`LIST Sent/ %`, List{Reference: "Sent/", Patterns: []string{"%"}}},
		{`LIST "" T&AOk-*`, List{Patterns: []string{"Té*"}}},
		{`LIST "" inbox`, List{Patterns: []string{"INBOX"}}},
		{`LIST "" a]%`, List{Patterns: []string{"a]%"}}},
		{"LIST {0+}\r\n {1+}\r\n*", List{Patterns: all}},
		{`list (subscribed) "" "*" return (special-use)`, List{Patterns: all, OnlySubscribed: true, ReturnSpecialUse: true, Extended: true}},
		{`LIST () "" *`, List{Patterns: all, Extended: true}},
		{`LIST (SUBSCRIBED RECURSIVEMATCH REMOTE) "" *`, List{Patterns: all, OnlySubscribed: true, RecursiveMatch: true, Remote: true, Extended: true}},
		{`LIST (SPECIAL-USE) "" *`, List{Patterns: all, OnlySpecialUse: true, Extended: true}},
		{`LIST "" (INBOX "Sent/%" *)`, List{Patterns: []string{"INBOX", "Sent/%", "*"}, Extended: true}},
		{`LIST "" % RETURN ()`, List{Patterns: []string{"%"}, Extended: true}},
		{`LIST "" % RETURN (SUBSCRIBED CHILDREN STATUS (MESSAGES UNSEEN) SPECIAL-USE)`, List{Patterns: []string{"%"}, Extended: true,
			ReturnSubscribed: true, ReturnChildren: true, ReturnSpecialUse: true, ReturnStatus: []StatusItem{StatusMessages, StatusUnseen}}},
		{`LSUB "" *`, List{Patterns: all, OnlySubscribed: true}},
		{`XLIST "" *`, List{Patterns: all, ReturnSpecialUse: true}},
	})
	testRefused(t, "LIST", `LIST ""`, `LIST "" ()`, `LIST "" * *`, `LIST (X) "" *`, `LIST (RECURSIVEMATCH) "" *`, `LIST (REMOTE RECURSIVEMATCH) "" *`,
		`LIST "" * RETURN`, `LIST "" * RETURN (X)`, `LIST "" * RETURN (STATUS)`, `LIST "" * RETURN (STATUS ())`, `LIST "" * RETURN SUBSCRIBED`,
		`LIST "" * RETURN (SUBSCRIBED`, `LIST "" * RESULT ()`, `LIST "" (*`, `LIST (SUBSCRIBED "" *`, `LIST "" (`+strings.Repeat("a ", 51)+`)`,
		`LIST "" `+strings.Repeat("*", 1001), `LIST "" ((*))`, `LSUB "" (a b)`, `LSUB (SUBSCRIBED) "" *`, `LSUB "" * RETURN ()`)
}

func TestStore(t *testing.T) {
	t.Parallel()
	one := Set{Ranges: []Range{{1, 1}}}
	testArguments(t, []argumentTest{
		{`STORE 1 FLAGS (\Seen)`, Store{Set: one, Mode: StoreReplace, Flags: []string{`\Seen`}}},
		{`STORE 1 flags ()`, Store{Set: one, Mode: StoreReplace, Flags: []string{}}},
		{`STORE 1 +FLAGS (\Seen $Junk)`, Store{Set: one, Mode: StoreAdd, Flags: []string{`\Seen`, "$Junk"}}},
		{`STORE 1 -FLAGS.SILENT \Deleted`, Store{Set: one, Mode: StoreRemove, Silent: true, Flags: []string{`\Deleted`}}},
		{`STORE 1 +Flags.Silent \Seen x`, Store{Set: one, Mode: StoreAdd, Silent: true, Flags: []string{`\Seen`, "x"}}},
		{`STORE 1 (UNCHANGEDSINCE 12) +FLAGS (\Seen)`, Store{Set: one, Mode: StoreAdd, Flags: []string{`\Seen`}, UnchangedSince: new(uint64(12))}},
		{`STORE 1 (unchangedsince 0) FLAGS ()`, Store{Set: one, Mode: StoreReplace, Flags: []string{}, UnchangedSince: new(uint64(0))}},
		{`UID EXPUNGE 1`, Expunge{one}},
	})
	testRefused(t, "STORE", "STORE 1", "STORE 1 FLAGS", `STORE 0 FLAGS ()`, `STORE 1 FLAGS (\)`, `STORE 1 FLAGS (\Seen`, `STORE 1 =FLAGS ()`, `STORE 1 FLAG ()`,
		`STORE 1 FLAGS.LOUD ()`, `STORE 1 ++FLAGS ()`, `STORE 1 () FLAGS ()`, `STORE 1 (X 1) FLAGS ()`, `STORE 1 (UNCHANGEDSINCE) FLAGS ()`, `STORE 1 (UNCHANGEDSINCE x) FLAGS ()`,
		`STORE 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS ()`, `STORE 1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 2) FLAGS ()`, `STORE 1 FLAGS (\*)`, `STORE 1 FLAGS ("x")`,
		`STORE 1 FLAGS (`+strings.Repeat("x ", 200)+`)`, `STORE 1 FLAGS () x`)
}
