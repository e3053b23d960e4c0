package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/mx/dnssim"
	"postrider/relay/smtpsim"
)

// Sender is the domain that is the visitor's own.
const Sender = "sender.test"

// Domain is one inhabitant of the simulated internet.
type Domain struct {
	Name string
	Does string // what its side does, for the tour
	Ends string // the state a recipient of it gets to: delivered, bounced, or deferred until it expires
}

// place is a domain with what makes it behave so.
type place struct {
	Domain
	mail   []bool // its mail servers in order of preference: up or down; none with nullMX or absent
	nullMX bool   // it says that it takes no mail
	absent bool   // it is in no zone
	dns    dnssim.Behavior
	tls    smtpsim.TLSMode
	rules  []smtpsim.Rule
}

const up, down = true, false

// Domains lists what there is, in the order of the tour.
func Domains() []Domain {
	var all []Domain
	for _, p := range places(Options{}.withDefaults()) {
		all = append(all, p.Domain)
	}
	return all
}

// places is the map of the simulated internet.
func places(o Options) []place {
	return []place{
		{Domain: Domain{"delivers.test", "takes everything at once, over TLS", "delivered"},
			mail: []bool{up}, tls: smtpsim.StartTLS},
		{Domain: Domain{"greylists.test", "says 451 to a sender it does not know, and takes the mail after " + o.Greylist.String(), "delivered"},
			mail: []bool{up}, rules: at(smtpsim.Rcpt, smtpsim.Greylist(o.Greylist))},
		{Domain: Domain{"slow.test", "takes " + o.Pause.String() + " each to greet, for a recipient and for the message", "delivered"},
			mail: []bool{up}, rules: slow(o.Pause)},
		{Domain: Domain{"brokentls.test", "offers STARTTLS and hangs up in the handshake; the mail goes without", "delivered"},
			mail: []bool{up}, tls: smtpsim.StartTLS, rules: at(smtpsim.StartTLSVerb, smtpsim.DropHandshake())},
		{Domain: Domain{"backup.test", "has a first mail server that is down and a second that takes the mail", "delivered"},
			mail: []bool{down, up}},
		{Domain: Domain{"forgets.test", "takes the first message, then hangs up before it says so; a second copy follows, marked in_doubt", "delivered"},
			mail: []bool{up}, rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Times: 1, Do: smtpsim.Do(smtpsim.LoseReply())}}},
		{Domain: Domain{"unknown.test", "knows none of its users: 550 5.1.1", "bounced"},
			mail: []bool{up}, rules: at(smtpsim.Rcpt, smtpsim.Reply(550, "5.1.1", "No such user here"))},
		{Domain: Domain{"blocks.test", "takes the content for spam: 554 5.7.1", "bounced"},
			mail: []bool{up}, rules: at(smtpsim.Dot, smtpsim.Reply(554, "5.7.1", "Message refused, it looks like spam"))},
		{Domain: Domain{"nomail.test", "says in the DNS that it takes no mail (null MX)", "bounced"}, nullMX: true},
		{Domain: Domain{"missing.test", "does not exist (NXDOMAIN); it is asked for again after 5 to 10 minutes, or at `queue retry`, and then bounces", "bounced"}, absent: true},
		{Domain: Domain{"full.test", "has full mailboxes: 452 4.2.2", "deferred"},
			mail: []bool{up}, rules: at(smtpsim.Rcpt, smtpsim.Reply(452, "4.2.2", "Mailbox full"))},
		{Domain: Domain{"down.test", "has a mail server that refuses connections", "deferred"}, mail: []bool{down}},
		{Domain: Domain{"nodns.test", "has DNS servers that fail (SERVFAIL)", "deferred"},
			mail: []bool{up}, dns: dnssim.Behavior{Rcode: "SERVFAIL"}},
		{Domain: Domain{Sender, "is yours: bounces and delay notices come back to it", "delivered"}, mail: []bool{up}},
	}
}

func at(stage smtpsim.Stage, do smtpsim.Action) []smtpsim.Rule {
	return []smtpsim.Rule{{Stage: stage, Do: smtpsim.Do(do)}}
}

func slow(pause time.Duration) []smtpsim.Rule {
	return slices.Concat(
		at(smtpsim.Connect, smtpsim.Delay(pause)),
		at(smtpsim.Rcpt, smtpsim.Delay(pause)),
		at(smtpsim.Dot, smtpsim.Delay(pause)),
	)
}

// zone is the zone text of the place whose servers have the given addresses.
func (p *place) zone(addrs []string) string {
	var b strings.Builder
	if p.nullMX {
		fmt.Fprintf(&b, "%s. IN MX 0 .\n", p.Name)
	}
	for i, addr := range addrs {
		fmt.Fprintf(&b, "%s. IN MX %d mx%d.%s.\n", p.Name, 10*(i+1), i+1, p.Name)
		fmt.Fprintf(&b, "mx%d.%s. IN A %s\n", i+1, p.Name, addr)
	}
	return b.String()
}
