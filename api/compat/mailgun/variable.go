package mailgun

import (
	"strings"

	"postrider/api/compat"
	"postrider/api/compose"
)

// maxVariable is the length of a variable's name, with what is around it.
const maxVariable = 256

// putter returns what puts one recipient's variables into texts.
func (j *job) putter(m compose.Mailbox) func(string) (string, error) {
	values := map[string]string{
		"recipient": m.Address.String(), "recipient_email": m.Address.String(), "recipient_name": m.Name,
	}
	for _, p := range j.recipient[strings.ToLower(m.Address.String())] {
		values["recipient."+p.Name] = p.Value
	}
	return func(s string) (string, error) { return j.expand(s, values) }
}

// expand replaces %recipient.name% and its like. A variable without a value is an
// error: nobody wants to greet a percent sign.
func (j *job) expand(s string, values map[string]string) (string, error) {
	const mark = "%recipient"
	if !strings.Contains(s, mark) {
		return s, nil
	}
	b := j.Builder()
	for {
		before, rest, found := strings.Cut(s, mark)
		if _, err := b.WriteString(before); err != nil || !found {
			return b.String(), err
		}
		name, ok := variable(rest)
		if !ok {
			if _, err := b.WriteString(mark); err != nil {
				return "", err
			}
			s = rest
			continue
		}
		v, known := values["recipient"+name]
		if !known {
			return "", compat.Refuse("recipient-variables", "required", "has no value of one of the variables for one of the recipients")
		}
		if _, err := b.WriteString(v); err != nil {
			return "", err
		}
		s = rest[len(name)+1:]
	}
}

// variable is the rest of a variable's name, up to its closing percent sign.
func variable(rest string) (string, bool) {
	end := strings.IndexByte(rest[:min(len(rest), maxVariable)], '%')
	if end < 0 || end > 0 && rest[0] != '.' && rest[0] != '_' || strings.ContainsAny(rest[:end], "\r\n<>\"") {
		return "", false
	}
	return rest[:end], true
}
