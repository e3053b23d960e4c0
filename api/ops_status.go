package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"postrider/api/access"
	"postrider/api/domain"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// Sending knows what an account may send, and how its domains stand.
type Sending interface {
	// Senders says who an account may send as with a credential, and why it may
	// not send at all, if that is so; queue.ErrNotFound if it is gone.
	Senders(ctx context.Context, account, credential string) (senders v1.StatusSenders, disabled string, err error)
	// Domain says what is known of a domain's records, if the account may send
	// from it. It looks them up where that was not done lately, and does not wait
	// long for the answer.
	Domain(ctx context.Context, account, credential, domain string) (v1.StatusDomain, error)
}

func (s *Server) statusOperation(r *router) {
	register(r, operation{
		id: "get-status", method: http.MethodGet, path: "/v1/status", scope: queue.ScopeMessagesSend, tag: tagMessages,
		summary: "Show how an account's mail fares",
		description: "For the program that sends it, which needs no more than a key that may send: what waits, what failed last (addresses are hidden), who the account may send as, and, " +
			"of a domain that it may send from, SPF, DKIM and DMARC. A domain's records are looked up at most once in five minutes.",
	}, s.getStatus)
}

type statusInput struct {
	Account string `query:"account" maxLength:"64" doc:"Whose; for admins."`
	Domain  string `query:"domain" maxLength:"255" doc:"A domain to send from." example:"example.com"`
}

func (s *Server) getStatus(ctx context.Context, in *statusInput) (*answer[v1.Status], error) {
	of, err := mine(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	credential := ""
	if c := access.From(ctx); c.Account == of {
		credential = c.Credential
	}
	condition := s.condition(ctx)
	v := v1.Status{Account: of, At: s.o.Now().UTC(), Accepting: condition.Accepting, Reason: condition.Reason}
	senders, disabled, err := s.o.Sending.Senders(ctx, of, credential)
	if err != nil {
		return nil, err
	}
	if v.Senders = senders; disabled != "" {
		v.Reason = disabled
	}
	if err := s.countWaiting(ctx, &v); err != nil {
		return nil, err
	}
	if v.Failures, err = s.lastFailures(ctx, of); err != nil {
		return nil, err
	}
	if in.Domain != "" {
		name, err := domain.Normalize(in.Domain)
		if err != nil {
			return nil, domainError(err)
		}
		d, err := s.o.Sending.Domain(ctx, of, credential, name)
		if err != nil {
			return nil, err
		}
		v.Domain = &d
	}
	return answerOf(v), nil
}

// What one status may cost.
const (
	statusPages    = 5
	statusPage     = 200
	statusFailures = 10
)

// countWaiting counts what has not ended, as far as its work is bounded.
func (s *Server) countWaiting(ctx context.Context, v *v1.Status) error {
	waiting := []queue.State{queue.StateQueued, queue.StateActive, queue.StateDeferred, queue.StateHeld, queue.StateScheduled}
	v.States = map[string]v1.Count{}
	for _, state := range waiting {
		v.States[state.String()] = v1.Count{}
	}
	cursor := queue.Cursor("")
	for range statusPages {
		entries, next, err := s.o.Store.List(ctx, queue.Filter{Account: v.Account, States: waiting}, cursor, statusPage)
		if err != nil {
			return err
		}
		for _, e := range entries {
			for _, r := range e.Recipients {
				count := v.States[r.State.String()]
				count.Recipients++
				if at := timeOf(e.Message.AcceptedAt); count.Oldest == nil || at != nil && at.Before(*count.Oldest) {
					count.Oldest = at
				}
				v.States[r.State.String()] = count
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
	v.AtLeast = true
	return nil
}

// lastFailures are those of the newest messages, the newest failure first.
func (s *Server) lastFailures(ctx context.Context, account string) ([]v1.StatusFailure, error) {
	failed := []queue.State{queue.StateDeferred, queue.StateBounced, queue.StateExpired, queue.StateSuppressed}
	list := []v1.StatusFailure{}
	cursor := queue.Cursor("")
	for range statusPages {
		entries, next, err := s.o.Store.List(ctx, queue.Filter{Account: account, States: failed}, cursor, statusFailures)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			for _, r := range e.Recipients {
				list = append(list, failureOfRecipient(e.Message, r))
			}
		}
		if cursor = next; cursor == "" || len(list) >= statusFailures {
			break
		}
	}
	slices.SortStableFunc(list, func(a, b v1.StatusFailure) int { return cmp.Compare(b.At.UnixNano(), a.At.UnixNano()) })
	return list[:min(len(list), statusFailures)], nil
}

// failureOfRecipient hides the address, also where the other server repeats it.
func failureOfRecipient(m queue.Message, r queue.Recipient) v1.StatusFailure {
	v := recipientOf(m, r)
	f := v1.StatusFailure{
		At: v.Updated, Message: m.ID.String(), Recipient: maskAddress(r.Address), State: v.State, Class: v.Class,
		Advice: maskIn(v.Advice, r.Address),
	}
	if r.Last != nil {
		f.Reply = maskIn(said(r.Last), r.Address)
	}
	return f
}

// maskAddress leaves the first letter and the domain.
func maskAddress(a queue.Address) string {
	first := ""
	for _, letter := range a.Local {
		first = string(letter)
		break
	}
	return first + "***@" + a.Domain
}

// maskIn hides an address, and a name that can be nothing else, in a text.
func maskIn(text string, a queue.Address) string {
	text = replaceFold(text, a.String(), maskAddress(a))
	if len(a.Local) >= 4 { // shorter ones are parts of words
		text = replaceFold(text, a.Local, maskAddress(a)[:strings.IndexByte(maskAddress(a), '@')])
	}
	return text
}

// replaceFold replaces old in any case of ASCII letters.
func replaceFold(text, old, with string) string {
	if old == "" {
		return text
	}
	var b strings.Builder
	lower, find := asciiLower(text), asciiLower(old)
	for {
		i := strings.Index(lower, find)
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(text[:i])
		b.WriteString(with)
		text, lower = text[i+len(old):], lower[i+len(old):]
	}
}

// asciiLower keeps the length, which strings.ToLower does not.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
