package bounce

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each is a mistake that a rule file of some relay has had, or could have.
func TestBadRulesAreRefused(t *testing.T) {
	t.Parallel()
	for _, k := range []struct{ name, rules, want string }{
		{"too few columns", "[*]\na | size | * | *", "x:2: 4 columns"},
		{"no scope", "a | size | * | * | * | | x", "x:1: say first"},
		{"no name", "[*]\n | size | * | * | * | | x", "want one word"},
		{"a class that nobody has", "[*]\na | no.such | * | * | * | | x", `unknown class "no.such"`},
		{"a code that is none", "[*]\na | size | 99 | * | * | | x", `"99" is no code`},
		{"a stage that is none", "[*]\na | size | * | lunch | * | | x", `"lunch" is no stage`},
		{"half an enhanced code", "[*]\na | size | * | * | 1 | | x", `"1" is no enhanced code`},
		{"a pattern that is none", "[*]\na | size | * | * | * | | (", "missing closing"},
		{"a deed that is none", "[*]\na | size | * | * | * | sing | x", `"sing": want`},
		{"a time that is none", "[*]\na | size | * | * | * | pause=soon | x", `"pause=soon": want a time`},
		{"tries that are none", "[*]\na | size | * | * | * | tries=0 | x", "want a number of tries"},
		{"stop and tries", "[*]\na | size | * | * | * | stop tries=3 | x", "stop gives up at once"},

		{"a provider under another name", "[gmail]\na | size | * | * | * | | x", `x:1: there is no provider "gmail": the rules below would never match; known are google`},
		{"a suffix with a dot at its end", "[ess.example.com.]\na | size | * | * | * | | x", "write ess.example.com"},
		{"a suffix with a star", "[*.example.com]\na | size | * | * | * | | x", "write example.com"},
		{"a suffix in capitals", "[Example.com]\na | size | * | * | * | | x", "no domain in lower case"},
		{"a doubled backslash", "[*]\na | size | * | * | * | | \\\\[hcm1\\\\]", "one is enough"},
		{"parentheses that are in the reply", "[*]\na | size | * | * | * | | (554\\.30)", `write \( and \)`},
		{"a sentence in parentheses", "[*]\na | size | * | * | * | | x|(mailbox for user is full)", `write \( and \)`},
		{"brackets that are in the reply", "[*]\na | size | * | * | * | | [ts03]", `write \[ts03\]`},
		{"a capital letter", "[*]\na | size | * | * | * | | Spam", `capital letter 'S'`},
		{"one text in two classes", "[*]\na | rcpt.full | * | * | * | | overquotaperm\nb | rcpt.disabled | * | * | * | | overquotaperm", "x:3: rule b can never win: whatever it matches, a in line 2 has matched"},
		{"a rule behind a wider one", "[*]\na | content.spam | 5xx | * | 7.* | |\nb | auth.spf | 550 | rcpt | 7.23 | | spf", "rule b can never win"},
		{"a host below one that was ruled on", "[example.com]\na | size | * | * | * | |\n[mx.example.com]\nb | size | * | * | * | | x", "rule b can never win"},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseRules("x", strings.NewReader(k.rules))
			if err == nil || !strings.Contains(err.Error(), k.want) {
				t.Errorf("got %v\nwant %s", err, k.want)
			}
		})
	}
}

func TestRulesThatDifferAreBothKept(t *testing.T) {
	t.Parallel()
	for _, rules := range []string{
		"[*]\na | size | 550 | * | * | | x\nb | size | * | * | * | | x",
		"[google]\na | size | * | * | * | |\n[yahoo]\nb | size | * | * | * | |\n[*]\nc | size | * | * | * | |",
		"[mx.example.com]\na | size | * | * | * | |\n[example.com]\nb | size | * | * | * | |",
		"[*]\na | size | * | rcpt | * | |\nb | size | * | dot,rcpt | * | |",
		"[*]\na | size | * | * | 7.1 | |\nb | size | * | * | 7.* | |",
		"[*]\na | size | * | * | * | | (a|b) (c|d)? [ae]x [45] \\(y\\) (z){2} [a-z0-9] \\d\\S",
	} {
		if _, err := parseRules("x", strings.NewReader(rules)); err != nil {
			t.Errorf("%q: %v", rules, err)
		}
	}
}

func TestANameIsGivenOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(path, []byte("[*]\na | size | * | * | * | | x\na | size | * | * | * | | y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Rules: path}); err == nil || !strings.Contains(err.Error(), path+":3: the name a is taken by "+path+":2") {
		t.Errorf("got %v", err)
	}
}

func TestNeededWordsAreInEveryMatch(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string][]string{
		"spam":                        {"spam"},
		"spam|junk":                   {"spam", "junk"},
		`\b(user|account) unknown`:    {" unknown"},
		"gr[ae]y.?list":               {"list"},
		"a*":                          nil,
		"[45]":                        nil,
		"x|[45]":                      nil,
		"(?:too many )+(errors|hops)": {"too many "},
		"(?i)spam":                    nil,
	} {
		if got := needed(pattern); !slices.Equal(got, want) {
			t.Errorf("%s needs %q, want %q", pattern, got, want)
		}
	}
	// What is needed must not hide a match.
	c := mustNew(t)
	for _, s := range samples(t) {
		line := s.attempt.Reply.String()
		for i := range c.rules {
			ru := &c.rules[i]
			text := normal(plain(line))
			if ru.text == nil || len(ru.needs) == 0 || !ru.text.MatchString(text) {
				continue
			}
			if !slices.ContainsFunc(ru.needs, func(w string) bool { return strings.Contains(text, w) }) {
				t.Errorf("%s matches %q without any of %q", ru.name, text, ru.needs)
			}
		}
	}
}

func FuzzParseRules(f *testing.F) {
	for _, name := range builtInFiles {
		text, err := builtIn.ReadFile("rules/" + name + ".txt")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text[:400])) // whole files are slow to change
	}
	f.Add("[*]\na | size | * | * | * | stop | (a|b)[c]\\")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := parseRules("x", strings.NewReader(text))
		if err != nil && !strings.HasPrefix(err.Error(), "x:") && !strings.HasPrefix(err.Error(), "read x:") {
			t.Fatalf("error %v does not say where", err)
		}
		for i := range rules {
			if rules[i].name == "" || rules[i].line == 0 {
				t.Fatalf("rule %+v", rules[i])
			}
		}
	})
}
