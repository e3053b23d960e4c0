package intake

import (
	"strings"
	"testing"
	"time"

	"postrider/queue"
)

func mustSenders(t *testing.T, patterns ...string) Addresses {
	t.Helper()
	s, err := ParseAddresses(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustAddress(t *testing.T, s string) queue.Address {
	t.Helper()
	a, err := queue.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustHeader(t *testing.T, text string) header {
	t.Helper()
	h, _, refusal := parseHeader([]byte(text))
	if refusal != nil {
		t.Fatal(refusal)
	}
	return h
}

func TestHeaderIsKeptOctetByOctet(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"Subject: a\r\n folded\r\n\tvalue\r\nFrom : odd@example.com\r\n\r\n",
		"X-Empty:\r\nX-8bit: gr\xfc\xdfe\r\nX-Long: " + strings.Repeat("x", 3000) + "\r\n\r\n",
		"A: 1\r\nA: 2\r\na: 3\r\n\r\n",
	} {
		h, body, refusal := parseHeader([]byte(text + "body\r\n"))
		if refusal != nil {
			t.Fatal(refusal)
		}
		if got := string(h.appendTo(nil)); got != text || string(body) != "body\r\n" {
			t.Errorf("%q became %q with body %q", text, got, body)
		}
	}
}

func TestTextWithoutHeaderIsAllBody(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"Hello world\r\nFrom: x\r\n", " folded first\r\n", "\r\nbody\r\n"} {
		h, body, refusal := parseHeader([]byte(text))
		if refusal != nil || len(h.fields) != 0 {
			t.Fatalf("%q: fields %v, refusal %v", text, h.fields, refusal)
		}
		if want := strings.TrimPrefix(text, "\r\n"); string(body) != want {
			t.Errorf("%q: body %q, want %q", text, body, want)
		}
	}
}

func TestSubjectIsUnfoldedWhateverTheBlank(t *testing.T) {
	t.Parallel()
	h := mustHeader(t, "Subject: an order\r\n folded\r\n\tinto lines\r\n\r\n")
	if got := h.facts().Subject; got != "an order folded into lines" {
		t.Errorf("the subject is %q", got)
	}
}

func TestHeaderLimits(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("X: y\r\n", maxFields+1) + "\r\n"
	long := "X: " + strings.Repeat("y", maxField) + "\r\n\r\n"
	for name, text := range map[string]string{"too many fields": many, "a field too long": long} {
		if _, _, refusal := parseHeader([]byte(text)); refusal == nil || refusal.Code != 552 {
			t.Errorf("%s: got %v, want a 552", name, refusal)
		}
	}
}

func TestRepairAddsWhatIsMissing(t *testing.T) {
	t.Parallel()
	id := queue.NewMessageID()
	at := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	h := mustHeader(t, "Subject: x\r\n\r\n")
	h.repair(id, mustAddress(t, "shop@example.com"), "mail.example.com", at)
	want := "Subject: x\r\nDate: Mon, 23 Nov 2026 05:00:00 +0000\r\nMessage-ID: <" + id.String() + "@mail.example.com>\r\nFrom: <shop@example.com>\r\n\r\n"
	if got := string(h.appendTo(nil)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	whole := "From: a@example.com\r\nDate: x\r\nmessage-id: <1@x>\r\n\r\n"
	h = mustHeader(t, whole)
	h.repair(id, mustAddress(t, "shop@example.com"), "mail.example.com", at)
	if got := string(h.appendTo(nil)); got != whole {
		t.Errorf("a whole header was changed to %q", got)
	}
}

func TestFromPolicy(t *testing.T) {
	t.Parallel()
	rewrite := Policy{Senders: mustSenders(t, "example.com"), From: FromRewrite, DefaultSender: mustAddress(t, "wordpress@example.com")}
	reject := Policy{Senders: mustSenders(t, "example.com"), From: FromReject}
	cases := []struct {
		name, in, want string
		p              Policy
		refused        bool
	}{
		{"own From stays", "From: Shop <shop@example.com>\r\n\r\n", "From: Shop <shop@example.com>\r\n\r\n", rewrite, false},
		{"visitor moves to Reply-To and keeps the name", "From: \"Bob, B.\" <bob@gmail.com>\r\n\r\n",
			"From: \"Bob, B.\" <wordpress@example.com>\r\nReply-To: <bob@gmail.com>\r\n\r\n", rewrite, false},
		{"an encoded name stays encoded", "From: =?UTF-8?Q?J=C3=BCrgen?= <j@web.de>\r\n\r\n",
			"From: =?UTF-8?Q?J=C3=BCrgen?= <wordpress@example.com>\r\nReply-To: <j@web.de>\r\n\r\n", rewrite, false},
		{"an existing Reply-To is kept", "Reply-To: x@y.org\r\nFrom: bob@gmail.com\r\n\r\n",
			"Reply-To: x@y.org\r\nFrom: <wordpress@example.com>\r\n\r\n", rewrite, false},
		{"a second From does not slip through", "From: shop@example.com\r\nFrom: ceo@bank.com\r\n\r\n",
			"From: <wordpress@example.com>\r\nReply-To: <ceo@bank.com>\r\n\r\n", rewrite, false},
		{"a From nobody can read is replaced", "From: not an address\r\n\r\n", "From: <wordpress@example.com>\r\n\r\n", rewrite, false},
		{"a group does not hide an author", "From: x: ceo@bank.com;, shop@example.com\r\n\r\n",
			"From: <wordpress@example.com>\r\nReply-To: <ceo@bank.com>\r\n\r\n", rewrite, false},
		{"a second address in angles is no name", "From: <ceo@bank.com> <shop@example.com>\r\n\r\n", "From: <wordpress@example.com>\r\n\r\n", rewrite, false},
		{"nor is it passed on", "From: <x@y.org> <ceo@bank.com>\r\n\r\n",
			"From: <wordpress@example.com>\r\nReply-To: <ceo@bank.com>\r\n\r\n", rewrite, false},
		{"open quotes hide nobody", "From: \"x <ceo@bank.com>, <shop@example.com>\r\n\r\n", "From: <wordpress@example.com>\r\n\r\n", rewrite, false},
		{"an author with broken UTF-8 does not slip through", "From: shop@example.com, <ceo@\xe9bank.com>\r\n\r\n",
			"From: <wordpress@example.com>\r\n\r\n", rewrite, false},
		{"a name with a comma and no quotes stays", "From: Shop, Inc. <shop@example.com>\r\n\r\n",
			"From: Shop, Inc. <shop@example.com>\r\n\r\n", rewrite, false},
		{"a name in quotes may hold anything", "From: \"<ceo@bank.com>, \\\"x\" <shop@example.com>\r\n\r\n",
			"From: \"<ceo@bank.com>, \\\"x\" <shop@example.com>\r\n\r\n", rewrite, false},
		{"reject refuses what cannot be read", "From: ceo@@bank.com, shop@example.com\r\n\r\n", "", reject, true},
		{"reject refuses two From fields", "From: shop@example.com\r\nFrom: shop@example.com\r\n\r\n", "", reject, true},
		{"reject refuses", "From: bob@gmail.com\r\n\r\n", "", reject, true},
		{"accept keeps all", "From: bob@gmail.com\r\n\r\n", "From: bob@gmail.com\r\n\r\n", Policy{}, false},
	}
	for _, c := range cases {
		h := mustHeader(t, c.in)
		refusal := h.applyFrom("blog", c.p)
		if (refusal != nil) != c.refused {
			t.Errorf("%s: refusal %v", c.name, refusal)
			continue
		}
		if got := string(h.appendTo(nil)); !c.refused && got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestSenders(t *testing.T) {
	t.Parallel()
	s := mustSenders(t, "example.com", "*@shop.example.org", "boss@one.example", "*.wide.example")
	for addr, want := range map[string]bool{
		"a@example.com": true, "a@EXAMPLE.com": true, "a@sub.example.com": false,
		"x@shop.example.org": true, "boss@one.example": true, "clerk@one.example": false,
		"a@b.wide.example": true, "a@wide.example": false, "a@notexample.com": false,
	} {
		if got := s.Allow(mustAddress(t, addr)); got != want {
			t.Errorf("%s: allowed %v, want %v", addr, got, want)
		}
	}
	if !(Addresses{}).Allow(mustAddress(t, "any@where.example")) {
		t.Error("the zero value must allow all")
	}
	if _, err := ParseAddresses([]string{"bad domain"}); err == nil {
		t.Error("a bad pattern was taken")
	}
}

func TestSurgeHoldsAnAccountThatSendsFarMoreThanUsual(t *testing.T) {
	t.Parallel()
	s := newSurge(10)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 24 { // a day of 100 an hour
		for range 100 {
			if hold, _ := s.admit("blog", now, 0); hold {
				t.Fatal("usual mail was held")
			}
		}
		now = now.Add(time.Hour)
	}
	held, told := 0, 0
	for range 2000 {
		hold, first := s.admit("blog", now, 0)
		if hold {
			held++
		}
		if first {
			told++
		}
	}
	if held < 900 || held > 1100 || told != 1 {
		t.Errorf("held %d of 2000 (want about 1000), told %d times (want once)", held, told)
	}
	if hold, _ := s.admit("other", now, 0); hold {
		t.Error("another account was held too")
	}
	if hold, _ := s.admit("blog", now.Add(time.Hour), 0); hold {
		t.Error("the next hour began held")
	}
}

func TestHourlyLimitHolds(t *testing.T) {
	t.Parallel()
	s := newSurge(0)
	now := time.Unix(0, 0)
	for i := range 5 {
		if hold, _ := s.admit("a", now, 3); hold != (i >= 3) {
			t.Errorf("message %d: hold %v", i+1, hold)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("From: \"a\\\"b\" <x@y.z>, c (d, (e)) <f@g.h>\r\nReceived: x\r\n y\r\n\r\nbody"))
	f.Add([]byte("From: <@>,,;\r\nFrom:\r\n\r\n"))
	f.Add([]byte("Subject: =?utf-8?B?gg?= =?x?\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var l lines
		text := l.finish(l.append(nil, raw))
		h, body, refusal := parseHeader(text)
		if refusal != nil {
			return
		}
		if joined := len(h.appendTo(nil)) + len(body); joined < len(text) || joined > len(text)+2 {
			t.Fatalf("%q lost octets: %d of %d", text, joined, len(text))
		}
		h.facts()
		p := Policy{Senders: Addresses{patterns: []addressPattern{{domain: "example.com"}}}, From: FromRewrite}
		if r := h.applyFrom("a", p); r != nil {
			t.Fatal(r)
		}
		from := h.facts().From
		if !p.Senders.Allow(from) || h.count("From") != 1 {
			t.Fatalf("From %v slipped through in %q", from, h.appendTo(nil))
		}
		if out, _, _ := parseHeader(h.appendTo(nil)); len(out.fields) != len(h.fields) {
			t.Fatalf("rewriting injected a field: %q", h.appendTo(nil))
		}
	})
}
