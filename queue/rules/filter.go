package rules

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"postrider/queue"
)

// Filter is a queue.Filter made ready for comparing; Compile makes it. It is safe
// for concurrent use.
type Filter struct {
	*queue.Filter
	domain, rcpt, subject string
	sender, from          party
}

// party is a filter for an address: one, or all of a domain; neither: any.
type party struct{ address, domain string }

func partyOf(s string) (p party) {
	if d, ok := strings.CutPrefix(s, "@"); ok {
		p.domain = strings.ToLower(d)
	} else {
		p.address = foldAddress(s)
	}
	return p
}

func (p party) is(a *queue.Address) bool {
	return (p.address == "" || p.address == a.Fold().String()) && (p.domain == "" || p.domain == strings.ToLower(a.Domain))
}

// Compile makes f ready. It returns queue.ErrFilter if f asks for a state that
// there is not. The caller must not change f while the result is in use.
func Compile(f *queue.Filter) (*Filter, error) {
	c := &Filter{
		Filter: f, domain: strings.ToLower(f.Domain), rcpt: foldAddress(f.Recipient), subject: foldText(f.Subject),
		sender: partyOf(f.Sender), from: partyOf(f.From),
	}
	for _, st := range f.States {
		if !st.Valid() {
			return nil, fmt.Errorf("%s: %w", st, queue.ErrFilter)
		}
	}
	return c, nil
}

// foldAddress brings the domain of an address, as it is written, to lower case.
func foldAddress(a string) string {
	i := strings.LastIndexByte(a, '@')
	return a[:i+1] + strings.ToLower(a[i+1:])
}

// foldText makes texts equal that differ in letter case only, by Unicode's simple
// folding: each letter becomes the least of those that it is equal to.
func foldText(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for x := unicode.SimpleFold(r); x != r; x = unicode.SimpleFold(x) {
			least = min(least, x)
		}
		return least
	}, s)
}

// Message reports whether what is asked of the message holds: all but what
// Recipient looks at.
func (f *Filter) Message(m *queue.Message) bool {
	switch {
	case len(f.Messages) > 0 && !slices.Contains(f.Messages, m.ID),
		f.Account != "" && f.Account != m.Account,
		!f.Since.IsZero() && m.AcceptedAt.Before(f.Since),
		!f.Until.IsZero() && !m.AcceptedAt.Before(f.Until),
		!f.sender.is(&m.Envelope.ReversePath),
		!f.from.is(&m.Header.From),
		f.MessageID != "" && f.MessageID != m.Header.MessageID,
		f.Stream != "" && f.Stream != m.Labels.Stream,
		f.Credential != "" && f.Credential != m.Credential,
		f.Tag != "" && !slices.Contains(m.Labels.Tags, f.Tag),
		!hasAll(m.Labels.Metadata, f.Metadata),
		f.subject != "" && !strings.Contains(foldText(m.Header.Subject), f.subject):
		return false
	}
	return true
}

func hasAll(have, want map[string]string) bool {
	for name, value := range want {
		if v, ok := have[name]; !ok || v != value {
			return false
		}
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
