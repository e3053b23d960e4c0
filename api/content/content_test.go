package content_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"postrider/api/content"
)

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

var nested = crlf(`From: =?utf-8?q?J=C3=B6rg?= <a@example.com>
Subject: =?iso-8859-1?q?Gr=FC=DFe?=
 and more
this is no field
 and does not go on
Content-Type: multipart/mixed; boundary=outer

preamble
--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=windows-1252
Content-Transfer-Encoding: quoted-printable

5 =80 f=FCr dich=
 ja
--inner
Content-Type: multipart/related; boundary=rel

--rel
Content-Type: text/html; charset=utf-8

<p>Grüße
--rel
Content-Type: image/png; name="logo.png"
Content-ID: <logo@x>
Content-Disposition: inline
Content-Transfer-Encoding: base64

iVBO
Rw==
--rel--
--inner--
--outer
Content-Type: text/plain
Content-Disposition: attachment; filename*=utf-8''%C3%A4..%2F..%2Fetc%2Fnotes.txt

notes
--outer
Content-Type: message/rfc822

Subject: inside

body
--outer--
`)

func TestAMessageIsTakenApart(t *testing.T) {
	t.Parallel()
	m, err := content.Read(iotest.OneByteReader(strings.NewReader(nested)))
	if err != nil {
		t.Fatal(err)
	}
	if m.Fields[0].Value != "Jörg <a@example.com>" || m.Fields[1].Value != "Grüße and more" || m.Text != "5 € für dich ja" || m.HTML != "<p>Grüße" || m.Truncated {
		t.Errorf("%+v", m)
	}
	want := []content.File{
		{Filename: "logo.png", ContentType: "image/png", ContentID: "logo@x", Inline: true, Size: 4},
		{Filename: "notes.txt", ContentType: "text/plain", Size: 5},
		{ContentType: "message/rfc822", Size: 23},
	}
	if len(m.Files) != len(want) {
		t.Fatalf("%+v", m.Files)
	}
	for i, f := range want {
		if m.Files[i] != f {
			t.Errorf("file %d: %+v, want %+v", i, m.Files[i], f)
		}
		var got bytes.Buffer
		err := content.Copy(strings.NewReader(nested), i, func(begun content.File, octets io.Reader) error {
			if begun.Filename != f.Filename {
				t.Errorf("file %d begins as %+v", i, begun)
			}
			_, err := io.Copy(&got, octets)
			return err
		})
		if err != nil || int64(got.Len()) != f.Size {
			t.Errorf("file %d: %q, %v", i, got.String(), err)
		}
	}
	if err := content.Copy(strings.NewReader(nested), 3, nil); !errors.Is(err, content.ErrNoFile) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestMalformedMessagesAreShownAsFarAsTheyGo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, text string }{
		"nothing":                       {"", ""},
		"no body":                       {"Subject: x\r\n", ""},
		"no header":                     {"\r\njust text", "just text"},
		"bare line feeds":               {"Subject: x\n\ntext\n", "text\n"},
		"a boundary that never comes":   {"Content-Type: multipart/mixed; boundary=x\r\n\r\ntext", ""},
		"a part that does not end":      {"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ntext", "text"},
		"a broken type":                 {"Content-Type: ;;;\r\n\r\ntext", ""},
		"base64 with rubbish":           {"Content-Transfer-Encoding: base64\r\n\r\nd G V\r\n4!dA==", "text"},
		"base64 that breaks off":        {"Content-Transfer-Encoding: base64\r\n\r\ndGV4d", "tex"},
		"quoted-printable that is none": {"Content-Transfer-Encoding: quoted-printable\r\n\r\na=zzb", "a=zzb"},
		"a charset that nobody knows":   {"Content-Type: text/plain; charset=klingon\r\n\r\n\xff", "\uFFFD"},
	} {
		if m, err := content.Read(strings.NewReader(c.in)); err != nil || m.Text != c.text {
			t.Errorf("%s: %q, %v", name, m.Text, err)
		}
	}
}

func TestLimitsHold(t *testing.T) {
	t.Parallel()
	deep, many := "", ""
	for i := range 60 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	for range 1000 {
		many += "--x\r\nContent-Type: a/b\r\n\r\nz\r\n"
	}
	for name, in := range map[string]string{
		"a long header": strings.Repeat("X: y\r\n", 100_000) + "\r\ntext",
		"a long text":   "\r\n" + strings.Repeat("ä", content.MaxText),
		"deep parts":    deep,
		"many parts":    "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + many,
	} {
		m, err := content.Read(strings.NewReader(in))
		if err != nil || !m.Truncated || len(m.Text) > content.MaxText || !utf8.ValidString(m.Text) || strings.Contains(m.Text, "\uFFFD") || len(m.Files) > content.MaxParts {
			t.Errorf("%s: truncated %v, %d octets, %d files, %v", name, m.Truncated, len(m.Text), len(m.Files), err)
		}
	}
}

func TestTroubleOfTheStoreIsTold(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	in := io.MultiReader(strings.NewReader(nested[:400]), iotest.ErrReader(broken))
	if _, err := content.Read(in); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(nested))
	f.Add([]byte("Content-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte("text"))))
	f.Add([]byte("Subject: =?gb2312?b?xOO6ww==?=\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := content.Read(bytes.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{m.Text, m.HTML} {
			if !utf8.ValidString(s) {
				t.Errorf("%q is not UTF-8", s)
			}
		}
		for i, file := range m.Files {
			n := int64(0)
			err := content.Copy(bytes.NewReader(in), i, func(_ content.File, octets io.Reader) error {
				n, _ = io.Copy(io.Discard, octets)
				return nil
			})
			if err != nil || n != file.Size {
				t.Errorf("file %d has %d octets, and then %d: %v", i, file.Size, n, err)
			}
		}
	})
}
