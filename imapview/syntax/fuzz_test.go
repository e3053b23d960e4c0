package syntax

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"postrider/queue/bitmap"
)

func FuzzNext(f *testing.F) {
	for _, seed := range []string{
		"a NOOP\r\n\r\nb\r\n", "a LOGIN {3}\r\nbob {4+}\r\na\r\nb\r\n", "a LOGIN {300+}\r\nb NOOP\r\n", "a STATUS {99999999999999999999+}\r\n",
		"a ID (\"name\" NIL)\r\na AUTHENTICATE PLAIN =\r\na ENABLE X\r\n", "a APPEND Sent (\\Seen) {5}\r\nb APPEND Sent {5+}\r\nhello\r\n",
		"a LIST (SUBSCRIBED) \"\" (a \"%\") RETURN (STATUS (UNSEEN))\r\n", "a UID STORE 1:* (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Seen)\r\n",
		"a SELECT &AOk- (CONDSTORE)\r\na CREATE x (USE (\\Trash))\r\n", "a \"\x00 {1+}\r\n\x00\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		asked := 0
		r := NewReader(strings.NewReader(in), Options{MaxLine: 2000, MaxLiteral: 100, MaxDrain: 500,
			Continue: func() error { asked++; return nil }})
		for {
			c, err := r.Next()
			var bad *Error
			switch {
			case errors.As(err, &bad):
				if bad.Text == "" || strings.ContainsAny(bad.Tag, "\r\n ") {
					t.Fatalf("got %+v", bad)
				}
			case errors.Is(err, ErrTooLong) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
				if asked > strings.Count(in, "}") {
					t.Fatal("more literals were asked for than announced")
				}
				return
			case err != nil:
				t.Fatal(err)
			case c.Tag == "" || c.Name == "" || c.Name != strings.ToUpper(c.Name) || strings.ContainsAny(c.Tag+c.Name, "\r\n "):
				t.Fatalf("got %+v", c)
			}
			if r.long != nil || r.left < 0 || r.drain < 0 {
				t.Fatal("a bound was passed")
			}
		}
	})
}

// FuzzLiteral wraps anything in a literal: what follows it is the next command.
func FuzzLiteral(f *testing.F) {
	f.Add("a LOGIN bob ", "x\r\nsmuggled NOOP\r\n", "")
	f.Add("a XFOO ", "smuggled NOOP\r\n", ")")
	f.Add("a APPEND \"Sent\" (\\Seen) ", "smuggled NOOP\r\n", " x")
	f.Add("a SEARCH SUBJECT ", "\x00\r\nsmuggled NOOP\r\n", " NOT")
	f.Add("", "smuggled NOOP\r\n", "")
	f.Fuzz(func(t *testing.T, before, data, after string) {
		if strings.ContainsAny(before+after, "\n") || strings.HasSuffix(strings.TrimSuffix(after, "\r"), "}") {
			t.Skip()
		}
		in := before + "{" + itoa(len(data)) + "+}\r\n" + data + after + "\r\nnext NOOP\r\n"
		r := NewReader(strings.NewReader(in), Options{MaxLiteral: 20, MaxDrain: 1 << 20, MaxLine: 1 << 20})
		c, err := r.Next()
		var bad *Error
		if err != nil && !errors.As(err, &bad) {
			t.Fatalf("got %v, %v", c, err)
		}
		if c, err := r.Next(); err != nil || c.Tag != "next" || c.Name != "NOOP" {
			t.Fatalf("what follows is read as %+v, %v", c, err)
		}
	})
}

func itoa(n int) string { return string(appendRange(nil, uint32(n), uint32(n))) }

func FuzzSet(f *testing.F) {
	for _, seed := range []string{"1", "*", "$", "1:3,7", "5:2,*:9", "0", "4294967295:*", "1,3,5,7,9,11,13,15,17,19"} {
		f.Add(seed)
	}
	members := []uint32{1, 2, 3, 5, 8, 13, 21, 34, 4095, 4096, 4097, 100000, 4294967295}
	set := bitmap.Of(members...)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSet(text)
		if err != nil || s.Saved {
			return
		}
		uids := s.UIDs(set)
		if got, want := slices.Collect(uids.All()), namedSlowly(s, members); !slices.Equal(got, want) {
			t.Fatalf("UIDs of %q: got %v, want %v", text, got, want)
		}
		var numbers, want []uint32
		for n := range members {
			numbers = append(numbers, uint32(n+1))
		}
		for _, n := range namedSlowly(s, numbers) {
			want = append(want, members[n-1])
		}
		if got := slices.Collect(s.Numbers(set).All()); !slices.Equal(got, want) {
			t.Fatalf("numbers of %q: got %v, want %v", text, got, want)
		}
		if uids.IsEmpty() {
			return
		}
		again, err := ParseSet(string(AppendSet(nil, uids)))
		if err != nil || !again.UIDs(set).Equal(uids) {
			t.Fatalf("%q is written as %q", text, AppendSet(nil, uids))
		}
	})
}

func FuzzSearch(f *testing.F) {
	for _, seed := range []string{
		"ALL", "NOT NOT SEEN", "OR (FROM a SUBJECT \"b\") UID 1:*", "RETURN (MIN PARTIAL 1:2) CHARSET UTF-8 TEXT {1+}\r\n\xc3", "SINCE 1-Feb-2026 YOUNGER 5",
		"MODSEQ \"/flags/\\\\Seen\" all 5", "HEADER a \"\" KEYWORD $x $", "((((", "RETURN (X (a (b))) 1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, keys string) {
		c, err := NewReader(strings.NewReader("a SEARCH "+keys+"\r\n"), Options{}).Next()
		if s, ok := c.Args.(Search); err == nil && ok {
			if n := checkKey(t, s.Key, 0); n > 2*maxKeys {
				t.Fatalf("%d keys", n)
			}
		}
	})
}

func checkKey(t *testing.T, k Key, depth int) int {
	// NOT of UNSEEN and AND of several add one to what was sent.
	if depth > 2*maxDepth+2 || k.Op < OpAll || k.Op > OpModSeq || !utf8.ValidString(k.Text) {
		t.Fatalf("got %+v at %d", k, depth)
	}
	if want := map[Op]int{OpNot: 1, OpOr: 2}[k.Op]; want > 0 && len(k.Keys) != want || k.Op == OpAnd && len(k.Keys) < 2 {
		t.Fatalf("got %+v", k)
	}
	n := 1
	for _, inner := range k.Keys {
		n += checkKey(t, inner, depth+1)
	}
	return n
}

func FuzzFetch(f *testing.F) {
	for _, seed := range []string{
		"1:* (FLAGS UID)", "1 ALL", "* BODY[]<0.100>", "1 BODY.PEEK[1.2.HEADER.FIELDS.NOT (a \"b\" {1+}\r\nc)]", "1 (RFC822.SIZE) (CHANGEDSINCE 5)", "$ BODY[1.MIME]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, items string) {
		c, err := NewReader(strings.NewReader("a FETCH "+items+"\r\n"), Options{}).Next()
		fetch, ok := c.Args.(Fetch)
		if err != nil || !ok {
			return
		}
		if len(fetch.Items) == 0 || len(fetch.Items) > maxItems {
			t.Fatalf("%d items", len(fetch.Items))
		}
		for _, item := range fetch.Items {
			if item.Kind != FetchSection {
				continue
			}
			// The name is what a client could ask for again, to the same effect.
			name := item.Section.Name
			if strings.ContainsAny(name, "\r\n") {
				t.Fatalf("got %q", name)
			}
			c, err := NewReader(strings.NewReader("a FETCH 1 "+name+"\r\n"), Options{}).Next()
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			got, want := c.Args.(Fetch).Items[0].Section, item.Section
			if got.Name != name || got.Path != want.Path || got.What != want.What || !slices.Equal(got.Fields, want.Fields) {
				t.Fatalf("%q: got %+v, want %+v", name, got, want)
			}
		}
	})
}

func FuzzMatchList(f *testing.F) {
	for _, seed := range [][2]string{{"*", "a/b"}, {"%", "INBOX"}, {"a%b*c", "axb/c"}, {"%*%/x", "a/x"}, {"inbox", "INBOX"}, {"*a*a", "aaa"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 12 || len(name) > 12 || name == "INBOX" {
			MatchList(pattern, name)
			return
		}
		if got, want := MatchList(pattern, name), matchSlowly(pattern, name); got != want {
			t.Fatalf("%q of %q: got %v, want %v", pattern, name, got, want)
		}
	})
}

func matchSlowly(pattern, name string) bool {
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '*' || pattern[0] == '%':
		return matchSlowly(pattern[1:], name) ||
			name != "" && (pattern[0] == '*' || name[0] != '/') && matchSlowly(pattern, name[1:])
	}
	return name != "" && name[0] == pattern[0] && matchSlowly(pattern[1:], name[1:])
}

func FuzzUTF7(f *testing.F) {
	for _, seed := range []string{"", "INBOX", "&", "&-", "&AOk-", "Télé & Vidéo", "😀", "&2D3eAA-", "a\x00b", "&AAA-", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded := EncodeUTF7(s)
		if got, err := DecodeUTF7(encoded); err != nil || got != strings.ToValidUTF8(s, "\uFFFD") && utf8.ValidString(s) {
			t.Fatalf("%q is encoded as %q and decoded as %q, %v", s, encoded, got, err)
		}
		if decoded, err := DecodeUTF7(s); err == nil && EncodeUTF7(decoded) != s {
			t.Fatalf("%q is decoded as %q and encoded as %q", s, decoded, EncodeUTF7(decoded))
		}
	})
}
