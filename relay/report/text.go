package report

import (
	"fmt"
	"strings"
	"time"

	"postrider/queue"
	"postrider/relay/report/status"
)

// text writes the part for people: what happened and what to do first, then the
// verbatim reply, then the facts.
func (d *dsn) text() string {
	var b strings.Builder
	d.opening(&b)
	for i := range d.notices {
		d.explain(&b, &d.notices[i])
	}
	fmt.Fprintf(&b, "Your message\r\n  From:      %s\r\n  Subject:   %s\r\n  Accepted:  %s\r\n  Queue id:  %s\r\n",
		status.Plain(d.message.Envelope.ReversePath.String()), status.Plain(d.message.Header.Subject), moment(d.message.AcceptedAt), d.message.ID)
	return b.String()
}

func (d *dsn) opening(b *strings.Builder) {
	rcpts := "one recipient"
	if len(d.notices) > 1 {
		rcpts = fmt.Sprintf("%d recipients", len(d.notices))
	}
	switch d.notices[0].action {
	case status.Failed:
		fmt.Fprintf(b, "Your message could not be delivered to %s. It will not be tried again.\r\n\r\n", rcpts)
	case status.Delayed:
		fmt.Fprintf(b, "Your message has not reached %s yet. It is tried again until %s; you need not send it again.\r\n\r\n", rcpts, moment(d.message.ExpiresAt))
	default:
		fmt.Fprintf(b, "Your message was handed over for %s, as you asked to be told. What happens after that is not known here.\r\n\r\n", rcpts)
	}
}

func (d *dsn) explain(b *strings.Builder, n *notice) {
	fmt.Fprintf(b, "%s\r\n", status.Plain(n.rcpt.Address.String()))
	if n.action == status.Failed || n.action == status.Delayed {
		r := n.then()
		class := queue.AdviceClass(&r)
		fmt.Fprintf(b, "  %s\r\n", status.Plain(queue.Advice(class, queue.FactsOf(&d.message, &r, n.last(), n.event.Reason))))
		fmt.Fprintf(b, "  Who can mend it: %s.\r\n", queue.Mender(class, n.action == status.Delayed))
	}
	if said := status.Plain(n.said()); said != "" {
		a := n.last()
		who := "The relay says"
		if a != nil && a.Host != "" {
			who = status.Plain(a.Host) + " said"
		}
		fmt.Fprintf(b, "  %s: %s\r\n", who, said)
	}
	if a := n.last(); a != nil && n.action != status.Relayed && max(n.rcpt.Attempts, a.Number) > 0 {
		fmt.Fprintf(b, "  Attempts: %d, the last one at %s\r\n", max(n.rcpt.Attempts, a.Number), moment(a.Start))
	}
	b.WriteString("\r\n")
}

// then is the recipient as the event left it: more may have happened since.
func (n *notice) then() queue.Recipient {
	r := n.rcpt
	r.UpdatedAt = n.event.At
	if n.event.Class != queue.ClassNone {
		r.Class = n.event.Class
	}
	switch n.event.Kind {
	case queue.EventDeferred:
		r.State, r.Due = queue.StateDeferred, n.event.Due
	case queue.EventExpired:
		r.State = queue.StateExpired
	case queue.EventSuppressed:
		r.State = queue.StateSuppressed
	default:
		r.State = queue.StateBounced
	}
	if r.Class == queue.ClassExpired && n.rcpt.Class != queue.ClassNone {
		r.Class = n.rcpt.Class
	}
	return r
}

func moment(t time.Time) string { return t.UTC().Format("Mon, 2 Jan 2006 15:04:05 MST") }
