package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"postrider/queue"
)

// tlsShared is what the connections of a pool have in common.
type tlsShared struct {
	sessions tls.ClientSessionCache
	suites   []uint16 // of TLSOpportunistic
}

func newTLSShared() tlsShared {
	const kept = 512
	p := tlsShared{sessions: tls.NewLRUClientSessionCache(kept)}
	for _, s := range tls.CipherSuites() {
		p.suites = append(p.suites, s.ID)
	}
	// Old mail servers know no other key exchange, and the alternative is none.
	p.suites = append(p.suites,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA)
	return p
}

// policySessions are the sessions of one policy: they are resumed within it only.
type policySessions struct {
	all    tls.ClientSessionCache
	prefix string
}

func sessionsOf(all tls.ClientSessionCache, k *poolKey) policySessions {
	return policySessions{all, fmt.Sprintf("%d %t %t %q %q %q ", k.tls.Mode, k.tls.Verify, k.tls.RequireTLS, k.tls.Policy, k.tls.ServerName, k.peer)}
}

func (p policySessions) Get(key string) (*tls.ClientSessionState, bool) {
	return p.all.Get(p.prefix + key)
}

func (p policySessions) Put(key string, s *tls.ClientSessionState) { p.all.Put(p.prefix+key, s) }

// tlsConfig makes the configuration for the session's handshake. What the
// certificate is worth is noted in the session, also where nobody asks.
func (p *Pool) tlsConfig(t *Target, s *session) *tls.Config {
	name := t.TLS.ServerName
	if name == "" {
		name = s.host
	}
	name = strings.TrimSuffix(name, ".")
	c := &tls.Config{
		ServerName:         name,
		MinVersion:         tls.VersionTLS12,
		ClientSessionCache: sessionsOf(p.tls.sessions, &s.key),
		// The chain is verified below, so that its verdict can be recorded
		// where it decides nothing.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			return s.judge(&t.TLS, state, func() error { return verifyPeer(state, name, p.o.RootCAs, p.o.Now()) }, p.o.Now())
		},
	}
	if t.TLS.Mode == TLSOpportunistic {
		c.MinVersion, c.CipherSuites = p.o.MinTLS, p.tls.suites
	}
	return c
}

// judge decides about the peer's certificate and notes why.
func (s *session) judge(t *TLS, state tls.ConnectionState, chain func() error, now time.Time) error {
	how, err := "verified", error(nil)
	if t.Peer != nil {
		how, err = "verified by "+t.word(), t.Peer.Verify(state, now)
	} else {
		err = chain()
	}
	if err == nil {
		s.tlsPeer = how
		return nil
	}
	s.tlsPeer = clipText("unverified: "+strings.TrimPrefix(err.Error(), "x509: "), 200)
	if t.Peer == nil && !t.Verify {
		return nil
	}
	s.fault = faultOf(err)
	if t.required() {
		return err
	}
	return nil
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
	tc := tls.Client(s.raw, p.tlsConfig(t, s))
	s.arm(p.o.Timeouts.StartTLS)
	if err := tc.Handshake(); err != nil {
		if s.fault == "" {
			s.fault = FaultValidation
		}
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
