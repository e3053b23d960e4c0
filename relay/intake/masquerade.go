package intake

import (
	"strings"

	"postrider/queue"
)

// Masquerade is a domain whose host names are hidden in senders: what is below it
// becomes the domain itself. With Except, it and what is below it stay.
type Masquerade struct {
	Domain string
	Except bool
}

// masquerade hides the host name of a sender.
func (d *Door) masquerade(a queue.Address) queue.Address {
	domain := strings.ToLower(a.Domain)
	for _, m := range d.o.Masquerade {
		switch {
		case domain == m.Domain:
			return a
		case !strings.HasSuffix(domain, "."+m.Domain):
		case m.Except:
			return a
		default:
			a.Domain = m.Domain
			return a
		}
	}
	return a
}

// unmask does the same in the fields that show the sender. A field that cannot be
// read for certain stays as it is.
func (e *entering) unmask(h *header) {
	if len(e.door.o.Masquerade) == 0 || e.s.Source.Kind == internal {
		return
	}
	for i := range h.fields {
		f := &h.fields[i]
		if f.is("From") || f.is("Sender") || f.is("Reply-To") {
			if value, changed := e.door.unmasked(f.value()); changed {
				f.raw = []byte(f.name + ": " + value + "\r\n")
			}
		}
	}
}

// unmasked writes the mailboxes of a field without host names.
func (d *Door) unmasked(value string) (text string, changed bool) {
	boxes, certain := parseMailboxes(value)
	if !certain || len(boxes) != len(splitList(value)) {
		return "", false
	}
	parts := make([]string, 0, len(boxes))
	for _, b := range boxes {
		to := d.masquerade(b.addr)
		changed = changed || to != b.addr
		if b.display != "" {
			parts = append(parts, b.display+" "+to.Path())
		} else {
			parts = append(parts, to.Path())
		}
	}
	return strings.Join(parts, ",\r\n\t"), changed
}
