package bounce

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/queue"
)

// Options of a Classifier. The zero value has the built-in rules alone.
type Options struct {
	// Rules is a file with an operator's own, see RuleFile; empty: none.
	Rules string
	// OneSchedule leaves Verdict.Schedule nil, where an operator's own holds for
	// all classes.
	OneSchedule bool
	Now         func() time.Time // for Unknown; nil: time.Now
}

// Classifier classifies failed attempts. It is safe for concurrent use.
type Classifier struct {
	o       Options
	rules   []rule
	byHost  bool // a rule is about hosts by name
	known   memory
	unknown counters
}

// New returns a Classifier. Its error names file and line of a bad rule.
func New(o Options) (*Classifier, error) {
	rules, err := builtInRules()
	if err != nil {
		return nil, fmt.Errorf("read bounce rules: %w", err)
	}
	if o.Rules != "" {
		own, err := ownRules(o.Rules)
		if err != nil {
			return nil, err
		}
		rules = append(own, rules...)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	byHost := slices.ContainsFunc(rules, func(ru rule) bool { return len(ru.scope.domains) > 0 })
	return &Classifier{o: o, rules: rules, byHost: byHost}, nil
}

// Verdict is what an attempt means for its recipient.
type Verdict struct {
	Class    queue.Class
	Final    bool           // give up
	Stop     bool           // the peer said that trying again will not succeed; Final too
	MinDelay time.Duration  // before the next try, if not final; respects Hint
	Schedule queue.Schedule // of tries after this failure; nil: the configured one
	Hint     time.Duration  // how long the reply asks to wait; 0: it does not
	Rule     string         // which rule decided, for tests and traces

	Site SiteAction // what the attempt means for all mail to the site
	// SiteRest is how long the site should be left alone: always set with
	// SitePause, and with SiteSlow if the reply asked for a time.
	SiteRest time.Duration
}

// SiteAction is what to do about a site.
type SiteAction uint8

// The actions.
const (
	SiteNothing SiteAction = iota
	SiteSlow               // send less at a time
	SitePause              // send nothing for SiteRest
)

// History is what came before the attempt.
type History struct {
	Tries     int           // attempts so far, this one included
	Age       time.Duration // since the message was accepted
	Last      queue.Class   // of the attempt before, if that is known: patience with a class begins with it
	SmartHost bool          // it was made by a static route, not by MX
}

// Classify says what a failed attempt means. Attempts that neither a peer's
// reply nor a finding of our own decided are temporary, whatever they are.
func (c *Classifier) Classify(a *queue.Attempt, h History) Verdict {
	code := codeOf(a.Reply)
	if class, ok := ourTLS(a); ok {
		return c.verdict(Verdict{Class: class, Rule: "our tls", Final: code >= 500}, policies[class], 0)
	}
	if code < 400 || code > 599 {
		class := silent(a)
		return c.verdict(Verdict{Class: class, Rule: "no reply"}, policies[class], 0)
	}
	text := plain(textOf(a))
	ru := c.rule(a, code, text)
	v := Verdict{Class: ru.class, Rule: ru.name}
	p := policies[ru.class].with(ru.do)
	if h.SmartHost && v.Class == queue.ClassRelayDenied {
		// The smart host does not know us (any more): that is for the operator to
		// mend and no reason to bounce what waits.
		p = policies[queue.ClassRouteAuth]
	}
	hint := hintIn(text)
	if code >= 500 && !p.retry5xx && mayComeBack(v.Class) && (hint > 0 || comesBack(text)) {
		p.retry5xx = true // a 5yz that asks to come back
		if !ru.do.limited {
			p.maxAge = day
		}
	}
	v.Stop = ru.do.stop
	v.Final = v.Stop || p.final(a.Stage, code, v.Class, h)
	return c.verdict(v, p, hint)
}

// verdict completes a verdict by what its class and its rule say.
func (c *Classifier) verdict(v Verdict, p policy, hint time.Duration) Verdict {
	v.Site, v.SiteRest = p.site, p.rest
	if hint > 0 && v.Site != SiteNothing {
		v.SiteRest = max(v.SiteRest, hint)
	}
	v.Hint = hint
	if v.Final {
		return v
	}
	v.MinDelay = max(p.minDelay, hint)
	if !c.o.OneSchedule {
		v.Schedule = p.schedule
	}
	return v
}

// codeOf is the reply's code. Findings of our own, such as a message larger than
// the next hop accepts, have an enhanced code only: its class counts.
func codeOf(r queue.Reply) int {
	if r.Code == 0 && !r.Enhanced.IsZero() {
		return int(r.Enhanced[0]) * 100
	}
	return r.Code
}

// ourTLS classes what we ourselves do not send for the TLS of a next hop. Rules
// read the codes as the words of peers, who mean other things by them.
func ourTLS(a *queue.Attempt) (class queue.Class, ok bool) {
	if a.Reply.Code != 0 || a.Reply.Enhanced[1] != 7 {
		return "", false
	}
	switch a.Reply.Enhanced[2] {
	case 30: // RFC 8689 §5: REQUIRETLS cannot be kept
		return queue.ClassTLSRequired, true
	case 5: // RFC 3463: the policy of the receiver cannot be kept
		return queue.ClassNetTLS, true
	}
	return "", false
}

func textOf(a *queue.Attempt) string {
	if a.Reply.Code == 0 {
		return a.Error
	}
	return a.Reply.Text
}

func (p policy) final(stage queue.Stage, code int, class queue.Class, h History) bool {
	switch {
	case code >= 500 && code < 600 && greets(stage):
		// The host as a whole does not want us now; another may, later
		// (RFC 5321 §3.1, §5.1).
		return p.exhausted(class, h)
	case code >= 500 && code < 600:
		return !p.retry5xx || p.exhausted(class, h)
	case code >= 400 && code < 500:
		return p.exhausted(class, h)
	}
	return false
}

func greets(s queue.Stage) bool {
	switch s {
	case queue.StageConnect, queue.StageGreeting, queue.StageEhlo, queue.StageTLS, queue.StageAuth:
		return true
	}
	return false
}

// mayComeBack reports whether mail of a class may be sent later with success if
// the reply says so, whatever its code.
func mayComeBack(c queue.Class) bool {
	switch c {
	case queue.ClassRcptUnknown, queue.ClassRcptSyntax, queue.ClassRcptMoved, queue.ClassDomainBad, queue.ClassSize, queue.ClassLoop,
		queue.ClassContentVirus, queue.ClassContentUTF8:
		return false
	}
	return true
}

// rule finds the rule that decides, and remembers it for replies that are alike.
func (c *Classifier) rule(a *queue.Attempt, number int, text string) *rule {
	code := strconv.Itoa(number)
	text = normal(text)
	r := reply{stage: a.Stage, code: code, wild: code[:1] + "xx", detail: detailOf(a.Reply, text, code[0])}
	host := strings.ToLower(strings.TrimSuffix(a.Host, "."))
	provider, _ := queue.ProviderOf(host)
	r.line = code + " " + text
	if !a.Reply.Enhanced.IsZero() {
		r.line = code + " " + a.Reply.Enhanced.String() + " " + text
	}
	key := memoryKey{stage: r.stage, provider: provider.Key, line: r.line}
	if c.byHost {
		key.host = host
	}
	ru, ok := c.known.get(key)
	if !ok {
		ru = c.match(&r, host, provider.Key)
		c.known.put(key, ru)
	}
	if ru.do.unknown {
		c.unknown.count(a, number, ru.class, text, c.o.Now())
	}
	return ru
}

var noRule = rule{name: "none", class: queue.ClassOtherTemp, do: deed{unknown: true}}

func (c *Classifier) match(r *reply, host, provider string) *rule {
	for i := range c.rules {
		if ru := &c.rules[i]; ru.scope.holds(host, provider) && ru.matches(r) {
			return ru
		}
	}
	return &noRule
}

// silent classes an attempt that ended without a reply that decides.
func silent(a *queue.Attempt) queue.Class {
	switch a.Stage {
	case queue.StageRoute:
		return queue.ClassDNSTemp
	case queue.StageSign:
		return queue.ClassLocalTemp
	case queue.StageTLS:
		return queue.ClassNetTLS
	case queue.StageConnect, queue.StageGreeting:
		return queue.ClassNetConnect
	}
	if a.InDoubt {
		return queue.ClassOtherTemp
	}
	return queue.ClassSystemTemp
}
