package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// certificate is a self-made one in two files.
type certificate struct{ cert, key string }

// renew writes a new certificate with this serial number for localhost.
func (c certificate) renew(t *testing.T, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"localhost"},
		Subject:   pkix.Name{CommonName: "localhost"}, // fetchmail asks for one
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(30 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	// As ACME clients do: the new file takes the place of the old one.
	for file, block := range map[string]*pem.Block{
		c.key:  {Type: "PRIVATE KEY", Bytes: secret},
		c.cert: {Type: "CERTIFICATE", Bytes: der},
	} {
		if err := os.WriteFile(file+".new", pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
}

// served is the serial number of the certificate that a TLS listener shows.
func served(ctx context.Context, addr string) (int64, error) {
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // its serial is all that is asked
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func TestCertificatesAreServedAndReadAgain(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	dir := e2etest.Dir(t)
	c := certificate{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	c.renew(t, 1001)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.StartIn(t, dir, world.Env(), e2etest.Env{
		"POSTRIDER_SUBMISSION_LISTEN": "127.0.0.1:0,starttls://127.0.0.1:0,tls://127.0.0.1:0",
		"POSTRIDER_TLS_CERT":          c.cert, "POSTRIDER_TLS_KEY": c.key,
	})
	plain, required, implicit := relay.Listeners[0], relay.Listeners[1], relay.Listeners[2]
	for _, addr := range []string{plain, required} {
		s, err := e2etest.Dial(ctx, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if !slices.Contains(s.Offers, "STARTTLS") {
			t.Errorf("%s offers %q", addr, s.Offers)
		}
		if addr == required && slices.Contains(s.Offers, "AUTH PLAIN LOGIN") {
			t.Errorf("%s offers AUTH before STARTTLS", addr)
		}
		if err := s.StartTLS(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.Authenticate(e2etest.User, e2etest.Password); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Send("a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "over TLS")); err != nil {
			t.Error(err)
		}
	}
	e2etest.Receive(ctx, t, mx, 2)
	if serial, err := served(ctx, implicit); err != nil || serial != 1001 {
		t.Errorf("the certificate served is %d, %v", serial, err)
	}
	c.renew(t, 1002)
	e2etest.Poll(ctx, t, func() error {
		serial, err := served(ctx, implicit)
		if err == nil && serial != 1002 {
			err = fmt.Errorf("the certificate served is %d", serial)
		}
		return err
	})
}
