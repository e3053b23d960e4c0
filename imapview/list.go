package imapview

import (
	"context"
	"slices"
	"strings"

	"postrider/imapview/syntax"
	"postrider/queue/folders"
)

// doList is LIST, LSUB and XLIST, the forerunner of SPECIAL-USE.
func (c *conn) doList(ctx context.Context, cmd syntax.Command) {
	l := cmd.Args.(syntax.List)
	if !l.Extended && len(l.Patterns) == 1 && l.Patterns[0] == "" {
		// RFC 3501 §6.3.8: what asks for the separator.
		c.out.say("* ", cmd.Name, ` (\Noselect) "/" ""`, "\r\n")
		c.ok(cmd, "", "That is all")
		return
	}
	for i := range l.Patterns {
		l.Patterns[i] = l.Reference + l.Patterns[i]
	}
	t, err := c.tree(ctx, l.Patterns)
	if err != nil {
		c.trouble(cmd, err)
		return
	}
	ls := listing{c: c, List: l, answer: cmd.Name, tree: t}
	if l.OnlySubscribed || l.ReturnSubscribed {
		if ls.subscribed, err = c.subscriptions(ctx); err != nil {
			c.trouble(cmd, err)
			return
		}
	}
	ls.tell()
	c.ok(cmd, "", "That is all")
}

// listing is one LIST.
type listing struct {
	c *conn
	syntax.List
	answer     string
	tree       *tree
	subscribed []string
	told       map[string]bool
}

func (l *listing) tell() {
	l.told = map[string]bool{}
	for _, f := range l.tree.folders {
		if l.matches(f.name) && l.selected(f) {
			l.line(f, true, false)
		}
	}
	if !l.OnlySubscribed || l.OnlySpecialUse {
		return
	}
	for _, name := range l.subscribed {
		if l.matches(name) && !l.told[name] {
			l.line(folder{name: name}, false, false)
		}
	}
	if l.answer == "LSUB" || l.RecursiveMatch {
		l.tellParents()
	}
}

func (l *listing) matches(name string) bool {
	return slices.ContainsFunc(l.Patterns, func(p string) bool { return syntax.MatchList(p, name) })
}

// selected reports whether a folder is one of those that the selection options
// name.
func (l *listing) selected(f folder) bool {
	return (!l.OnlySubscribed || l.isSubscribed(f.name)) && (!l.OnlySpecialUse || specialUse(f) != "")
}

func (l *listing) isSubscribed(name string) bool {
	_, ok := slices.BinarySearch(l.subscribed, name)
	return ok
}

// tellParents lists what matches and is not subscribed itself, but has children
// that are (RFC 3501 §6.3.9 for "%" in LSUB, RFC 5258 §3.5).
func (l *listing) tellParents() {
	for _, name := range l.subscribed {
		if l.matches(name) {
			continue
		}
		for parent := range parentsOf(name) {
			if !l.matches(parent) || l.told[parent] {
				continue
			}
			f := folder{name: parent}
			if i := slices.IndexFunc(l.tree.folders, func(f folder) bool { return f.name == parent }); i >= 0 {
				f = l.tree.folders[i]
			}
			l.line(f, true, true)
		}
	}
}

// specialUse is a folder's attribute of RFC 6154: only of the client's own, or it
// would find several.
func specialUse(f folder) string {
	if f.name == folders.FolderSent {
		return `\Sent`
	}
	return ""
}

// line answers for one folder. One that is not there is only subscribed to.
func (l *listing) line(f folder, there, forChildren bool) {
	l.told[f.name] = true
	c := l.c
	c.out.say("* ", l.answer, " (", strings.Join(l.attributes(f, there, forChildren), " "), `) "/" `, c.mailbox(f.name))
	if forChildren && l.RecursiveMatch {
		c.out.say(` ("CHILDINFO" ("SUBSCRIBED"))`)
	}
	c.out.say("\r\n")
	if l.ReturnStatus != nil && f.view != nil {
		c.tellStatus(f.name, place{f.view.Account, f.set}, f.view, l.ReturnStatus)
	}
}

func (l *listing) attributes(f folder, there, forChildren bool) (a []string) {
	lsub := l.answer == "LSUB"
	switch {
	case f.set == "" && (there || lsub), forChildren && lsub:
		a = append(a, `\Noselect`)
	case !there:
		a = append(a, `\NonExistent`)
	}
	if l.answer == "XLIST" && f.name == folders.FolderInbox {
		a = append(a, `\Inbox`)
	}
	if there && l.tree.parents[f.name] {
		a = append(a, `\HasChildren`)
	} else if there {
		a = append(a, `\HasNoChildren`)
	}
	if use := specialUse(f); use != "" && !lsub {
		a = append(a, use)
	}
	if !lsub && !forChildren && (l.OnlySubscribed || l.ReturnSubscribed && l.isSubscribed(f.name)) {
		a = append(a, `\Subscribed`)
	}
	return a
}
