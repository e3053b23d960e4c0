package bounce

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/queue"
)

func mustNew(t testing.TB) *Classifier {
	t.Helper()
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// parseReply reads "550 5.1.1 text" as the delivery client would.
func parseReply(t testing.TB, s string) queue.Reply {
	t.Helper()
	code, text, _ := strings.Cut(s, " ")
	n, err := strconv.Atoi(code)
	if err != nil {
		t.Fatalf("sample %q: %v", s, err)
	}
	r := queue.Reply{Code: n, Text: strings.ReplaceAll(text, `\n`, "\n")}
	if first, rest, ok := strings.Cut(r.Text, " "); ok {
		if e, isCode := queue.ParseEnhanced(first); isCode {
			r.Enhanced, r.Text = e, rest
		}
	}
	return r
}

// sample is a line of testdata/replies.txt.
type sample struct {
	line                     int
	rule, reply, class, fate string
	attempt                  queue.Attempt
}

func samples(t testing.TB) []sample {
	t.Helper()
	data, err := os.ReadFile("testdata/replies.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []sample
	for n, line := range strings.Split(string(data), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cols := strings.Split(line, " | ")
		if len(cols) != 6 {
			t.Fatalf("replies.txt:%d: %d columns", n+1, len(cols))
		}
		s := sample{line: n + 1, rule: cols[0], reply: cols[3], class: cols[4], fate: cols[5]}
		s.attempt = queue.Attempt{Stage: queue.Stage(cols[1]), Host: strings.Replace(cols[2], "-", "mx.example.net", 1), Reply: parseReply(t, cols[3])}
		if cols[2] != "-" {
			s.attempt.Host = cols[2]
		}
		all = append(all, s)
	}
	return all
}

func fateOf(v Verdict) string {
	switch {
	case v.Stop:
		return "stop"
	case v.Final:
		return "bounce"
	}
	return "retry"
}

func TestEverySampleIsWonByItsRule(t *testing.T) {
	t.Parallel()
	c, won := mustNew(t), map[string]bool{}
	for range 2 { // from the rules, and from memory
		for _, s := range samples(t) {
			v := c.Classify(&s.attempt, History{Tries: 1, Age: time.Minute})
			if v.Rule != s.rule || string(v.Class) != s.class || fateOf(v) != s.fate {
				t.Errorf("replies.txt:%d: %s\n got %s: %s, %s\nwant %s: %s, %s", s.line, s.reply, v.Rule, v.Class, fateOf(v), s.rule, s.class, s.fate)
			}
			won[v.Rule] = true
		}
	}
	for _, ru := range c.rules {
		if !won[ru.name] {
			t.Errorf("%s:%d: no sample is won by %s", ru.file, ru.line, ru.name)
		}
	}
}

// A rule is about the hosts of its provider alone.
func TestAProvidersRulesHoldForItsHosts(t *testing.T) {
	t.Parallel()
	c := mustNew(t)
	for host, want := range map[string]queue.Class{
		"mta5.am0.yahoodns.net": queue.ClassBlockIP, "MTA5.AM0.YahooDNS.net.": queue.ClassBlockIP,
		"mx.example.net": queue.ClassOtherTemp, "notyahoodns.net": queue.ClassOtherTemp, "": queue.ClassOtherTemp,
	} {
		a := &queue.Attempt{Stage: queue.StageMail, Host: host, Reply: parseReply(t, "451 [TS03] not now")}
		if v := c.Classify(a, History{Tries: 1}); v.Class != want {
			t.Errorf("at %q: %s by %s, want %s", host, v.Class, v.Rule, want)
		}
	}
}

func TestEveryProvidersNamesCanMatch(t *testing.T) {
	t.Parallel()
	ruled := map[string]bool{}
	for _, ru := range mustNew(t).rules {
		ruled[ru.scope.provider] = true
	}
	for _, p := range queue.Providers() {
		if !ruled[p.Key] {
			t.Errorf("provider %s has no rule", p.Key)
		}
		for _, s := range p.Suffixes {
			if got, ok := queue.ProviderOf("mx1." + s); !ok || got.Key != p.Key || s != strings.ToLower(strings.Trim(s, ".*")) {
				t.Errorf("hosts below %q belong to %q", s, got.Key)
			}
		}
	}
}

func TestSilenceIsTemporary(t *testing.T) {
	t.Parallel()
	c := mustNew(t)
	for stage, want := range map[queue.Stage]queue.Class{
		queue.StageRoute: queue.ClassDNSTemp, queue.StageConnect: queue.ClassNetConnect, queue.StageTLS: queue.ClassNetTLS,
		queue.StageSign: queue.ClassLocalTemp, queue.StageMail: queue.ClassSystemTemp, queue.StageDot: queue.ClassSystemTemp,
		queue.Stage("new"): queue.ClassSystemTemp,
	} {
		a := &queue.Attempt{Stage: stage, Error: "connection reset by peer"}
		if v := c.Classify(a, History{Tries: 99, Age: 1000 * time.Hour}); v.Final || v.Class != want {
			t.Errorf("%s: %+v, want %s and another try", stage, v, want)
		}
	}
	for _, code := range []int{0, 199, 250, 354, 600} {
		if v := c.Classify(&queue.Attempt{Stage: queue.StageDot, Reply: queue.Reply{Code: code, Text: "odd"}}, History{Tries: 5}); v.Final {
			t.Errorf("code %d ended a recipient", code)
		}
	}
}

func TestOurOwnFindingsDecide(t *testing.T) {
	t.Parallel()
	c := mustNew(t)
	for _, k := range []struct {
		stage queue.Stage
		code  queue.Enhanced
		text  string
		want  queue.Class
		final bool
	}{
		{queue.StageMail, queue.Enhanced{5, 3, 4}, "the message has 9 octets, mx takes 8", queue.ClassSize, true},
		{queue.StageMail, queue.Enhanced{5, 6, 7}, "mx does not know SMTPUTF8", queue.ClassContentUTF8, true},
		{queue.StageRcpt, queue.Enhanced{5, 1, 3}, "the address cannot be sent", queue.ClassRcptSyntax, true},
		{queue.StageRoute, queue.Enhanced{4, 4, 3}, "no answer", queue.ClassDNSTemp, false},
	} {
		a := &queue.Attempt{Stage: k.stage, Reply: queue.Reply{Enhanced: k.code}, Error: k.text}
		if v := c.Classify(a, History{Tries: 1}); v.Class != k.want || v.Final != k.final {
			t.Errorf("%v %s: %+v, want %s, final %v", k.code, k.text, v, k.want, k.final)
		}
	}
}

func TestASmartHostThatDeniesRelayingBouncesNothing(t *testing.T) {
	t.Parallel()
	c := mustNew(t)
	a := &queue.Attempt{Stage: queue.StageRcpt, Reply: parseReply(t, "554 5.7.1 <bob@example.org>: Relay access denied")}
	v := c.Classify(a, History{Tries: 9, Age: 50 * time.Hour, SmartHost: true})
	if v.Final || v.Class != queue.ClassRelayDenied || v.MinDelay == 0 || v.Site != SitePause || v.SiteRest == 0 {
		t.Errorf("at a smart host: %+v", v)
	}
	if v := c.Classify(a, History{Tries: 1}); !v.Final || v.Site != SiteNothing {
		t.Errorf("at a mail exchanger: %+v", v)
	}
}

// Temporary 5yz and final 4yz, with their tries and ages.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	c := mustNew(t)
	const gmail, yahoo, mimecast, tonline = "mx.google.com", "mx.yahoodns.net", "mx.mimecast.com", "mx00.t-online.de"
	listed := "554 5.7.1 blocked using zen.spamhaus.org"
	cases := []struct {
		host, reply string
		h           History
		final       bool
	}{
		{"", listed, History{Tries: 2, Age: time.Hour}, false},
		{"", listed, History{Tries: 3, Age: time.Hour}, true},
		{"", listed, History{Tries: 3, Age: time.Hour, Last: queue.ClassBlockIP}, true},
		{"", listed, History{Tries: 8, Age: 30 * time.Hour, Last: queue.ClassNetConnect}, false}, // it is new that they block us
		{"", listed, History{Tries: 1, Age: 30 * time.Hour}, false},
		{"", "450 4.1.1 user unknown", History{Tries: 9, Age: 23 * time.Hour}, false},
		{"", "450 4.1.1 user unknown", History{Tries: 9, Age: 24 * time.Hour}, true},
		{"", "451 4.1.8 sender domain does not resolve", History{Tries: 9, Age: 24 * time.Hour}, true},
		{"", "452 4.2.2 mailbox full", History{Tries: 9, Age: 25 * time.Hour}, true},
		{"", "450 5.7.26 no SPF, no DKIM", History{Tries: 9, Age: 5 * time.Hour}, false},
		{"", "450 5.7.26 no SPF, no DKIM", History{Tries: 9, Age: 6 * time.Hour}, true},
		{"", "451 4.3.0 try again", History{Tries: 50, Age: 70 * time.Hour}, false},
		{"", "554 try again later", History{Tries: 5, Age: 23 * time.Hour}, false},
		{"", "554 try again later", History{Tries: 5, Age: 24 * time.Hour}, true},
		{"", "451 VS1-IP too many unknown", History{Tries: 2, Age: time.Hour}, true},
		{mimecast, "451 Open relay not allowed", History{Tries: 2, Age: 50 * time.Minute}, false},
		{mimecast, "451 Open relay not allowed", History{Tries: 2, Age: time.Hour}, true},
		{gmail, "421 4.7.0 this message has been blocked", History{Tries: 5, Age: 23 * time.Hour}, false},
		{gmail, "421 4.7.0 this message has been blocked", History{Tries: 6, Age: 3 * time.Hour}, true},
		{gmail, "421 4.7.0 this message has been blocked", History{Tries: 3, Age: 24 * time.Hour}, true},
		{gmail, "550 5.2.1 comes at a rate that prevents more", History{Tries: 30, Age: 60 * time.Hour}, false},
		{tonline, "554 ask tosa@rx.t-online.de", History{Tries: 9, Age: 23 * time.Hour}, false},
		{tonline, "554 ask tosa@rx.t-online.de", History{Tries: 9, Age: 24 * time.Hour}, true},
		{yahoo, "421 4.7.1 [TS03] deferred", History{Tries: 1}, true},
	}
	for _, k := range cases {
		a := &queue.Attempt{Stage: queue.StageRcpt, Host: k.host, Reply: parseReply(t, k.reply)}
		if k.host == tonline {
			a.Stage = queue.StageGreeting
		}
		if v := c.Classify(a, k.h); v.Final != k.final {
			t.Errorf("%s after %+v: final %v by %s, want %v", k.reply, k.h, v.Final, v.Rule, k.final)
		}
	}
}

func TestWhatASiteIsOwed(t *testing.T) {
	t.Parallel()
	c := mustNew(t)
	for _, k := range []struct {
		host, reply string
		site        SiteAction
		rest        time.Duration
		least       time.Duration
	}{
		{"mx.yahoodns.net", "421 4.7.0 [TSS04] temporarily deferred", SitePause, 2 * time.Hour, 2 * time.Hour},
		{"mx.yahoodns.net", "421 4.7.0 [TSS05] temporarily deferred", SitePause, 4 * time.Hour, 4 * time.Hour},
		{"mx.yahoodns.net", "421 4.7.0 [TS01] temporarily deferred", SiteSlow, 0, 2 * time.Hour},
		{"x.protection.outlook.com", "550 5.7.1 on our block list (S3150)", SitePause, 2 * time.Hour, time.Hour},
		{"x.protection.outlook.com", "451 4.7.0 Server busy", SiteSlow, 0, 10 * time.Minute},
		{"mx.icloud.com", "450 4.7.1 [BS02] not now", SitePause, 15 * time.Minute, 15 * time.Minute},
		{"", "421 too many connections", SiteSlow, 0, 10 * time.Minute},
		{"", "421 too many connections, try again in 20 minutes", SiteSlow, 20*time.Minute + hintSlack, 20*time.Minute + hintSlack},
		{"", "451 4.7.1 greylisted", SiteNothing, 0, 0},
		{"", "550 5.1.1 no such user", SiteNothing, 0, 0},
	} {
		a := &queue.Attempt{Stage: queue.StageRcpt, Host: k.host, Reply: parseReply(t, k.reply)}
		if v := c.Classify(a, History{Tries: 1}); v.Site != k.site || v.SiteRest != k.rest || v.MinDelay != k.least {
			t.Errorf("%s: site %d for %v, next try after %v (%s)", k.reply, v.Site, v.SiteRest, v.MinDelay, v.Rule)
		}
	}
}

func TestClassesHaveSchedulesOfTheirOwn(t *testing.T) {
	t.Parallel()
	grey := &queue.Attempt{Stage: queue.StageRcpt, Reply: parseReply(t, "451 4.7.1 greylisted")}
	if v := mustNew(t).Classify(grey, History{Tries: 1}); len(v.Schedule) == 0 || v.Schedule[0] > 10*time.Minute {
		t.Errorf("greylisted mail is tried after %v", v.Schedule)
	}
	c, err := New(Options{OneSchedule: true})
	if err != nil {
		t.Fatal(err)
	}
	if v := c.Classify(grey, History{Tries: 1}); v.Schedule != nil {
		t.Errorf("the operator's schedule is replaced by %v", v.Schedule)
	}
	for class, p := range policies {
		for _, d := range p.schedule {
			if d < 5*time.Minute || d > 8*time.Hour || p.maxAge > 0 && p.schedule[0] > p.maxAge/2 {
				t.Errorf("%s: schedule %v does not fit %v", class, p.schedule, p.maxAge)
			}
		}
		if p.site == SitePause && p.rest == 0 || p.alerts && p.suppress > 0 {
			t.Errorf("%s: %+v", class, p)
		}
	}
}

// What is about us or the message never bars a recipient.
func TestOnlyWhatIsAboutTheRecipientSuppresses(t *testing.T) {
	t.Parallel()
	for class := range policies {
		times, _ := SuppressAfter(class)
		about := strings.HasPrefix(string(class), "rcpt.") || class == queue.ClassDomainBad || class == queue.ClassPolicyRecipient
		if times > 0 && !about {
			t.Errorf("%s suppresses", class)
		}
	}
	for class, want := range map[queue.Class]int{queue.ClassRcptUnknown: 1, queue.ClassRcptFull: 3, queue.ClassRcptRate: 0, queue.ClassBlockIP: 0} {
		if got, _ := SuppressAfter(class); got != want {
			t.Errorf("%s suppresses after %d, want %d", class, got, want)
		}
	}
	if !Alerts(queue.ClassBlockIP) || !Alerts(queue.ClassAuthDMARC) || Alerts(queue.ClassRcptUnknown) {
		t.Error("the wrong classes alert")
	}
}

func TestAnOperatorsRulesComeFirst(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bounce.rules")
	rules := "[example.net]\nours.full | rcpt.full | 550 | rcpt | * | retry age=48h | voll\n[google]\nours.google | policy.recipient | * | * | 1.1 | |\n"
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{Rules: path})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct{ host, reply, rule string }{
		{"mx.example.net", "550 Postfach VOLL", "ours.full"},
		{"mx.example.org", "550 Postfach VOLL", "last.unknown"},
		{"mx.example.net", "550 Postfach VOLL", "ours.full"},
		{"mx.google.com", "550 5.1.1 no", "ours.google"},
		{"mx.example.net", "550 5.1.1 no", "unknown.code"},
	} {
		a := &queue.Attempt{Stage: queue.StageRcpt, Host: k.host, Reply: parseReply(t, k.reply)}
		if v := c.Classify(a, History{Tries: 1}); v.Rule != k.rule {
			t.Errorf("%s at %s: %s, want %s", k.reply, k.host, v.Rule, k.rule)
		}
	}
	if _, err := New(Options{Rules: path + ".missing"}); err == nil {
		t.Error("a file that is not there was read")
	}
	if _, err := parseRules("example", strings.NewReader(RuleFile)); err != nil {
		t.Errorf("the description of the format is no rule file: %v", err)
	}
}

func TestTheSameReplyToManyIsMatchedOnce(t *testing.T) {
	t.Parallel()
	c := mustNew(t)
	for i := range 5000 {
		r := queue.Reply{Code: 550, Enhanced: queue.Enhanced{5, 1, 1}, Text: "<user" + strconv.Itoa(i) + "@example.com> unknown at 192.0.2." + strconv.Itoa(i%256) + ", id 12345678" + strconv.Itoa(i)}
		if v := c.Classify(&queue.Attempt{Stage: queue.StageRcpt, Reply: r}, History{Tries: 1}); v.Class != queue.ClassRcptUnknown {
			t.Fatal(v)
		}
	}
	if n := len(c.known.recent); n != 1 {
		t.Errorf("%d replies are remembered, want 1", n)
	}
	for i := range 5000 {
		r := queue.Reply{Code: 450, Text: "odd " + lettersOf(i)}
		c.Classify(&queue.Attempt{Stage: queue.StageRcpt, Reply: r}, History{Tries: 1})
	}
	if n := len(c.known.recent) + len(c.known.older); n > maxRemembered {
		t.Errorf("%d replies are remembered, at most %d should be", n, maxRemembered)
	}
}

func lettersOf(i int) string {
	return strings.Map(func(r rune) rune { return r - '0' + 'g' }, strconv.Itoa(i))
}

func TestUnknownRepliesAreCountedByTheirText(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	c, err := New(Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	say := func(code int, text string) {
		c.Classify(&queue.Attempt{Stage: queue.StageDot, Host: "mx.example.net", Reply: queue.Reply{Code: code, Text: text}}, History{Tries: 1})
	}
	for i := range 7 {
		say(554, "Computer says no to <bob"+strconv.Itoa(i)+"@example"+strconv.Itoa(i)+".org>, ticket 99"+strconv.Itoa(1000+i))
	}
	say(451, "Not today")
	say(550, "rejected as spam")
	got := c.Unknown(10)
	if len(got) != 2 || got[0].Count != 7 || got[0].Text != "computer says no to <#>, ticket #" || got[0].Code != 554 || got[0].Class != queue.ClassOtherPerm || got[0].Host != "mx.example.net" || !got[0].Last.Equal(now) {
		t.Errorf("counted %+v", got)
	}
	for i := range 3 * maxUnknown {
		say(554, lettersOf(i)+" "+strings.Repeat("long ", 100))
	}
	got = c.Unknown(10 * maxUnknown)
	if len(got) > maxUnknown || got[0].Count != 7 {
		t.Errorf("%d kinds are kept, the first with %d", len(got), got[0].Count)
	}
	for _, u := range got {
		if len(u.Text) > maxUnknownText {
			t.Fatalf("a text of %d octets is kept", len(u.Text))
		}
	}
	if len(c.Unknown(1)) != 1 {
		t.Error("more than asked for")
	}
	// What was forgotten is counted all the same.
	total := c.UnknownTotals()
	if total[queue.ClassOtherPerm] != 7+3*maxUnknown || total[queue.ClassOtherTemp] != 1 || len(total) != 2 {
		t.Errorf("counted %v", total)
	}
}

func FuzzClassify(f *testing.F) {
	c := mustNew(f)
	f.Add(550, "5.1.1 no such user", "rcpt", "mx.google.com", 1)
	f.Add(421, "", "greeting", "", 3)
	f.Fuzz(func(t *testing.T, code int, text, stage, host string, tries int) {
		a := &queue.Attempt{Stage: queue.Stage(stage), Host: host, Reply: queue.Reply{Code: code, Text: text}}
		h := History{Tries: tries}
		v := c.Classify(a, h)
		if _, known := policies[v.Class]; !known {
			t.Fatalf("class %q has no policy", v.Class)
		}
		if v.Final && (code < 400 || code > 599) {
			t.Fatalf("code %d ended a recipient", code)
		}
		if v.Hint != 0 && (v.Hint < minHint || v.Hint > maxHint) {
			t.Fatalf("hint %v", v.Hint)
		}
		if again := c.Classify(a, h); again.Rule != v.Rule || again.Final != v.Final {
			t.Fatalf("%s, then %s", v.Rule, again.Rule)
		}
	})
}

func TestTLSThatWeAskForIsNoBlockOfTheirs(t *testing.T) {
	t.Parallel()
	c := mustNew(t)
	for _, tt := range []struct {
		stage    queue.Stage
		enhanced queue.Enhanced
		class    queue.Class
		final    bool
	}{
		{queue.StageRoute, queue.Enhanced{5, 7, 30}, queue.ClassTLSRequired, true},
		{queue.StageMail, queue.Enhanced{5, 7, 30}, queue.ClassTLSRequired, true},
		{queue.StageRoute, queue.Enhanced{4, 7, 30}, queue.ClassTLSRequired, false},
		{queue.StageTLS, queue.Enhanced{4, 7, 5}, queue.ClassNetTLS, false},
	} {
		for _, host := range []string{"mx.example.net", "aspmx.l.google.com"} { // who mean other things by 7.30
			a := queue.Attempt{Stage: tt.stage, Host: host, Reply: queue.Reply{Enhanced: tt.enhanced}, Error: "the message has REQUIRETLS and the server does not offer it"}
			if v := c.Classify(&a, History{Tries: 1}); v.Class != tt.class || v.Final != tt.final || v.Site != SiteNothing {
				t.Errorf("%s %v at %s: %+v", tt.stage, tt.enhanced, host, v)
			}
		}
	}
}
