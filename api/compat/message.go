package compat

import (
	"net/http"
	"net/mail"
	"strconv"
	"strings"

	"postrider/api/compose"
	"postrider/api/send"
)

// AddFields adds header fields to a message. Those that a Message has a place for
// go there: Reply-To, Sender, Date and Message-ID.
func AddFields(m *compose.Message, name func(field string) string, fields ...Pair) error {
	for _, f := range fields {
		if err := addField(m, name(f.Name), f); err != nil {
			return err
		}
	}
	return nil
}

func addField(m *compose.Message, at string, f Pair) error {
	switch strings.ToLower(f.Name) {
	case "reply-to":
		list, err := ParseMailboxes(at, f.Value)
		if err != nil {
			return err
		}
		if len(m.ReplyTo) > 0 {
			return Refuse(at, "duplicate", "is given twice: as a header and by itself")
		}
		m.ReplyTo = list
	case "sender":
		s, err := ParseMailbox(at, f.Value)
		if err != nil {
			return err
		}
		m.Sender = &s
	case "date":
		t, err := mail.ParseDate(f.Value)
		if err != nil {
			return Refuse(at, "invalid_date", "must be a date of RFC 5322")
		}
		m.Date = t
	case "message-id":
		m.MessageID = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(f.Value), "<"), ">")
	default:
		m.Fields = append(m.Fields, compose.Field{Name: f.Name, Value: f.Value})
	}
	return nil
}

// FieldPath is how most surfaces call a header field of a request.
func FieldPath(string) string { return "headers" }

// ContentID takes off what is around a Content-ID: angle brackets, "cid:".
func ContentID(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 4 && strings.EqualFold(s[:4], "cid:") {
		s = s[4:]
	}
	return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
}

// maxKey is the length of a key that the store takes.
const maxKey = 255

// IdempotencyKey reads the Idempotency-Key header, bare or as a quoted string of
// RFC 8941; empty for none.
func IdempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key := strings.TrimSpace(values[0])
	if len(key) > 1 && key[0] == '"' && key[len(key)-1] == '"' {
		var ok bool
		if key, ok = unquoteKey(key[1 : len(key)-1]); !ok {
			return "", badKey()
		}
	}
	if len(values) > 1 || key == "" || len(key) > maxKey {
		return "", badKey()
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return "", badKey()
		}
	}
	return key, nil
}

func unquoteKey(s string) (string, bool) {
	if !strings.ContainsAny(s, `"\`) {
		return s, true
	}
	return unquote(s)
}

// ItemKey is the key of one message of several that one request asks for.
func ItemKey(key string, index int) (string, error) {
	if key == "" {
		return "", nil
	}
	item := key + "/" + strconv.Itoa(index)
	if len(item) > maxKey {
		return "", badKey()
	}
	return item, nil
}

func badKey() *send.Error {
	return &send.Error{Status: http.StatusBadRequest, Code: "idempotency_key_invalid",
		Detail: "The Idempotency-Key must have 1 to 255 visible ASCII characters, and 250 at most for several messages."}
}
