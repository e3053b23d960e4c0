package folders

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"postrider/queue"
	"postrider/queue/bitmap"
)

// Limits of what is filed.
const (
	MaxKey           = 512 // octets of Item.Key
	MaxSetName       = 240 // octets
	MaxSubscriptions = 200 // folders
)

var (
	// ErrExhausted: nine of ten UIDs have been used up. Reset the account and
	// file its messages again.
	ErrExhausted = errors.New("the account's UIDs are used up")
	// ErrTooLarge: an item, or what is filed of its message, does not fit into
	// one commit.
	ErrTooLarge = errors.New("too large to be filed")
	// ErrInvalid: an item or a name is not as this package says.
	ErrInvalid = errors.New("not a valid entry")
)

const lastUID = UID(1 << 32 / 10 * 9)

// Edit is what is to be changed in an account. It can be repeated: entries that
// are gone are passed over, and an item whose key is already filed of its message
// is not added again.
type Edit struct {
	Append  []Item
	Expunge []UID            // they leave all folders, and their rows are removed
	Leave   map[string][]UID // they leave a folder; what is in none any more is expunged

	Seen, Unseen bitmap.Set            // Unseen wins
	Hide         map[string]bitmap.Set // login → what POP3 shows it no more

	Subscribe, Unsubscribe []string
}

func checkName(name string) error {
	switch {
	case name == "", len(name) > MaxSetName, strings.ContainsRune(name, 0):
		return fmt.Errorf("folder %.40q: %w: its name is empty, has a NUL or more than %d octets", name, ErrInvalid, MaxSetName)
	case !isFolder(name):
		return fmt.Errorf("folder %q: %w: the name is kept for something else", name, ErrInvalid)
	}
	return nil
}

func (it *Item) check() error {
	if len(it.Key) > MaxKey {
		return fmt.Errorf("key %.40q: %w: it has more than %d octets", it.Key, ErrInvalid, MaxKey)
	}
	shown := false
	for _, name := range it.Sets {
		if flag, is := strings.CutPrefix(name, FlagPrefix); is {
			if flag == "" || len(name) > MaxSetName || strings.ContainsAny(flag, "\x00 \r\n") {
				return fmt.Errorf("flag %.40q: %w", flag, ErrInvalid)
			}
			continue
		}
		if err := checkName(name); err != nil {
			return err
		}
		shown = true
	}
	if !shown {
		return fmt.Errorf("key %q: %w: it is in no folder", it.Key, ErrInvalid)
	}
	return nil
}

func (e *Edit) check() error {
	for i := range e.Append {
		if err := e.Append[i].check(); err != nil {
			return fmt.Errorf("message %s: %w", e.Append[i].Entry.Message, err)
		}
	}
	for login := range e.Hide {
		if login == "" || len(hiddenPrefix)+len(login) > MaxSetName || strings.ContainsRune(login, 0) {
			return fmt.Errorf("login %.40q: %w", login, ErrInvalid)
		}
	}
	for _, name := range e.Subscribe {
		if err := checkName(name); err != nil {
			return err
		}
	}
	return nil
}

// Bounds of what is tried in one commit: what rows it reads, and about how many
// octets it writes into rows. The rest is for the index.
const (
	maxRowsRead  = 4096
	maxRowOctets = queue.MaxFolderCommit / 2
)

// isLarge reports whether the edit should be split before it is tried.
func (e *Edit) isLarge() bool {
	rows := len(e.Expunge) + len(e.Append)
	for _, uids := range e.Leave {
		rows += len(uids)
	}
	octets := 64 * rows
	for i := range e.Append {
		octets += e.Append[i].octets()
	}
	return rows > maxRowsRead || octets > maxRowOctets
}

func (it *Item) octets() int {
	x := &it.Entry
	n := len(it.Key) + len(x.Front) + len(x.Back) + len(x.Envelope) + len(x.Body) + len(x.BodyStructure) + 16*len(x.Parts)
	for _, text := range it.Search.texts() {
		n += len(*text)
	}
	return n
}

// split returns edits that together do the same, or nil if there are none:
// removals come first, so that what is filed anew may have the key of what it
// replaces.
func (e *Edit) split() []Edit {
	parts := e.kinds()
	if len(parts) != 1 {
		return parts
	}
	switch {
	case len(e.Append) > 1:
		n := len(e.Append) / 2
		return []Edit{{Append: e.Append[:n]}, {Append: e.Append[n:]}}
	case len(e.Expunge) > 1:
		n := len(e.Expunge) / 2
		return []Edit{{Expunge: e.Expunge[:n]}, {Expunge: e.Expunge[n:]}}
	case e.Seen.Len() > 1:
		a, b := halves(e.Seen)
		return []Edit{{Seen: a}, {Seen: b}}
	case e.Unseen.Len() > 1:
		a, b := halves(e.Unseen)
		return []Edit{{Unseen: a}, {Unseen: b}}
	}
	for name, uids := range e.Leave {
		if n := len(uids) / 2; n > 0 {
			return []Edit{{Leave: map[string][]UID{name: uids[:n]}}, {Leave: map[string][]UID{name: uids[n:]}}}
		}
	}
	for login, set := range e.Hide {
		if set.Len() > 1 {
			a, b := halves(set)
			return []Edit{{Hide: map[string]bitmap.Set{login: a}}, {Hide: map[string]bitmap.Set{login: b}}}
		}
	}
	return nil
}

// kinds returns an edit for each kind of change that e has.
func (e *Edit) kinds() (parts []Edit) {
	if len(e.Expunge) > 0 {
		parts = append(parts, Edit{Expunge: e.Expunge})
	}
	for name, uids := range e.Leave {
		parts = append(parts, Edit{Leave: map[string][]UID{name: uids}})
	}
	if !e.Seen.IsEmpty() {
		parts = append(parts, Edit{Seen: e.Seen.AndNot(e.Unseen)})
	}
	if !e.Unseen.IsEmpty() {
		parts = append(parts, Edit{Unseen: e.Unseen})
	}
	for login, set := range e.Hide {
		parts = append(parts, Edit{Hide: map[string]bitmap.Set{login: set}})
	}
	if len(e.Subscribe)+len(e.Unsubscribe) > 0 {
		parts = append(parts, Edit{Subscribe: e.Subscribe, Unsubscribe: e.Unsubscribe})
	}
	if len(e.Append) > 0 {
		parts = append(parts, Edit{Append: e.Append})
	}
	return parts
}

func halves(s bitmap.Set) (a, b bitmap.Set) {
	a = s.Between(0, s.At(s.Len()/2-1))
	return a, s.AndNot(a)
}

// subscribe returns the names after an edit; chosen stays as it is if nothing
// was asked for.
func (v *View) subscribe(e *Edit) error {
	if len(e.Subscribe)+len(e.Unsubscribe) == 0 {
		return nil
	}
	names, _ := v.Subscribed()
	names = append(names, e.Subscribe...)
	slices.Sort(names)
	names = slices.Compact(names)
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(e.Unsubscribe, name) })
	if len(names) > MaxSubscriptions {
		return fmt.Errorf("subscribe: %w: more than %d folders", ErrInvalid, MaxSubscriptions)
	}
	v.names, v.chosen = names, true
	return nil
}
