package mtasts_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mx/mtasts"
)

func TestParseRecord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		texts []string
		id    string
	}{
		{"plain", []string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z"},
		{"without the last semicolon", []string{"v=STSv1;id=1"}, "1"},
		{"extensions", []string{"v=STSv1; a=b; id=x1; id2=y;"}, "x1"},
		{"other records beside it", []string{"v=spf1 -all", "v=STSv1; id=1;", "v=STSv10; id=2"}, "1"},
		{"space before the semicolon", []string{"v=STSv1 ; id=1 ;"}, "1"},
		{"the first id counts", []string{"v=STSv1; id=1; id=2"}, "1"},
	} {
		if id, err := mtasts.ParseRecord(c.texts); err != nil || id != c.id {
			t.Errorf("%s: %q, %v; want %q", c.name, id, err, c.id)
		}
	}
	for _, texts := range [][]string{nil, {""}, {"v=stsv1; id=1"}, {" v=STSv1; id=1"}, {"id=1; v=STSv1"}, {"v=STSv2; id=1"}} {
		if id, err := mtasts.ParseRecord(texts); !errors.Is(err, mtasts.ErrNoRecord) {
			t.Errorf("%q: %q, %v; want ErrNoRecord", texts, id, err)
		}
	}
	for _, texts := range [][]string{
		{"v=STSv1"}, {"v=STSv1;"}, {"v=STSv1; id="}, {"v=STSv1; id=a-b"}, {"v=STSv1; id=é"}, {"v=STSv1; ID=1"},
		{"v=STSv1; id=" + strings.Repeat("a", 33)}, {"v=STSv1; id=1", "v=STSv1; id=1"}, {"v=STSv1; id=1;" + strings.Repeat("a=b;", 4096)},
	} {
		if id, err := mtasts.ParseRecord(texts); err == nil || errors.Is(err, mtasts.ErrNoRecord) {
			t.Errorf("%q: %q, %v; want an error of its own", texts, id, err)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		want       mtasts.File
	}{
		{"CRLF", testPolicy, mtasts.File{Mode: mtasts.Enforce, Hosts: []string{"mx.example.test", "*.backup.test"}, MaxAge: week}},
		{"LF, no end of line", "version: STSv1\nmode: testing\nmx: a.test\nmax_age: 1", mtasts.File{Mode: mtasts.Testing, Hosts: []string{"a.test"}, MaxAge: time.Second}},
		{"none needs no mx", "version: STSv1\nmode: none\nmax_age: 86400\n", mtasts.File{Mode: mtasts.None, MaxAge: 24 * time.Hour}},
		{"no space after the colon, empty lines, unknown fields", "version:STSv1\n\nmode:none\nx: y\nmax_age:0\n", mtasts.File{Mode: mtasts.None}},
		{"the first of a field counts", "version: STSv1\nmode: testing\nmode: enforce\nmx: a.test\nmax_age: 1\nmax_age: 2\n", mtasts.File{Mode: mtasts.Testing, Hosts: []string{"a.test"}, MaxAge: time.Second}},
		{"more than a year is a year", "version: STSv1\nmode: none\nmax_age: 9999999999\n", mtasts.File{Mode: mtasts.None, MaxAge: 31557600 * time.Second}},
		{"upper case, U-labels, a final dot", "version: STSv1\nmode: enforce\nmx: MX.Bücher.test.\nmax_age: 1\n", mtasts.File{Mode: mtasts.Enforce, Hosts: []string{"mx.xn--bcher-kva.test"}, MaxAge: time.Second}},
	} {
		f, err := mtasts.ParsePolicy([]byte(c.body))
		if err != nil || f.Mode != c.want.Mode || f.MaxAge != c.want.MaxAge || !slices.Equal(f.Hosts, c.want.Hosts) {
			t.Errorf("%s: %+v, %v; want %+v", c.name, f, err, c.want)
		}
	}
	good := "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 86400\n"
	for _, bad := range []string{
		"", "\n", "hello", "<html>", strings.Replace(good, "STSv1", "stsv1", 1), strings.Replace(good, "version: STSv1\n", "", 1),
		strings.Replace(good, "enforce", "Enforce", 1), strings.Replace(good, "mode: enforce\n", "", 1),
		strings.Replace(good, "mx: a.test\n", "", 1), strings.Replace(good, "a.test", "*", 1), strings.Replace(good, "a.test", "a.*.test", 1),
		strings.Replace(good, "a.test", "*.*.test", 1), strings.Replace(good, "a.test", "192.0.2.1", 1), strings.Replace(good, "a.test", "[192.0.2.1]", 1),
		strings.Replace(good, "a.test", "a b", 1), strings.Replace(good, "a.test", "", 1),
		strings.Replace(good, "86400", "", 1), strings.Replace(good, "86400", "-1", 1), strings.Replace(good, "86400", "1d", 1),
		strings.Replace(good, "86400", "99999999999", 1), strings.Replace(good, "max_age: 86400\n", "", 1),
		good + strings.Repeat("mx: a.test\n", 1000),
	} {
		if f, err := mtasts.ParsePolicy([]byte(bad)); err == nil {
			t.Errorf("%.80q was taken: %+v", bad, f)
		}
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	p := mtasts.Policy{Mode: mtasts.Enforce, Hosts: []string{"mx.example.test", "*.wild.test"}}
	for host, want := range map[string]bool{
		"mx.example.test": true, "MX.example.TEST.": true, "a.wild.test": true, "A.wild.test": true,
		"mx2.example.test": false, "a.mx.example.test": false, "example.test": false,
		"wild.test": false, ".wild.test": false, "a.b.wild.test": false, "*.wild.test": true, "awild.test": false, "": false, ".": false,
	} {
		if got := p.Matches(host); got != want {
			t.Errorf("%q: %v; want %v", host, got, want)
		}
	}
	for _, none := range []mtasts.Policy{{}, {Mode: mtasts.None}} {
		if !none.Matches("any.test") {
			t.Errorf("%+v forbids a host", none)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, s := range []string{"v=STSv1; id=1;", "v=STSv1; id=1\nv=STSv1; id=2", "v=STSv1;", "v=spf1", "v=STSv1; a=b; id=20160831085700Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := mtasts.ParseRecord(strings.Split(s, "\n"))
		if (err == nil) != (id != "") || len(id) > 32 || strings.ContainsAny(id, " ;=\r\n\x00") {
			t.Fatalf("%q: %q, %v", s, id, err)
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	for _, s := range []string{testPolicy, "version: STSv1\nmode: none\nmax_age: 0", "version:STSv1\n\nmode : testing\nmx:*.a.test\nmax_age:9999999999", "mx: bücher.test", "a\r\rb:c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		file, err := mtasts.ParsePolicy(body)
		if err != nil {
			return
		}
		if file.MaxAge < 0 || file.MaxAge > 366*24*time.Hour || file.Mode != mtasts.None && len(file.Hosts) == 0 {
			t.Fatalf("%q: %+v", body, file)
		}
		p := mtasts.Policy{Mode: mtasts.Enforce, Hosts: file.Hosts}
		for _, h := range file.Hosts {
			if !p.Matches(strings.Replace(h, "*", "a", 1)) || strings.ContainsAny(h, " \r\n/:") {
				t.Fatalf("%q: pattern %q", body, h)
			}
		}
	})
}
