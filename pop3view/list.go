package pop3view

import (
	"context"
	"fmt"
	"strconv"
)

func (n *session) stat() {
	count, octets := n.box.left()
	n.ok(fmt.Sprintf("%d %d", count, octets))
}

// listing answers LIST and UIDL: of one message in the reply, of all in lines of
// their own. What is deleted is not there (RFC 1939 §5).
func (n *session) listing(appendLine func(b []byte, number int, m message) []byte) action {
	return func(_ context.Context, arg string) error {
		numbers, ok := numbers(arg, 0, 1)
		if !ok {
			n.fault("syntax: one message number, or none")
			return nil
		}
		b := make([]byte, 0, 64)
		if len(numbers) == 1 {
			if m, ok := n.find(numbers[0]); ok {
				n.ok(string(appendLine(b, numbers[0], m)))
			}
			return nil
		}
		count, octets := n.box.left()
		n.ok(fmt.Sprintf("%d messages (%d octets)", count, octets))
		for i, m := range n.box.messages.all() {
			if n.box.deleted.Has(m.uid) {
				continue
			}
			b = append(appendLine(b[:0], i+1, m), "\r\n"...)
			if _, err := n.wire.Write(b); err != nil {
				return err
			}
		}
		n.wire.say(".")
		return nil
	}
}

// find returns a message, or says that there is none of this number.
func (n *session) find(number int) (message, bool) {
	m, ok := n.box.message(number)
	if !ok {
		n.no("no such message")
	}
	return m, ok
}

func (n *session) listLine(b []byte, number int, m message) []byte {
	b = strconv.AppendInt(b, int64(number), 10)
	return strconv.AppendInt(append(b, ' '), m.size, 10)
}

// uidLine is at most 17 octets of unique-id: UIDVALIDITY and UID, which together
// are never given again (RFC 1939 §7).
func (n *session) uidLine(b []byte, number int, m message) []byte {
	b = strconv.AppendInt(b, int64(number), 10)
	b = strconv.AppendUint(append(b, ' '), uint64(n.box.validity), 16)
	return strconv.AppendUint(append(b, '.'), uint64(m.uid), 16)
}
