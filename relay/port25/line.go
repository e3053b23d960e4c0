package port25

import (
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// A line is one source address's way to the port.
type line struct {
	source netip.Addr // zero: what the system chooses
	state  State
	since  time.Time
	looked time.Time // when the last round ended
	tried  []Try     // in the last round that told something
	rounds int       // in a row in which nobody was reached

	fails   int                  // connections of delivery that failed in the window
	failing map[string]time.Time // when, by unrelated host
	opened  map[string]bool      // unrelated hosts connected to while the state was Blocked
	last    time.Time            // when a connection of delivery succeeded
	asked   time.Time            // when failing connections asked for a round
}

// connected notes a connection of delivery, and reports whether it is worth
// looking again.
func (l *line) connected(host string, now time.Time) (doubt bool) {
	l.last, l.fails, l.rounds = now, 0, 0
	clear(l.failing)
	if l.state != Blocked {
		return false
	}
	if l.opened == nil {
		l.opened = make(map[string]bool)
	}
	l.opened[host] = true
	return l.mayAsk(now)
}

// mayAsk keeps rounds that delivery asks for apart.
func (l *line) mayAsk(now time.Time) bool {
	if !l.asked.IsZero() && now.Sub(l.asked) < roundsApart {
		return false
	}
	l.asked = now
	return true
}

// failed notes one that failed, likewise.
func (l *line) failed(host string, now time.Time) (doubt bool) {
	if l.failing == nil {
		l.failing = make(map[string]time.Time)
	}
	for h, at := range l.failing {
		if now.Sub(at) > window {
			delete(l.failing, h)
		}
	}
	if len(l.failing) == 0 {
		l.fails = 0
	}
	l.fails++
	if len(l.failing) < maxHosts {
		l.failing[host] = now
	}
	return l.state != Blocked && l.fails >= failsToDoubt && len(l.failing) >= hostsToDoubt && l.mayAsk(now)
}

// judgeByDelivery is the state that connections of delivery alone prove. They
// prove a block only where nobody is asked.
func (l *line) judgeByDelivery(alone, connected bool) State {
	switch {
	case len(l.opened) >= hostsToOpen:
		return Open
	case alone && l.state == Blocked && connected:
		return Open
	case alone && l.state != Blocked && l.fails >= failsToBlock && len(l.failing) >= hostsToBlock:
		return Blocked
	}
	return l.state
}

// judgeRound is the state after a round.
func (l *line) judgeRound(tries []Try, began time.Time) State {
	reached, shut := 0, 0
	for _, t := range tries {
		switch {
		case t.Reached:
			reached++
		case !t.Unsure:
			shut++
		}
	}
	switch {
	case reached > 0:
		l.rounds, l.tried = 0, tries
		return Open
	case shut < min(2, len(tries)) || !l.last.Before(began): // or delivery got through meanwhile
		return l.state
	}
	l.tried = tries
	if l.rounds++; l.rounds >= roundsToBlock {
		return Blocked
	}
	return l.state
}

// unrelated names what a host has in common with others: one operator's mail
// servers fail together, which says nothing about the port.
func unrelated(host string, ip netip.Addr) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if domain, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		if _, err := netip.ParseAddr(host); err != nil {
			return domain
		}
	}
	bits := 24
	if ip.Is6() {
		bits = 48
	}
	p, _ := ip.Prefix(bits)
	return p.String()
}
