package throttle_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/throttle"
)

func TestEveryProviderCanBeMet(t *testing.T) {
	t.Parallel()
	for site, want := range map[string]string{
		"gmail-smtp-in.l.google.com alt1.gmail-smtp-in.l.google.com":                     "google",
		"aspmx.l.google.com. ALT1.ASPMX.L.GOOGLE.COM. aspmx2.googlemail.com.":            "google",
		"mta5.am0.yahoodns.net mta6.am0.yahoodns.net":                                    "yahoo",
		"mx1.mail.yahoo.co.jp mx2.mail.yahoo.co.jp":                                      "yahoo-japan",
		"outlook-com.olc.protection.outlook.com":                                         "outlook",
		"example-com.mail.protection.outlook.com":                                        "office365",
		"example-com.q-v1.mx.microsoft":                                                  "office365",
		"mx01.mail.icloud.com mx02.mail.icloud.com":                                      "icloud",
		"mx1.comcast.net mx2.comcast.net":                                                "comcast",
		"mx00.emig.gmx.net mx01.emig.gmx.net":                                            "gmx",
		"mx-ha02.web.de":                                                                 "gmx",
		"mx00.mail.com mx01.mail.com":                                                    "mail-com",
		"smtp-in.orange.fr":                                                              "orange",
		"eu-smtp-inbound-1.mimecast.com eu-smtp-inbound-2.mimecast.com":                  "mimecast",
		"je-smtp-inbound-1.mimecast-offshore.com":                                        "mimecast",
		"d12345a.ess.barracudanetworks.com. d12345b.ess.barracudanetworks.com.":          "barracuda",
		"mx1.netvigator.com.":                                                            "netvigator",
		"mx.kpnmail.nl.":                                                                 "kpn",
		"mxbiz1.qq.com mxbiz2.qq.com":                                                    "qq",
		"163mx01.mxmail.netease.com":                                                     "netease",
		"aspmx.l.google.com mx.example.com":                                              "",
		"mx.example.com aspmx.l.google.com":                                              "",
		"outlook-com.olc.protection.outlook.com example-com.mail.protection.outlook.com": "",
		"notgoogle.com":                                                                  "",
		"google.com.example.org":                                                         "",
		"mx.protection.outlook.com":                                                      "",
		"":                                                                               "",
	} {
		r, ok := throttle.Providers().Match(strings.Fields(site))
		if r.Name != want || ok != (want != "") {
			t.Errorf("%s: got the rule %q, want %q", site, r.Name, want)
		}
	}
	if n := len(throttle.Providers().Rules()); n != 16 {
		t.Errorf("%d providers; each wants a line above", n)
	}
}

// Limits, rules of classification and the words for people go by one list of
// providers: a rule of limits is about hosts of one of them, or of none.
func TestNoRuleMixesProviders(t *testing.T) {
	t.Parallel()
	for _, r := range throttle.Providers().Rules() {
		first, _ := queue.ProviderOf(r.MX[0])
		for _, mx := range r.MX[1:] {
			if p, _ := queue.ProviderOf(mx); p.Key != first.Key {
				t.Errorf("%s: %s is of %q, %s of %q", r.Name, r.MX[0], first.Key, mx, p.Key)
			}
		}
		if first.Key == r.Name {
			continue
		}
		for _, p := range queue.Providers() {
			if p.Key == r.Name {
				t.Errorf("%s is another one than %s", r.Name, p.Name)
			}
		}
	}
}

// Those of other tables, found in the field, that never apply or that hide
// another: none of them can be written here.
func TestRulesThatCannotApplyAreRefused(t *testing.T) {
	t.Parallel()
	const good = "version 1\nprovider a\n mx a.example\n connections 1\n sample mx.a.example\n"
	if _, err := throttle.ParseTable(good); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ text, says string }{
		"a dot at the end of a name":     {"version 1\nprovider a\n mx a.example.\n connections 1\n sample mx.a.example\n", "without a dot"},
		"a dot at its beginning":         {"version 1\nprovider a\n mx .a.example\n connections 1\n sample mx.a.example\n", "without a dot"},
		"a capital":                      {"version 1\nprovider a\n mx A.example\n connections 1\n sample mx.a.example\n", "small letters"},
		"a provider without hosts":       {"version 1\nprovider a\n connections 1\n sample mx.a.example\n", "no mx"},
		"a provider without a sample":    {"version 1\nprovider a\n mx a.example\n connections 1\n", "no sample"},
		"a provider without a limit":     {"version 1\nprovider a\n mx a.example\n sample mx.a.example\n", "limits nothing"},
		"a sample of someone else":       {"version 1\nprovider a\n mx a.example\n connections 1\n sample mx.b.example\n", "does not lead to it"},
		"a sample half of someone else":  {"version 1\nprovider a\n mx a.example\n connections 1\n sample mx.a.example mx.b.example\n", "does not lead to it"},
		"a sample with a dot at its end": {"version 1\nprovider a\n mx a.example\n connections 1\n sample mx.a.example.\n", "without a dot"},
		"two providers of one name":      {good + "provider a\n mx b.example\n connections 1\n sample mx.b.example\n", "two rules"},
		"two providers of one host":      {good + "provider b\n mx a.example\n connections 1\n sample mx.a.example\n", "claimed"},
		"a provider within another":      {good + "provider b\n mx b.a.example\n connections 1\n sample mx.b.a.example\n", "claimed"},
		"a provider around another":      {"version 1\nprovider b\n mx b.a.example\n connections 1\n sample mx.b.a.example\n" + good[len("version 1\n"):], "claimed"},
		"a key twice":                    {good + " connections 2\n", "given twice"},
		"a key that is not known":        {good + " conections 2\n", "not known"},
		"a limit of nothing":             {"version 1\nprovider a\n mx a.example\n connections 0\n sample mx.a.example\n", "not a number"},
		"another version":                {"version 2\n", "version 1"},
		"no version":                     {"# nothing\n", "no version"},
		"a key of no provider":           {"version 1\nconnections 1\n", "no provider"},
		"a TLS policy that is not known": {good + " tls verify\n", "not known"},
		"a rate that is not one":         {good + " rate fast\n", "not a rate"},
		"hosts of a provider nobody has": {"version 1\nprovider a\n mx gogle\n connections 1\n sample mx.a.example\n", "neither a domain"},
		"a name that cannot be a key":    {"version 1\nprovider a.b\n", "one name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := throttle.ParseTable(tc.text); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

func TestOperatorsSayComesFirst(t *testing.T) {
	t.Parallel()
	table, err := throttle.Providers().With([]throttle.Override{
		{Match: "google", Connections: 3, TLS: "opportunistic"},
		{Match: "example.com", Connections: 4},
		{Match: "*.mx.example.com", Rate: throttle.Rate{Count: 10, Per: time.Second}},
		{Match: "q-v1.mx.microsoft.", Connections: 50, TLS: throttle.TLSEncrypt},
	})
	if err != nil {
		t.Fatal(err)
	}
	google, _ := table.Match([]string{"aspmx.l.google.com"})
	if google.Connections != 3 || google.MessagesPerConnection != 50 || google.TLS != "" {
		t.Errorf("google is %+v", google)
	}
	for hosts, want := range map[string]string{
		"a.mx.example.com b.mx.example.com": "*.mx.example.com",
		"a.mx.example.com mail.example.com": "*.example.com",
		"mail.example.com a.mx.example.com": "*.example.com",
		"example-com.q-v1.mx.microsoft":     "*.q-v1.mx.microsoft",
		"example-com.r-v1.mx.microsoft":     "office365",
	} {
		if r, _ := table.Match(strings.Fields(hosts)); r.Name != want {
			t.Errorf("%s: got the rule %q, want %q", hosts, r.Name, want)
		}
	}
	if before, _ := throttle.Providers().Match([]string{"aspmx.l.google.com"}); before.Connections != 5 {
		t.Error("the table itself was changed")
	}
}

func TestOverridesThatCannotApplyAreRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		all  []throttle.Override
		says string
	}{
		"a provider that is not known":         {[]throttle.Override{{Match: "gmail", Connections: 1}}, "there are barracuda, comcast, gmx, google"},
		"one twice":                            {[]throttle.Override{{Match: "a.example", Connections: 1}, {Match: ".a.example.", Connections: 2}}, "two entries"},
		"a provider whose hosts are all taken": {[]throttle.Override{{Match: "yahoo", Connections: 1}, {Match: "yahoodns.net", Connections: 2}}, "never applies"},
		"no name at all":                       {[]throttle.Override{{Connections: 1}}, "no provider named"},
		"a name with a space":                  {[]throttle.Override{{Match: "a .example", Connections: 1}}, "small letters"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := throttle.Providers().With(tc.all); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

func TestKeysNameProviderSiteAndSource(t *testing.T) {
	t.Parallel()
	s := throttle.New(throttle.Options{})
	for _, tc := range []struct{ site, hosts, source, want string }{
		{"google.com", "aspmx.l.google.com aspmx2.googlemail.com", "", "google"},
		{"google.com", "aspmx.l.google.com", "news", "google from news"},
		{"example.com", "mx.example.com", "", "example.com"},
		{"example.com", "mx.example.com", "news", "example.com from news"},
		{"mimecast.com", "eu-smtp-inbound-2.mimecast.com eu-smtp-inbound-1.mimecast.com", "", "mimecast/eu-smtp-inbound-1.mimecast.com"},
		{"route:*", "smtp.example.net", "", "route:*"},
		{"example.com", "", "", "example.com"},
	} {
		if got := s.Key(tc.site, strings.Fields(tc.hosts), tc.source); got != tc.want {
			t.Errorf("%s at %s: got %q, want %q", tc.site, tc.hosts, got, tc.want)
		}
	}
	for key, want := range map[string]string{"google from news": "google", "mimecast/eu-smtp-inbound-1.mimecast.com": "mimecast", "example.com": ""} {
		if got := s.State(key).Rule; got != want {
			t.Errorf("%s: the rule is %q, want %q", key, got, want)
		}
	}
	p := take(t, s, "google from news", start)
	if p.Connections != 5 || p.MessagesPerConnection != 50 || p.TLS != throttle.TLSEncrypt {
		t.Errorf("the permit is %+v", p)
	}
}

func FuzzParseTable(f *testing.F) {
	text, err := os.ReadFile("providers.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("version 1\nprovider a\n mx a.example b.example\n apart\n rate 5/min\n tls encrypt\n messages 7\n sample mx.a.example\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := throttle.ParseTable(text)
		if err != nil {
			return
		}
		for _, r := range table.Rules() {
			for _, mx := range r.MX {
				if got, ok := table.Match([]string{"mx." + mx}); !ok || got.Name != r.Name {
					t.Errorf("hosts below %s lead to %q, want %q", mx, got.Name, r.Name)
				}
			}
		}
	})
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"10/s", "600/min", "5/h", "1/d", "7/m", "0/s", "x", "1000001/s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := throttle.ParseRate(s)
		if err != nil {
			return
		}
		if again, err := throttle.ParseRate(r.String()); err != nil || again != r {
			t.Errorf("%q is %v, which is %v (%v)", s, r, again, err)
		}
	})
}

func TestRulesAreACopy(t *testing.T) {
	t.Parallel()
	rules := throttle.Providers().Rules()
	rules[0].Name = "changed"
	if slices.ContainsFunc(throttle.Providers().Rules(), func(r throttle.Rule) bool { return r.Name == "changed" }) {
		t.Error("the table was changed through its copy")
	}
}
