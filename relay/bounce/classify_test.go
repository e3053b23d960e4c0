package bounce

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/queue"
)

func mustNew(t testing.TB) *Classifier {
	t.Helper()
	c, err := New()
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
	r := queue.Reply{Code: n, Text: text}
	if first, rest, ok := strings.Cut(text, " "); ok {
		if e, isCode := queue.ParseEnhanced(first); isCode {
			r.Enhanced, r.Text = e, rest
		}
	}
	return r
}

func TestSampleReplies(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/replies.txt")
	if err != nil {
		t.Fatal(err)
	}
	c, seen := mustNew(t), map[queue.Class]bool{}
	for n, line := range strings.Split(string(data), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cols := strings.Split(line, " | ")
		if len(cols) != 4 {
			t.Fatalf("replies.txt:%d: %d columns", n+1, len(cols))
		}
		a := &queue.Attempt{Stage: queue.Stage(cols[0]), Reply: parseReply(t, cols[1])}
		v := c.Classify(a, History{Tries: 1, Age: time.Minute})
		fate := map[bool]string{true: "bounce", false: "retry"}[v.Final]
		if string(v.Class) != cols[2] || fate != cols[3] {
			t.Errorf("replies.txt:%d: %s\n got %s, %s (%s)\nwant %s, %s", n+1, cols[1], v.Class, fate, v.Rule, cols[2], cols[3])
		}
		seen[v.Class] = true
	}
	for _, ru := range c.rules {
		if !seen[ru.class] && ru.class != queue.ClassRcptMoved && ru.class != queue.ClassContentUTF8 {
			t.Errorf("no sample shows class %s", ru.class)
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
	if v := c.Classify(a, History{Tries: 9, Age: 50 * time.Hour, SmartHost: true}); v.Final || v.Class != queue.ClassRelayDenied || v.MinDelay == 0 {
		t.Errorf("at a smart host: %+v", v)
	}
	if v := c.Classify(a, History{Tries: 1}); !v.Final {
		t.Errorf("at a mail exchanger: %+v", v)
	}
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	c := mustNew(t)
	cases := []struct {
		reply string
		h     History
		final bool
	}{
		{"554 5.7.1 blocked using zen.spamhaus.org", History{Tries: 2, Age: time.Hour}, false},
		{"554 5.7.1 blocked using zen.spamhaus.org", History{Tries: 3, Age: time.Hour}, true},
		{"450 4.1.1 user unknown", History{Tries: 9, Age: 23 * time.Hour}, false},
		{"450 4.1.1 user unknown", History{Tries: 9, Age: 24 * time.Hour}, true},
		{"452 4.2.2 mailbox full", History{Tries: 9, Age: 25 * time.Hour}, true},
		{"451 4.3.0 try again", History{Tries: 50, Age: 70 * time.Hour}, false},
	}
	for _, k := range cases {
		a := &queue.Attempt{Stage: queue.StageRcpt, Reply: parseReply(t, k.reply)}
		if v := c.Classify(a, k.h); v.Final != k.final {
			t.Errorf("%s after %d tries and %v: final %v, want %v", k.reply, k.h.Tries, k.h.Age, v.Final, k.final)
		}
	}
}

func TestBadRulesAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"rcpt.unknown | * | *", "no.such | * | * | * | x", "size | 99 | * | * | x", "size | * | lunch | * | x",
		"size | * | * | 1 | x", "size | * | * | * | (",
	} {
		if _, err := parseRules("x", strings.NewReader(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestTheSameReplyToManyIsMatchedOnce(t *testing.T) {
	t.Parallel()
	c := mustNew(t)
	for i := range 5000 {
		r := queue.Reply{Code: 550, Enhanced: queue.Enhanced{5, 1, 1}, Text: "<user" + strconv.Itoa(i) + "@example.com> unknown, id 12345678" + strconv.Itoa(i)}
		if v := c.Classify(&queue.Attempt{Stage: queue.StageRcpt, Reply: r}, History{Tries: 1}); v.Class != queue.ClassRcptUnknown {
			t.Fatal(v)
		}
	}
	if n := len(c.known.recent); n != 1 {
		t.Errorf("%d shapes are remembered, want 1", n)
	}
	for i := range 5000 {
		r := queue.Reply{Code: 450, Text: "odd " + strings.Map(func(r rune) rune { return r - '0' + 'a' }, strconv.Itoa(i))}
		c.Classify(&queue.Attempt{Stage: queue.StageRcpt, Reply: r}, History{Tries: 1})
	}
	if n := len(c.known.recent) + len(c.known.older); n > maxRemembered {
		t.Errorf("%d shapes are remembered, at most %d should be", n, maxRemembered)
	}
}

func FuzzClassify(f *testing.F) {
	c := mustNew(f)
	f.Add(550, "5.1.1 no such user", "rcpt", 1)
	f.Add(421, "", "greeting", 3)
	f.Fuzz(func(t *testing.T, code int, text, stage string, tries int) {
		a := &queue.Attempt{Stage: queue.Stage(stage), Reply: queue.Reply{Code: code, Text: text}}
		v := c.Classify(a, History{Tries: tries})
		if _, known := policies[v.Class]; !known {
			t.Fatalf("class %q has no policy", v.Class)
		}
		if v.Final && (code < 400 || code > 599) {
			t.Fatalf("code %d ended a recipient", code)
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	c := mustNew(b)
	a := &queue.Attempt{Stage: queue.StageRcpt, Reply: queue.Reply{Code: 451, Text: "Temporary trouble that no rule knows, " + strings.Repeat("word ", 30)}}
	for b.Loop() {
		c.Classify(a, History{Tries: 1})
	}
}
