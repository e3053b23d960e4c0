package configs

import (
	"bytes"
	"crypto/tls"
	"fmt"
)

// checkTLS reads the certificate and its key, so that a mistake shows before
// the first client does.
func (l *loader) checkTLS() {
	c := l.cfg
	if l.anyBroken("tls.cert", "tls.key", "tls.acme.domains") {
		return
	}
	if c.TLS.ACME.On() {
		l.checkACME()
		return
	}
	l.checkNoACME()
	switch {
	case c.TLS.Cert == "" && c.TLS.Key == "":
		l.checkNoTLS()
		return
	case c.TLS.Key == "":
		l.refuse("tls.key", "tls.cert is set, but its key is not", "set tls.key (POSTRIDER_TLS_KEY) to the PEM file with the private key")
		return
	case c.TLS.Cert == "":
		l.refuse("tls.cert", "tls.key is set, but its certificate is not", "set tls.cert (POSTRIDER_TLS_CERT) to the PEM file with the certificate and its chain")
		return
	}
	certificate, m1 := l.read(c.TLS.Cert)
	if m1 != nil {
		l.refuse("tls.cert", m1.what, m1.fix)
	}
	key, m2 := l.read(c.TLS.Key)
	if m2 != nil {
		l.refuse("tls.key", m2.what, m2.fix)
	}
	if m1 != nil || m2 != nil {
		return
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		l.refuse("tls.cert", fmt.Sprintf("the certificate and its key cannot be used (%v)", err), "give two PEM files that belong together")
		return
	}
	l.checkCertificate(pair)
}

func (l *loader) checkNoTLS() {
	c := l.cfg
	for _, of := range []struct {
		key string
		at  []Listener
	}{
		{"submission.listen", c.Submission.Listen}, {"http.listen", c.HTTP.Listen}, {"http.operator_listen", c.HTTP.OperatorListen},
		{"imap.listen", c.IMAP.Listen}, {"pop3.listen", c.POP3.Listen},
	} {
		for _, at := range of.at {
			if at.Mode != ListenPlain && !l.anyBroken(of.key) {
				l.refuse(of.key, at.String()+" needs a certificate", "set tls.cert and tls.key, or tls.acme.domains, or remove "+string(at.Mode)+"://")
			}
		}
	}
}

func (l *loader) checkCertificate(pair tls.Certificate) {
	leaf := pair.Leaf
	const renew = "renew it; the new one is taken without a restart"
	switch left := leaf.NotAfter.Sub(l.Now); {
	case left <= 0:
		l.warn("tls.cert", "the certificate expired on "+leaf.NotAfter.Format("2006-01-02")+", and clients refuse it", renew)
	case left < minCertificateLeft:
		l.warn("tls.cert", "the certificate expires on "+leaf.NotAfter.Format("2006-01-02"), renew)
	}
	if leaf.NotBefore.After(l.Now) {
		l.warn("tls.cert", "the certificate is valid only from "+leaf.NotBefore.Format("2006-01-02"), "check the clock of this machine")
	}
	if bytes.Equal(leaf.RawIssuer, leaf.RawSubject) {
		l.warn("tls.cert", "the certificate is self-signed: PHP and most programs then fail as soon as STARTTLS is offered", "use one from a known authority, or none on a private network")
	}
	if !l.anyBroken("hostname") && leaf.VerifyHostname(l.cfg.Hostname) != nil {
		l.warn("tls.cert", "the certificate is not for "+l.cfg.Hostname, "clients must use a name that it holds, or set hostname to one")
	}
}
