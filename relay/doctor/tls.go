package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// The days before the end of a certificate at which it is worth a word.
const (
	day        = 24 * time.Hour
	expirySoon = 21 * day
	expiryNow  = 7 * day
	expiryLast = 1 * day
)

// tlsUnverified connects to whatever is there: the certificate is what is looked
// at.
func tlsUnverified(name string) *tls.Config {
	return &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} //nolint:gosec // the certificate is judged by hand
}

// serverTLS judges the certificates that our listeners show.
func (x *exam) serverTLS(ctx context.Context) []Finding {
	f := about("tls.server", x.c.Hostname, "the certificate for "+x.c.Hostname)
	var found []Finding
	var shownBefore [][]byte
	for _, l := range x.c.Listeners {
		if l.TLS == NoTLS {
			continue
		}
		f := about("tls.server", l.Service+" "+l.Addr, "the certificate at "+l.Addr)
		chain, err := x.served(ctx, l)
		switch {
		case err != nil:
			found = append(found, f.fail("no TLS session: "+shown(err.Error())).advise("See the section tls, and the log.", atConfig))
		case slices.ContainsFunc(shownBefore, func(raw []byte) bool { return string(raw) == string(chain[0].Raw) }):
			found = append(found, f.ok("the same certificate"))
		default:
			shownBefore = append(shownBefore, chain[0].Raw)
			found = append(found, x.judgeChain(f, chain))
		}
	}
	switch {
	case len(found) > 0:
		return found
	case len(x.c.Certificate) > 0:
		return []Finding{x.judgeChain(f, x.c.Certificate)}
	case len(x.c.Renewals) > 0:
		return nil // they speak for themselves
	case slices.ContainsFunc(x.c.Listeners, func(l Listener) bool { return !loopback(l.Addr) }):
		return []Finding{f.warn("there is none, and listeners can be reached from other machines: passwords and mail cross the network readable").
			advise("Set tls.cert and tls.key, or tls.acme.domains.", atConfig)}
	}
	return []Finding{f.ok("there is none, and nothing listens beyond this machine")}
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// served connects to one of our listeners and returns the chain it shows.
func (x *exam) served(ctx context.Context, l Listener) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if l.TLS == ImplicitTLS {
		d := tls.Dialer{NetDialer: &net.Dialer{}, Config: tlsUnverified(x.c.Hostname)}
		c, err := d.DialContext(ctx, "tcp", l.Addr)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		secure, ok := c.(*tls.Conn)
		if !ok {
			return nil, errors.New("not a TLS connection")
		}
		return secure.ConnectionState().PeerCertificates, nil
	}
	if l.Service != "submission" {
		return nil, fmt.Errorf("STARTTLS of %s is not tried", l.Service)
	}
	t, _, _, err := converse(ctx, &net.Dialer{}, "tcp", l.Addr, nil)
	if err != nil {
		return nil, err
	}
	defer t.quit()
	if _, err := t.ehlo("doctor." + x.c.Hostname); err != nil {
		return nil, err
	}
	if err := t.startTLS(ctx, tlsUnverified(x.c.Hostname)); err != nil {
		return nil, err
	}
	secure, ok := t.conn.(*tls.Conn)
	if !ok {
		return nil, errors.New("not a TLS connection")
	}
	return secure.ConnectionState().PeerCertificates, nil
}

// judgeChain says what clients that verify make of a chain.
func (x *exam) judgeChain(f Finding, chain []*x509.Certificate) Finding {
	leaf, now := chain[0], x.o.Now()
	left := leaf.NotAfter.Sub(now)
	soon, near, last := wornOut(leaf.NotAfter.Sub(leaf.NotBefore))
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	f.Asked += ", for " + x.c.Hostname
	renew := "Renew the certificate. It is read again by itself when the files change."
	if len(x.c.Renewals) > 0 {
		renew = "The relay renews it by itself: see the log for why it has not."
	}
	switch {
	case left <= 0:
		return f.fail("it expired on "+leaf.NotAfter.UTC().Format(time.DateOnly)).advise(renew, atHost).marked("expired")
	case now.Before(leaf.NotBefore):
		return f.fail("it is not valid before "+leaf.NotBefore.UTC().Format(time.DateTime)+" UTC").advise("See whether the clock is right.", atHost).marked("early")
	case left <= last:
		return f.fail("it expires in "+span(left)).advise(renew, atHost).marked("1")
	}
	if err := leaf.VerifyHostname(x.c.Hostname); err != nil {
		return f.warn("it is for "+list(names(leaf))+", not for "+x.c.Hostname).
			advise("Get a certificate for the name that programs connect to; if that is another one than the host's, all is well.", atHost).marked("name")
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: x.c.Hostname, Roots: x.o.Roots, Intermediates: between, CurrentTime: now})
	switch {
	case err != nil && string(leaf.RawIssuer) == string(leaf.RawSubject):
		return f.warn("it is self-signed: PHP and most programs refuse it").advise("Get one from a public authority such as Let's Encrypt.", atHost).marked("chain")
	case err != nil:
		return f.warn("its chain does not lead to an authority that is trusted here: "+shown(err.Error())).
			advise("Put the whole chain into tls.cert, the leaf first (fullchain.pem).", atConfig).marked("chain")
	case left <= near:
		return f.warn("it expires in "+span(left)).advise(renew, atHost).marked("7")
	case left <= soon:
		return f.warn("it expires in "+span(left)).advise(renew, atHost).marked("21")
	}
	return f.ok("for " + list(names(leaf)) + ", good for " + span(left))
}

func names(c *x509.Certificate) []string {
	all := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		all = []string{"nobody"}
	}
	return all
}

// outTLS says how much of the last day's mail left encrypted, and whether it could.
func (x *exam) outTLS(context.Context) []Finding {
	var without []string
	if x.direct() {
		for _, p := range x.probed() {
			if p.heard && !p.tls {
				without = append(without, p.host)
			}
		}
	}
	if len(without) > 0 {
		return append(x.encrypted(), about("tls.out", x.c.Hostname, "STARTTLS of large mail providers").marked("starttls").
			warn(list(without)+" offers none here, and does elsewhere: something on the way strips it").
			advise("Look for a firewall that inspects SMTP, here or at your provider, and turn that off.", atProvider))
	}
	return x.encrypted()
}

func (x *exam) encrypted() []Finding {
	f := about("tls.out", x.c.Hostname, "how many deliveries of the last day went over TLS")
	o := x.c.Outcomes
	switch {
	case o == nil:
		return []Finding{f.unknown("there are no counters: the relay does not run here")}
	case o.Delivered == 0:
		return []Finding{f.unknown("nothing was delivered")}
	case o.Encrypted == o.Delivered:
		return []Finding{f.ok("all of " + count(o.Delivered, "recipient") + " that were looked at")}
	}
	plain := ""
	if len(o.Plain) > 0 {
		plain = "; not to " + list(o.Plain)
	}
	said := fmt.Sprintf("%s of %d%s", percent(o.Encrypted, o.Delivered), o.Delivered, plain)
	large := slices.ContainsFunc(o.Plain, func(s string) bool {
		return strings.HasSuffix(s, "google.com") || strings.HasSuffix(s, "gmail.com") || strings.HasSuffix(s, "outlook.com") || strings.HasSuffix(s, "yahoodns.net")
	})
	switch {
	case large || o.Encrypted*2 < o.Delivered:
		return []Finding{f.warn(said).advise("Large providers all offer TLS: something on the way strips it, or delivery.tls is none.", atConfig)}
	}
	return []Finding{f.ok(said)}
}
