package pop3view

import (
	"strings"

	"postrider/queue/folders"
)

// maxName is far longer than any account's name. It is looked at first.
const maxName = 255

// target is what a user name asks for.
type target struct {
	whole  string // as typed, without "recent:"
	base   string // and without the suffix that names a folder
	folder string
	recent bool
}

const recentPrefix = "recent:"

// parseName reads [recent:]local[+folder][@domain].
func parseName(name string) target {
	t := target{folder: folders.FolderInbox}
	if len(name) >= len(recentPrefix) && strings.EqualFold(name[:len(recentPrefix)], recentPrefix) {
		t.recent, name = true, name[len(recentPrefix):]
	}
	t.whole, t.base = name, name
	local, domain := name, ""
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		local, domain = name[:i], name[i:]
	}
	i := strings.LastIndexByte(local, '+')
	if i <= 0 {
		return t
	}
	if folder := folderBySuffix(local[i+1:]); folder != "" {
		t.base, t.folder = local[:i]+domain, folder
	}
	return t
}

// suffixed reports whether the name may also be an account's as a whole.
func (t target) suffixed() bool { return t.base != t.whole }

// literally is the same name without a folder in it.
func (t target) literally() target {
	return target{whole: t.whole, base: t.whole, folder: folders.FolderInbox, recent: t.recent}
}

func folderBySuffix(suffix string) string {
	for _, folder := range []string{folders.FolderInbox, folders.FolderQueued, folders.FolderDeferred, folders.FolderSent, folders.FolderBounced} {
		if strings.EqualFold(suffix, folder) {
			return folder
		}
	}
	return ""
}

// fold brings a name into the form in which accounts have theirs.
func fold(name string) string { return strings.ToLower(strings.TrimSpace(name)) }
