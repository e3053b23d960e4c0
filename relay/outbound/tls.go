package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"postrider/queue"
)

// tlsPolicies holds what is shared by connections of one policy. Sessions are
// resumed within a policy only.
type tlsPolicies struct {
	opportunistic, required, verified tls.ClientSessionCache
	suites                            []uint16
}

func newTLSPolicies() tlsPolicies {
	const kept = 128
	p := tlsPolicies{
		opportunistic: tls.NewLRUClientSessionCache(kept),
		required:      tls.NewLRUClientSessionCache(kept),
		verified:      tls.NewLRUClientSessionCache(kept),
	}
	for _, s := range tls.CipherSuites() {
		p.suites = append(p.suites, s.ID)
	}
	// Old mail servers know no other key exchange, and the alternative is none.
	p.suites = append(p.suites,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA)
	return p
}

// tlsConfig makes the configuration for one handshake; verdict receives what the
// certificate is worth, also where nobody asks.
func (p *Pool) tlsConfig(t *Target, host string, verdict *string) *tls.Config {
	name := t.TLS.ServerName
	if name == "" {
		name = host
	}
	name = strings.TrimSuffix(name, ".")
	must := t.TLS.Verify && t.TLS.Mode != TLSOpportunistic
	c := &tls.Config{
		ServerName: name,
		MinVersion: tls.VersionTLS12,
		// The chain is verified below, so that its verdict can be recorded
		// where it decides nothing.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			err := verifyPeer(s, name, p.o.RootCAs, p.o.Now())
			if err == nil {
				*verdict = "verified"
				return nil
			}
			*verdict = clipText("unverified: "+strings.TrimPrefix(err.Error(), "x509: "), 200)
			if must {
				return err
			}
			return nil
		},
	}
	switch {
	case t.TLS.Mode == TLSOpportunistic:
		c.MinVersion, c.CipherSuites, c.ClientSessionCache = p.o.MinTLS, p.tls.suites, p.tls.opportunistic
	case must:
		c.ClientSessionCache = p.tls.verified
	default:
		c.ClientSessionCache = p.tls.required
	}
	return c
}

func verifyPeer(s tls.ConnectionState, name string, roots *x509.CertPool, now time.Time) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	if name == "" {
		return errors.New("the host has no name to verify")
	}
	o := x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(o)
	return err
}

// handshake puts TLS on the session's connection.
func (s *session) handshake(p *Pool, t *Target) *failure {
	began := time.Now()
	tc := tls.Client(s.raw, p.tlsConfig(t, s.host, &s.tlsPeer))
	s.arm(p.o.Timeouts.StartTLS)
	if err := tc.Handshake(); err != nil {
		return &failure{stage: queue.StageTLS, text: "TLS handshake: " + s.explain(err, "in the handshake"), transient: isNetwork(err)}
	}
	st := tc.ConnectionState()
	s.conn = tc
	s.tls = strings.Replace(tls.VersionName(st.Version), " ", "", 1) + " " + tls.CipherSuiteName(st.CipherSuite)
	s.r = newReplyReader(tc)
	s.caps = capabilities{} // RFC 3207 §4.2
	p.observe(queue.StageTLS, began)
	return nil
}

// isNetwork reports an error that says nothing about TLS itself.
func isNetwork(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// The memory of a handshake that the network may have broken is short.
const transientTLSMemory = time.Hour
