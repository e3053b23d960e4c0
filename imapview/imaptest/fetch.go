package imaptest

import (
	"fmt"
	"slices"
)

// Fetch asks for items of messages at some places, by UID or by sequence number,
// and checks that it is answered for all. Some may be passed over if the answer says
// so, and UIDs whose message is gone, even if that was not told yet: until Settle.
func (c *Client) Fetch(byUID bool, places []int, items string) (Answer, error) {
	f := c.Folder
	var numbers []uint32
	for _, i := range places {
		if numbers = append(numbers, uint32(i+1)); byUID {
			numbers[len(numbers)-1] = f.Messages[i].UID
		}
	}
	cmd, err := c.start("%sFETCH %s %s", prefixOf(byUID), setOf(numbers), items)
	if err != nil {
		return Answer{}, err
	}
	a, err := c.finish(cmd)
	if err != nil || !a.OK() {
		return a, err
	}
	for _, n := range numbers {
		switch {
		case cmd.answered[n], a.Code == "EXPUNGEISSUED":
		case byUID:
			f.gone[n] = true
		default:
			return a, c.complaint("FETCH does not answer for %d", n)
		}
	}
	return a, nil
}

// Learn fetches the UIDs and flags that are not known.
func (c *Client) Learn() error {
	items := "(UID FLAGS)"
	if c.CondStore {
		items = "(UID FLAGS MODSEQ)"
	}
	const tries = 100 // others may expunge meanwhile
	for range tries {
		var places []int
		byUID := true
		for i, m := range c.Folder.Messages {
			if !m.Known || m.UID == 0 {
				places = append(places, i)
				byUID = byUID && m.UID > 0
			}
		}
		if len(places) == 0 {
			return nil
		}
		a, err := c.Fetch(byUID, places, items)
		if err == nil && a.Code != "" {
			_, err = c.Do("NOOP") // tells of what is gone
		}
		if err != nil {
			return err
		}
	}
	return c.complaint("after %d times something is still not known", tries)
}

// Settle has the client be told of everything, while nothing changes.
func (c *Client) Settle() error {
	if _, err := c.Do("NOOP"); err != nil {
		return err
	}
	for _, m := range c.Folder.Messages {
		if m.UID > 0 && c.Folder.gone[m.UID] {
			return c.complaint("UID %d was passed over by UID FETCH, and is there", m.UID)
		}
	}
	clear(c.Folder.gone)
	return c.Learn()
}

// found checks what a search says about a folder.
func (f *Folder) found(cmd *command, s Search) error {
	numbers := s.Numbers
	if s.Tag != "" && s.Tag != cmd.tag {
		return fmt.Errorf("ESEARCH is for %q", s.Tag)
	}
	if s.Tag != "" && s.UID != cmd.uid {
		return fmt.Errorf("ESEARCH says UID: %t", s.UID)
	}
	for i, n := range numbers {
		if i > 0 && n <= numbers[i-1] {
			return fmt.Errorf("a search finds %d behind %d", n, numbers[i-1])
		}
	}
	if len(numbers) > 0 && s.Count >= 0 && s.Count != len(numbers) {
		return fmt.Errorf("ESEARCH counts %d and names %d", s.Count, len(numbers))
	}
	if !cmd.uid {
		if last := max(s.Max, slices.Max(append(numbers, 0))); int(last) > len(f.Messages) {
			return fmt.Errorf("a search finds %d, and there are %d", last, len(f.Messages))
		}
		return nil
	}
	if cmd.text != searchAll {
		return nil
	}
	if len(numbers) != len(f.Messages) {
		return fmt.Errorf("a search for all finds %d, and there are %d", len(numbers), len(f.Messages))
	}
	for i, uid := range numbers {
		if err := f.identify(i+1, uid); err != nil {
			return err
		}
	}
	return nil
}

const searchAll = "UID SEARCH ALL"
