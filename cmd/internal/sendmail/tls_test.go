package sendmail

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// certificate makes a server certificate for 127.0.0.1 and who vouches for it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}

func TestTLSIsRequiredAndVerified(t *testing.T) {
	t.Parallel()
	config, roots := certificate(t)
	relay := &scriptedRelay{extensions: []string{"STARTTLS", "AUTH PLAIN"}, tls: config}
	relay.serve(t, "tcp", "127.0.0.1:0")
	send := func(address string, pool *x509.CertPool, args ...string) result {
		inv := call("", args...)
		inv.RootCAs = pool
		inv.Environ = []string{"POSTRIDER_SUBMIT=" + address}
		return inv.run(t, "EHLO me\r\nQUIT\r\n")
	}
	address := "starttls://shop:secret@" + relay.listener.Addr().String()
	send(address, roots, "a@x.example").must(t, 0)
	relay.one(t)
	if said := relay.said(); said[1] != "STARTTLS" || !strings.HasPrefix(said[2], "EHLO") || !strings.HasPrefix(said[3], "AUTH") {
		t.Errorf("commands %q", said)
	}
	r := send(address, roots, "-bs")
	r.must(t, 0)
	if !strings.HasSuffix(r.stdout, "221 2.0.0 Bye\r\n") {
		t.Errorf("tunnel through TLS: %q", r.stdout)
	}
	before := len(relay.said())
	send(address, nil, "a@x.example").must(t, 69)
	if said := relay.said()[before:]; slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, "AUTH") }) {
		t.Errorf("the password went to a stranger: %q", said)
	}
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	config, roots := certificate(t)
	relay := &scriptedRelay{}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	relay.accept(t, l)
	inv := call("", "a@x.example")
	inv.Environ = []string{"POSTRIDER_SUBMIT=smtps://" + l.Addr().String()}
	inv.run(t, "\nx\n").must(t, 69) // nobody vouches
	inv.RootCAs = roots
	inv.run(t, "\nx\n").must(t, 0)
	relay.one(t)
}
