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
	fmt.Fprintf(&b, "Your message\r\n  Subject:   %s\r\n  Accepted:  %s\r\n  Queue id:  %s\r\n",
		d.message.Header.Subject, moment(d.message.AcceptedAt), d.message.ID)
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
	fmt.Fprintf(b, "%s\r\n", n.rcpt.Address)
	if n.action == status.Failed || n.action == status.Delayed {
		fmt.Fprintf(b, "  %s\r\n", queue.Advice(n.class(), d.facts(n)))
	}
	if said := n.said(); said != "" {
		a := n.last()
		who := "The relay says"
		if a != nil && a.Host != "" {
			who = a.Host + " said"
		}
		fmt.Fprintf(b, "  %s: %s\r\n", who, strings.ReplaceAll(said, "\n", " "))
	}
	if a := n.last(); a != nil && n.action != status.Relayed && max(n.rcpt.Attempts, a.Number) > 0 {
		fmt.Fprintf(b, "  Attempts: %d, the last one at %s\r\n", max(n.rcpt.Attempts, a.Number), moment(a.Start))
	}
	b.WriteString("\r\n")
}

// class of an expiry is that of its last attempt: it says more.
func (n *notice) class() queue.Class {
	switch {
	case n.event.Class != queue.ClassNone && n.event.Class != queue.ClassExpired:
		return n.event.Class
	case n.rcpt.Class != queue.ClassNone:
		return n.rcpt.Class
	case n.event.Kind == queue.EventExpired:
		return queue.ClassExpired
	}
	return queue.ClassOtherPerm
}

func (d *dsn) facts(n *notice) queue.AdviceFacts {
	f := queue.AdviceFacts{
		Recipient: n.rcpt.Address, FromDomain: d.message.Header.From.Domain, Detail: n.said(),
	}
	if a := n.last(); a != nil {
		f.Host = a.Host
	}
	if n.action == status.Delayed {
		f.Next, f.Until = n.event.Due, d.message.ExpiresAt
	}
	return f
}

func moment(t time.Time) string { return t.UTC().Format("Mon, 2 Jan 2006 15:04:05 MST") }
