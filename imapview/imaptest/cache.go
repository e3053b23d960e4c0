package imaptest

import "slices"

// Cache is what a client keeps of a folder between two sessions.
type Cache struct {
	Folder      string
	UIDValidity uint32
	Highest     uint64
	Flags       map[uint32][]string // by UID
}

// Cache returns what the client knows of its folder. It is of use only to those
// who have asked for modification sequences.
func (c *Client) Cache() (k Cache, ok bool) {
	f := c.Folder
	if f == nil || !c.CondStore || f.Highest == 0 {
		return k, false
	}
	k = Cache{Folder: f.Name, UIDValidity: f.UIDValidity, Highest: f.Highest, Flags: map[uint32][]string{}}
	for _, m := range f.Messages {
		if m.UID > 0 && m.Known {
			k.Flags[m.UID] = slices.Clone(m.Flags)
		}
	}
	return k, true
}

// Resume selects a folder and asks only for what changed since the cache was made
// (RFC 7162 §6): new flags by CHANGEDSINCE, what is gone by a search.
func (c *Client) Resume(k Cache) (Answer, error) {
	a, err := c.Do("SELECT %q (CONDSTORE)", k.Folder)
	if err != nil || !a.OK() {
		return a, err
	}
	f := c.Folder
	if f.UIDValidity != k.UIDValidity {
		if f.UIDValidity < k.UIDValidity {
			return a, c.complaint("UIDVALIDITY was %d and is %d", k.UIDValidity, f.UIDValidity)
		}
		return a, c.Learn()
	}
	highest := f.Highest
	f.Highest = 0 // the client is not as far yet
	b, err := c.Do("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d)", k.Highest)
	if err == nil && b.OK() {
		b, err = c.Do(searchAll)
	}
	if err != nil {
		return a, err
	}
	if b.OK() {
		for i := range f.Messages {
			m := &f.Messages[i]
			if flags, ok := k.Flags[m.UID]; ok && !m.Known {
				m.Flags, m.Known = flags, true
			}
		}
	}
	f.Highest = max(f.Highest, highest, k.Highest)
	return a, c.Learn()
}
