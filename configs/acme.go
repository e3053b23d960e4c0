package configs

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// maxACMEDomains bounds the certificates of one relay: authorities give a few
// dozen a week.
const maxACMEDomains = 50

// checkACME looks at what an authority would refuse.
func (l *loader) checkACME() {
	a := l.cfg.TLS.ACME
	if l.cfg.TLS.Cert != "" || l.cfg.TLS.Key != "" {
		l.refuse("tls.acme.domains", "tls.cert and tls.key are set as well", "remove these, or tls.acme.domains: certificates come from files or from an authority")
		return
	}
	if n := len(a.Domains); n > maxACMEDomains {
		l.refuse("tls.acme.domains", fmt.Sprintf("there are %d names, and %d are possible", n, maxACMEDomains), "name only those that programs connect to")
	}
	if !a.AcceptTerms && !l.anyBroken("tls.acme.accept_terms") {
		l.refuse("tls.acme.accept_terms", "the authority gives certificates only to those who accept its terms of service", "read them (for Let's Encrypt at https://letsencrypt.org/repository/), then set tls.acme.accept_terms (POSTRIDER_ACME_ACCEPT_TERMS) to true")
	}
	if (a.EABKeyID == "") != a.EABKey.IsZero() && !l.anyBroken("tls.acme.eab_key_id", "tls.acme.eab_key") {
		l.refuse("tls.acme.eab_key", "tls.acme.eab_key_id and tls.acme.eab_key go together, and one of them is not set", "set both as the authority shows them, or neither")
	}
	l.checkACMERoots(a)
	l.checkACMENames(a)
	l.checkACMEDoors(a)
}

func (l *loader) checkACMERoots(a ACME) {
	if a.CA == "" || l.anyBroken("tls.acme.ca") {
		return
	}
	pem, m := l.read(a.CA)
	if m == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		m = &mistake{"the file " + a.CA + " holds no certificate", "name a PEM file with the root certificates of the directory's server"}
	}
	if m != nil {
		l.refuse("tls.acme.ca", m.what, m.fix)
	}
}

// checkACMENames warns of names that bring nothing.
func (l *loader) checkACMENames(a ACME) {
	if !l.anyBroken("hostname") && !slices.Contains(a.Domains, l.cfg.Hostname) {
		l.warn("tls.acme.domains", "no certificate is had for "+l.cfg.Hostname+", which is our name in the banner",
			"programs must connect to "+orList(a.Domains)+"; or add the name, or set hostname to one of these")
	}
	if a.Directory != letsEncrypt {
		return
	}
	for _, d := range a.Domains {
		if slices.Contains(privateEndings(), d[strings.LastIndexByte(d, '.')+1:]) {
			l.warn("tls.acme.domains", d+" is a name of private networks: Let's Encrypt gives no certificate for it", "use a name of the public DNS that leads here")
		}
	}
}

// privateEndings are names that the public DNS does not have (RFC 6761, RFC 6762,
// RFC 8375 and the usual ones).
func privateEndings() []string {
	return []string{"local", "localhost", "localdomain", "internal", "lan", "home", "test", "example", "invalid", "corp"}
}

// checkACMEDoors warns where no question of the authority can be answered. Where
// it really arrives only the network knows.
func (l *loader) checkACMEDoors(a ACME) {
	if l.anyBroken("tls.acme.http_listen", "http.listen", "http.operator_listen", "submission.listen", "imap.listen", "pop3.listen") {
		return
	}
	if len(a.HTTPListen) > 0 {
		for _, at := range a.HTTPListen {
			if at.Loopback() {
				l.warn("tls.acme.http_listen", "only this machine reaches "+at.String(), "listen on :80, or let a proxy pass /.well-known/acme-challenge/ on to it")
			}
		}
		return
	}
	c := l.cfg
	for _, listen := range [][]Listener{c.HTTP.Listen, c.HTTP.OperatorListen, c.Submission.Listen, c.IMAP.Listen, c.POP3.Listen} {
		if slices.ContainsFunc(listen, func(at Listener) bool { return at.Mode == ListenTLS }) {
			return
		}
	}
	l.refuse("tls.acme.http_listen", "it is off, and no listener begins with TLS: the authority could not find out whether the names lead here",
		"set it to :80, or add tls://:443 to http.listen (POSTRIDER_HTTP_LISTEN)")
}

// checkNoACME warns of what is set for nothing.
func (l *loader) checkNoACME() {
	if l.isSet("tls.acme.domains") {
		return // off by its own word, with the rest kept for another day
	}
	for _, key := range []string{"tls.acme.accept_terms", "tls.acme.email", "tls.acme.directory", "tls.acme.ca", "tls.acme.http_listen", "tls.acme.eab_key_id", "tls.acme.eab_key"} {
		if l.isSet(key) {
			l.warn(key, "it does nothing without tls.acme.domains", "set tls.acme.domains (POSTRIDER_ACME_DOMAINS), or remove it")
			return
		}
	}
}
