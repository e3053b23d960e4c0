package app_test

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
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/cmd/internal/app"
	"postrider/configs"
	"postrider/relay/smtpsim"
)

// selfMade writes a certificate for mail.example.com, with two names of which one
// is there twice, and its key.
func selfMade(t *testing.T) (cert, key string, ends time.Time) {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ends = time.Now().Add(30 * 24 * time.Hour).Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.com"}, DNSNames: []string{"mail.example.com", "smtp.example.com", "mail.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: ends,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, ends
}

func TestHTTPSIsServedFromFilesAndMetricsSayWhenTheyEnd(t *testing.T) {
	t.Parallel()
	cert, key, ends := selfMade(t)
	a, _, _ := start(t, smtpsim.Options{}, map[string]string{"http.listen": "127.0.0.1:0,tls://127.0.0.1:0", "tls.cert": cert, "tls.key": key})
	roots := x509.NewCertPool()
	text, err := os.ReadFile(cert)
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "mail.example.com"}}}
	defer client.CloseIdleConnections()
	get := func(url string) string {
		t.Helper()
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", url, resp.Status, err)
		}
		return resp.Proto + string(body)
	}
	if got := get("https://" + a.HTTPAddrs()[1].String() + "/livez"); !strings.HasPrefix(got, "HTTP/2.0") {
		t.Errorf("got %q", got)
	}
	metrics := get("http://" + a.HTTPAddrs()[0].String() + "/metrics")
	for _, name := range []string{"mail.example.com", "smtp.example.com"} {
		want := fmt.Sprintf("postrider_tls_certificate_expiry_timestamp_seconds{name=%q} %s\n", name, strconv.FormatFloat(float64(ends.Unix()), 'g', -1, 64))
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

func TestARelayStartsWithoutItsAuthority(t *testing.T) {
	t.Parallel()
	a, _, _ := start(t, smtpsim.Options{}, map[string]string{
		"tls.acme.domains": "mail.example.com,more.example.com", "tls.acme.accept_terms": "true", "tls.acme.directory": "https://127.0.0.1:1/dir",
		"tls.acme.http_listen": "127.0.0.1:0", "submission.listen": "127.0.0.1:0,tls://127.0.0.1:0",
	})
	s := dial(t, a.SubmissionAddrs()[0])
	defer s.c.Close()
	if _, err := s.send("a@example.com", "b@example.net", "Subject: x\r\n\r\nx\r\n"); err != nil {
		t.Error(err)
	}
	if c, err := tls.Dial("tcp", a.SubmissionAddrs()[1].String(), &tls.Config{InsecureSkipVerify: true}); err == nil {
		c.Close()
		t.Error("TLS is spoken without a certificate")
	}
	resp, err := http.Get("http://" + a.ACMEAddrs()[0].String() + "/.well-known/acme-challenge/abc")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("the door answers %s", resp.Status)
	}
}

func TestTheLogTellsOfFilesThatExpire(t *testing.T) {
	t.Parallel()
	cert, key, ends := selfMade(t)
	for _, tt := range []struct {
		left time.Duration
		want string
	}{
		{20 * 24 * time.Hour, ""},
		{7 * 24 * time.Hour, "certificate expires soon"}, // of 30 days
		{-time.Hour, "certificate expired: clients that verify refuse it"},
	} {
		cfg, problems := configs.Load(configs.LoadOptions{Flags: map[string]string{
			"data_dir": t.TempDir(), "submission.listen": "127.0.0.1:0", "http.listen": "off", "imap.listen": "off", "pop3.listen": "off",
			"tls.cert": cert, "tls.key": key, "storage.min_free": "0", "storage.reserve": "0", "doctor.every": "off", "delivery.port25_probe": "off",
		}})
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		seen := make(chan string, 1)
		a, err := app.New(t.Context(), app.Options{Config: cfg, Now: func() time.Time { return ends.Add(-tt.left) }, Logger: slog.New(certificateLines(seen))})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.Drain(t.Context()); err != nil { // the first look comes before the end
			t.Error(err)
		}
		close(seen)
		if got := <-seen; got != tt.want {
			t.Errorf("with %s left the log says %q, want %q", tt.left, got, tt.want)
		}
	}
}

// certificateLines is a log of which only what is said of expiry counts.
type certificateLines chan string

func (certificateLines) Enabled(context.Context, slog.Level) bool { return true }
func (c certificateLines) WithAttrs([]slog.Attr) slog.Handler     { return c }
func (c certificateLines) WithGroup(string) slog.Handler          { return c }
func (c certificateLines) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "certificate expire") {
		c <- r.Message
	}
	return nil
}
