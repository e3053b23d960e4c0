package sendmail

import (
	"bufio"
	"context"
	"slices"
	"strings"
)

// envelope is what a transaction says before the message.
type envelope struct {
	sender     string // without angle brackets; empty is the null reverse-path
	recipients []string
	notify     string
	ret        string
	envelopeID string
	eightBit   bool
	utf8       bool // SMTPUTF8 is needed
}

// submit reads the message from stdin and hands it to the relay.
func (inv Invocation) submit(ctx context.Context, o options, set settings) error {
	sender, null, err := inv.sender(o, set)
	if err != nil {
		return err
	}
	input := newCanonicalReader(inputReader{inv.Stdin}, !o.ignoreDots)
	r := bufio.NewReaderSize(input, lineBuffer)
	h, start, err := readHeader(r)
	if err != nil {
		return err
	}
	to, err := inv.recipients(o, set, h)
	if err != nil {
		return err
	}
	h = inv.complete(h, o, set, sender, to)
	m, err := readMessage(h.render(), start, r)
	if err != nil {
		return err
	}
	defer m.close()
	env := envelope{notify: o.notify, ret: o.ret, envelopeID: o.envelopeID}
	env.eightBit = o.bodyType == "8BITMIME" || m.mayBeEightBit()
	if !null {
		env.sender = sender.ascii().String()
	}
	env.utf8 = !isASCII(env.sender)
	for _, a := range to {
		path := a.ascii().String()
		env.recipients = append(env.recipients, path)
		env.utf8 = env.utf8 || !isASCII(path)
	}
	s, err := openSession(ctx, set.relays, set.domain, inv.Timeouts)
	if err != nil {
		return err
	}
	defer s.close()
	return inv.deliver(s, env, m)
}

// sender decides on the reverse-path. With the null one (null is true) the
// address is that of the calling user, for a From field.
func (inv Invocation) sender(o options, set settings) (a address, null bool, err error) {
	text := strings.TrimSpace(o.sender)
	null = o.senderGiven && (text == "" || text == "<>")
	if !o.senderGiven || null {
		a = inv.caller()
	} else {
		boxes, bad := parseAddressList(text)
		if len(boxes) != 1 || len(bad) > 0 {
			return address{}, false, fail(exitData, "the sender %q is not an address", o.sender)
		}
		a = boxes[0].address
	}
	if set.defaultFrom != nil && isOnlyLocal(a) {
		a = *set.defaultFrom
	}
	return a.within(set.domain), null, nil
}

func (inv Invocation) caller() address {
	login, _, err := inv.LookupUser()
	if err != nil {
		login = ""
	}
	if a, ok := newAddress(login, ""); ok {
		return a
	}
	return address{local: "nobody"}
}

// recipients gathers everyone the message goes to, each once.
func (inv Invocation) recipients(o options, set settings, h header) ([]address, error) {
	named, bad := argumentRecipients(o.recipients)
	if o.headerRecipients {
		more, wrong := h.recipients()
		named = append(named, more...)
		bad = append(bad, wrong...)
	}
	var all []address
	seen := map[string]bool{}
	for _, a := range named {
		for _, to := range set.resolve(a) {
			if !seen[to.key()] {
				seen[to.key()] = true
				all = append(all, to)
			}
		}
	}
	if len(all) == 0 && len(bad) > 0 {
		return nil, fail(exitData, "no usable recipient: %q", bad)
	}
	if len(all) == 0 {
		return nil, fail(exitData, "no recipients, neither as arguments nor in To, Cc or Bcc")
	}
	for _, text := range bad {
		inv.note("warning: recipient %q is not an address, left out", text)
	}
	return all, nil
}

func argumentRecipients(args []string) (found []address, bad []string) {
	for _, arg := range args {
		boxes, wrong := parseAddressList(arg)
		for _, box := range boxes {
			found = append(found, box.address)
		}
		bad = append(bad, wrong...)
		if len(boxes) == 0 && len(wrong) == 0 {
			bad = append(bad, arg)
		}
	}
	return found, bad
}

// complete makes the header that leaves: local names completed, hidden fields
// gone, From and To there.
func (inv Invocation) complete(h header, o options, set settings, sender address, to []address) header {
	hidden := h.has("bcc", "resent-bcc")
	h = h.withoutHidden().qualified(set.domain)
	added := slices.Clone(o.wishes)
	if !h.has("from") {
		added = append(added, fromField(inv.fullName(o), sender))
	}
	if !h.has("to", "cc", "resent-to", "resent-cc") {
		added = append(added, toField(to, hidden))
	}
	return append(added, h...)
}

// fullName is the display name for a From field that we add: what -F or NAME
// say, or who the caller is unless it gave another address.
func (inv Invocation) fullName(o options) string {
	if o.fullName != "" {
		return o.fullName
	}
	name := environment(inv.Environ).get("NAME")
	if name == "" && !o.senderGiven {
		login, full, err := inv.LookupUser()
		if err == nil && full != login {
			name = full
		}
	}
	if strings.ContainsAny(name, "\r\n\x00") {
		return ""
	}
	return name
}
