package pop3view

import (
	"encoding/binary"
	"iter"
	"slices"

	"postrider/queue/folders"
)

// messages are the UIDs and sizes of a maildrop, in order. They are packed as
// differences, since a client may keep a maildrop open for hours: about four
// octets each.
type messages struct {
	packed []byte
	marks  []mark // of each group's first
	count  int
	last   folders.UID
	octets int64 // of all
}

type mark struct {
	at     int         // in packed
	before folders.UID // the UID in front of the group
}

const groupSize = 64

// add appends a message whose UID is greater than all others.
func (m *messages) add(uid folders.UID, size int64) {
	if m.count%groupSize == 0 {
		m.marks = append(m.marks, mark{len(m.packed), m.last})
	}
	m.packed = binary.AppendUvarint(m.packed, uint64(uid-m.last))
	m.packed = binary.AppendUvarint(m.packed, uint64(size))
	m.last = uid
	m.count++
	m.octets += size
}

// compact gives back what was kept free to add more.
func (m *messages) compact() { m.packed, m.marks = slices.Clone(m.packed), slices.Clone(m.marks) }

func (m *messages) len() int { return m.count }

// message is one of them.
type message struct {
	uid  folders.UID
	size int64
}

// at returns the i-th message, from 0.
func (m *messages) at(i int) message {
	for j, msg := range m.from(i - i%groupSize) {
		if j == i {
			return msg
		}
	}
	return message{}
}

// all goes through them.
func (m *messages) all() iter.Seq2[int, message] { return m.from(0) }

// from goes through all from the i-th on, which begins a group.
func (m *messages) from(i int) iter.Seq2[int, message] {
	return func(yield func(int, message) bool) {
		if i >= m.count {
			return
		}
		start := m.marks[i/groupSize]
		b, uid := m.packed[start.at:], start.before
		for ; i < m.count; i++ {
			step, n := binary.Uvarint(b)
			size, k := binary.Uvarint(b[n:])
			b = b[n+k:]
			uid += folders.UID(step)
			if !yield(i, message{uid, int64(size)}) {
				return
			}
		}
	}
}
