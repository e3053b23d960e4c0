package alert

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"postrider/queue"
	"postrider/relay/report/status"
)

// Kind is a family of causes. It is stored and told to commands.
type Kind string

// The kinds.
const (
	Refused   Kind = "refused"   // mail is refused for a reason that is ours to mend
	Failing   Kind = "failing"   // an account's mail fails more than usual
	Condition Kind = "condition" // somebody raised it
)

// Cause is what an alert is about. Fields that do not tell one cause from another
// are empty.
type Cause struct {
	Kind    Kind        `json:"kind"`
	Name    string      `json:"name,omitempty"` // of a condition, such as "port25"
	Class   queue.Class `json:"class,omitempty"`
	Site    string      `json:"site,omitempty"`    // who refuses
	Domain  string      `json:"domain,omitempty"`  // whose mail is refused
	Address netip.Addr  `json:"address,omitzero"`  // of ours, that is refused
	Account string      `json:"account,omitempty"` // whose mail fails
	Node    string      `json:"node,omitempty"`    // where a condition holds; empty: everywhere
}

// ID names the cause: the same on all nodes and at all times.
func (c Cause) ID() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{
		string(c.Kind), c.Name, string(c.Class), c.Site, c.Domain, c.Address.String(), c.Account, c.Node,
	}, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// causeOf says what a refusal is about: a site and our address for a block, a
// domain for its records, whoever refuses it.
func causeOf(e *queue.Event, m *queue.Message) Cause {
	c := Cause{Kind: Refused, Class: e.Class}
	switch e.Class {
	case queue.ClassBlockIP:
		c.Site, c.Address = e.Attempt.Site, e.Attempt.Local
	case queue.ClassAuthPTR:
		c.Address = e.Attempt.Local
	case queue.ClassBlockDomain:
		c.Site, c.Domain = e.Attempt.Site, fromDomain(m)
	case queue.ClassAuthNone, queue.ClassAuthSPF, queue.ClassAuthDKIM, queue.ClassAuthDMARC, queue.ClassAuthAlign, queue.ClassSenderInvalid:
		c.Domain = fromDomain(m)
	case queue.ClassContentFormat:
		c.Account = e.Account
	default:
		c.Site = e.Attempt.Site
	}
	return c
}

// fromDomain is the domain of a message's author, or else of who gets its
// reports.
func fromDomain(m *queue.Message) string {
	if d := m.Header.From.Fold().Domain; d != "" {
		return d
	}
	return m.Envelope.ReversePath.Fold().Domain
}

// Alert is what an operator is told.
type Alert struct {
	Cause  Cause  `json:"cause"`
	Title  string `json:"title"`  // what happens, in one line
	Advice string `json:"advice"` // what it means, and what to do

	Reply   string    `json:"reply,omitempty"` // verbatim, or our own words where there was none
	Host    string    `json:"host,omitempty"`  // who said it
	At      time.Time `json:"at,omitzero"`     // when
	Message string    `json:"message,omitempty"`
	Details []string  `json:"details,omitempty"` // further lines

	Since      time.Time `json:"since"`
	Recipients int       `json:"recipients,omitempty"` // concerned since then
	More       bool      `json:"more,omitempty"`       // there are others that were not counted
}

// titles of refusals. {site}, {domain}, {address} and {account} are filled in.
var titles = map[queue.Class]string{
	queue.ClassBlockIP:       "{site} refuses mail from {address}: the address is blocked",
	queue.ClassBlockDomain:   "{site} refuses mail that names {domain}: its reputation is bad",
	queue.ClassAuthNone:      "Mail from {domain} is refused: it has neither SPF nor DKIM",
	queue.ClassAuthSPF:       "Mail from {domain} is refused: SPF fails",
	queue.ClassAuthDKIM:      "Mail from {domain} is refused: DKIM fails",
	queue.ClassAuthDMARC:     "Mail from {domain} is refused: DMARC fails",
	queue.ClassAuthAlign:     "Mail from {domain} is refused: it is signed for another domain",
	queue.ClassAuthPTR:       "Mail from {address} is refused: its reverse name is wrong",
	queue.ClassSenderInvalid: "Mail from {domain} is refused: its return address cannot be used",
	queue.ClassRouteAuth:     "The smart host of {site} refuses our login",
	queue.ClassRouteBad:      "The smart host of {site} cannot be found",
	queue.ClassContentFormat: "Mail of account {account} is refused: it is not well formed",
	queue.ClassTLSRequired:   "No encrypted connection can be made to {site}, which mail needs",
}

func (c Cause) title() string {
	text, ok := titles[c.Class]
	if !ok {
		text = "{site} refuses mail (" + string(c.Class) + ")"
	}
	address := "this relay"
	if c.Address.IsValid() {
		address = c.Address.Unmap().String()
	}
	return status.Plain(strings.NewReplacer(
		"{site}", cmp.Or(c.Site, "A site"), "{domain}", cmp.Or(c.Domain, "a domain"), "{address}", address, "{account}", c.Account,
	).Replace(text))
}

// refusal makes an alert of an event. What was counted is the caller's.
func refusal(c Cause, e *queue.Event, m *queue.Message) Alert {
	a := e.Attempt
	reply := said(e)
	return Alert{
		Cause: c, Title: c.title(), Reply: reply, Host: a.Host, At: e.At, Message: e.Message.String(),
		Advice: queue.Advice(e.Class, queue.FactsOf(m, recipientOf(e), a, e.Reason)),
	}
}

// recipientOf is what an event tells of its recipient.
func recipientOf(e *queue.Event) *queue.Recipient {
	r := &queue.Recipient{ID: e.Recipient, Address: e.Address, State: queue.StateBounced, Class: e.Class, Due: e.Due, UpdatedAt: e.At}
	if e.Kind == queue.EventDeferred {
		r.State = queue.StateDeferred
	}
	if e.Attempt != nil {
		r.Attempts = e.Attempt.Number
	}
	return r
}

// maxReply bounds what is told of a reply, in octets.
const maxReply = 1024

// said is what the peer said, or our own words.
func said(e *queue.Event) string {
	text := e.Reason
	if a := e.Attempt; a != nil {
		switch {
		case a.Reply.Code != 0:
			text = a.Reply.String()
		case a.Error != "":
			text = a.Error
		}
	}
	return status.Clip(status.Plain(text), maxReply)
}
