package acme

import (
	"crypto/tls"
	"errors"
	"net/http"
	"time"
)

// ErrNone says that there is no certificate yet.
var ErrNone = errors.New("there is no certificate yet: the authority has been asked for one")

// Config is what listeners use. Handshakes fail at once with ErrNone until there is
// a certificate: see Ready.
func (m *Manager) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: m.get, GetConfigForClient: m.answers.configFor}
}

// Handler answers the authority's questions on port 80.
func (m *Manager) Handler() http.Handler { return m.answers }

// Ready reports whether there is a certificate.
func (m *Manager) Ready() bool { return m.find("") != nil }

// get is for tls.Config.GetCertificate.
func (m *Manager) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if p := m.find(plainName(hello.ServerName)); p != nil {
		return p.cert, nil
	}
	m.refused.Add(1)
	return nil, ErrNone
}

// find returns the certificate for a name, or another one where there is none: a
// client that does not verify it is served all the same.
func (m *Manager) find(domain string) *pair {
	var fallback, first *pair
	for _, n := range m.names {
		p := n.shown.Load()
		switch {
		case p == nil:
		case n.domain == domain:
			return p
		case n.domain == m.o.Fallback:
			fallback = p
		case first == nil:
			first = p
		}
	}
	if fallback != nil {
		return fallback
	}
	return first
}

// tellRefused says, once a look, that connections were refused.
func (m *Manager) tellRefused() {
	if n := m.refused.Swap(0); n > 0 {
		m.o.Logger.Warn("tls connections refused: there is no certificate yet", "connections", n, "do", "see why in the lines about the certificate of each name")
	}
}

// Status is how the certificate of a name is.
type Status struct {
	Domain   string
	Ends     time.Time // zero: there is none
	Renewal  time.Time // when it is, or would have been, renewed
	Failures int       // attempts since the last that went well
	Next     time.Time // the next attempt after a failure
	Fault    string    // why the last attempt failed
	Advice   string
}

// Status returns how each name's certificate is, in the order of Options.Domains.
func (m *Manager) Status() []Status {
	all := make([]Status, 0, len(m.names))
	for _, n := range m.names {
		s := Status{Domain: n.domain}
		if p := n.shown.Load(); p != nil {
			s.Ends, s.Renewal = p.cert.Leaf.NotAfter, p.renewal()
		}
		if r := n.seen.Load(); r != nil {
			s.Failures, s.Next, s.Fault, s.Advice = r.Failures, r.Next, r.Fault, r.Advice
		}
		all = append(all, s)
	}
	return all
}
