package compat

import "bytes"

const (
	// maxMembers is how many members one list or object of a request may have, and
	// maxValues how many there may be in all: more than any request that is meant
	// well. In memory each may take some hundred times what it takes in the request.
	maxMembers = 10_000
	maxValues  = 1_000_000
	// countedDepth is how deep lists and objects are counted one by one: nothing is
	// made of what is deeper.
	countedDepth = 32
)

// Shape watches how many values JSON has, before or while something is made of
// it. Numbers do not count: they take no more in memory than in the request, and
// files may be lists of them. It does not mind what is no JSON.
type Shape struct {
	depth   int
	members [countedDepth]int // of the list or object that is open at each depth
	values  int
	text    bool // within a text
	escaped bool // behind a backslash
}

// Add looks at the next octets, and is false once there are too many values.
func (s *Shape) Add(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if s.text {
			i = s.skip(b, i)
			continue
		}
		switch b[i] {
		case '"':
			s.text = true
			s.count()
		case '{', '[':
			s.count()
			if s.depth++; s.depth < countedDepth {
				s.members[s.depth] = 0
			}
		case '}', ']':
			s.depth = max(s.depth-1, 0)
		case 'n', 't', 'f': // null, true and false have one of them each
			s.count()
		}
		if s.values > maxValues || s.depth < countedDepth && s.members[s.depth] > maxMembers {
			return false
		}
	}
	return true
}

func (s *Shape) count() {
	s.values++
	if s.depth < countedDepth {
		s.members[s.depth]++
	}
}

// skip returns where the text that b[i] is part of ends, or the last octet.
func (s *Shape) skip(b []byte, i int) int {
	for ; i < len(b); i++ {
		if s.escaped {
			s.escaped = false
			continue
		}
		quote := bytes.IndexByte(b[i:], '"')
		end := quote
		if end < 0 {
			end = len(b) - i
		}
		if slash := bytes.IndexByte(b[i:i+end], '\\'); slash >= 0 {
			s.escaped = true
			i += slash
			continue
		}
		if quote < 0 {
			return len(b) - 1
		}
		s.text = false
		return i + quote
	}
	return i
}
