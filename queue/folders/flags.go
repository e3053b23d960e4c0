package folders

import (
	"slices"
	"strings"

	"postrider/queue/bitmap"
)

// What an entry tells follows from the folders it was filed in, and stays when it
// leaves some of them: Sent/2026-11 shows what has aged out of Sent, still as
// submitted. So each entry is also in the set of its kind from the start, and in
// none if it was filed in the INBOX alone.
const kindPrefix = "kind:"

// kinds are the folders, from the one with most entries, and the keywords of
// what is filed in them (RFC 5550 §5.9 for the submission keywords).
var kinds = [...]struct{ folder, flags string }{
	{FolderSent, "$Submitted"},
	{FolderBounced, "$Bounced"},
	{FolderDeferred, "$SubmitPending $Deferred"},
	{FolderQueued, "$SubmitPending"},
}

// kindOf returns the set of the kind of what is filed in a folder, or "".
func kindOf(folder string) string {
	top, below, _ := strings.Cut(folder, "/")
	if top == FolderSites {
		top = below[strings.LastIndexByte(below, '/')+1:]
	}
	for _, k := range kinds {
		if k.folder == top {
			return kindPrefix + k.folder
		}
	}
	return ""
}

const flagSeen = `\Seen`

// mark is text that AppendFlags writes for members of a set.
type mark struct {
	set  bitmap.Set
	text string // with a blank behind
	kind bool   // who has it has no other of the kinds that follow
}

// prepare puts the sets by which flags are known in the order in which they are
// written: system flags first.
func (v *View) prepare() {
	v.unseen = v.Unseen()
	var flags []string
	for name := range v.boxes {
		if strings.HasPrefix(name, FlagPrefix) {
			flags = append(flags, name[len(FlagPrefix):])
		}
	}
	slices.SortFunc(flags, func(a, b string) int {
		if isSystem(a) != isSystem(b) {
			if isSystem(a) {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, flag := range flags {
		v.marks = append(v.marks, mark{set: v.Set(FlagPrefix + flag), text: flag + " "})
	}
	for _, k := range kinds {
		if set := v.Set(kindPrefix + k.folder); !set.IsEmpty() {
			v.marks = append(v.marks, mark{set: set, text: k.flags + " ", kind: true})
		}
	}
}

func isSystem(flag string) bool { return strings.HasPrefix(flag, `\`) }

// AppendFlags appends the flags and keywords of an entry, with blanks between
// them and no parentheses.
func (v *View) AppendFlags(b []byte, uid UID) []byte {
	v.once.Do(v.prepare)
	from := len(b)
	if !v.unseen.Has(uid) {
		b = append(b, flagSeen+" "...)
	}
	for i := range v.marks {
		if m := &v.marks[i]; m.set.Has(uid) {
			b = append(b, m.text...)
			if m.kind {
				break
			}
		}
	}
	if len(b) > from {
		b = b[:len(b)-1]
	}
	return b
}

// Flags returns the flags and keywords of an entry.
func (v *View) Flags(uid UID) []string { return strings.Fields(string(v.AppendFlags(nil, uid))) }

// WithFlag returns the entries, of all folders, that have a flag or keyword,
// however its letters are written (RFC 3501 §2.3.2).
func (v *View) WithFlag(flag string) (out bitmap.Set) {
	if strings.EqualFold(flag, flagSeen) {
		for _, b := range v.folders() {
			out = out.Or(b.set)
		}
		return out.AndNot(v.Unseen())
	}
	v.once.Do(v.prepare)
	for _, m := range v.marks {
		if slices.ContainsFunc(strings.Fields(m.text), func(f string) bool { return strings.EqualFold(f, flag) }) {
			out = out.Or(m.set)
		}
	}
	return out
}

// FlagsInUse returns \Seen and what else some entry has, once each.
func (v *View) FlagsInUse() []string {
	v.once.Do(v.prepare)
	flags := []string{flagSeen}
	for _, m := range v.marks {
		for _, f := range strings.Fields(m.text) {
			if !slices.Contains(flags, f) {
				flags = append(flags, f)
			}
		}
	}
	return flags
}
