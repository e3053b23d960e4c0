//go:build full && linux

package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"postrider/mx/dnssim/authority"
	"postrider/relay/smtpsim"
)

// ca is a certificate authority.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T, name string) *ca {
	t.Helper()
	c := &ca{}
	template := certificateFor(name)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	made := c.issue(t, template)
	c.cert, c.key = made.Leaf, made.PrivateKey.(*ecdsa.PrivateKey)
	return c
}

func certificateFor(names ...string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(48 * time.Hour),
	}
}

// issue makes a certificate; an authority without one of its own signs it with
// its own key.
func (c *ca) issue(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer, chain := template, key, [][]byte(nil)
	if c.cert != nil {
		parent, signer, chain = c.cert, c.key, [][]byte{c.cert.Raw}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: append([][]byte{der}, chain...), PrivateKey: key, Leaf: leaf}
}

// realm is an internet with everything that the places need.
type realm struct {
	public, private *ca // the first is trusted by the relay
	wire            *sniffer
	key             *dns.DNSKEY
	names           *authority.Server
	zones           map[string]*strings.Builder // texts of the two zones by apex
	damage          authority.Damage
	policies        *policyHost
	hosts           int
}

const (
	signedTop = "example." // all that is in it is signed
	plainTop  = "test."    // nothing in it is
)

// newRealm builds all places.
func newRealm(t *testing.T, places []*place) *realm {
	t.Helper()
	r := &realm{
		public: newCA(t, "Public Authority"), private: newCA(t, "Private Authority"), wire: watchWire(t),
		zones: map[string]*strings.Builder{signedTop: {}, plainTop: {}},
	}
	r.policies = startPolicyHost(t)
	for _, p := range places {
		r.build(t, p)
	}
	signed := r.zone(t, signedTop)
	key, err := signed.Sign(r.damage)
	if err != nil {
		t.Fatal(err)
	}
	r.key = key
	if r.names, err = authority.Start(signed, r.zone(t, plainTop)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.names.Close() })
	for _, p := range places {
		for _, q := range p.fails {
			name, qtype, _ := strings.Cut(q, " ")
			r.names.Fail(absolute(name, p.domain), dns.StringToType[qtype])
		}
	}
	return r
}

func (r *realm) zone(t *testing.T, apex string) *authority.Zone {
	t.Helper()
	z, err := authority.Parse(apex, r.zones[apex].String())
	if err != nil {
		t.Fatalf("%v in:\n%s", err, r.zones[apex])
	}
	return z
}

func absolute(name, domain string) string {
	if name == "@" {
		return dns.Fqdn(domain)
	}
	return dns.Fqdn(name + "." + domain)
}

func topOf(domain string) string { return domain[strings.LastIndexByte(domain, '.')+1:] + "." }

// build starts the hosts of a place and writes its records.
func (r *realm) build(t *testing.T, p *place) {
	t.Helper()
	zone := r.zones[topOf(p.domain)]
	publish := func(name, format string, args ...any) {
		fmt.Fprintf(zone, "%s %s\n", absolute(name, p.domain), fmt.Sprintf(format, args...))
	}
	for i := range p.hosts {
		h := &p.hosts[i]
		addr := r.start(t, p, h)
		kind := "A"
		if h.six {
			kind = "AAAA"
		}
		publish(h.name, "%s %s", kind, addr)
		if h.pref > 0 {
			publish("@", "MX %d %s", h.pref, absolute(h.name, p.domain))
		}
		for _, record := range h.records {
			publish("_25._tcp."+h.name, "TLSA %s", record)
		}
	}
	fmt.Fprintf(zone, "$ORIGIN %s.\n%s\n$ORIGIN %s\n", p.domain, p.records, topOf(p.domain))
	if p.sts != nil {
		publish("_mta-sts", `0 TXT "v=STSv1; id=1"`)
		publish("mta-sts", "A %s", policyAddr)
		by := r.public
		if p.sts.untrusted {
			by = r.private
		}
		r.policies.serve(p, by.issue(t, certificateFor("mta-sts."+p.domain)))
	}
	for _, name := range p.expired {
		r.damage.Expired = append(r.damage.Expired, absolute(name, p.domain))
	}
	for _, name := range p.forged {
		r.damage.Forged = append(r.damage.Forged, absolute(name, p.domain))
	}
}

const mxPort = "25"

// start gives a host its address and what answers there.
func (r *realm) start(t *testing.T, p *place, h *host) string {
	t.Helper()
	addr := h.addr
	if addr == "" {
		r.hosts++
		addr = fmt.Sprintf("8.8.1.%d", r.hosts)
		if h.six {
			addr = fmt.Sprintf("2a00:1450:4000::%d", r.hosts)
		}
	}
	full := absolute(h.name, p.domain)
	h.at = addr
	r.wire.name(addr, h.label())
	switch h.is {
	case "silent":
		drop(t, addr)
		return addr
	case "closed":
		return addr
	}
	o := smtpsim.Options{Addr: net.JoinHostPort(addr, mxPort), Hostname: strings.TrimSuffix(full, "."), Rules: h.rules, Capabilities: h.offers}
	if !h.noTLS {
		o.TLS = smtpsim.StartTLS
		o.TLSConfig = r.certify(t, p, h, strings.TrimSuffix(full, "."))
	}
	s, err := smtpsim.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return addr
}

// certify makes the certificate of a host, and the TLSA records that it is to have.
func (r *realm) certify(t *testing.T, p *place, h *host, name string) *tls.Config {
	t.Helper()
	by := r.private
	if h.public {
		by = r.public
	}
	issue := func(name string, old bool) tls.Certificate {
		template := certificateFor(name)
		if old {
			template.NotAfter = time.Now().Add(-time.Hour)
		}
		return by.issue(t, template)
	}
	if h.certName != "" {
		name = h.certName
	}
	cert, broken := issue(name, h.expired), issue("broken.invalid", false)
	for _, kind := range h.tlsa {
		h.records = append(h.records, r.tlsa(kind, cert.Leaf))
	}
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if p.breaks.Load() {
			return &broken, nil
		}
		return &cert, nil
	}}
}

// tlsa writes a TLSA record: of the certificate's key, of our private authority,
// or as it is.
func (r *realm) tlsa(kind string, leaf *x509.Certificate) string {
	switch kind {
	case "ee":
		return fmt.Sprintf("3 1 1 %x", sha256.Sum256(leaf.RawSubjectPublicKeyInfo))
	case "ta":
		return fmt.Sprintf("2 0 1 %x", sha256.Sum256(r.private.cert.Raw))
	case "pkix":
		return fmt.Sprintf("1 1 1 %x", sha256.Sum256(leaf.RawSubjectPublicKeyInfo))
	case "other":
		return fmt.Sprintf("3 1 1 %x", sha256.Sum256([]byte("another key")))
	}
	return kind
}

// roots writes what the relay trusts into a file.
func (r *realm) roots(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.public.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// drop takes port 25 of an address and leaves out every packet that comes there.
func drop(t *testing.T, addr string) {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // its sockets take no filter
	ln, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort(addr, mxPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K} // keep 0 octets of any packet
	if err2 := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
	}); err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
}

// policyAddr is where all policy hosts are.
const policyAddr = "8.8.2.1"

// policyHost serves MTA-STS policies.
type policyHost struct {
	down atomic.Bool // connections are closed

	mu       sync.Mutex
	policies map[string]servedPolicy // by host
}

type servedPolicy struct {
	policy *policy
	cert   tls.Certificate
}

func startPolicyHost(t *testing.T) *policyHost {
	t.Helper()
	h := &policyHost{policies: map[string]servedPolicy{}}
	ln, err := net.Listen("tcp", net.JoinHostPort(policyAddr, "443"))
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		s := h.served(hello.ServerName)
		if s.policy == nil || s.policy.down || h.down.Load() {
			return nil, fmt.Errorf("%q is down", hello.ServerName)
		}
		return &s.cert, nil
	}}
	srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(tls.NewListener(ln, config)) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return h
}

func (h *policyHost) serve(p *place, cert tls.Certificate) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.policies[cert.Leaf.DNSNames[0]] = servedPolicy{p.sts, cert}
}

func (h *policyHost) served(name string) servedPolicy {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.policies[name]
}

func (h *policyHost) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	p := h.served(req.Host).policy
	if p == nil || req.URL.Path != "/.well-known/mta-sts.txt" {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "version: STSv1\r\nmode: %s\r\nmx: %s\r\nmax_age: 86400\r\n", p.mode, p.mx)
}
