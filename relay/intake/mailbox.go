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
// no mailbox. certain is false if a mail program could see an address in it that
// is not among the returned ones.
func parseMailboxes(value string) (boxes []mailbox, certain bool) {
	certain = true
	for _, part := range splitList(value) {
		display, spec := cutAngle(part)
		addr, err := queue.ParseAddress(spec)
		if err != nil {
			addr = parseWithComments(part)
		}
		if addr.IsNull() {
			// Without an @ it is half of a name such as `Shop, Inc.`.
			certain = certain && !strings.Contains(part, "@")
			continue
		}
		if hasAngle(display) {
			display, certain = "", false
		}
		boxes = append(boxes, mailbox{display: display, addr: addr})
	}
	return boxes, certain
}

// hasAngle reports whether a phrase holds what could be read as another address
// in angle brackets, or does not end its quotes.
func hasAngle(phrase string) bool {
	quoted := false
	for i := 0; i < len(phrase); i++ {
		switch c := phrase[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '<' || c == '>'):
			return true
		}
	}
	return quoted
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
