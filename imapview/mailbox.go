package imapview

import (
	"context"
	"slices"
	"strings"

	"postrider/imapview/syntax"
	"postrider/queue/folders"
)

// otherUsers is where operators find the folders of other accounts.
const otherUsers = "Other Users"

// place is a folder: a set of an account's entries.
type place struct{ account, set string }

// topFolders are always there, whether anything is in them or not.
func topFolders() []string {
	return []string{folders.FolderInbox, folders.FolderQueued, folders.FolderDeferred, folders.FolderSent, folders.FolderBounced}
}

// isFolder reports whether a set is a folder, by its name.
func isFolder(set string) bool {
	top, below, nested := strings.Cut(set, "/")
	switch {
	case top == folders.FolderSites:
		return strings.Contains(below, "/")
	case nested:
		return (top == folders.FolderSent || top == folders.FolderBounced) && below != ""
	}
	return slices.Contains(topFolders(), set)
}

// place returns which folder has a name, for this client. It need not be there.
func (c *conn) place(name string) (p place, ok bool) {
	rest, others := strings.CutPrefix(name, otherUsers+"/")
	if !others {
		return place{c.who.Account, name}, true
	}
	account, set, ok := strings.Cut(rest, "/")
	if !ok || !c.who.Operator || account == c.who.Account {
		return place{}, false
	}
	if strings.EqualFold(set, folders.FolderInbox) {
		set = folders.FolderInbox
	}
	return place{account, set}, true
}

// open returns a folder as it is now. Where that is not possible, it has answered.
func (c *conn) open(ctx context.Context, cmd syntax.Command, name string) (p place, v *folders.View, ok bool) {
	p, ok = c.place(name)
	if ok && p.account != c.who.Account {
		var err error
		if ok, err = c.isAccount(ctx, p.account); err != nil {
			c.trouble(cmd, err)
			return place{}, nil, false
		}
	}
	if ok {
		var err error
		if v, err = c.s.o.Book.View(ctx, p.account); err != nil {
			c.trouble(cmd, err)
			return place{}, nil, false
		}
	}
	if !ok || !exists(v, p.set) {
		c.no(cmd, "NONEXISTENT", "There is no such folder")
		return place{}, nil, false
	}
	return p, v, true
}

// exists reports whether a folder can be selected.
func exists(v *folders.View, set string) bool {
	return slices.Contains(topFolders(), set) || isFolder(set) && slices.Contains(v.Sets(), set)
}

// isAccount asks before a view is made, for that makes the account's shelf.
func (c *conn) isAccount(ctx context.Context, account string) (bool, error) {
	all, err := c.others(ctx)
	return slices.Contains(all, account), err
}

// others are the accounts below Other Users.
func (c *conn) others(ctx context.Context) ([]string, error) {
	if !c.who.Operator || c.s.o.Accounts == nil {
		return nil, nil
	}
	all, err := c.s.o.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(a string) bool { return a == c.who.Account })
	slices.Sort(all)
	return all, nil
}

// mailbox returns a folder's name as it goes over the wire.
func (c *conn) mailbox(name string) string {
	return string(syntax.AppendMailbox(nil, name, c.utf8))
}

func quoted(s string) string { return string(syntax.AppendString(nil, s)) }
