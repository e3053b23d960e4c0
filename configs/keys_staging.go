package configs

import (
	"fmt"
	"strings"
)

// Staging keeps mail from people who must not get it, since this is no relay for
// production. The zero Staging is one.
type Staging struct {
	Allow    []string // domains and addresses that may get mail; empty: any, or none with Redirect
	Redirect string   // who gets all other mail; empty: nobody
	Discard  bool     // nothing leaves
}

// On reports whether not all mail goes to whom it is for.
func (s Staging) On() bool { return s.Discard || s.Redirect != "" || len(s.Allow) > 0 }

// Mode is the setting in a word: discard, redirect, allow, or off.
func (s Staging) Mode() string {
	switch {
	case s.Discard:
		return "discard"
	case s.Redirect != "":
		return "redirect"
	case len(s.Allow) > 0:
		return "allow"
	}
	return off
}

// Notice says in a sentence what happens to mail, to whoever asks and so without
// addresses; empty: nothing special.
func (s Staging) Notice() string {
	switch {
	case s.Discard:
		return "Staging: no mail leaves (staging.discard)."
	case s.Redirect != "" && len(s.Allow) > 0:
		return "Staging: mail for all but some addresses is redirected (staging.allow, staging.redirect)."
	case s.Redirect != "":
		return "Staging: all mail is redirected (staging.redirect)."
	case len(s.Allow) > 0:
		return "Staging: only some addresses get mail (staging.allow)."
	}
	return ""
}

// String says the same to the operator.
func (s Staging) String() string {
	text := s.Notice()
	if s.Discard || text == "" {
		return text
	}
	if len(s.Allow) > 0 {
		text += " These get theirs: " + s.allowed() + "."
	}
	if s.Redirect != "" {
		text += " Where it goes: " + s.Redirect + "."
	}
	return text
}

// allowed names some of those who get mail.
func (s Staging) allowed() string {
	const most = 3
	text := strings.Join(s.Allow[:min(len(s.Allow), most)], ", ")
	if more := len(s.Allow) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func stagingSection() section {
	return section{"staging", "For a relay that real people must not get mail from, such as that of a copy of a site. The log, the greeting of SMTP, the folders, the commands and each answer over HTTP say so. Mail that was accepted before is held.", []field[Config]{
		many(Key{Path: "staging.allow", Env: "POSTRIDER_STAGING_ALLOW", Example: `["example.com", "tester@example.org"]`,
			Doc: "Domains and addresses that may get mail, written as for `submission.allowed_senders`. What is for others is accepted and ends as suppressed; with `staging.redirect` it goes there."},
			func(c *Config) *[]string { return &c.Staging.Allow }, senderKind()),
		one(Key{Path: "staging.redirect", Env: "POSTRIDER_STAGING_REDIRECT", Example: "staging@example.com",
			Doc: "Address that all mail goes to. Whom it was for is in its `X-Original-To` fields."},
			func(c *Config) *string { return &c.Staging.Redirect }, addressKind()),
		one(Key{Path: "staging.discard", Env: "POSTRIDER_STAGING_DISCARD", Example: "false",
			Doc: "Whether nothing leaves: all mail is accepted, shown in the folders and ends as suppressed, reports to the operator too."},
			func(c *Config) *bool { return &c.Staging.Discard }, boolKind()),
	}}
}

// checkStaging refuses what says two things at once.
func (l *loader) checkStaging() {
	s := l.cfg.Staging
	if l.anyBroken("staging.allow", "staging.redirect", "staging.discard") {
		return
	}
	if s.Discard && (s.Redirect != "" || len(s.Allow) > 0) {
		l.refuse("staging.discard", "nothing leaves with it, but staging.allow or staging.redirect say who gets mail", "remove one of them")
	}
}
