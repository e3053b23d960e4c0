package intake

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/queue"
	"postrider/queue/suppression"
)

// suppressionTime bounds the wait for the list, so that the client gets its
// answer within two seconds.
const suppressionTime = 1500 * time.Millisecond

// checkSuppressed finds the recipients that are not sent to. If the list cannot
// be asked, the client must come again: nobody on it is sent to by accident. A
// message for none but them is refused where the client can be told why at once
// (HTTP); mail over SMTP is accepted and reported, as with any bad recipient.
func (e *entering) checkSuppressed(ctx context.Context) error {
	if e.s.Source.Kind == internal {
		return nil
	}
	if err := e.askSuppressions(ctx); err != nil {
		return err
	}
	if e.s.Source.Kind != "http" {
		return nil
	}
	for i, r := range e.s.Recipients {
		if _, listed := e.listed[i]; !listed && !(e.s.Sandbox && sandboxFate(r.Address) == queue.StateSuppressed) {
			return nil
		}
	}
	return refuse(queue.RefusedSuppressed, 554, queue.Enhanced{5, 7, 1},
		"All recipients are on the suppression list.", "Take an address off the list if it may get mail again: postrider suppression remove ADDRESS")
}

func (e *entering) askSuppressions(ctx context.Context) error {
	if e.door.o.Suppressions == nil {
		return nil
	}
	addrs := make([]queue.Address, len(e.s.Recipients))
	for i, r := range e.s.Recipients {
		addrs[i] = r.Address // the null address, where it could not be read
	}
	if e.redirects() {
		addrs = append(addrs, e.door.o.Staging.Redirect) // it may be on the list as well
	}
	var scopes []string
	for _, s := range []string{e.s.Labels.Stream, e.s.Labels.List} {
		if s != "" {
			scopes = append(scopes, s)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, suppressionTime)
	defer cancel()
	var err error
	if e.listed, err = e.door.o.Suppressions.Check(ctx, e.s.Account, scopes, addrs, e.now); err != nil {
		r := refuse(queue.RefusedUnavailable, 451, queue.Enhanced{4, 3, 0}, "The relay cannot check its suppression list at the moment.", "Try again later.")
		return &troubled{Refusal: r, cause: err}
	}
	return nil
}

// keepBack makes a recipient that is never tried.
func keepBack(r *queue.Recipient, why suppression.Entry, now time.Time) {
	r.State, r.Class = queue.StateSuppressed, queue.ClassRcptSuppressed
	r.Last = &queue.Attempt{Start: now, Stage: queue.StageRcpt, Error: explain(why)}
}

var suppressedBecause = map[suppression.Reason]string{
	suppression.Bounce:      "mail to it bounced",
	suppression.Complaint:   "its owner complained of spam",
	suppression.Unsubscribe: "its owner unsubscribed",
	suppression.Manual:      "it was put there by hand",
}

// explain says why an address is not sent to, since when, and what to do.
func explain(e suppression.Entry) string {
	var b strings.Builder
	b.WriteString("on the suppression list")
	if e.Scope != suppression.Everything {
		fmt.Fprintf(&b, " of %s", clipText(e.Scope, 64))
	}
	fmt.Fprintf(&b, " since %s: %s", e.CreatedAt.UTC().Format("2 January 2006"), suppressedBecause[e.Reason])
	if !e.ExpiresAt.IsZero() {
		fmt.Fprintf(&b, "; this ends on %s", e.ExpiresAt.UTC().Format("2 January 2006"))
	}
	b.WriteString("; to send to it again: postrider suppression remove ")
	return clipText(b.String()+e.Address.String(), maxWhy)
}

// maxWhy is how long the text of an attempt may be.
const maxWhy = 512

// suppressed returns the indexes of the recipients that the list keeps back. What
// staging does is no news to programs: they are to go on as they would.
func suppressed(rs []queue.Recipient) (indexes []int) {
	for i, r := range rs {
		if r.State == queue.StateSuppressed && r.Class != queue.ClassLocalStaging {
			indexes = append(indexes, i)
		}
	}
	return slices.Clip(indexes)
}
