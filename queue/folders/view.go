package folders

import (
	"iter"
	"slices"
	"strings"
	"sync"

	"postrider/queue"
	"postrider/queue/bitmap"
)

// View is how an account's folders are at one moment. It never changes, and is
// safe for concurrent use.
type View struct {
	Account     string
	UIDValidity uint32
	UIDNext     UID
	// ModSeq is HIGHESTMODSEQ of all folders of the account (RFC 7162 §3.1.2.1).
	ModSeq uint64

	head    queue.FolderHead // what the view was read at, or committed as
	boxes   map[string]box   // none is empty, but for folders at the top
	jumped  bool             // the counter has left some out, and no commit says so yet
	history []history
	chosen  bool
	names   []string // subscribed to, sorted, if chosen

	once   sync.Once // guards what prepare makes of the rest
	unseen bitmap.Set
	marks  []mark
}

// box is a set of entries. What else is in it is of folders alone.
type box struct {
	set   bitmap.Set
	bytes int64 // the sum of the entries' sizes
	last  UID   // the greatest that ever came into it
}

// over reports whether nothing need be known of the set any more. What was in a
// folder at the top is told by UIDNEXT also when it is empty; others are not there
// then.
func (b box) over(name string) bool {
	return b.set.IsEmpty() && (b.last == 0 || !isFolder(name) || strings.Contains(name, "/"))
}

// newView is how an account begins. Its first modification sequence is 1, since
// clients take 0 for a server that keeps none (RFC 7162 §3.1.2.2).
func newView(account string, head queue.FolderHead, validity uint32) *View {
	return &View{Account: account, UIDValidity: validity, UIDNext: 1, ModSeq: 1, head: head, boxes: map[string]box{}}
}

// Set returns the members of a folder, or of a set that is none: see FlagPrefix.
func (v *View) Set(name string) bitmap.Set { return v.boxes[name].set }

// Sets returns the names of the folders that have an entry, sorted.
func (v *View) Sets() []string {
	names := make([]string, 0, len(v.boxes))
	for name, b := range v.boxes {
		if isFolder(name) && !b.set.IsEmpty() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// NextIn returns UIDNEXT of a folder, which changes with what comes into that folder
// alone (RFC 3501 §2.3.1.1): no entry that comes later has a smaller UID.
func (v *View) NextIn(name string) UID { return v.boxes[name].last + 1 }

// Bytes returns the sum of Entry.Size of a folder's members.
func (v *View) Bytes(name string) int64 { return v.boxes[name].bytes }

// Unseen returns the entries that lack the flag \Seen, of all folders.
func (v *View) Unseen() bitmap.Set { return v.Set(setUnseen) }

// Hidden returns what POP3 shows a login no more.
func (v *View) Hidden(login string) bitmap.Set { return v.Set(hiddenPrefix + login) }

// Subscribed returns the folders that the account subscribed to, sorted. chosen
// is false while nobody has changed what it begins with.
func (v *View) Subscribed() (names []string, chosen bool) {
	if !v.chosen {
		return []string{FolderBounced, FolderDeferred, FolderInbox, FolderQueued, FolderSent}, false
	}
	return slices.Clone(v.names), true
}

// folders goes through the sets that are folders, in no order.
func (v *View) folders() iter.Seq2[string, box] {
	return func(yield func(string, box) bool) {
		for name, b := range v.boxes {
			if isFolder(name) && !yield(name, b) {
				return
			}
		}
	}
}

// alive returns those of ids that are in some folder.
func (v *View) alive(ids bitmap.Set) (out bitmap.Set) {
	for _, b := range v.folders() {
		out = out.Or(b.set.And(ids))
	}
	return out
}

func (v *View) isAlive(uid UID) bool {
	for _, b := range v.folders() {
		if b.set.Has(uid) {
			return true
		}
	}
	return false
}

// shownIn returns the folders and flags for good of an entry, sorted.
func (v *View) shownIn(uid UID) (names []string) {
	for name, b := range v.boxes {
		if (isFolder(name) || strings.HasPrefix(name, FlagPrefix)) && b.set.Has(uid) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// weight is about how many octets of memory the view takes.
func (v *View) weight() int {
	n := 1 << 10
	for _, b := range v.boxes {
		n += b.set.Weight() + 128
	}
	for _, h := range v.history {
		n += len(h.changes) * 640
	}
	return n
}

func isFolder(name string) bool {
	return name != setUnseen && !strings.HasPrefix(name, FlagPrefix) && !strings.HasPrefix(name, hiddenPrefix) && !strings.HasPrefix(name, kindPrefix)
}
