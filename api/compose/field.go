package compose

import (
	"fmt"
	"net/mail"
	"net/url"
	"strings"
	"time"
)

// refused are the fields that a message says by other means, or that only the
// servers on its way may write.
var refused = map[string]string{
	"from": "Use from.", "to": "Use to.", "cc": "Use cc.", "bcc": "Use bcc.", "sender": "Use sender.",
	"reply-to": "Use reply_to.", "subject": "Use subject.", "return-path": "Use envelope_from.",
	"mime-version": "The relay writes it.", "received": "Only servers write it.", "received-spf": "Only servers write it.",
	"dkim-signature": "The relay signs.", "domainkey-signature": "The relay signs.", "authentication-results": "Only servers write it.",
	"delivered-to": "Only servers write it.", "x-idempotency-key": "Use the Idempotency-Key header of the request.",
	"x-postrider-send-at": "Use scheduled_at.", "x-postrider-expires": "Use expires_at.", "x-postrider-priority": "Use priority.",
}

// refusedPrefixes likewise.
var refusedPrefixes = []string{"content-", "arc-", "resent-"}

// once are the fields that RFC 5322 §3.6, RFC 2369 and RFC 8058 allow one of.
var once = map[string]bool{
	"date": true, "message-id": true, "references": true, "in-reply-to": true, "list-id": true,
	"list-unsubscribe": true, "list-unsubscribe-post": true,
}

// oneClick is the only value of List-Unsubscribe-Post (RFC 8058 §3.1).
const oneClick = "List-Unsubscribe=One-Click"

// structured reports whether a field has a syntax of its own, so that its value
// is written as it is and must be ASCII.
func structured(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "date", "message-id", "references", "in-reply-to", "auto-submitted", "precedence", "importance", "priority",
		"disposition-notification-to", "return-receipt-to", "errors-to", "feedback-id", "list-id":
		return true
	}
	return strings.HasPrefix(name, "list-")
}

func (c *checker) fields(m *Message) {
	if len(m.Fields) > MaxFields {
		c.add("#/headers", "too_many", fmt.Sprintf("At most %d headers.", MaxFields))
		return
	}
	seen := map[string]bool{}
	if m.MessageID != "" {
		seen["message-id"] = true
	}
	if !m.Date.IsZero() {
		seen["date"] = true
	}
	for _, f := range m.Fields {
		name := strings.ToLower(f.Name)
		if once[name] && seen[name] {
			c.add(FieldPointer(f.Name), "duplicate", "This header may be there once.")
			continue
		}
		seen[name] = true
		if code, detail := f.problem(); code != "" {
			c.add(FieldPointer(f.Name), code, detail)
		}
	}
	c.unsubscribePair(seen)
}

// unsubscribePair refuses half of it: a link that mail programs would open
// instead of posting to it unsubscribes nobody.
func (c *checker) unsubscribePair(seen map[string]bool) {
	const detail = "Give List-Unsubscribe with one https link together with List-Unsubscribe-Post: List-Unsubscribe=One-Click, or use unsubscribe."
	link, post := seen["list-unsubscribe"], seen["list-unsubscribe-post"]
	switch {
	case link && !post:
		c.add("#/headers/List-Unsubscribe", "incomplete", detail)
	case post && !link:
		c.add("#/headers/List-Unsubscribe-Post", "incomplete", detail)
	}
}

func (f Field) problem() (code, detail string) {
	name := strings.ToLower(f.Name)
	if !validFieldName(f.Name) {
		return "invalid_name", fmt.Sprintf("A header's name is 1 to %d visible ASCII characters without a colon.", MaxFieldName)
	}
	if what, no := refused[name]; no {
		return "not_allowed", "This header cannot be set. " + what
	}
	for _, prefix := range refusedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return "not_allowed", "This header cannot be set. The relay and other servers write it."
		}
	}
	if code, detail := TextProblem(f.Value, MaxFieldValue); code != "" {
		return code, detail
	}
	if !structured(name) {
		return "", ""
	}
	if name == "list-id" {
		return listIDProblem(f.Value)
	}
	if !ascii(f.Value) || strings.IndexByte(f.Value, '\t') >= 0 {
		return "invalid_value", "This header takes ASCII without tabs only."
	}
	if longestWord(f.Value) > maxWord {
		return "too_long", fmt.Sprintf("No part of this header between two spaces may have more than %d octets.", maxWord)
	}
	return f.syntaxProblem(name)
}

func (f Field) syntaxProblem(name string) (code, detail string) {
	switch name {
	case "date":
		if _, err := parseDate(f.Value); err != nil {
			return "invalid_value", "A date looks like Mon, 02 Jan 2006 15:04:05 +0000."
		}
	case "message-id":
		if !validID(bareID(f.Value)) {
			return "invalid_value", "A message id looks like <unique@example.com>, in ASCII without spaces."
		}
	case "references", "in-reply-to":
		if !validIDs(f.Value) {
			return "invalid_value", "This header takes message ids in angle brackets with spaces between them."
		}
	case "list-unsubscribe":
		if !oneHTTPS(f.Value) {
			return "invalid_value", "This header takes one https link in angle brackets; a mailto link may follow after a comma."
		}
	case "list-unsubscribe-post":
		if f.Value != oneClick {
			return "invalid_value", "The value must be List-Unsubscribe=One-Click."
		}
	}
	return "", ""
}

// listIDProblem reads `phrase <list-id>` (RFC 2919 §3).
func listIDProblem(value string) (code, detail string) {
	_, id := cutListID(value)
	if id == "" || len(id) > 255 || !printable(id) || strings.ContainsAny(id, "<>@\"(),;\\") || !strings.Contains(id, ".") {
		return "invalid_value", "A list id looks like Name of the list <list.example.com>."
	}
	return "", ""
}

func cutListID(value string) (phrase, id string) {
	value = strings.TrimSpace(value)
	open := strings.LastIndexByte(value, '<')
	if open < 0 || !strings.HasSuffix(value, ">") {
		return "", ""
	}
	return strings.TrimSpace(value[:open]), value[open+1 : len(value)-1]
}

// oneHTTPS reports one https URI, with mailto URIs at most beside it (RFC 8058 §3.1).
func oneHTTPS(value string) bool {
	links := 0
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if len(part) < 2 || part[0] != '<' || part[len(part)-1] != '>' || !printable(part) {
			return false
		}
		u, err := url.Parse(part[1 : len(part)-1])
		switch {
		case err != nil:
			return false
		case u.Scheme == "https" && u.Host != "":
			links++
		case u.Scheme != "mailto":
			return false
		}
	}
	return links == 1
}

// OneClickPair reports values of List-Unsubscribe and List-Unsubscribe-Post that
// let mail programs unsubscribe (RFC 8058 §3.1).
func OneClickPair(link, post string) bool { return post == oneClick && oneHTTPS(link) }

// validFieldName is field-name of RFC 5322 §2.2, at most so long that its colon
// and the first word of its value share a line.
func validFieldName(s string) bool {
	return s != "" && len(s) <= MaxFieldName && printable(s) && strings.IndexByte(s, ':') < 0
}

func parseDate(s string) (time.Time, error) { return mail.ParseDate(strings.TrimSpace(s)) }

// bareID takes the angle brackets off.
func bareID(s string) string {
	s = strings.TrimSpace(s)
	if inner, ok := strings.CutPrefix(s, "<"); ok {
		if inner, ok := strings.CutSuffix(inner, ">"); ok {
			return inner
		}
	}
	return s
}

// validID is more lenient than msg-id of RFC 5322 §3.6.4, as real ids are.
func validID(s string) bool {
	left, right, ok := strings.Cut(s, "@")
	return ok && left != "" && right != "" && len(s) <= MaxMessageID && printable(s) && !strings.ContainsAny(s, "<>,;\"\\") && !strings.Contains(right, "@")
}

func validIDs(s string) bool {
	ids := strings.Fields(s)
	for _, id := range ids {
		if len(id) < 3 || id[0] != '<' || id[len(id)-1] != '>' || !printable(id) || strings.ContainsAny(id[1:len(id)-1], "<>") {
			return false
		}
	}
	return len(ids) > 0
}

func longestWord(s string) (n int) {
	for word := range strings.FieldsSeq(s) {
		n = max(n, len(word))
	}
	return n
}
