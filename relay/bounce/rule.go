package bounce

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"postrider/queue"
)

// rule gives a class to the failed attempts that it matches. Empty lists match
// anything.
type rule struct {
	name     string
	file     string
	line     int
	scope    scope
	class    queue.Class
	codes    []string // "550" or "5xx"
	stages   []queue.Stage
	enhanced []string // "subject.detail" or "subject.*"
	text     *regexp.Regexp
	needs    []string // one of these is in every text that matches; empty: not known
	do       deed
}

// deed is what a rule does differently from the policy of its class.
type deed struct {
	stop     bool          // trying again will not succeed
	retry    bool          // a 5yz code is no reason to give up
	unknown  bool          // nothing but the code was understood
	limited  bool          // maxTries and maxAge are the rule's
	maxTries int           // as in policy
	maxAge   time.Duration // as in policy
	wait     time.Duration // as policy.minDelay; 0: the policy's
	slow     bool
	pause    time.Duration // of the site
}

// scope is whose hosts a rule is about: a provider's, those below some domains,
// or all if both are empty.
type scope struct {
	provider string
	domains  []string
}

func (s scope) any() bool { return s.provider == "" && len(s.domains) == 0 }

// holds reports whether a host belongs to the scope; provider is the host's.
func (s scope) holds(host, provider string) bool {
	if s.any() || s.provider != "" && s.provider == provider {
		return true
	}
	return slices.ContainsFunc(s.domains, func(d string) bool { return queue.Below(host, d) })
}

// reply is an attempt's reply as the rules see it.
type reply struct {
	stage  queue.Stage
	code   string // "550"
	wild   string // "5xx"
	detail string // "7.26"; empty without an enhanced code
	line   string // "550 5.7.26 text", see normal
}

func (ru *rule) matches(r *reply) bool {
	switch {
	case ru.codes != nil && !slices.Contains(ru.codes, r.code) && !slices.Contains(ru.codes, r.wild):
		return false
	case ru.stages != nil && !slices.Contains(ru.stages, r.stage):
		return false
	case ru.enhanced != nil && !inDetails(ru.enhanced, r.detail):
		return false
	case ru.text == nil:
		return true
	case len(ru.needs) > 0 && !slices.ContainsFunc(ru.needs, func(s string) bool { return strings.Contains(r.line, s) }):
		return false
	}
	return ru.text.MatchString(r.line)
}

func inDetails(list []string, detail string) bool {
	if detail == "" {
		return false
	}
	subject, _, _ := strings.Cut(detail, ".")
	return slices.Contains(list, detail) || slices.Contains(list, subject+".*")
}
