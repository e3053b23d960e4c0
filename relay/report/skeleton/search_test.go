package skeleton

import (
	"strings"
	"testing"
	"time"
)

func TestSearchFieldsAreDecodedAndFolded(t *testing.T) {
	t.Parallel()
	m := parse(t, crlf("Date: Sun, 22 Nov 2026 23:30:00 -0500\nSubject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?= aus\n  =?iso-8859-1?b?S/Zsbg==?=\n"+
		"From: \"ANN\" <Ann@X.Example>\nTo: =?utf-8?q?J=C3=96RG?= <j@x>, Staff: a@x, B <b@x>;\nCc: c@x\nBcc: d@x\nMessage-ID: <ABC@x>\n\n"))
	s := m.Search()
	for _, c := range []struct{ field, got, want string }{
		{"subject", s.Subject, "grüße aus  köln"},
		{"from", s.From, "ann <ann@x.example>"},
		{"to", s.To, "jörg <j@x>, staff, a@x, b <b@x>"},
		{"cc", s.Cc, "c@x"},
		{"bcc", s.Bcc, "d@x"},
		{"message-id", s.MessageID, "<abc@x>"},
		{"recipients", s.Recipients, ""},
		{"other", s.Other, ""},
		{"sent", s.Sent.Format(time.RFC3339), "2026-11-22T23:30:00Z"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %q, want %q", c.field, c.got, c.want)
		}
	}
}

func TestEncodedWordsAreDecoded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"plain", "a b", "a b"},
		{"words next to each other", "=?utf-8?q?a?= =?utf-8?q?b?=", "ab"},
		{"a character is cut in two", "=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"},
		{"a character is cut in two in base64", "=?utf-8?b?4oI=?=\t=?UTF-8?B?rA==?=", "€"},
		{"another charset follows", "=?utf-8?q?=C3=BC?= =?windows-1252?q?=80?=", "ü€"},
		{"blanks are underscores", "=?us-ascii?q?a_b?=", "a b"},
		{"a language", "=?iso-8859-1*de?q?=FC?=", "ü"},
		{"japanese", "=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"},
		{"shift-jis", "=?Shift_JIS?B?k/qWew==?=", "日本"},
		{"chinese", "=?gb2312?b?1tDOxA==?=", "中文"},
		{"koi8-r", "=?koi8-r?q?=D2=D5?=", "ру"},
		{"an unknown charset", "=?x-none?q?=FCa?=", "üa"},
		{"not utf-8", "=?utf-8?q?=FC?=", "ü"},
		{"8-bit", "ü\xfc", "ã¼ü"},
		{"no padding", "=?utf-8?b?YQ?=", "a"},
		{"bad base64", "=?utf-8?b?YWI*?=", "ab"},
		{"bad hex", "=?utf-8?q?=G1=?=", "=g1="},
		{"no encoding of this name", "=?utf-8?x?a?=", "=?utf-8?x?a?="},
		{"no end", "=?utf-8?q?a =?utf-8?q?b?=", "=?utf-8?q?a b"},
		{"line ends", "=?utf-8?q?a=0D=0Ab?=", "a  b"},
		{"in the middle of a word", "x=?utf-8?q?a?=y", "xay"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := parse(t, "Subject: "+c.in+"\r\n\r\n").Search().Subject; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestSearchFieldsAreBounded(t *testing.T) {
	t.Parallel()
	s := parse(t, "Subject: "+strings.Repeat("a", 100<<10)+"\r\nTo: "+strings.Repeat("someone@example.com, ", 10<<10)+"\r\n\r\n").Search()
	if len(s.Subject) != maxString || len(s.To) > maxText {
		t.Errorf("%d and %d octets", len(s.Subject), len(s.To))
	}
}

func TestDatesAreReadAsTheyCome(t *testing.T) {
	t.Parallel()
	const want = "2026-11-02T03:04:05Z"
	for _, c := range []struct{ in, want string }{
		{"Mon, 2 Nov 2026 03:04:05 +0000", want},
		{"Mon, 02 Nov 2026 03:04:05 GMT", want},
		{"2 nov 2026 03:04:05 -0000 (comment (in it))", want},
		{"Mon,2 Nov 26 03:04:05 UT", want},
		{"Monday, 02-Nov-26 03:04:05 UTC", want},
		{"Mon Nov  2 03:04:05 2026", want},
		{"November 2, 2026 03:04:05 Z", want},
		{"2026-11-02T03:04:05Z", want},
		{"Mon, 2 Nov 2026 03:04:05", want},
		{"Mon, 2 Nov 2026 03:04:05 XYZ", want},
		{"Mon, 2 Nov 2026 03:04:05 +0530", want},
		{"2026-11-02T03:04:05+05:30", want},
		{"Mon, 2 Nov 2026 03:04:05 EST", want},
		{"Mon, 2 Nov 2026 03:04:05-0700", want},
		{"Mon, 2 Nov 2026 3:4", "2026-11-02T03:04:00Z"},
		{"2 Nov 1999", "1999-11-02T00:00:00Z"},
		{"2 Nov 99 01:02", "1999-11-02T01:02:00Z"},
		{"2 Nov 103 01:02", "2003-11-02T01:02:00Z"},
		{"", ""},
		{"yesterday", ""},
		{"2 Nov", ""},
		{"99 99 99 99:99:99 +9999", ""},
		{"Mon, 2 Nov 2026 99:99:99 +9999", "2026-11-02T00:00:00Z"},
	} {
		got := parseDate([]byte(c.in))
		if c.want == "" {
			if !got.IsZero() {
				t.Errorf("%q is %v", c.in, got)
			}
		} else if got.Format(time.RFC3339) != c.want {
			t.Errorf("%q is %v", c.in, got)
		}
	}
}
