package smtpsim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
)

// Stage is a point of a session at which rules are asked.
type Stage uint8

// The stages. Each is named for what the client just did.
const (
	Connect      Stage = iota // connected; the default is the 220 banner
	Ehlo                      // EHLO
	Helo                      // HELO
	StartTLSVerb              // STARTTLS, or connected with ImplicitTLS before the handshake
	Auth                      // AUTH, before the credentials are asked for
	Mail                      // MAIL
	Rcpt                      // RCPT
	Data                      // DATA or the first BDAT; the default is 354 (for BDAT nothing)
	Body                      // reading content, after Rule.AfterBytes of it
	Dot                       // end of data
	Rset                      // RSET
	Noop                      // NOOP
	Quit                      // QUIT
	numStages
)

var stageNames = [numStages]string{"connect", "ehlo", "helo", "starttls", "auth", "mail", "rcpt", "data", "body", "dot", "rset", "noop", "quit"}

// String is the stage's name in lower case.
func (s Stage) String() string {
	if s < numStages {
		return stageNames[s]
	}
	return fmt.Sprintf("stage(%d)", uint8(s))
}

// ParseStage reads a name as String gives it; "banner" is another name for
// connect.
func ParseStage(name string) (Stage, error) {
	if name == "banner" {
		return Connect, nil
	}
	for i, n := range stageNames {
		if n == name {
			return Stage(i), nil
		}
	}
	return 0, fmt.Errorf("unknown stage %q: one of %s", name, strings.Join(stageNames[:], ", "))
}

// Rule says what to do at a stage. All conditions that are set must hold; of
// several rules the first that matches acts, and the others are not asked.
// At Data, Body and Dot a recipient condition holds if it does for any
// accepted recipient. Addresses compare without regard to case.
type Rule struct {
	Name  string // for Server.Fired
	Stage Stage

	From, FromDomain string // reverse-path without <>, its domain; NullFrom for <>
	NullFrom         bool
	Rcpt, RcptDomain string // forward-path without <>, its domain
	ConnNumber       int    // only the connection of this number, from 1
	AfterMessages    int    // only once the connection has had this many messages accepted
	AfterRcpts       int    // only once the transaction has this many recipients accepted
	AfterBytes       int64  // at Body: only once so much content was read
	When             func(*Exchange) bool

	Skip        int     // this many matches go by first
	Times       int     // then it acts so often; 0 means for ever
	Probability float64 // of acting on a match; 0 means always

	Do []Action // in this order; what they leave unanswered gets the default reply
}

// Do makes a list of actions, for Rule.Do.
func Do(actions ...Action) []Action { return actions }

type liveRule struct {
	Rule
	seen  atomic.Int64 // matches
	fired atomic.Int64
}

// ruleSet is immutable; rules are changed by replacing it.
type ruleSet struct {
	byStage [numStages][]*liveRule
	all     []*liveRule
}

func (set *ruleSet) with(rules []Rule) *ruleSet {
	next := &ruleSet{}
	if set != nil {
		next.all = append(next.all, set.all...)
	}
	for _, r := range rules {
		next.all = append(next.all, &liveRule{Rule: r})
	}
	for _, r := range next.all {
		if r.Stage < numStages {
			next.byStage[r.Stage] = append(next.byStage[r.Stage], r)
		}
	}
	return next
}

// pick finds the rule that acts on x, if any, and counts it.
func (set *ruleSet) pick(x *Exchange) *liveRule {
	for _, r := range set.byStage[x.Stage] {
		if !r.matches(x) {
			continue
		}
		n := int(r.seen.Add(1))
		if n <= r.Skip || r.Times > 0 && n > r.Skip+r.Times {
			continue
		}
		if r.Probability > 0 && rand.Float64() >= r.Probability {
			continue
		}
		return r
	}
	return nil
}

func (r *liveRule) matches(x *Exchange) bool {
	switch {
	case r.ConnNumber != 0 && r.ConnNumber != x.Conn,
		x.Messages < r.AfterMessages,
		len(x.Rcpts) < r.AfterRcpts,
		r.NullFrom && x.From != "",
		r.From != "" && !strings.EqualFold(r.From, x.From),
		r.FromDomain != "" && !strings.EqualFold(r.FromDomain, Domain(x.From)):
		return false
	}
	if (r.Rcpt != "" || r.RcptDomain != "") && !r.matchesRcpt(x) {
		return false
	}
	return r.When == nil || r.When(x)
}

func (r *liveRule) matchesRcpt(x *Exchange) bool {
	one := func(rcpt string) bool {
		return (r.Rcpt == "" || strings.EqualFold(r.Rcpt, rcpt)) &&
			(r.RcptDomain == "" || strings.EqualFold(r.RcptDomain, Domain(rcpt)))
	}
	if x.Stage == Rcpt {
		return one(x.Rcpt)
	}
	for _, p := range x.Rcpts {
		if one(p.Address) {
			return true
		}
	}
	return false
}

// Domain is what follows the last @ of an address, or "".
func Domain(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return address[i+1:]
	}
	return ""
}
