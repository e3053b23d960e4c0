package dane

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"postrider/mx"
)

// Result is a kind of failure in reports of RFC 8460 §4.3.
type Result string

// The results that DANE comes to.
const (
	ResultTLSAInvalid       Result = "tlsa-invalid"              // no record matches the certificate
	ResultDNSSECInvalid     Result = "dnssec-invalid"            // the resolver says validation failed
	ResultHostMismatch      Result = "certificate-host-mismatch" // a trust anchor matches, no name does
	ResultExpired           Result = "certificate-expired"       // a trust anchor matches, a certificate below is out of date
	ResultValidationFailure Result = "validation-failure"        // anything else
)

// Mismatch is the error of [Policy.Verify].
type Mismatch struct {
	Base   string
	Result Result
	Reason string
}

// Error tells which host failed and why.
func (e *Mismatch) Error() string {
	return "DANE: certificate of " + e.Base + ": " + e.Reason
}

func (p *Policy) mismatch(r Result, format string, args ...any) *Mismatch {
	return &Mismatch{Base: p.Base, Result: r, Reason: fmt.Sprintf(format, args...)}
}

// Verify judges a connection by the policy; now is the time the certificates
// must be valid at. One record that matches is enough. The error is a
// [*Mismatch]. A policy that is not [Secure] accepts every connection.
func (p *Policy) Verify(s tls.ConnectionState, now time.Time) error {
	if p.Mode != Secure {
		return nil
	}
	if len(s.PeerCertificates) == 0 {
		return p.mismatch(ResultValidationFailure, "the server has sent no certificate")
	}
	for _, r := range p.Records {
		// RFC 7672 §3.1.1: the names and dates of such a certificate mean nothing.
		if r.Usage == usageEE && matches(r, s.PeerCertificates[0]) {
			return nil
		}
	}
	return p.verifyAnchors(s.PeerCertificates, now)
}

// verifyAnchors looks for a valid chain from the server's certificate to one of
// the trust anchors of the policy (RFC 7672 §3.1.2).
func (p *Policy) verifyAnchors(chain []*x509.Certificate, now time.Time) error {
	roots, found := p.anchors(chain)
	if !found {
		return p.mismatch(ResultTLSAInvalid, "none of the %d TLSA records matches it", len(p.Records))
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(o); err != nil {
		return p.mismatch(resultOf(err), "it does not lead to a trust anchor of the TLSA records: %v", err)
	}
	if chain[0].VerifyHostname(p.Base) == nil {
		return nil
	}
	for _, name := range p.Names {
		if chain[0].VerifyHostname(name) == nil {
			return nil
		}
	}
	return p.mismatch(ResultHostMismatch, "it is not for %s nor a name that leads there", p.Base)
}

// anchors collects the trust anchors: certificates of the chain that match a
// record, and those that a record holds in full, which the server may leave out.
func (p *Policy) anchors(chain []*x509.Certificate) (roots *x509.CertPool, found bool) {
	roots = x509.NewCertPool()
	add := func(c *x509.Certificate) { roots.AddCert(c); found = true }
	for _, r := range p.Records {
		if r.Usage != usageTA {
			continue
		}
		for _, c := range chain {
			if matches(r, c) {
				add(c)
			}
		}
		if r.Matching != matchFull {
			continue
		}
		if r.Selector == selectKey {
			for _, c := range signedBy(r, chain) {
				add(c)
			}
		} else if c, err := x509.ParseCertificate(r.Data); err == nil {
			add(c)
		}
	}
	return roots, found
}

// signedBy returns the certificates that the bare key of a record has signed:
// its own certificate need not be in the chain, so what it vouches for stands in
// its place.
func signedBy(r mx.TLSA, chain []*x509.Certificate) []*x509.Certificate {
	key, err := x509.ParsePKIXPublicKey(r.Data)
	if err != nil {
		return nil
	}
	issuer := x509.Certificate{PublicKey: key}
	var signed []*x509.Certificate
	for _, c := range chain {
		if issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
			signed = append(signed, c)
		}
	}
	return signed
}

func matches(r mx.TLSA, c *x509.Certificate) bool {
	selected := c.Raw
	if r.Selector == selectKey {
		selected = c.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case matchFull:
		return bytes.Equal(selected, r.Data)
	case matchSHA256:
		sum := sha256.Sum256(selected)
		return bytes.Equal(sum[:], r.Data)
	case matchSHA512:
		sum := sha512.Sum512(selected)
		return bytes.Equal(sum[:], r.Data)
	}
	return false
}

func resultOf(err error) Result {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ResultExpired
	case errors.As(err, &unknown):
		return ResultTLSAInvalid
	}
	return ResultValidationFailure
}
