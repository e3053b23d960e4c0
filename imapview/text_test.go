package imapview

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestTextIsFoundWhereverPiecesEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text, search string
		want               bool
	}{
		{"in one piece", "Hello World", "lo wo", true},
		{"not there", "Hello World", "low", false},
		{"beyond the first piece", strings.Repeat("x", 8190) + "Hello" + strings.Repeat("y", 9000), "hello", true},
		{"letters of several octets", strings.Repeat("é", 4095) + "xÄÖÜ" + strings.Repeat("é", 4095), "xäöü", true},
		{"at the very end", strings.Repeat("x", 20_000) + "end", "xend", true},
		{"cut off in a letter", "abc\xc3", "abc", true},
		{"longer than a piece", strings.Repeat("ab", 5000), strings.Repeat("ab", 4500), true},
		{"empty", "", "x", false},
	} {
		for _, r := range []io.Reader{strings.NewReader(tt.text), iotest.OneByteReader(strings.NewReader(tt.text)), iotest.DataErrReader(strings.NewReader(tt.text))} {
			if got, err := contains(r, tt.search); got != tt.want || err != nil {
				t.Errorf("%s: %v, %v", tt.name, got, err)
			}
		}
	}
	if _, err := contains(&timed{Reader: strings.NewReader("x")}, "x"); err == nil {
		t.Error("our own trouble was taken for the end")
	}
}

func TestFieldsAreUnfolded(t *testing.T) {
	t.Parallel()
	header := "A: one\r\nB : two\r\n\tthree\r\nno field\r\n four\r\nLong: " + strings.Repeat("x", 5000) + "\r\n y\r\nC:\r\n\r\n"
	var got []string
	err := eachField(strings.NewReader(header), func(name, value string) bool {
		got = append(got, name+"="+value)
		return true
	})
	want := []string{"A=one", "B=two\tthree", "Long=" + strings.Repeat("x", 5000) + " y", "C="}
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWrongEncodingsEndTheSearchOfAPart(t *testing.T) {
	t.Parallel()
	for _, enc := range []string{"base64", "quoted-printable"} {
		p := textType{encoding: enc, charset: "utf-16"}
		if got, err := contains(p.decode(strings.NewReader("=ZZ\x00=\r\n$$$=")), "zz"); got || err != nil {
			t.Errorf("%s: %v, %v", enc, got, err)
		}
	}
}

// Whatever a message is made of, looking for text in it ends, and finds what was
// put into a plain one.
func FuzzText(f *testing.F) {
	f.Add("Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", "Gr=F6=DFe", "größe")
	f.Add("Content-Transfer-Encoding: base64\r\n\r\n", "SGVsbG8=", "hello")
	f.Add("X: =?utf-8?b?R3LDtsOfZQ==?=\r\n\tfolded\r\n\r\n", "x\x00\xff", "x")
	f.Add("content-type: text/plain; charset=\"", "", "")
	f.Fuzz(func(t *testing.T, header, body, search string) {
		var p textType
		if err := eachField(strings.NewReader(header), p.field); err != nil {
			t.Fatal(err)
		}
		_ = eachField(strings.NewReader(header), func(_, value string) bool {
			decodeWords(value)
			return true
		})
		search = strings.ToLower(strings.ToValidUTF8(search, ""))
		if search == "" {
			return
		}
		if _, err := contains(p.decode(strings.NewReader(body)), search); err != nil {
			t.Errorf("%q: %v", body, err)
		}
		plain := strings.ToValidUTF8(body, "") + search
		if found, err := contains(iotest.HalfReader(bytes.NewReader([]byte(plain))), search); !found || err != nil {
			t.Errorf("%q is not found in %q: %v", search, plain, err)
		}
	})
}
