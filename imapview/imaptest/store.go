package imaptest

import (
	"fmt"
	"slices"
	"strings"
)

// storing is a STORE of \Seen: what the client takes for done if it is not told.
type storing struct {
	uids   []uint32 // that it names
	seen   bool
	silent bool
	told   map[uint32]bool // whose flags came with the answer
}

// ended draws the consequences for those whose flags were not told. Where it is
// not clear what was done, they are not known any more.
func (s *storing) ended(f *Folder, cmd *command, r Response) error {
	modified := map[uint32]bool{}
	if r.Code == "MODIFIED" {
		p := &parser{b: []byte(r.Args)}
		for _, n := range p.set() {
			uid := n
			if !cmd.uid {
				if int(n) > len(f.Messages) {
					return fmt.Errorf("MODIFIED names %d, and there are %d", n, len(f.Messages))
				}
				uid = f.Messages[n-1].UID
			}
			if !slices.Contains(s.uids, uid) {
				return fmt.Errorf("MODIFIED names %d, which STORE does not", n)
			}
			modified[uid] = true
		}
	}
	for _, uid := range s.uids {
		i, ok := f.find(uid)
		if !ok || s.told[uid] || modified[uid] {
			continue
		}
		m := &f.Messages[i]
		switch {
		case r.Kind != "OK" && r.Code != "EXPUNGEISSUED":
			m.Known = false
		case r.Kind == "OK" && !s.silent:
			return fmt.Errorf("the flags of UID %d are not told", uid)
		case m.Known:
			m.Flags = slices.DeleteFunc(slices.Clone(m.Flags), func(flag string) bool { return flag == `\Seen` })
			if s.seen {
				m.Flags = append(m.Flags, `\Seen`)
			}
			slices.Sort(m.Flags)
		}
	}
	return nil
}

// Store changes \Seen of messages whose UIDs are known. how is "+FLAGS",
// "-FLAGS.SILENT" and so on; since, if not zero, is UNCHANGEDSINCE.
func (c *Client) Store(byUID bool, places []int, how string, since uint64) (Answer, error) {
	f := c.Folder
	s := &storing{seen: !strings.HasPrefix(how, "-"), silent: strings.HasSuffix(how, ".SILENT"), told: map[uint32]bool{}}
	var numbers []uint32
	for _, i := range places {
		s.uids = append(s.uids, f.Messages[i].UID)
		if numbers = append(numbers, uint32(i+1)); byUID {
			numbers[len(numbers)-1] = f.Messages[i].UID
		}
	}
	unchanged := ""
	if since > 0 {
		unchanged = fmt.Sprintf("(UNCHANGEDSINCE %d) ", since)
	}
	cmd := c.command("%sSTORE %s %s%s (\\Seen)", prefixOf(byUID), setOf(numbers), unchanged, how)
	cmd.store = s
	if err := c.send(cmd.tag + " " + cmd.text + "\r\n"); err != nil {
		return Answer{}, err
	}
	return c.finish(cmd)
}

func prefixOf(byUID bool) string {
	if byUID {
		return "UID "
	}
	return ""
}

func setOf(numbers []uint32) string {
	var b strings.Builder
	for i, n := range numbers {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, n)
	}
	return b.String()
}
