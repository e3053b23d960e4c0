package doctor

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Level says how bad a finding is.
type Level string

// The levels, worst first. Unknown says nothing about the mail: it could not be
// tested.
const (
	Fail    Level = "fail" // mail will be refused somewhere
	Warn    Level = "warn" // mail suffers, or soon will
	Unknown Level = "unknown"
	OK      Level = "ok"
)

// Levels returns all levels, worst first.
func Levels() []Level { return []Level{Fail, Warn, Unknown, OK} }

// A Finding is what one check says about one subject.
type Finding struct {
	// ID names the check, such as "dom.dkim".
	ID    string
	Level Level
	// Subject is the domain, host, address or listener that it is about.
	Subject string
	// Asked is what was looked at, and Found what there was.
	Asked, Found string
	// Do is what to do about it, and Where. Of a finding that is OK it is what
	// could be better.
	Do, Where string
	// Publish holds the records to publish.
	Publish []Record
	// Again is the command that looks again.
	Again string
	// Mark tells findings of the same check and level apart that deserve a word
	// of their own: a certificate with a week left is not that with a day left.
	Mark string
}

// A Report is what one examination found.
type Report struct {
	At       time.Time
	Took     time.Duration
	Hostname string
	Domains  []string
	Findings []Finding // worst first, then in the order of the checks
}

// Level is the worst of the findings; what is unknown does not count.
func (r *Report) Level() Level {
	worst := OK
	for _, f := range r.Findings {
		if f.Level != Unknown && rank(f.Level) < rank(worst) {
			worst = f.Level
		}
	}
	return worst
}

// Count is how many findings have the level.
func (r *Report) Count(l Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

func rank(l Level) int { return slices.Index(Levels(), l) }

func worstFirst(all []Finding) {
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(rank(a.Level), rank(b.Level)) })
}

// about begins a finding.
func about(id, subject, asked string) Finding {
	f := Finding{ID: id, Subject: subject, Asked: asked, Again: "postrider doctor"}
	if strings.HasPrefix(id, "dom.") || strings.HasPrefix(id, "msg.") {
		f.Again += " " + subject
	}
	return f
}

func (f Finding) is(l Level, found string) Finding {
	f.Level, f.Found = l, found
	return f
}

func (f Finding) fail(found string) Finding { return f.is(Fail, found) }
func (f Finding) warn(found string) Finding { return f.is(Warn, found) }
func (f Finding) ok(found string) Finding   { return f.is(OK, found) }

// unknown says why it could not be tested.
func (f Finding) unknown(why string) Finding { return f.is(Unknown, why) }

// advise says what to do, and where.
func (f Finding) advise(do, where string) Finding {
	f.Do, f.Where = do, where
	return f
}

func (f Finding) offer(records ...Record) Finding {
	f.Publish = append(slices.Clone(f.Publish), records...)
	return f
}

func (f Finding) marked(mark string) Finding {
	f.Mark = mark
	return f
}

// Where things are done.
const (
	atProvider = "at the provider of your server"
	atConfig   = "in the configuration of the relay"
	atHost     = "on this machine"
	atPrograms = "in the program that makes the messages"
)

func atDNS(domain string) string { return "at the DNS of " + domain }
