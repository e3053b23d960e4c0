package dane_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"postrider/mx"
	"postrider/mx/dane"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, isCA)
	middle := issue(t, root, isCA)
	leaf := issue(t, middle, named("mx.signed.test"))
	alone := issue(t, nil, named("mx.signed.test"))
	bare := issue(t, nil, func(*x509.Certificate) {})
	old := issue(t, middle, expired)
	oldMiddle := issue(t, root, func(c *x509.Certificate) { isCA(c); c.NotAfter = time.Now().Add(-time.Hour) })
	belowOld := issue(t, oldMiddle, named("mx.signed.test"))
	stranger := issue(t, nil, isCA)
	forged := issue(t, stranger, named("mx.signed.test"))
	noCA := issue(t, middle, named("other.test"))
	belowNoCA := issue(t, noCA, named("mx.signed.test"))
	forClients := issue(t, middle, func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"mx.signed.test"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})

	for _, c := range []struct {
		name    string
		records []mx.TLSA
		chain   []*issued
		want    dane.Result
	}{
		{"DANE-EE, key, SHA-256", []mx.TLSA{record(3, 1, 1, leaf)}, []*issued{leaf, middle}, ""},
		{"DANE-EE, key, SHA-512", []mx.TLSA{record(3, 1, 2, leaf)}, []*issued{leaf, middle}, ""},
		{"DANE-EE, key in full", []mx.TLSA{record(3, 1, 0, leaf)}, []*issued{leaf, middle}, ""},
		{"DANE-EE, certificate, SHA-256", []mx.TLSA{record(3, 0, 1, leaf)}, []*issued{leaf, middle}, ""},
		{"DANE-EE, certificate, SHA-512", []mx.TLSA{record(3, 0, 2, leaf)}, []*issued{leaf, middle}, ""},
		{"DANE-EE, certificate in full", []mx.TLSA{record(3, 0, 0, leaf)}, []*issued{leaf, middle}, ""},
		{"DANE-EE of a self-signed certificate without a name", []mx.TLSA{record(3, 1, 1, bare)}, []*issued{bare}, ""},
		{"DANE-EE of an expired certificate", []mx.TLSA{record(3, 1, 1, old)}, []*issued{old, middle}, ""},
		{"DANE-EE of another certificate", []mx.TLSA{record(3, 1, 1, alone)}, []*issued{leaf, middle}, dane.ResultTLSAInvalid},
		{"DANE-EE of a certificate further up", []mx.TLSA{record(3, 1, 1, middle)}, []*issued{leaf, middle}, dane.ResultTLSAInvalid},
		{"DANE-EE of the certificate, and the key's digest", []mx.TLSA{{Usage: 3, Selector: 0, Matching: 1, Data: record(3, 1, 1, leaf).Data}}, []*issued{leaf}, dane.ResultTLSAInvalid},
		{"one of several matches", []mx.TLSA{record(3, 1, 1, alone), record(2, 0, 1, stranger), record(3, 0, 2, leaf)}, []*issued{leaf, middle}, ""},

		{"DANE-TA, certificate, SHA-256, in the chain", []mx.TLSA{record(2, 0, 1, root)}, []*issued{leaf, middle, root}, ""},
		{"DANE-TA, key, SHA-512, in the chain", []mx.TLSA{record(2, 1, 2, root)}, []*issued{leaf, middle, root}, ""},
		{"DANE-TA of an intermediate", []mx.TLSA{record(2, 1, 1, middle)}, []*issued{leaf, middle}, ""},
		{"DANE-TA, certificate in full, in the chain", []mx.TLSA{record(2, 0, 0, root)}, []*issued{leaf, middle, root}, ""},
		{"DANE-TA, certificate in full, absent from the chain", []mx.TLSA{record(2, 0, 0, root)}, []*issued{leaf, middle}, ""},
		{"DANE-TA, certificate in full, that signs the server's", []mx.TLSA{record(2, 0, 0, middle)}, []*issued{leaf}, ""},
		{"DANE-TA, key in full, absent from the chain", []mx.TLSA{record(2, 1, 0, root)}, []*issued{leaf, middle}, ""},
		{"DANE-TA, key in full, that signs the server's", []mx.TLSA{record(2, 1, 0, middle)}, []*issued{leaf}, ""},
		{"DANE-TA, digest, absent from the chain", []mx.TLSA{record(2, 0, 1, root)}, []*issued{leaf, middle}, dane.ResultTLSAInvalid},
		{"DANE-TA of a self-signed server", []mx.TLSA{record(2, 0, 1, alone)}, []*issued{alone}, ""},
		{"DANE-TA of another authority in full", []mx.TLSA{record(2, 0, 0, stranger)}, []*issued{leaf, middle, root}, dane.ResultTLSAInvalid},
		{"DANE-TA whose key signs nothing", []mx.TLSA{record(2, 1, 0, stranger)}, []*issued{leaf, middle, root}, dane.ResultTLSAInvalid},
		{"the trust anchor beside a certificate that it has not signed", []mx.TLSA{record(2, 0, 1, root)}, []*issued{forged, root}, dane.ResultTLSAInvalid},
		{"the chain without its link", []mx.TLSA{record(2, 0, 1, root)}, []*issued{leaf, root}, dane.ResultTLSAInvalid},
		{"a link that is no authority", []mx.TLSA{record(2, 0, 1, root)}, []*issued{belowNoCA, noCA, middle, root}, dane.ResultTLSAInvalid},
		{"DANE-TA, an expired certificate", []mx.TLSA{record(2, 0, 1, root)}, []*issued{old, middle, root}, dane.ResultExpired},
		{"DANE-TA, an expired link", []mx.TLSA{record(2, 0, 1, root)}, []*issued{belowOld, oldMiddle, root}, dane.ResultExpired},
		{"DANE-TA, a certificate for clients only", []mx.TLSA{record(2, 0, 1, root)}, []*issued{forClients, middle, root}, dane.ResultValidationFailure},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := dane.Policy{Mode: dane.Secure, Base: "mx.signed.test", Records: c.records}
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				if got := resultOf(t, handshake(t, p, version, c.chain...)); got != c.want {
					t.Errorf("TLS %x: %q; want %q", version, got, c.want)
				}
			}
		})
	}
}

func TestNamesBelowATrustAnchor(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, isCA)
	for _, c := range []struct {
		name  string
		certs []string
		want  dane.Result
	}{
		{"the base domain", []string{"MX.signed.test"}, ""},
		{"the alias that led there", []string{"alias.signed.test"}, ""},
		{"the recipient's domain", []string{"signed.test"}, ""},
		{"a wildcard", []string{"*.signed.test"}, ""},
		{"a wildcard one label further down", []string{"*.mx.signed.test"}, dane.ResultHostMismatch},
		{"another name", []string{"mx.other.test"}, dane.ResultHostMismatch},
		{"no name", nil, dane.ResultHostMismatch},
	} {
		leaf := issue(t, root, named(c.certs...))
		p := dane.Policy{
			Mode: dane.Secure, Base: "mx.signed.test", Names: []string{"alias.signed.test", "signed.test"},
			Records: []mx.TLSA{record(2, 0, 0, root)},
		}
		if got := resultOf(t, handshake(t, p, tls.VersionTLS13, leaf)); got != c.want {
			t.Errorf("%s: %q; want %q", c.name, got, c.want)
		}
		p.Records = []mx.TLSA{record(3, 1, 1, leaf)}
		if err := handshake(t, p, tls.VersionTLS13, leaf); err != nil {
			t.Errorf("%s: DANE-EE looks at names: %v", c.name, err)
		}
	}
}

func TestOnlySecurePoliciesJudge(t *testing.T) {
	t.Parallel()
	server := issue(t, nil, named("any.test"))
	for _, p := range []dane.Policy{{Base: "mx.signed.test"}, {Mode: dane.Unusable, Base: "mx.signed.test"}} {
		if err := handshake(t, p, tls.VersionTLS13, server); err != nil {
			t.Errorf("mode %v: %v", p.Mode, err)
		}
	}
	p := dane.Policy{Mode: dane.Secure, Base: "mx.signed.test"}
	var m *dane.Mismatch
	if err := p.Verify(tls.ConnectionState{}, time.Now()); !errors.As(err, &m) || m.Result != dane.ResultValidationFailure {
		t.Errorf("no certificate: %v", err)
	}
	if got := resultOf(t, handshake(t, p, tls.VersionTLS13, server)); got != dane.ResultTLSAInvalid {
		t.Errorf("no records: %q", got)
	}
}

func TestEqualPoliciesHaveEqualKeys(t *testing.T) {
	t.Parallel()
	r := func(b byte) mx.TLSA { return mx.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: []byte{b}} }
	policies := []dane.Policy{
		{Mode: dane.Unusable, Base: "a.test"},
		{Mode: dane.Unusable, Base: "b.test"},
		{Mode: dane.Secure, Base: "a.test"},
		{Mode: dane.Secure, Base: "a.test", Records: []mx.TLSA{r(1)}},
		{Mode: dane.Secure, Base: "a.test", Records: []mx.TLSA{r(2)}},
		{Mode: dane.Secure, Base: "a.test", Records: []mx.TLSA{r(1), r(2)}},
		{Mode: dane.Secure, Base: "a.test", Records: []mx.TLSA{r(1)}, Names: []string{"n.test"}},
		{Mode: dane.Secure, Base: "a.test", Records: []mx.TLSA{r(1)}, Names: []string{"n", "test"}},
		{Mode: dane.Secure, Base: "a.test", Names: []string{"\x03\x01\x01\x01"}},
	}
	seen := make(map[string]int)
	for i, p := range policies {
		same := p
		if p.Key() == "" || p.Key() != same.Key() {
			t.Errorf("policy %d has the keys %q and %q", i, p.Key(), same.Key())
		}
		if j, ok := seen[p.Key()]; ok {
			t.Errorf("policies %d and %d share a key", i, j)
		}
		seen[p.Key()] = i
	}
	if key := (&dane.Policy{Base: "a.test"}).Key(); key != "" {
		t.Errorf("a policy that asks for nothing has the key %q", key)
	}
	reversed := dane.Policy{Mode: dane.Secure, Base: "a.test", Records: []mx.TLSA{r(2), r(1)}}
	if reversed.Key() != policies[5].Key() {
		t.Error("the order of records, which DNS changes at will, changes the key")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(uint8(3), uint8(1), uint8(1), []byte("x"))
	f.Add(uint8(2), uint8(0), uint8(0), []byte{0x30, 0x03, 0x02, 0x01, 0x01})
	f.Add(uint8(2), uint8(1), uint8(0), []byte{0x30})
	f.Add(uint8(0), uint8(9), uint8(9), []byte{})
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data []byte) {
		r := mx.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
		ok := dane.Usable(r)
		if ok && (usage < 2 || usage > 3 || selector > 1 || matching > 2 || len(data) == 0) {
			t.Fatalf("%v counts as usable", r)
		}
		p := dane.Policy{Mode: dane.Secure, Base: "mx.signed.test", Records: []mx.TLSA{r}}
		cert := &x509.Certificate{Raw: []byte("raw"), RawSubjectPublicKeyInfo: []byte("key")}
		if err := p.Verify(tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}, time.Now()); err == nil && ok && matching == 0 {
			t.Fatalf("%v matches a certificate that is none", r)
		}
	})
}
