package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// stranger is where the probes want to send. No data is ever sent.
const (
	strangerUser   = "relay-test"
	strangerDomain = "example.org"
)

// An envelope is what a stranger tries.
type envelope struct{ from, to string }

// strangers are the tricks by which relays were once talked into sending for
// anybody: routes, percent signs, bangs and quotes.
func strangers(hostname, ip string) []envelope {
	d, h, lit := strangerDomain, hostname, "["+ip+"]"
	if strings.Contains(ip, ":") {
		lit = "[IPv6:" + ip + "]"
	}
	t := strangerUser
	to := t + "@" + d
	all := []envelope{{"", to}, {"test@" + d, to}, {"test@" + h, to}}
	for _, rcpt := range []string{
		to, t + "%" + d + "@" + lit, t + "%" + d + "@" + h, `"` + to + `"`, `"` + t + "%" + d + `"`, to + "@" + lit, `"` + to + `"@` + lit,
		to + "@" + h, "@" + lit + ":" + to, "@" + h + ":" + to, d + "!" + t, d + "!" + t + "@" + lit, d + "!" + t + "@" + h,
	} {
		all = append(all, envelope{"test@" + lit, rcpt})
	}
	return all
}

// openRelay tries, without a password, to send through each of our own doors. A
// recipient that is accepted is enough: no mail is sent.
func (x *exam) openRelay(ctx context.Context) []Finding {
	var found []Finding
	for _, l := range x.c.Listeners {
		if l.Service == "submission" {
			found = append(found, x.tryDoor(ctx, l))
		}
	}
	if len(found) == 0 {
		return []Finding{about("sys.relay", x.c.Hostname, "whether strangers can send through this relay").
			unknown("no listener of the relay is running")}
	}
	return found
}

func (x *exam) tryDoor(ctx context.Context, l Listener) Finding {
	f := about("sys.relay", l.Service+" "+l.Addr, "whether "+l.Addr+" takes mail to strangers from a client without a password")
	d := &door{x: x, l: l}
	defer d.leave()
	if err := d.open(ctx); err != nil {
		return f.unknown("it cannot be entered: " + shown(err.Error()))
	}
	if own, ok := x.trustedHere(d.t); ok {
		return f.unknown(fmt.Sprintf("connections from %s are trusted (submission.trusted_networks) and may send; strangers cannot be played from here", own))
	}
	refused := 0
	for _, e := range strangers(x.c.Hostname, hostOf(d.t)) {
		switch taken, err := d.try(ctx, e); {
		case taken:
			return f.fail(fmt.Sprintf("MAIL FROM:<%s> RCPT TO:<%s> was accepted: this is an open relay", e.from, e.to)).
				advise("Take it off the network now. Then see submission.trusted_networks and what stands in front of the listener: a proxy makes every client look like itself.", atConfig)
		case err != nil:
			return f.unknown(fmt.Sprintf("after %s it answers no more: %s", count(int64(refused), "refusal"), shown(err.Error())))
		}
		refused++
	}
	return f.ok(fmt.Sprintf("%s were refused", count(int64(refused), "attempt")))
}

// A door is a listener that is tried, over as many connections as it takes.
type door struct {
	x *exam
	l Listener
	t *talk
}

func (d *door) open(ctx context.Context) (err error) {
	d.t, err = d.x.enter(ctx, d.l)
	return err
}

func (d *door) leave() {
	if d.t != nil {
		d.t.quit()
		d.t = nil
	}
}

// try offers an envelope. Servers end the session of who errs too often: then it
// is offered once more in a new one.
func (d *door) try(ctx context.Context, e envelope) (taken bool, err error) {
	for range 2 {
		if d.t == nil {
			if err = d.open(ctx); err != nil {
				return false, err
			}
		}
		if taken, err = d.t.try(e); err == nil {
			return taken, nil
		}
		d.leave()
	}
	return false, err
}

// hostOf is the address that the listener is reached at.
func hostOf(t *talk) string {
	ap, err := netip.ParseAddrPort(t.conn.RemoteAddr().String())
	if err != nil {
		return "127.0.0.1"
	}
	return ap.Addr().Unmap().WithZone("").String()
}

// enter connects as any client does, over TLS where there is some.
func (x *exam) enter(ctx context.Context, l Listener) (*talk, error) {
	var implicit *tls.Config
	if l.TLS == ImplicitTLS {
		implicit = tlsUnverified(x.c.Hostname)
	}
	t, code, text, err := converse(ctx, &net.Dialer{}, "tcp", l.Addr, implicit)
	if err != nil {
		return nil, err
	}
	if code != 220 {
		t.quit()
		return nil, fmt.Errorf("greeted with %d %s", code, shown(text))
	}
	if _, err := t.ehlo("doctor." + strangerDomain); err != nil {
		t.quit()
		return nil, err
	}
	if l.TLS == StartTLS && t.offers("STARTTLS") {
		err := t.startTLS(ctx, tlsUnverified(x.c.Hostname))
		if err == nil {
			_, err = t.ehlo("doctor." + strangerDomain)
		}
		if err != nil {
			t.quit()
			return nil, err
		}
	}
	return t, nil
}

// trustedHere reports whether the connection comes from a network that may send.
func (x *exam) trustedHere(t *talk) (netip.Addr, bool) {
	ap, err := netip.ParseAddrPort(t.conn.LocalAddr().String())
	if err != nil {
		return netip.Addr{}, false
	}
	own := ap.Addr().Unmap()
	return own, slices.ContainsFunc(x.c.Trusted, func(p netip.Prefix) bool { return p.Contains(own) })
}

// try offers one envelope and takes it back.
func (t *talk) try(e envelope) (taken bool, err error) {
	code, text, err := t.say("MAIL FROM:<" + e.from + ">")
	if err != nil || code == 421 {
		return false, ended(code, text, err)
	}
	if code/100 == 2 {
		if code, text, err = t.say("RCPT TO:<" + e.to + ">"); err != nil || code == 421 {
			return false, ended(code, text, err)
		}
		taken = code/100 == 2
	}
	if code, text, err = t.say("RSET"); err != nil || code == 421 {
		if taken {
			return true, nil
		}
		return false, ended(code, text, err)
	}
	return taken, nil
}

func ended(code int, text string, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%d %s", code, text)
}
