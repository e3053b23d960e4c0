package intake

import (
	"fmt"
	"strings"

	"postrider/queue"
)

// Staging keeps mail from people who must not get it, since the relay is none for
// production. The zero value keeps nothing. What it keeps ends as suppressed, with
// the class queue.ClassLocalStaging; nobody gets a report of it.
type Staging struct {
	Allow    Addresses     // who may get mail; all: Redirect decides alone
	Redirect queue.Address // who gets all other mail; the null address: nobody
	Discard  bool          // nothing leaves
	// Operators get the relay's own reports and alerts all the same, unless
	// nothing leaves.
	Operators []queue.Address
}

// On reports whether it keeps anything.
func (s *Staging) On() bool { return s.Discard || !s.Redirect.IsNull() || !s.Allow.Any() }

// Mode is the setting in a word, for the log.
func (s *Staging) Mode() string {
	switch {
	case s.Discard:
		return "discard"
	case !s.Redirect.IsNull():
		return "redirect"
	case !s.Allow.Any():
		return "allow"
	}
	return "off"
}

// Keeps says why an address must not be sent to; empty: it may. own is for the
// relay's own mail.
func (s *Staging) Keeps(a queue.Address, own bool) string {
	switch {
	case !s.On():
		return ""
	case s.Discard:
		return "staging: nothing leaves this relay (staging.discard)"
	case own && s.operator(a), !s.Redirect.IsNull() && same(a, s.Redirect), !s.Allow.Any() && s.Allow.Allow(a):
		return ""
	case !s.Redirect.IsNull():
		return fmt.Sprintf("staging: the mail goes to %s in the place of this address (staging.redirect)", s.Redirect)
	}
	return "staging: this address gets no mail from this relay (staging.allow)"
}

func (s *Staging) operator(a queue.Address) bool {
	for _, o := range s.Operators {
		if !o.IsNull() && same(a, o) {
			return true
		}
	}
	return false
}

func same(a, b queue.Address) bool {
	return strings.EqualFold(a.Local, b.Local) && a.Fold().Domain == b.Fold().Domain
}

// keeps asks about a recipient of this message.
func (e *entering) keeps(a queue.Address) string {
	return e.door.o.Staging.Keeps(a, e.s.Source.Kind == internal)
}

// keep makes a recipient that is never tried, of which nobody gets a report.
func (e *entering) keep(r *queue.Recipient) {
	r.State, r.Class, r.Notify = queue.StateSuppressed, queue.ClassLocalStaging, queue.NotifyNever
	r.Last = &queue.Attempt{Start: e.now, Stage: queue.StageRcpt, Error: e.keeps(r.Address)}
	e.kept++
}

// redirects reports whether the message goes to somebody else, since it may not go
// to all whom it is for.
func (e *entering) redirects() bool {
	if e.door.o.Staging.Redirect.IsNull() || e.door.o.Staging.Discard || e.s.Sandbox {
		return false
	}
	for i := range e.s.Recipients {
		if e.elsewhere(i) {
			return true
		}
	}
	return false
}

// elsewhere reports whether what a recipient would have got goes to somebody else:
// not what it would not have got anyhow.
func (e *entering) elsewhere(i int) bool {
	_, listed := e.listed[i]
	r := &e.s.Recipients[i]
	return !listed && r.Raw == "" && e.keeps(r.Address) != ""
}

// included reports whether the message is for that somebody as well.
func (e *entering) included() bool {
	for _, r := range e.s.Recipients {
		if r.Raw == "" && same(r.Address, e.door.o.Staging.Redirect) {
			return true
		}
	}
	return false
}

// redirected is the recipient who gets the mail in the place of those who may not.
// It comes behind them, so that their numbers stay what they are.
func (e *entering) redirected(m *queue.Message, hold bool) queue.Recipient {
	n := len(e.s.Recipients)
	r := queue.Recipient{
		ID: e.s.ID.Recipient(n), Address: e.door.o.Staging.Redirect, Notify: queue.NotifyNever,
		State: queue.StateQueued, Due: e.now, UpdatedAt: e.now,
	}
	r.Lane = e.door.o.Lane(m.Account, m.SenderDomain(), r.Address.Fold().Domain)
	why, listed := e.listed[n]
	switch {
	case listed:
		keepBack(&r, why, e.now)
	case hold:
		r.State = queue.StateHeld
	case e.s.NotBefore.After(e.now):
		r.State, r.Due = queue.StateScheduled, e.s.NotBefore
	}
	return r
}

// fieldOriginal says whom redirected mail was for, a field for each; Bcc ones too,
// since who reads it must know.
const fieldOriginal = "X-Original-To"

// maxOriginal bounds how many of them are written.
const maxOriginal = 100

func (e *entering) addOriginal(h *header) {
	if !e.redirects() {
		return
	}
	h.remove(fieldOriginal)
	n := 0
	for i, r := range e.s.Recipients {
		if !e.elsewhere(i) {
			continue
		}
		if n++; n <= maxOriginal {
			h.fields = append(h.fields, field{name: fieldOriginal, raw: []byte(fieldOriginal + ": " + r.Address.String() + "\r\n")})
		}
	}
	if more := n - maxOriginal; more > 0 {
		h.fields = append(h.fields, field{name: fieldOriginal, raw: fmt.Appendf(nil, "%s: (and %d more)\r\n", fieldOriginal, more)})
	}
}
