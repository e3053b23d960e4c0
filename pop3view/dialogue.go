package pop3view

import (
	"context"
	"fmt"
)

// action answers one command. An error ends the connection without a word.
type action func(ctx context.Context, arg string) error

// handler returns what a command does in this state, or nil if it was answered
// already because it does nothing here.
func (n *session) handler(verb string) action {
	switch verb { // RFC 2449 §5, RFC 6856 §2: both states
	case "CAPA":
		return n.bare(n.capa)
	case "UTF8":
		return n.bare(n.utf8)
	case "QUIT":
		return n.quit
	case "LAST": // RFC 1081, which fetchmail asks for before it believes UIDL
		n.no("LAST is not available, use UIDL")
		return nil
	}
	before, after := n.beforeLogin(verb), n.afterLogin(verb)
	switch {
	case before == nil && after == nil:
		n.fault("unknown command")
		return nil
	case n.box == nil:
		if before == nil {
			n.fault("log in first")
		}
		return before
	}
	if after == nil {
		n.fault("already logged in")
	}
	return after
}

func (n *session) beforeLogin(verb string) action {
	switch verb {
	case "USER":
		return n.userName
	case "PASS":
		return n.pass
	case "AUTH":
		return n.auth
	case "STLS":
		return n.stls
	}
	return nil
}

func (n *session) afterLogin(verb string) action {
	switch verb {
	case "STAT":
		return n.bare(n.stat)
	case "LIST":
		return n.listing(n.listLine)
	case "UIDL":
		return n.listing(n.uidLine)
	case "RETR":
		return n.retr
	case "TOP":
		return n.top
	case "DELE":
		return n.dele
	case "RSET":
		return n.bare(n.rset)
	case "NOOP":
		return n.bare(func() { n.ok("still here") })
	}
	return nil
}

// bare is a command without an argument. What some clients send behind it
// anyway does no harm.
func (n *session) bare(do func()) action {
	return func(context.Context, string) error {
		do()
		return nil
	}
}

// capa lists what there is (RFC 2449), here and now.
func (n *session) capa() {
	n.ok("capabilities follow")
	n.wire.say("TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "UTF8")
	if n.mayLogin() {
		n.wire.say("USER", "SASL PLAIN")
	}
	if n.mayStartTLS() {
		n.wire.say("STLS")
	}
	if days := n.s.o.ExpireDays; days > 0 {
		n.wire.say(fmt.Sprintf("EXPIRE %d", days))
	}
	if n.box != nil && n.s.o.Version != "" { // strangers need not know
		n.wire.say("IMPLEMENTATION Postrider-" + n.s.o.Version)
	}
	n.wire.say(".")
}

// utf8 changes nothing: entries go out as they are, with and without it. RFC
// 6856 §2 wants it before the login; Outlook sends it behind, and gives up when
// that is an error.
func (n *session) utf8() { n.ok("UTF-8 it is") }
