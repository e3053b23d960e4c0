package dkim

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
)

// maxString is the longest character-string of a TXT record (RFC 1035 §3.3).
const maxString = 255

// A Record is the TXT record that publishes, or revokes, a key.
type Record struct {
	// Name is the full name, without the final dot.
	Name string `json:"name"`
	// Zone is the organisational domain, in whose zone the record most often
	// lies, and Host is Name relative to it: what the forms of most DNS
	// providers ask for.
	Zone string `json:"zone"`
	Host string `json:"host"`
	// Value is the whole text, unquoted: what most providers' forms take.
	Value string `json:"value"`
}

// RecordFor returns the record that should be in the DNS for the key: the one
// that publishes it, or [RevokedRecord] if the key is Revoked.
func RecordFor(k Key) (Record, error) {
	if k.private == nil {
		return RevokedRecord(k), nil
	}
	public, err := publicText(k)
	if err != nil {
		return Record{}, err
	}
	return recordWith(k, public), nil
}

// publicText is the p= tag of a key that has its private half.
func publicText(k Key) (string, error) {
	var public []byte
	switch pub := k.private.Public().(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return "", fmt.Errorf("encode public key of %s: %w", k.ID(), err)
		}
		public = der
	case ed25519.PublicKey:
		public = pub // RFC 8463 §4: the 32 octets alone.
	default:
		return "", fmt.Errorf("key %s: no record for a public key of type %T", k.ID(), pub)
	}
	return base64.StdEncoding.EncodeToString(public), nil
}

// RevokedRecord returns the record to publish in place of the key's when
// nothing signed with it shall verify any more (RFC 6376 §3.6.1: empty p=).
func RevokedRecord(k Key) Record { return recordWith(k, "") }

func recordWith(k Key, public string) Record {
	zone := organisationalDomain(k.Domain)
	return Record{
		Name:  k.ID(),
		Zone:  zone,
		Host:  strings.TrimSuffix(k.ID(), "."+zone),
		Value: "v=DKIM1; k=" + string(k.Algorithm) + "; p=" + public,
	}
}

// Strings returns the value in pieces of at most 255 octets, which a resolver
// joins again without anything in between (RFC 6376 §3.6.2.2).
func (r Record) Strings() []string {
	var pieces []string
	rest := r.Value
	for len(rest) > maxString {
		pieces = append(pieces, rest[:maxString])
		rest = rest[maxString:]
	}
	return append(pieces, rest)
}

// Quoted returns the value as quoted strings of at most 255 octets with a
// space between them, for providers that want them split.
func (r Record) Quoted() string { return `"` + strings.Join(r.Strings(), `" "`) + `"` }

// ZoneFile returns the record as lines of a zone file, the last one ended.
func (r Record) ZoneFile() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. 3600 IN TXT (\n", r.Name)
	for _, s := range r.Strings() {
		fmt.Fprintf(&b, "\t\"%s\"\n", s)
	}
	b.WriteString("\t)\n")
	return b.String()
}
