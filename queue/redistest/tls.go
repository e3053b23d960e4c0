package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	certificateFile = "server.crt"
	keyFile         = "server.key"
)

// StartTLSServer is StartServer with a second port, TLSAddr, that speaks TLS.
func StartTLSServer(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := newServer(t, "")
	s.secure = newPort(t)
	s.settings = durable + fmt.Sprintf("tls-port %d\ntls-cert-file %s\ntls-key-file %s\ntls-auth-clients no\n",
		s.secure, certificateFile, keyFile) + strings.Join(settings, "\n")
	if err := s.certify(); err != nil {
		t.Fatalf("make a certificate: %v", err)
	}
	s.start(t)
	return s
}

// TLSAddr is host:port of the port that speaks TLS.
func (s *Server) TLSAddr() string { return address(s.secure) }

// CAFile is the certificate that clients of TLSAddr must trust, in PEM.
func (s *Server) CAFile() string { return filepath.Join(s.dir, certificateFile) }

// TLSConfig is for clients of TLSAddr.
func (s *Server) TLSConfig(t testing.TB) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", s.CAFile())
	}
	return &tls.Config{RootCAs: roots}
}

// certify writes a key and a certificate that is its own authority.
func (s *Server) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP(loopback)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		certificateFile: {Type: "CERTIFICATE", Bytes: certificate},
		keyFile:         {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
