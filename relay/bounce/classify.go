package bounce

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"postrider/queue"
)

// Classifier classifies failed attempts. It is safe for concurrent use.
type Classifier struct {
	rules []rule
	known memory
}

// New returns a Classifier with the built-in rules.
func New() (*Classifier, error) {
	rules, err := parseRules("rules.txt", strings.NewReader(genericRules))
	if err != nil {
		return nil, fmt.Errorf("read bounce rules: %w", err)
	}
	return &Classifier{rules: rules}, nil
}

// Verdict is what an attempt means for its recipient.
type Verdict struct {
	Class    queue.Class
	Final    bool          // give up
	MinDelay time.Duration // before the next try, if not final
	Rule     string        // which rule decided, for tests and traces
}

// History is what came before the attempt.
type History struct {
	Tries     int           // attempts so far, this one included
	Age       time.Duration // since the message was accepted
	SmartHost bool          // it was made by a static route, not by MX
}

// Classify says what a failed attempt means. Attempts that neither a peer's
// reply nor a finding of our own decided are temporary, whatever they are.
func (c *Classifier) Classify(a *queue.Attempt, h History) Verdict {
	code := codeOf(a.Reply)
	v := c.class(a, code)
	p := policies[v.Class]
	if h.SmartHost && v.Class == queue.ClassRelayDenied {
		// The smart host does not know us (any more): that is for the operator to
		// mend and no reason to bounce what waits.
		p = policies[queue.ClassRouteAuth]
	}
	v.Final = p.final(a.Stage, code, h)
	v.MinDelay = p.minDelay
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

func (p policy) final(stage queue.Stage, code int, h History) bool {
	switch {
	case code >= 500 && code < 600 && greets(stage):
		// The host as a whole does not want us now; another may, later
		// (RFC 5321 §3.1, §5.1).
		return p.exhausted(h)
	case code >= 500 && code < 600:
		return !p.retry5xx || p.exhausted(h)
	case code >= 400 && code < 500:
		return p.exhausted(h)
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

func (p policy) exhausted(h History) bool {
	return p.maxTries > 0 && h.Tries >= p.maxTries || p.maxAge > 0 && h.Age >= p.maxAge
}

func (c *Classifier) class(a *queue.Attempt, number int) Verdict {
	if number < 400 || number > 599 {
		return Verdict{Class: silent(a), Rule: "no reply"}
	}
	code := strconv.Itoa(number)
	detail := ""
	if e := a.Reply.Enhanced; !e.IsZero() {
		detail = fmt.Sprintf("%d.%d", e[1], e[2])
	}
	text := plain(a.Reply.Text)
	if a.Reply.Code == 0 {
		text = plain(a.Error)
	}
	key := string(a.Stage) + " " + code + " " + detail + " " + shape(text)
	if v, ok := c.known.get(key); ok {
		return v
	}
	v := c.match(a.Stage, code, detail, text)
	c.known.put(key, v)
	return v
}

func (c *Classifier) match(stage queue.Stage, code, detail, text string) Verdict {
	wild := code[:1] + "xx"
	for i := range c.rules {
		if ru := &c.rules[i]; ru.matches(stage, code, wild, detail, text) {
			return Verdict{Class: ru.class, Rule: fmt.Sprintf("rules.txt:%d", ru.line)}
		}
	}
	return Verdict{Class: queue.ClassOtherTemp, Rule: "none"}
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
