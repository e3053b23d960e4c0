package dane

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"

	"postrider/mx"
)

// Mode is what DANE asks of a connection.
type Mode int

// The modes of a [Policy].
const (
	NotUsed  Mode = iota // nothing: DANE does not apply
	Unusable             // TLS is mandatory, the certificate unchecked: there are records, none of them usable
	Secure               // TLS is mandatory and must pass [Policy.Verify]
)

// String returns the mode in a word, for the log.
func (m Mode) String() string {
	switch m {
	case NotUsed:
		return "not-used"
	case Unusable:
		return "unusable"
	case Secure:
		return "secure"
	}
	return fmt.Sprintf("mode(%d)", int(m))
}

// Policy is what DANE asks of a connection to one host. The zero value asks for
// nothing. It is not changed once made, and safe for concurrent use.
type Policy struct {
	Mode    Mode
	Base    string    // the TLSA base domain: server name (SNI) and reference name
	Records []mx.TLSA // the usable ones
	Names   []string  // further reference names for DANE-TA
}

// The certificate usages, selectors and matching types of RFC 7218 that SMTP
// uses.
const (
	usageTA, usageEE                    = 2, 3
	selectCert, selectKey               = 0, 1
	matchFull, matchSHA256, matchSHA512 = 0, 1, 2
	maxFull                             = 16 << 10 // octets of a whole certificate or key
)

func newPolicy(base string, records []mx.TLSA, names []string) Policy {
	p := Policy{Mode: Unusable, Base: base}
	for _, r := range records {
		if usable(r) {
			p.Records = append(p.Records, r)
		}
	}
	if len(p.Records) > 0 {
		p.Mode = Secure
	}
	if slices.ContainsFunc(p.Records, func(r mx.TLSA) bool { return r.Usage == usageTA }) {
		p.Names = names // Only then do they count, and tell policies apart.
	}
	return p
}

// usable reports whether SMTP can use the record. RFC 7672 §3.1.3: PKIX-TA(0)
// and PKIX-EE(1) are not for SMTP.
func usable(r mx.TLSA) bool {
	if r.Usage != usageTA && r.Usage != usageEE || r.Selector != selectCert && r.Selector != selectKey {
		return false
	}
	switch r.Matching {
	case matchSHA256:
		return len(r.Data) == 32
	case matchSHA512:
		return len(r.Data) == 64
	case matchFull:
		return usableInFull(r)
	}
	return false
}

// usableInFull reports whether the record holds a certificate or key that can
// be read.
func usableInFull(r mx.TLSA) bool {
	if len(r.Data) > maxFull {
		return false
	}
	var err error
	if r.Selector == selectCert {
		_, err = x509.ParseCertificate(r.Data)
	} else {
		_, err = x509.ParsePKIXPublicKey(r.Data)
	}
	return err == nil
}

// Key returns a short text that equal policies share, and no others: for the
// reuse of connections and TLS sessions. It is empty for a policy that asks for
// nothing.
func (p *Policy) Key() string {
	if p.Mode == NotUsed {
		return ""
	}
	h := sha256.New()
	field(h, p.Mode.String())
	field(h, p.Base)
	records := make([]string, len(p.Records))
	for i, r := range p.Records {
		records[i] = string([]byte{r.Usage, r.Selector, r.Matching}) + string(r.Data)
	}
	slices.Sort(records) // DNS gives them in any order.
	for _, r := range records {
		field(h, r)
	}
	for _, n := range p.Names {
		field(h, "name "+n)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// field writes something that cannot be mistaken for another sequence of fields.
func field(h hash.Hash, s string) { _, _ = fmt.Fprintf(h, "%d:%s", len(s), s) }
