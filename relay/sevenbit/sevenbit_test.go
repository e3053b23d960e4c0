package sevenbit_test

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"testing/iotest"

	"postrider/relay/sevenbit"
)

// convert returns the message for a server that takes 7 bit only.
func convert(t *testing.T, message string) string {
	t.Helper()
	plan, err := sevenbit.Scan(strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Possible() {
		t.Fatalf("it cannot be converted:\n%s", message)
	}
	out, err := io.ReadAll(sevenbit.NewReader(iotest.OneByteReader(strings.NewReader(message)), plan))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestPartsOfEightBitAreEncoded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, out string }{
		{"a text", "Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße =\nzwei  \n",
			"Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe =3D\nzwei =20\n"},
		{"a text without MIME", "Subject: x\n\nGrüße\n",
			"Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\n"},
		{"a text that says 7bit and is not", "MIME-Version: 1.0\nContent-Transfer-Encoding:\n 7bit\nContent-Type: text/html\n\n<p>ü\n",
			"MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\nContent-Type: text/html\n\n<p>=C3=BC\n"},
		{"text of 7 bit stays", "Content-Type: text/plain\n\nplain = text  \n", "Content-Type: text/plain\n\nplain = text  \n"},
		{"the part that needs it, and no other",
			"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b b\"\nContent-Transfer-Encoding: 8bit\n\npreamble\n--b b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nü\n--b b\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\nu\n--b b\nContent-Transfer-Encoding: base64\n\nw7w=\n--b b--\nepilogue\n",
			"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b b\"\nContent-Transfer-Encoding: 7bit\n\npreamble\n--b b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--b b\nContent-Type: text/plain\nContent-Transfer-Encoding: 7bit\n\nu\n--b b\nContent-Transfer-Encoding: base64\n\nw7w=\n--b b--\nepilogue\n"},
		{"a message in a part",
			"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: y\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=bc\n\n--bc\n\nü\n--b\n\nü after\n--b--\n",
			"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: y\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=bc\n\n--bc\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--b\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC after\n--b--\n"},
		{"a part that is all header", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n--b\n\nü\n--b--\n",
			"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n--b\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--b--\n"},
		{"no line is too long", "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n" + strings.Repeat("ü", 13) + "\n" + strings.Repeat("x", 76) + "\n",
			"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" +
				strings.Repeat("=C3=BC", 12) + "=C3=\n=BC\n" + strings.Repeat("x", 75) + "=\nx\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := convert(t, crlf(c.in)); got != crlf(c.out) {
				t.Errorf("got\n%q\nwant\n%q", got, crlf(c.out))
			}
		})
	}
}

// Lines are looked at in pieces of 4,096 octets: one may end between CR and LF,
// and the boundary that follows is one all the same.
func TestALineMayEndWhereAPieceDoes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{4094, 4095, 4096, 8191} {
		line := "ü" + strings.Repeat("x", n-len("ü"))
		got := convert(t, crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\n"+line+"\n--b\n\nsecond\n--b--\n"))
		parts := multipart.NewReader(strings.NewReader(got[strings.Index(got, "\r\n\r\n")+4:]), "b")
		var texts []string
		for {
			p, err := parts.NextPart() // decodes
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(p)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
		if len(texts) != 2 || texts[0] != line || texts[1] != "second" {
			t.Errorf("a line of %d octets: %d parts:\n%.80q", n, len(texts), texts)
		}
	}
}

// What stands where nothing can be encoded is not touched at all.
func TestWhatCannotBeConvertedIsSaid(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("Content-Type: message/rfc822\n\n", 60) + "\nü\n"
	for name, message := range map[string]string{
		"a header":           "Subject: Grüße\n\nu\n",
		"a header of a part": "Content-Type: multipart/mixed; boundary=b\n\n--b\nX: ü\n\nu\n--b--\n",
		"what is signed":     "Content-Type: multipart/signed; boundary=b\n\n--b\n\nü\n--b--\n",
		"between the parts":  "Content-Type: multipart/mixed; boundary=b\n\nü\n--b\n\nu\n--b--\n",
		"after the parts":    "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nu\n--b--\nü\n",
		"a report":           "Content-Type: message/delivery-status\n\nü\n",
		"a multipart without an end for its parts": "Content-Type: multipart/mixed\n\nü\n",
		"an encoding that nobody knows":            "Content-Transfer-Encoding: x-uue\n\nü\n",
		"what says that it is encoded":             "Content-Transfer-Encoding: base64\n\nü\n",
		"messages in messages in messages":         deep,
		"an endless header":                        "X: " + strings.Repeat("x", 300<<10) + "\n\nü\n",
	} {
		plan, err := sevenbit.Scan(strings.NewReader(crlf(message)))
		if err != nil || plan.Possible() {
			t.Errorf("%s: %v, possible %v", name, err, plan.Possible())
		}
	}
}

func TestTroubleWhileReadingIsTold(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	if _, err := sevenbit.Scan(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("Scan: %v", err)
	}
	plan, err := sevenbit.Scan(strings.NewReader("\r\nü\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(sevenbit.NewReader(io.MultiReader(strings.NewReader("X: y\r\n"), iotest.ErrReader(broken)), plan)); !errors.Is(err, broken) {
		t.Errorf("NewReader: %v", err)
	}
}

// FuzzConvert converts anything: the output has 7 bit, no long lines that were not
// there, and its text is what a decoder makes of it again.
func FuzzConvert(f *testing.F) {
	for _, s := range []string{
		"Subject: x\n\nGrüße = \t\n", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nü\n--b\nContent-Type: text/html\n\n \n--b--\n",
		"Content-Type: message/rfc822\n\nA: b\n\nü\n", "Content-Type: multipart/mixed; boundary=b\n\n--b\nX: y\n--b--\n--b\n",
		"\n", "", "ü", "Content-Transfer-Encoding: binary\n\n" + strings.Repeat("ü ", 5000),
	} {
		f.Add(crlf(s))
	}
	f.Fuzz(func(t *testing.T, message string) {
		plan, err := sevenbit.Scan(strings.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		if !plan.Possible() {
			return
		}
		once, err := io.ReadAll(sevenbit.NewReader(strings.NewReader(message), plan))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsFunc(once, func(r rune) bool { return r > 127 }) {
			t.Fatalf("octets above 127 in %q", once)
		}
		small, err := io.ReadAll(sevenbit.NewReader(iotest.HalfReader(strings.NewReader(message)), plan))
		if err != nil || !bytes.Equal(once, small) {
			t.Fatalf("in other pieces it is %q, %v", small, err)
		}
		again, err := sevenbit.Scan(bytes.NewReader(once))
		if err != nil || !again.Possible() {
			t.Fatalf("a second time: %v", err)
		}
		twice, err := io.ReadAll(sevenbit.NewReader(bytes.NewReader(once), again))
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("what is 7 bit is changed:\n%q\n%q, %v", once, twice, err)
		}
	})
}

// What a reader decodes is what was there before, by another implementation.
func TestDecodedItIsTheSame(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("Zoë schrieb: 中文 = 🎉 \t\r\nFrom here\r\n.\r\n\r\n"+strings.Repeat("ä", 600)+" \r\n", 20)
	message := crlf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n") +
		text + crlf("\n--b\nContent-Type: application/x\nContent-Transfer-Encoding: base64\n\nAAAA\n--b--\n")
	m, err := mail.ReadMessage(strings.NewReader(convert(t, message)))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	part, err := multipart.NewReader(m.Body, params["boundary"]).NextRawPart()
	if err != nil || part.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
		t.Fatalf("%v %v", part, err)
	}
	got, err := io.ReadAll(quotedprintable.NewReader(part))
	if err != nil || string(got) != text {
		t.Errorf("%v: got\n%q\nwant\n%q", err, got, text)
	}
}
