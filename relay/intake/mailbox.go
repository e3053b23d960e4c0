package intake

import (
	"net/mail"
	"strings"

	"postrider/queue"
)

// mailbox is one author of a From field. display keeps the phrase as written,
// with its quotes and encoded words.
type mailbox struct {
	display string
	addr    queue.Address
}

// parseMailboxes reads the authors of a From field. It is tolerant, since what
// it returns decides only policy and signing domain: text it cannot read gives
// no mailbox.
func parseMailboxes(value string) []mailbox {
	var boxes []mailbox
	for _, part := range splitList(value) {
		display, spec := cutAngle(part)
		addr, err := queue.ParseAddress(spec)
		if err != nil {
			addr = parseWithComments(part)
		}
		if !addr.IsNull() {
			boxes = append(boxes, mailbox{display: display, addr: addr})
		}
	}
	return boxes
}

func parseWithComments(part string) queue.Address {
	a, err := mail.ParseAddress(part)
	if err != nil {
		return queue.Address{}
	}
	addr, err := queue.ParseAddress(a.Address)
	if err != nil {
		return queue.Address{}
	}
	return addr
}

// splitList cuts at the commas that are outside quotes, comments and angles.
func splitList(s string) []string {
	var parts []string
	quoted, depth, angle, start := false, 0, false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && (quoted || depth > 0):
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == ',' && !angle:
			parts, start = append(parts, s[start:i]), i+1
		}
	}
	return append(parts, s[start:])
}

// cutAngle takes `phrase <addr>` apart; without angles all of it is the address.
func cutAngle(s string) (display, spec string) {
	s = strings.TrimSpace(s)
	open := strings.LastIndexByte(s, '<')
	if open < 0 || !strings.HasSuffix(s, ">") {
		return "", s
	}
	return strings.TrimSpace(s[:open]), strings.TrimSpace(s[open+1 : len(s)-1])
}
