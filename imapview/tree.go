package imapview

import (
	"context"
	"slices"
	"strings"

	"postrider/imapview/syntax"
	"postrider/queue/folders"
)

// folder is a name that LIST knows.
type folder struct {
	name string
	set  string        // of view; empty: it is only a parent of others
	view *folders.View // nil for a parent
}

// tree is all that a client may see of folders, parents in front of children.
type tree struct {
	folders []folder
	parents map[string]bool
}

func (t *tree) add(f folder) {
	t.folders = append(t.folders, f)
	for parent := range parentsOf(f.name) {
		t.parents[parent] = true
	}
}

// parentsOf goes up from a name.
func parentsOf(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
			if !yield(name[:i]) {
				return
			}
		}
	}
}

// tree returns the folders, but not those that none of the patterns can match: an
// operator may see many accounts.
func (c *conn) tree(ctx context.Context, patterns []string) (*tree, error) {
	t := &tree{parents: map[string]bool{}}
	v, err := c.s.o.Book.View(ctx, c.who.Account)
	if err != nil {
		return nil, err
	}
	t.addAccount("", v)
	others, err := c.others(ctx)
	if err != nil {
		return nil, err
	}
	if len(others) > 0 {
		t.add(folder{name: otherUsers})
	}
	for _, account := range others {
		root := otherUsers + "/" + account
		t.add(folder{name: root})
		t.parents[root] = true
		if !slices.ContainsFunc(patterns, func(p string) bool { return mayMatchBelow(p, root+"/") }) {
			continue
		}
		v, err := c.s.o.Book.View(ctx, account)
		if err != nil {
			return nil, err
		}
		t.addAccount(root+"/", v)
	}
	return t, nil
}

// mayMatchBelow reports whether a pattern can match a name that begins so. It may
// say yes in vain.
func mayMatchBelow(pattern, prefix string) bool {
	wild := strings.IndexAny(pattern, "*%")
	if wild < 0 {
		return strings.HasPrefix(pattern, prefix)
	}
	n := min(wild, len(prefix))
	if pattern[:n] != prefix[:n] {
		return false
	}
	// Each "/" of a name is one of the pattern's, or within a "*".
	return strings.Contains(pattern, "*") || strings.Count(pattern, "/") >= strings.Count(prefix, "/")
}

// addAccount adds the folders of one account: the top ones always, others while
// there is something in them, sites if there are several.
func (t *tree) addAccount(prefix string, v *folders.View) {
	var sets, sites []string
	for _, set := range v.Sets() {
		switch {
		case !isFolder(set) || slices.Contains(topFolders(), set):
		case strings.HasPrefix(set, folders.FolderSites+"/"):
			sites = append(sites, set)
		default:
			sets = append(sets, set)
		}
	}
	for _, top := range topFolders() {
		t.add(folder{prefix + top, top, v})
		for _, set := range sets {
			if strings.HasPrefix(set, top+"/") {
				t.add(folder{prefix + set, set, v})
			}
		}
	}
	t.addSites(prefix, sites, v)
}

func (t *tree) addSites(prefix string, sets []string, v *folders.View) {
	var domains []string
	for _, set := range sets {
		domains = append(domains, set[:strings.LastIndexByte(set, '/')])
	}
	slices.Sort(domains)
	if domains = slices.Compact(domains); len(domains) < 2 {
		return
	}
	t.add(folder{name: prefix + folders.FolderSites})
	for _, domain := range domains {
		t.add(folder{name: prefix + domain})
		for _, set := range sets {
			if strings.HasPrefix(set, domain+"/") && set[len(domain)+1:] == set[strings.LastIndexByte(set, '/')+1:] {
				t.add(folder{prefix + set, set, v})
			}
		}
	}
}

// subscriptions are the names that a client subscribed to, sorted. The top folders
// of other users are subscribed from the start, each until the operator says
// otherwise, so that mail programs that list subscriptions alone show them.
func (c *conn) subscriptions(ctx context.Context) ([]string, error) {
	v, err := c.s.o.Book.View(ctx, c.who.Account)
	if err != nil {
		return nil, err
	}
	stored, _ := v.Subscribed()
	var names []string
	for _, name := range stored {
		if !strings.HasPrefix(name, unsubscribed) {
			names = append(names, name)
		}
	}
	others, err := c.others(ctx)
	for _, account := range others {
		for _, top := range topFolders() {
			name := otherUsers + "/" + account + "/" + top
			if !slices.Contains(stored, unsubscribed+name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// unsubscribed begins what is stored when an operator unsubscribes from a folder
// that is subscribed from the start.
const unsubscribed = "!"

// doSubscribe is SUBSCRIBE and UNSUBSCRIBE. Any name may be given up, even one of a
// folder that is there no more.
func (c *conn) doSubscribe(ctx context.Context, cmd syntax.Command) {
	name := cmd.Args.(syntax.Mailbox).Name
	on := cmd.Name == "SUBSCRIBE"
	if on {
		if _, _, ok := c.open(ctx, cmd, name); !ok {
			return
		}
	}
	p, ok := c.place(name)
	if !ok {
		c.no(cmd, "NONEXISTENT", "There is no such folder")
		return
	}
	if p.account != c.who.Account && slices.Contains(topFolders(), p.set) {
		name, on = unsubscribed+name, !on
	}
	_, _, err := c.s.o.Book.Edit(ctx, c.who.Account, func(*folders.View) (folders.Edit, error) {
		if on {
			return folders.Edit{Subscribe: []string{name}}, nil
		}
		return folders.Edit{Unsubscribe: []string{name}}, nil
	})
	if err != nil {
		c.trouble(cmd, err)
		return
	}
	c.ok(cmd, "", "Done")
}
