package rules

import (
	"fmt"
	"slices"
	"strings"

	"postrider/queue"
)

// Filter is a queue.Filter made ready for comparing; Compile makes it. It is safe
// for concurrent use.
type Filter struct {
	*queue.Filter
	domain, rcpt, sender, senderDomain string
}

// Compile makes f ready. It returns queue.ErrFilter if f asks for a state that
// there is not. The caller must not change f while the result is in use.
func Compile(f *queue.Filter) (*Filter, error) {
	c := &Filter{Filter: f, domain: strings.ToLower(f.Domain), rcpt: foldAddress(f.Recipient)}
	for _, st := range f.States {
		if !st.Valid() {
			return nil, fmt.Errorf("%s: %w", st, queue.ErrFilter)
		}
	}
	if d, ok := strings.CutPrefix(f.Sender, "@"); ok {
		c.senderDomain = strings.ToLower(d)
	} else {
		c.sender = foldAddress(f.Sender)
	}
	return c, nil
}

// foldAddress brings the domain of an address, as it is written, to lower case.
func foldAddress(a string) string {
	i := strings.LastIndexByte(a, '@')
	return a[:i+1] + strings.ToLower(a[i+1:])
}

// Message reports whether what is asked of the message holds: Messages, Account,
// Sender, Since and Until.
func (f *Filter) Message(m *queue.Message) bool {
	from := &m.Envelope.ReversePath
	switch {
	case len(f.Messages) > 0 && !slices.Contains(f.Messages, m.ID),
		f.Account != "" && f.Account != m.Account,
		!f.Since.IsZero() && m.AcceptedAt.Before(f.Since),
		!f.Until.IsZero() && !m.AcceptedAt.Before(f.Until),
		f.sender != "" && f.sender != from.Fold().String(),
		f.senderDomain != "" && f.senderDomain != strings.ToLower(from.Domain):
		return false
	}
	return true
}

// Recipient reports whether what is asked of the recipient holds: States, which
// are compared with the state that it shows (queue.StateActive while it is
// leased), Recipients, Lane, Domain, Recipient and Class.
func (f *Filter) Recipient(r *queue.Recipient, shown queue.State) bool {
	switch {
	case len(f.States) > 0 && !slices.Contains(f.States, shown),
		len(f.Recipients) > 0 && !slices.Contains(f.Recipients, r.ID),
		f.Lane != "" && f.Lane != r.Lane,
		f.domain != "" && f.domain != strings.ToLower(r.Address.Domain),
		f.rcpt != "" && f.rcpt != r.Address.Fold().String(),
		f.Class != "" && f.Class != r.Class:
		return false
	}
	return true
}
