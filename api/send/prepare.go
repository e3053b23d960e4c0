package send

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"postrider/api/access"
	"postrider/api/unsubscribe"
	"postrider/queue"
)

// prepare checks a request and fills in what it leaves open. withContent false
// leaves Raw unread.
func (d *Desk) prepare(ctx context.Context, c access.Caller, r Request, withContent bool) (*prepared, error) {
	if c.Account == "" && c.Admin() {
		c.Account = d.o.AdminAccount
	}
	if err := maySend(c); err != nil {
		return nil, err
	}
	key, ok := cleanKey(r.IdempotencyKey)
	if !ok {
		return nil, &Error{Status: http.StatusBadRequest, Code: "idempotency_key_invalid", Detail: "An idempotency key is 1 to 255 visible ASCII characters. Use a UUID."}
	}
	r.IdempotencyKey = key
	p := &prepared{id: d.o.NewID(), caller: c, r: r, now: d.o.Now(), offer: unsubscribe.Offer{Mode: unsubscribe.None}}
	v := &validation{desk: d}
	if !accountName(c.Account) {
		v.add("", "not_allowed", "account is not the name of an account: letters, digits and . _ - + @, at most 64 of them.")
		return nil, invalid(v.problems)
	}
	if err := v.what(p, withContent); err != nil {
		return nil, err
	}
	v.recipients(p)
	v.labels(p)
	v.times(p)
	if err := v.list(ctx, p); err != nil {
		return nil, err
	}
	if len(v.problems) > 0 {
		return nil, invalid(v.problems)
	}
	if p.message != nil && p.message.Size() > d.o.MaxSize {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Code: "payload_too_large",
			Detail: fmt.Sprintf("The texts and files of the message are larger than %d octets. Send links instead of large files.", d.o.MaxSize)}
	}
	d.complete(p)
	return p, nil
}

func maySend(c access.Caller) error {
	switch {
	case !c.May(queue.ScopeMessagesSend):
		return &Error{Status: http.StatusForbidden, Code: "forbidden_scope", Detail: "This credential may not send mail: it lacks the scope messages:send."}
	case c.Account == "":
		return &Error{Status: http.StatusForbidden, Code: "forbidden_scope", Detail: "Mail is sent for an account. Use the key or password of one."}
	case c.Disabled != "":
		return &Error{Status: http.StatusForbidden, Code: "account_disabled", Detail: "The account may not send. Ask the relay's operator to enable it."}
	}
	return nil
}

// accountName reports whether an account may be called so: admins name any.
func accountName(s string) bool {
	return len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+@") == ""
}

// invalid is the error for problems of a request.
func invalid(ps []Problem) *Error {
	detail := "One value of the request is not valid; errors says which."
	if len(ps) > 1 {
		detail = fmt.Sprintf("%d values of the request are not valid; errors says which.", len(ps))
	}
	return &Error{Status: http.StatusUnprocessableEntity, Code: "validation_failed", Detail: detail, Problems: ps}
}

// complete gives a message its date and id.
func (d *Desk) complete(p *prepared) {
	if p.message == nil {
		return
	}
	p.message = p.message.Adopt()
	if p.message.Date.IsZero() {
		p.message.Date = p.now
	}
	if p.message.MessageID == "" {
		p.message.MessageID = p.id.String() + "@" + d.domainOf(p.from)
	}
}

// domainOf is the sender's domain if it can stand in a Message-ID or List-Id.
func (d *Desk) domainOf(a queue.Address) string {
	if a.Domain == "" || a.Domain[0] == '[' || !a.ASCII() {
		return d.o.Hostname
	}
	return a.Fold().Domain
}

// validation collects what is wrong.
type validation struct {
	desk     *Desk
	problems []Problem
}

func (v *validation) add(pointer, code, detail string) {
	v.problems = append(v.problems, Problem{Pointer: pointer, Code: code, Detail: detail})
}

// what looks at the message itself.
func (v *validation) what(p *prepared, withContent bool) error {
	switch {
	case p.r.Message != nil:
		for _, problem := range p.r.Message.Check() {
			v.problems = append(v.problems, Problem(problem))
		}
		p.message, p.from = p.r.Message, p.r.Message.From.Address
		p.reverse = p.from
	case p.r.Raw == nil:
		v.add("#", "required", "There is no message.")
	case withContent:
		raw, err := readRaw(p.r.Raw, maxRawHeader)
		if err != nil {
			return err
		}
		p.raw, p.from, p.reverse = raw, raw.from, raw.sender()
	}
	if from := p.r.EnvelopeFrom; from != nil {
		if !from.IsNull() && !validAddress(*from) {
			v.add("#/envelope_from", "invalid_address", "This is not a valid mail address.")
		}
		p.reverse = *from
	}
	return nil
}

// recipients makes one list of all, each address once.
func (v *validation) recipients(p *prepared) {
	seen := map[queue.Address]bool{}
	add := func(kind string, a queue.Address) {
		if !seen[a.Fold()] {
			seen[a.Fold()] = true
			p.to = append(p.to, Recipient{ID: p.id.Recipient(len(p.to)), Address: a, Type: kind})
		}
	}
	switch {
	case p.message != nil:
		for kind, list := range p.message.Recipients() {
			for _, b := range list {
				add(kind, b.Address)
			}
		}
	case len(p.r.RawTo) > 0:
		for i, a := range p.r.RawTo {
			if !validAddress(a) {
				v.add("#/to/"+strconv.Itoa(i), "invalid_address", "This is not a valid mail address.")
			}
			add("to", a)
		}
	case p.raw != nil:
		for _, t := range p.raw.to {
			add(t.kind, t.address)
		}
		if len(p.to) == 0 {
			v.add("#/to", "required", "Name at least one recipient, in the request or in the message's To, Cc or Bcc.")
		}
	}
	if most := v.desk.o.MaxRecipients; len(p.to) > most {
		v.add("#/to", "too_many", fmt.Sprintf("A message has at most %d recipients. Send it in several.", most))
		p.to = p.to[:most]
	}
}

func validAddress(a queue.Address) bool {
	b, err := queue.ParseAddress(a.String())
	return err == nil && a == b
}
