package skeleton

import (
	"strings"
	"testing"
)

// golden are tables found by hand: each part's body, and for a message inside its
// header.
var golden = []struct {
	name string
	raw  string
	want string
}{
	{
		"all kinds of parts are found",
		crlf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"outer\"\n\npreamble\n" +
			"--outer\nContent-Type: multipart/alternative; boundary=inner\n\n" +
			"--inner\n\nplain\n--inner\nContent-Type: text/html\n\n<p>\n\n--inner--\nepilogue within\n" +
			"--outer\nContent-Type: message/rfc822\n\nSubject: in\n\nhello\n" +
			"--outer\nContent-Type: application/pdf\n\n%PDF\n--outer--\nepilogue\n"),
		`1 "--inner\r\n\r\nplain\r\n--inner\r\nContent-Type: text/html\r\n\r\n<p>\r\n\r\n--inner--\r\nepilogue within"
1.1 "plain"
1.2 "<p>\r\n"
2 "Subject: in\r\n\r\nhello" ["Subject: in\r\n\r\n"]
2.1 "hello"
3 "%PDF"
`,
	},
	{
		"a message that is no multipart has a part 1",
		crlf("Subject: a\n\nbody\n"),
		"1 \"body\\r\\n\"\n",
	},
	{
		"an empty line alone is a message",
		"\r\n",
		"1 \"\"\n",
	},
	{"nothing is a message", "", "1 \"\"\n"},
	{
		"a header without an end has an empty body",
		crlf("Subject: a\n"),
		"1 \"\"\n",
	},
	{
		"a message of type message/rfc822 has it in part 1",
		crlf("Content-Type: message/rfc822\n\nSubject: in\n\ntext\n"),
		`1 "Subject: in\r\n\r\ntext\r\n" ["Subject: in\r\n\r\n"]
1.1 "text\r\n"
`,
	},
	{
		"a multipart inside a message has no number of its own",
		crlf("Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n\n" +
			"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n--b--\n--a--\n"),
		`1 "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--" ["Content-Type: multipart/mixed; boundary=b\r\n\r\n"]
1.1 "one"
1.2 "two"
`,
	},
	{
		"a message inside a message inside",
		crlf("Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\nSubject: deep\n\nx"),
		`1 "Content-Type: message/rfc822\r\n\r\nSubject: deep\r\n\r\nx" ["Content-Type: message/rfc822\r\n\r\n"]
1.1 "Subject: deep\r\n\r\nx" ["Subject: deep\r\n\r\n"]
1.1.1 "x"
`,
	},
	{
		"message/global is looked into",
		crlf("Content-Type: message/global\n\nSubject: ü\n\nx"),
		`1 "Subject: ü\r\n\r\nx" ["Subject: ü\r\n\r\n"]
1.1 "x"
`,
	},
	{
		"parts of a digest are messages",
		crlf("Content-Type: multipart/digest; boundary=d\n\n--d\n\nSubject: one\n\nx\n--d\nContent-Type: text/plain\n\ny\n--d--\n"),
		`1 "Subject: one\r\n\r\nx" ["Subject: one\r\n\r\n"]
1.1 "x"
2 "y"
`,
	},
	{
		"the closing boundary is missing",
		crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n"),
		"1 \"one\"\n2 \"two\\r\\n\"\n",
	},
	{
		"the closing boundary of the inner multipart is missing",
		crlf("Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\none\n--o\n\ntwo\n--o--\n"),
		`1 "--i\r\n\r\none"
1.1 "one"
2 "two"
`,
	},
	{
		"one boundary begins with the other",
		crlf("Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=ab\n\n--ab\n\none\n--ab--\n--a\n\ntwo\n--a--\n"),
		`1 "--ab\r\n\r\none\r\n--ab--"
1.1 "one"
2 "two"
`,
	},
	{
		"the inner boundary is a prefix of the outer one",
		crlf("Content-Type: multipart/mixed; boundary=ab\n\n--ab\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\none\n--a--\n--ab\n\ntwo\n--ab--\n"),
		`1 "--a\r\n\r\none\r\n--a--"
1.1 "one"
2 "two"
`,
	},
	{
		"both multiparts have the same boundary",
		crlf("Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\none\n--a--\n--a\n\ntwo\n--a--\n"),
		`1 "--a\r\n\r\none\r\n--a--"
1.1 "one"
2 "two"
`,
	},
	{
		"white space follows the boundary",
		crlf("Content-Type: multipart/mixed; boundary=b\n\n--b \t\n\none\n--b-- \nrest"),
		"1 \"one\"\n",
	},
	{
		"something else follows the boundary",
		crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--bc\n-- b\n--b- -\n--b--\n"),
		"1 \"one\\r\\n--bc\\r\\n-- b\\r\\n--b- -\"\n",
	},
	{
		"a boundary has blanks in it",
		crlf("Content-Type: multipart/mixed; boundary=\"a b\"\n\n--a b\n\none\n--a b--\n"),
		"1 \"one\"\n",
	},
	{
		"a boundary comes in sections",
		crlf("Content-Type: multipart/mixed; boundary*0=\"a\"; boundary*1*=%62\n\n--ab\n\none\n--ab--\n"),
		"1 \"one\"\n",
	},
	{
		"a boundary is extended",
		crlf("Content-Type: multipart/mixed; boundary*=us-ascii'en'a%20b\n\n--a b\n\none\n--a b--\n"),
		"1 \"one\"\n",
	},
	{
		"a boundary behind the closing one is of the epilogue",
		crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n--b\n\ntwo\n"),
		"1 \"one\"\n",
	},
	{
		"a part has no empty line",
		crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n--b\n\ntwo\n--b--\n"),
		"1 \"\"\n2 \"two\"\n",
	},
	{
		"a part is empty",
		crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--b\n\n\n--b--\n"),
		"1 \"\"\n2 \"\"\n",
	},
	{
		"the part of an outer multipart ends an inner header",
		crlf("Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\nX: y\n--o--\n"),
		`1 "--i\r\nX: y"
1.1 ""
`,
	},
	{
		"a message inside has a header only",
		crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: in\n--b--\n"),
		`1 "Subject: in" ["Subject: in"]
1.1 ""
`,
	},
	{
		"a message inside ends with its empty line",
		crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: in\n\n--b--\n"),
		`1 "Subject: in\r\n" ["Subject: in\r\n"]
1.1 ""
`,
	},
	{
		"a message inside is empty",
		crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n--b--\n"),
		"1 \"\" [\"\"]\n1.1 \"\"\n",
	},
	{
		"a message inside that is encoded is a leaf",
		crlf("Content-Type: message/rfc822\nContent-Transfer-Encoding: BASE64\n\nU3ViamVjdDogYQ==\n"),
		"1 \"U3ViamVjdDogYQ==\\r\\n\"\n",
	},
	{
		"a multipart without a boundary is shown as a text",
		crlf("Content-Type: multipart/mixed\n\n--b\n\none\n--b--\n"),
		"1 \"--b\\r\\n\\r\\none\\r\\n--b--\\r\\n\"\n",
	},
	{
		"a multipart with a preamble only is shown as a text",
		crlf("Content-Type: multipart/mixed; boundary=x\n\nhello\n"),
		"1 \"hello\\r\\n\"\n",
	},
	{
		"a multipart with nothing at all has an empty text",
		crlf("Content-Type: multipart/mixed; boundary=x\n"),
		"1 \"\"\n",
	},
	{
		"lines end with LF only",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nX: y\n\ntwo\n\n--b--\n",
		"1 \"one\"\n2 \"two\\n\"\n",
	},
	{
		"a bare CR ends no line",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r--b\r\r\n--b--\r\n",
		"1 \"one\\r--b\\r\"\n",
	},
	{
		"the header holds lines that are no fields",
		crlf("From someone\n folded\nno field\n: nor this\nContent-Type : multipart/mixed;\n boundary=b\n\n--b\n\none\n--b--\n"),
		"1 \"one\"\n",
	},
	{
		"a line is longer than any buffer",
		crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\n\n" + strings.Repeat("x", 3*bufferLen) + "\n--b\n\ntwo\n--b" + strings.Repeat(" ", 2*bufferLen) + "\nno boundary\n--b--\n"),
		"1 \"" + strings.Repeat("x", 3*bufferLen) + "\"\n2 \"two\\r\\n--b" + strings.Repeat(" ", 2*bufferLen) + "\\r\\nno boundary\"\n",
	},
	{
		"a part begins behind the last boundary",
		crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b"),
		"1 \"one\"\n2 \"\"\n",
	},
}

func TestPartsAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range golden {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := parse(t, c.raw)
			if got := shown(c.raw, m.Parts()); got != c.want {
				t.Errorf("got\n%.2000s\nwant\n%.2000s", got, c.want)
			}
		})
	}
}

func TestHeadersOfPartsAreFound(t *testing.T) {
	t.Parallel()
	raw := crlf("Subject: a\nContent-Type: multipart/mixed; boundary=b\n\n--b\nX: 1\n\none\n--b\n\ntwo\n--b\nContent-Type: message/rfc822\n\nX: 3\n\nthree\n--b--\n")
	want := map[string]string{
		"":    "Subject: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
		"1":   "X: 1\r\n\r\n",
		"2":   "\r\n",
		"3":   "Content-Type: message/rfc822\r\n\r\n",
		"3.1": "X: 3\r\n\r\n",
	}
	for _, p := range parse(t, raw).Parts() {
		if got := raw[p.Header:p.Body]; got != want[p.Path] {
			t.Errorf("%q: %q", p.Path, got)
		}
	}
	raw = crlf("Subject: a\n\nb")
	p := parse(t, raw).Parts()
	if p[1].Header != p[0].Header || p[1].Body != p[0].Body || p[1].End != p[0].End {
		t.Errorf("part 1 is %+v, not as the message %+v", p[1], p[0])
	}
}
