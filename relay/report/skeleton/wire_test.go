package skeleton

import (
	"strings"
	"testing"
)

func TestEnvelope(t *testing.T) {
	t.Parallel()
	const nils = " NIL NIL NIL NIL NIL NIL NIL NIL"
	who := func(s string) string { return "(NIL NIL " + s + " " + s + " " + s + " NIL NIL NIL NIL NIL)" }
	for _, c := range []struct{ name, header, want string }{
		{"nothing is there", "X: y\n", "(NIL NIL" + nils + ")"},
		{"what is empty is the empty string", "Date:\nSubject: \nIn-Reply-To:\nMessage-ID:\n", `("" "" NIL NIL NIL NIL NIL NIL "" "")`},
		{"strings are as they were sent", "Date: Sun, 22 Nov 2026 10:00:00 +0100\nSubject: =?utf-8?q?a?=\nMessage-ID: <a@b>\nIn-Reply-To: <c@d>\n",
			`("Sun, 22 Nov 2026 10:00:00 +0100" "=?utf-8?q?a?=" NIL NIL NIL NIL NIL NIL "<c@d>" "<a@b>")`},
		{"quotes and backslashes are escaped", "Subject: say \"a\\b\"\n", `(NIL "say \"a\\b\"" NIL NIL NIL NIL NIL NIL NIL NIL)`},
		{"8-bit goes in a literal", "Subject: grüße\n", "(NIL {7}\r\ngrüße" + nils + ")"},
		{"folding is undone", "Subject: one\n two\n\tthree\n", "(NIL \"one two\tthree\"" + nils + ")"},
		{"NUL and a bare CR cannot go over the wire", "Subject: a\x00b\rc\n", "(NIL \"ab c\"" + nils + ")"},
		{"the first of two subjects", "Subject: one\nSUBJECT: two\n", "(NIL \"one\"" + nils + ")"},
		{"Sender and Reply-To are as From", "From: a@b.example\n", who(`((NIL NIL "a" "b.example"))`)},
		{"an empty Sender is as From", "Sender:\nReply-To: ,\nFrom: a@b.example\n", who(`((NIL NIL "a" "b.example"))`)},
		{"Sender and Reply-To of their own", "From: a@x\nSender: b@x\nReply-To: c@x, d@x\n",
			`(NIL NIL ((NIL NIL "a" "x")) ((NIL NIL "b" "x")) ((NIL NIL "c" "x")(NIL NIL "d" "x")) NIL NIL NIL NIL NIL)`},
		{"all fields of a destination", "To: a@x\nCc: c@x\nTo: b@x\nBcc: d@x\n",
			`(NIL NIL NIL NIL NIL ((NIL NIL "a" "x")(NIL NIL "b" "x")) ((NIL NIL "c" "x")) ((NIL NIL "d" "x")) NIL NIL)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := string(parse(t, crlf(c.header+"\n")).Envelope()); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, list, want string }{
		{"name", `Ann Other <a@x.example>`, `("Ann Other" NIL "a" "x.example")`},
		{"quoted name", `"Other, Ann \"A\"" <a@x>`, `("Other, Ann \"A\"" NIL "a" "x")`},
		{"name in a comment", `a@x (Ann (the \) first))`, `("Ann (the ) first)" NIL "a" "x")`},
		{"name with a point", `John Q. Public <a@x>`, `("John Q. Public" NIL "a" "x")`},
		{"address as name", `a@x <a@x>`, `("a@x" NIL "a" "x")`},
		{"encoded name", `=?utf-8?q?J=C3=B6rg?= =?utf-8?q?_X?= <a@x>`, `("=?utf-8?q?J=C3=B6rg?= =?utf-8?q?_X?=" NIL "a" "x")`},
		{"encoded name with specials", `=?utf-8?q?a,b<c>?= <a@x>`, `("=?utf-8?q?a,b<c>?=" NIL "a" "x")`},
		{"8-bit name", `Jörg <a@x>`, "({5}\r\nJörg NIL \"a\" \"x\")"},
		{"empty name", `"" <a@x>`, `(NIL NIL "a" "x")`},
		{"quoted local-part", `"a b"@x`, `(NIL NIL "a b" "x")`},
		{"quoted local-part with an at sign", `<"a@b"@x>`, `(NIL NIL "a@b" "x")`},
		{"blanks round the at sign", `a @ x`, `(NIL NIL "a" "x")`},
		{"address literal", `<a@[192.0.2.1]>, b@[IPv6:2001:db8::1]`, `(NIL NIL "a" "[192.0.2.1]")(NIL NIL "b" "[IPv6:2001:db8::1]")`},
		{"source route", `Ann <@r.example,@s.example:a@x>`, `("Ann" "@r.example,@s.example" "a" "x")`},
		{"no domain", `root, Ann <ann>`, `(NIL NIL "root" "")("Ann" NIL "ann" "")`},
		{"null address", `<>`, `(NIL NIL "" "")`},
		{"group", `Staff: a@x, "B" <b@x>;, c@x`, `(NIL NIL "Staff" NIL)(NIL NIL "a" "x")("B" NIL "b" "x")(NIL NIL NIL NIL)(NIL NIL "c" "x")`},
		{"empty group", `undisclosed-recipients:;`, `(NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL)`},
		{"group without an end", `Staff: a@x`, `(NIL NIL "Staff" NIL)(NIL NIL "a" "x")(NIL NIL NIL NIL)`},
		{"two groups", `A: a@x; B:;`, `(NIL NIL "A" NIL)(NIL NIL "a" "x")(NIL NIL NIL NIL)(NIL NIL "B" NIL)(NIL NIL NIL NIL)`},
		{"commas and nothing", `, ,a@x,,`, `(NIL NIL "a" "x")`},
		{"semicolons between", `a@x; b@x;`, `(NIL NIL "a" "x")(NIL NIL "b" "x")`},
		{"angle bracket without an end", `Ann <a@x, b@x`, `("Ann" NIL "a" "x")(NIL NIL "b" "x")`},
		{"quotes without an end", `"Ann <a@x>`, `(NIL NIL "Ann <a" "x>")`},
		{"comment without an end", `a@x (Ann`, `("Ann" NIL "a" "x")`},
		{"comment in the address", `<a(no)@(nor)x>`, `(NIL NIL "a" "x")`},
		{"folded", "a@x,\n b@x", `(NIL NIL "a" "x")(NIL NIL "b" "x")`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := string(parse(t, crlf("To: "+c.list+"\n\n")).Envelope())
			want := "(NIL NIL NIL NIL NIL (" + c.want + ") NIL NIL NIL NIL)"
			if got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestALongListEndsWithItsGroup(t *testing.T) {
	t.Parallel()
	m := parse(t, "To: Staff: "+strings.Repeat("someone@example.com,\r\n ", 5000)+";\r\n\r\n")
	if n := len(m.Envelope()); n < maxList || n > maxList+200 {
		t.Errorf("%d octets", n)
	}
}

func TestBodyStructure(t *testing.T) {
	t.Parallel()
	const plain = `"text" "plain" ("charset" "us-ascii") NIL NIL "7bit" `
	for _, c := range []struct{ name, raw, want string }{
		{"no type", "\nhi\nho\n", `(` + plain + `8 2 NIL NIL NIL NIL)`},
		{"not a type", "Content-Type: nonsense; a=b\n\n", `(` + plain + `0 0 NIL NIL NIL NIL)`},
		{"an empty type", "Content-Type:\n\n", `(` + plain + `0 0 NIL NIL NIL NIL)`},
		{"half a type", "Content-Type: text; charset=utf-8\n\n", `("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 0 0 NIL NIL NIL NIL)`},
		{"a text that names no charset", "Content-Type: TEXT/Html\n\n", `("text" "html" NIL NIL NIL "7bit" 0 0 NIL NIL NIL NIL)`},
		{"encodings are in lower case", "Content-Transfer-Encoding: Quoted-Printable (really)\n\n", `("text" "plain" ("charset" "us-ascii") NIL NIL "quoted-printable" 0 0 NIL NIL NIL NIL)`},
		{"an empty encoding", "Content-Transfer-Encoding:\n\n", `(` + plain + `0 0 NIL NIL NIL NIL)`},
		{"all fields", "Content-Type: image/png; name=\"a \\\"b\\\".png\"\nContent-ID: <id@x>\nContent-Description: a picture\nContent-Transfer-Encoding: base64\n" +
			"Content-MD5: Q2hlY2s=\nContent-Disposition: ATTACHMENT; filename=a.png; size=3\nContent-Language: en, de-CH\nContent-Location: http://x.example/\n\nabc\n",
			`("image" "png" ("name" "a \"b\".png") "<id@x>" "a picture" "base64" 5 "Q2hlY2s=" ("attachment" ("filename" "a.png" "size" "3")) ("en" "de-CH") "http://x.example/")`},
		{"fields that are empty", "Content-Type: image/png\nContent-ID:\nContent-Description:\nContent-Disposition:\nContent-Language:\nContent-Location:\n\n",
			`("image" "png" NIL "" "" "7bit" 0 NIL ("attachment" NIL) NIL "")`},
		{"parameters of RFC 2231 are as they were sent", "Content-Type: application/pdf; name*0*=utf-8''a%20; NAME*1=b\nContent-Disposition: inline; filename*=utf-8''%C3%BC.pdf\n\n",
			`("application" "pdf" ("name*0*" "utf-8''a%20" "name*1" "b") NIL NIL "7bit" 0 NIL ("inline" ("filename*" "utf-8''%C3%BC.pdf")) NIL NIL)`},
		{"parameters that should be quoted", "Content-Type: application/pdf; name=my file (1).pdf; x = y ; charset=utf-8 (no); =z; flag;; last=\"open\n\n",
			`("application" "pdf" ("name" "my file (1).pdf" "x" "y" "charset" "utf-8" "last" "open") NIL NIL "7bit" 0 NIL NIL NIL NIL)`},
		{"an 8-bit parameter goes in a literal", "Content-Type: application/pdf; name=\"ü.pdf\"\n\n",
			"(\"application\" \"pdf\" (\"name\" {6}\r\nü.pdf) NIL NIL \"7bit\" 0 NIL NIL NIL NIL)"},
		{"a folded parameter", "Content-Type: application/pdf;\n\tname=\"a\n b.pdf\"\n\n",
			`("application" "pdf" ("name" "a b.pdf") NIL NIL "7bit" 0 NIL NIL NIL NIL)`},
		{"a disposition without its type", "Content-Disposition: filename=a\n\n", `(` + plain + `0 0 NIL ("attachment" ("filename" "a")) NIL NIL)`},
		{"no blank is between parts", "Content-Type: multipart/Mixed; boundary=b; x=\"y\"\nContent-Language: en\n\n--b\n\none\n--b\nContent-Type: text/html; charset=UTF-8\n\n<p>\n</p>\n\n--b--\n",
			`((` + plain + `3 0 NIL NIL NIL NIL)("text" "html" ("charset" "UTF-8") NIL NIL "7bit" 11 2 NIL NIL NIL NIL) "mixed" ("boundary" "b" "x" "y") NIL ("en") NIL)`},
		{"a message inside", "Content-Type: message/rfc822\n\nSubject: s\n\none\ntwo\n",
			`("message" "rfc822" NIL NIL NIL "7bit" 24 (NIL "s" NIL NIL NIL NIL NIL NIL NIL NIL) (` + plain + `10 2 NIL NIL NIL NIL) 4 NIL NIL NIL NIL)`},
		{"a message inside that is encoded", "Content-Type: message/rfc822; name=a\nContent-Transfer-Encoding: base64\n\nYQ==\n",
			`("application" "octet-stream" ("name" "a") NIL NIL "base64" 6 NIL NIL NIL NIL)`},
		{"message/global is a leaf to clients of RFC 3501", "Content-Type: message/global\n\nSubject: s\n\n",
			`("message" "global" NIL NIL NIL "7bit" 14 NIL NIL NIL NIL)`},
		{"a delivery status is a leaf", "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n",
			`("message" "delivery-status" NIL NIL NIL "7bit" 23 NIL NIL NIL NIL)`},
		{"the header of a message is a text", "Content-Type: text/rfc822-headers\n\nSubject: a\n", `("text" "rfc822-headers" NIL NIL NIL "7bit" 12 1 NIL NIL NIL NIL)`},
		{"a multipart without parts", "Content-Type: multipart/report; boundary=b\n\nnothing\n",
			`((` + plain + `9 1 NIL NIL NIL NIL) "report" ("boundary" "b") NIL NIL NIL)`},
		{"half a multipart", "Content-Type: multipart; boundary=b\n\n--b\n\nx\n--b--\n",
			`((` + plain + `1 0 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL)`},
		{"a comment before the type", "Content-Type: (a) text/plain (b); charset=utf-8\n\n", `("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 0 0 NIL NIL NIL NIL)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := parse(t, crlf(c.raw))
			if got := string(m.BodyStructure()); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestBodyHasNoExtensionData(t *testing.T) {
	t.Parallel()
	m := parse(t, crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: inline\n\none\n--b\nContent-Type: message/rfc822\n\nContent-MD5: x\n\n--b--\n"))
	want := `(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 0)` +
		`("message" "rfc822" NIL NIL NIL "7bit" 16 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) 1) "mixed")`
	if got := string(m.Body()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLinesAreCountedAsInTheStandard(t *testing.T) {
	t.Parallel()
	// RFC 3501 §7.4.2: 4554 octets of base64 are 73 lines.
	raw := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + strings.Repeat(strings.Repeat("x", 60)+"\r\n", 73) + strings.Repeat("x", 28) + "\r\n--b--\r\n"
	if got := string(parse(t, raw).Body()); !strings.Contains(got, " 4554 73)") {
		t.Errorf("got %s", got)
	}
}

func TestALongStringIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for n := range 4 {
		got := string(appendString(nil, []byte(strings.Repeat("x", n)+strings.Repeat("€", maxString))))
		if strings.Contains(got, "\ufffd") || strings.ToValidUTF8(got, "") != got || len(got) > maxString+10 {
			t.Errorf("%d octets, ending in %q", len(got), got[len(got)-4:])
		}
	}
}
