package smtpsim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Certificate describes a certificate for Issue. The zero value is good for the
// Server's names, now, and by the Server's authority, which is sent behind it.
type Certificate struct {
	Names               []string  // DNS names and IP addresses; nil: the Server's
	NotBefore, NotAfter time.Time // zero: an hour ago, in 89 days
	SelfSigned          bool      // by no authority
	Stranger            bool      // by an authority that nobody knows
	Intermediate        bool      // by an authority below the Server's, sent along; the Server's own is not
	NoChain             bool      // nothing is sent behind it
}

// Issue makes a certificate, with a key of its own. It needs Options.TLS.
func (s *Server) Issue(c Certificate) (tls.Certificate, error) {
	if s.authority == nil {
		return tls.Certificate{}, errors.New("a certificate needs Options.TLS")
	}
	now := s.o.Now()
	if c.Names == nil {
		c.Names = s.names()
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = now.Add(-time.Hour)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = now.Add(89 * 24 * time.Hour)
	}
	by, err := s.authority, error(nil)
	switch {
	case c.SelfSigned:
		by = nil
	case c.Stranger:
		by, err = newAuthority(now, nil)
	case c.Intermediate:
		by, err = newAuthority(now, s.authority)
	}
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := by.issue(c.Names, c.NotBefore, c.NotAfter)
	if c.NoChain && err == nil {
		cert.Certificate = cert.Certificate[:1]
	}
	return cert, err
}

// Authority is the certificate of the Server's own authority; nil without TLS.
func (s *Server) Authority() *x509.Certificate {
	if s.authority == nil {
		return nil
	}
	return s.authority.cert
}

// authority is a certificate authority that lives as long as its Server.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (s *Server) setUpTLS() error {
	if s.o.TLS == NoTLS {
		return nil
	}
	if s.o.TLSConfig != nil {
		s.tls = s.o.TLSConfig
	}
	now := s.o.Now()
	a, err := newAuthority(now, nil)
	if err != nil {
		return err
	}
	s.authority = a
	if s.tls != nil {
		return nil
	}
	cert, err := s.Issue(Certificate{})
	if err != nil {
		return err
	}
	s.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
	return nil
}

// names are what the Server's own certificate is good for.
func (s *Server) names() []string {
	return []string{s.o.Hostname, "localhost", "127.0.0.1", "::1"}
}

// newAuthority makes an authority above all, or one below another.
func newAuthority(now time.Time, above *authority) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "smtpsim authority"},
		NotBefore:             now.Add(-90 * 24 * time.Hour),
		NotAfter:              now.Add(90 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	parent, signer := template, key
	if above != nil {
		template.Subject.CommonName, template.SerialNumber = "smtpsim intermediate", big.NewInt(2)
		parent, signer = above.cert, above.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, fmt.Errorf("make authority certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse authority certificate: %w", err)
	}
	return &authority{cert: cert, key: key}, nil
}

// issue makes a server certificate with the authority behind it in the chain. The
// nil authority leaves it to itself.
func (a *authority) issue(names []string, notBefore, notAfter time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make serial: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "smtpsim"},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	parent, signer := template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	if a != nil {
		cert.Certificate = append(cert.Certificate, a.cert.Raw)
	}
	return cert, nil
}
