package skeleton

import "bytes"

const emptyEnvelope = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"

// appendEnvelope writes ENVELOPE (RFC 3501 §7.4.2): of the strings, what is
// absent is NIL and what is empty is "". Lists without an address are NIL, but
// for Sender and Reply-To, which are as From then.
func (w *walker) appendEnvelope(b []byte, brief bool) []byte {
	if brief {
		return append(b, emptyEnvelope...)
	}
	b = append(b, '(')
	b = w.appendField(b, date, false)
	b = append(b, ' ')
	b = w.appendField(b, subject, false)
	b = append(b, ' ')
	start := len(b)
	b = w.appendAddresses(b, from)
	end := len(b)
	for _, f := range []field{sender, replyTo} {
		b = append(b, ' ')
		at := len(b)
		if b = w.appendAddresses(b, f); string(b[at:]) == "NIL" {
			b = append(b[:at], b[start:end]...)
		}
	}
	for _, f := range []field{to, cc, bcc} {
		b = append(b, ' ')
		b = w.appendAddresses(b, f)
	}
	b = append(b, ' ')
	b = w.appendField(b, inReplyTo, false)
	b = append(b, ' ')
	b = w.appendField(b, messageID, false)
	return append(b, ')')
}

// eachList calls fn with the value of each field of that name, as long as it says
// so.
func (w *walker) eachList(f field, fn func(v []byte) bool) {
	if !w.head.has(f) || !fn(w.head.value(f, &w.scratch.value)) {
		return
	}
	for _, m := range w.head.more {
		if m.field == f && !fn(unfold(w.head.block[m.span.from:m.span.to], &w.scratch.value)) {
			return
		}
	}
}

// appendAddresses writes an address list: a list that grows beyond maxList ends
// there, with all of its groups closed.
func (w *walker) appendAddresses(b []byte, f field) []byte {
	open := len(b)
	b = append(b, '(')
	a := &w.scratch.addr
	w.eachList(f, func(v []byte) bool {
		a.start(v)
		for {
			addr, ok := a.next()
			if !ok {
				return true
			}
			b = appendAddress(b, addr)
			if len(b)-open > maxList {
				if a.inGroup {
					b = appendAddress(b, address{mark: groupEnd})
				}
				return false
			}
		}
	})
	if len(b) == open+1 {
		return append(b[:open], "NIL"...)
	}
	return append(b, ')')
}

// appendAddress writes one address structure. A NIL host marks groups, so a
// mailbox without one has the empty string.
func appendAddress(b []byte, a address) []byte {
	switch a.mark {
	case groupBegin:
		b = append(b, "(NIL NIL "...)
		b = appendString(b, a.name)
		return append(b, " NIL)"...)
	case groupEnd:
		return append(b, "(NIL NIL NIL NIL)"...)
	}
	b = append(b, '(')
	b = appendOrNIL(b, bytes.TrimSpace(a.name))
	b = append(b, ' ')
	b = appendOrNIL(b, a.route)
	b = append(b, ' ')
	b = appendString(b, a.local)
	b = append(b, ' ')
	b = appendString(b, a.host)
	return append(b, ')')
}

func appendOrNIL(b, v []byte) []byte {
	if len(v) == 0 {
		return append(b, "NIL"...)
	}
	return appendString(b, v)
}
