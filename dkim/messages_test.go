package dkim

import "strings"

const plain = "From: A <a@example.com>\r\nTo: b@example.net\r\nSubject: Hello\r\n" +
	"Date: Fri, 2 Jan 2026 03:04:05 +0000\r\nMessage-ID: <1@example.com>\r\n\r\nHi.\r\n"

// oddMessages all can be signed.
var oddMessages = map[string]string{
	"plain":                          plain,
	"folded fields":                  "From: A\r\n <a@example.com>\r\nSubject: one\r\n\ttwo\r\n   three  \r\n\r\nx\r\n",
	"fold of white space only":       "From: a@example.com\r\nSubject: one\r\n \t\r\n two\r\n\r\nx\r\n",
	"fields twice":                   "To: x@example.net\r\nFrom: a@example.com\r\nTo: y@example.net\r\nSubject: 1\r\nSubject: 2\r\n\r\nx\r\n",
	"two From":                       "From: a@example.com\r\nFrom: b@example.com\r\n\r\nx\r\n",
	"empty lines at the end":         plain + "\r\n\r\n \r\n\t\r\n",
	"no empty line after the header": "From: a@example.com\r\nSubject: x\r\n",
	"no line end at all":             "From: a@example.com",
	"empty body":                     "From: a@example.com\r\n\r\n",
	"body of empty lines":            "From: a@example.com\r\n\r\n\r\n\r\n\r\n",
	"body of white space":            "From: a@example.com\r\n\r\n  \t\r\n ",
	"body without line end":          plain + "the end",
	"body begins with empty lines":   "From: a@example.com\r\n\r\n\r\n\r\nx\r\n",
	"raw UTF-8":                      "From: Jürgen <a@example.com>\r\nSubject: Grüße, 你好\r\n\r\nÄÖÜ\r\n",
	"octets that are no UTF-8":       "From: a@example.com\r\nSubject: \xff\xfe\xa0\r\n\r\n\x80\x85\xa0 \xff\r\n",
	"control octets":                 "From: a@example.com\r\nSubject: \x00\v\f\x1f\r\n\r\n\x00 \v \f\r\n",
	"long lines":                     "From: a@example.com\r\nSubject: " + strings.Repeat("x", 4000) + "\r\n\r\n" + strings.Repeat("y ", 200_000) + "\r\n",
	"empty field values":             "From: a@example.com\r\nSubject:\r\nTo: \r\nCc:\r\n \r\nReply-To:\t\r\n\r\nx\r\n",
	"white space before the colon":   "From : a@example.com\r\nsubject\t:x\r\n\r\nx\r\n",
	"names in any case":              "FROM: a@example.com\r\nsUbJeCt: x\r\nMessage-Id: <1@example.com>\r\n\r\nx\r\n",
	"white space all over the body":  "From: a@example.com\r\n\r\n a  b\t\tc \r\n\t\r\n  d\t \r\ne\r\n",
	"unsubscribe fields":             "From: a@example.com\r\nList-Unsubscribe: <https://example.com/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nx\r\n",
	"an older signature":             "DKIM-Signature: v=1; broken\r\n" + plain,
	"200 recipients fields":          "From: a@example.com\r\n" + strings.Repeat("To: b@example.net\r\n", 200) + "Subject: x\r\n\r\nx\r\n",
	"200 other fields":               "From: a@example.com\r\n" + strings.Repeat("X-Other: b\r\n", 200) + "\r\nx\r\n",
	"header as large as may be":      "From: a@example.com\r\nX-Pad: " + strings.Repeat("x", MaxHeader-len("From: a@example.com\r\nX-Pad: \r\n")) + "\r\n\r\nx\r\n",
	"1 MiB of lines":                 "From: a@example.com\r\n\r\n" + strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 13_000),
}
