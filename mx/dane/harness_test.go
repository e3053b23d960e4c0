package dane_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"postrider/mx"
	"postrider/mx/dane"
)

// issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate below parent; without one it signs itself.
func issue(t *testing.T, parent *issued, change func(*x509.Certificate)) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: serial.String()},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	change(template)
	signer := &issued{template, key}
	if parent != nil {
		signer = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, key.Public(), signer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

func isCA(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
}

func named(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

func expired(c *x509.Certificate) {
	c.DNSNames, c.NotAfter = []string{"mx.signed.test"}, time.Now().Add(-24*time.Hour)
}

// record makes the TLSA record of a certificate.
func record(usage, selector, matching uint8, of *issued) mx.TLSA {
	data := of.cert.Raw
	if selector == 1 {
		data = of.cert.RawSubjectPublicKeyInfo
	}
	switch matching {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return mx.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
}

// handshake connects to a server with this chain under a policy.
func handshake(t *testing.T, p dane.Policy, version uint16, chain ...*issued) error {
	t.Helper()
	cert := tls.Certificate{PrivateKey: crypto.PrivateKey(chain[0].key)}
	for _, c := range chain {
		cert.Certificate = append(cert.Certificate, c.cert.Raw)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan string, 1)
	go func() {
		defer close(served)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		s := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version})
		_ = s.Handshake()
		served <- s.ConnectionState().ServerName
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := tls.Client(conn, &tls.Config{
		ServerName: p.Base, InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error { return p.Verify(s, time.Now()) },
	})
	err = c.HandshakeContext(t.Context())
	_ = conn.Close()
	if name := <-served; err == nil && name != p.Base {
		t.Errorf("the server was asked for as %q; want %q", name, p.Base)
	}
	return err
}

// resultOf is the result of a failed handshake, or "" of one that succeeded.
func resultOf(t *testing.T, err error) dane.Result {
	t.Helper()
	if err == nil {
		return ""
	}
	var m *dane.Mismatch
	if !errors.As(err, &m) || m.Reason == "" || m.Base == "" {
		t.Fatalf("got %v; want a *dane.Mismatch", err)
	}
	return m.Result
}
