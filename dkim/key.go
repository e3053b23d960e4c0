package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Algorithm names a signing algorithm as the k= tag of a key record does.
type Algorithm string

// The two algorithms in use: RSA with SHA-256, which every receiver verifies,
// and Ed25519 (RFC 8463), which few do, so that it never signs alone by choice
// of ours.
const (
	RSA     Algorithm = "rsa"
	Ed25519 Algorithm = "ed25519"
)

// State says what a key is used for.
type State string

const (
	// Active keys sign.
	Active State = "active"
	// Published keys are in the DNS, or about to be, and do not sign yet: they
	// are the next ones.
	Published State = "published"
	// Retired keys sign no more; their record stays until the last signature
	// made with them has expired.
	Retired State = "retired"
	// Revoked keys have lost their private half. What is left tells the
	// operator to publish their record with an empty p=.
	Revoked State = "revoked"
)

// rsaBits is the size of keys made here: what receivers ask for (RFC 8301
// §3.2), and the most whose record still fits a plain UDP answer.
const rsaBits = 2048

// A Key is a private key with the place in the DNS where receivers find its
// public half. It is immutable once made; copies share the private key. It
// prints without its private key, and encodes to JSON without it; [EncodeKeys]
// is the one way to write it down.
type Key struct {
	// Domain is the d= tag, in lower case and A-labels.
	Domain string
	// Selector is the s= tag.
	Selector string
	// Algorithm is the kind of the private key.
	Algorithm Algorithm
	// State says whether the key signs.
	State State
	// Created orders keys of one algorithm: the newest active one signs.
	Created time.Time
	// Since is when the key came to its state, if that is known.
	Since time.Time `json:",omitzero"`
	// Seen is when the key's record was first found in the DNS by a [Rotator].
	Seen time.Time `json:",omitzero"`
	// Missed is since when a record that was seen is gone; zero while it is there.
	Missed time.Time `json:",omitzero"`

	private crypto.Signer // nil if Revoked
}

// NewKey makes a key of the private key, an *rsa.PrivateKey of 1024 to 4096
// bits or an ed25519.PrivateKey. The domain may be written as people do, in
// any case and in Unicode.
func NewKey(domain, selector string, private crypto.Signer, state State, created time.Time) (Key, error) {
	name, err := normalDomain(domain)
	if err != nil {
		return Key{}, err
	}
	if !validSelector(selector) {
		return Key{}, fmt.Errorf("selector %q: use letters, digits, hyphens and dots only", selector)
	}
	switch state {
	case Active, Published, Retired:
	default:
		return Key{}, fmt.Errorf("key state %q is unknown", state)
	}
	algorithm, err := algorithmOf(private)
	if err != nil {
		return Key{}, err
	}
	return Key{
		Domain: name, Selector: selector, Algorithm: algorithm,
		State: state, Created: created.UTC(), private: private,
	}, nil
}

// revokedKey makes what is left of a key whose private half was deleted.
func revokedKey(domain, selector string, algorithm Algorithm, created time.Time) (Key, error) {
	name, err := normalDomain(domain)
	if err != nil {
		return Key{}, err
	}
	if !validSelector(selector) || algorithm != RSA && algorithm != Ed25519 {
		return Key{}, fmt.Errorf("revoked key %q of algorithm %q is not valid", selector, algorithm)
	}
	return Key{Domain: name, Selector: selector, Algorithm: algorithm, State: Revoked, Created: created.UTC()}, nil
}

// Generate makes an active key of domain with the selector that [Selector]
// gives for now. An RSA key takes some tenths of a second.
func Generate(domain string, algorithm Algorithm, now time.Time) (Key, error) {
	return generate(domain, Selector(algorithm, now), algorithm, Active, now)
}

func generate(domain, selector string, algorithm Algorithm, state State, now time.Time) (Key, error) {
	var private crypto.Signer
	var err error
	switch algorithm {
	case RSA:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case Ed25519:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		return Key{}, fmt.Errorf("key algorithm %q is unknown", algorithm)
	}
	if err != nil {
		return Key{}, fmt.Errorf("generate %s key: %w", algorithm, err)
	}
	k, err := NewKey(domain, selector, private, state, now)
	k.Since = k.Created
	return k, err
}

// Selector returns the selector of a key made at the given time, such as
// pr20260102r for RSA and pr20260102e for Ed25519. The day, in UTC, tells an
// operator which record in the zone is the old one.
func Selector(algorithm Algorithm, at time.Time) string {
	return "pr" + at.UTC().Format("20060102") + string(algorithm[:1])
}

// ID identifies the key: the DNS name of its record without the final dot.
func (k Key) ID() string { return k.Selector + "._domainkey." + k.Domain }

// RSABits is the length of the modulus; 0 of any other key, and of one that was
// withdrawn.
func (k Key) RSABits() int {
	if k.private == nil {
		return 0
	}
	if pub, ok := k.private.Public().(*rsa.PublicKey); ok {
		return pub.N.BitLen()
	}
	return 0
}

// String describes the key without its private part.
func (k Key) String() string {
	return fmt.Sprintf("%s (%s, %s)", k.ID(), k.Algorithm, k.State)
}

// GoString describes the key without its private part.
func (k Key) GoString() string { return "dkim.Key{" + k.String() + "}" }

// LogValue describes the key without its private part.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// algorithmOf checks that verifiers can be expected to take a key of this kind
// and size.
func algorithmOf(private crypto.Signer) (Algorithm, error) {
	switch k := private.(type) {
	case *rsa.PrivateKey:
		switch bits := k.N.BitLen(); {
		case bits < 1024: // RFC 8301 §3.2: verifiers must not accept less.
			return "", fmt.Errorf("RSA key of %d bits: receivers refuse less than 1024, make one of %d", bits, rsaBits)
		case bits > 4096:
			return "", fmt.Errorf("RSA key of %d bits: receivers need not verify more than 2048, make one of %d", bits, rsaBits)
		}
		return RSA, nil
	case ed25519.PrivateKey:
		if len(k) != ed25519.PrivateKeySize {
			return "", fmt.Errorf("Ed25519 private key of %d octets, want %d", len(k), ed25519.PrivateKeySize)
		}
		return Ed25519, nil
	case nil:
		return "", errors.New("no private key")
	default:
		return "", fmt.Errorf("private key of type %T: DKIM knows RSA and Ed25519 only", private)
	}
}

// signDigest signs the SHA-256 digest of the canonical header.
func (k Key) signDigest(digest []byte) ([]byte, error) {
	if k.Algorithm == Ed25519 {
		// RFC 8463 §3: PureEdDSA over the SHA-256 digest, not Ed25519ph.
		return k.private.Sign(nil, digest, crypto.Hash(0))
	}
	return k.private.Sign(rand.Reader, digest, crypto.SHA256)
}

// validSelector accepts dot-separated LDH labels, and the underscore that some
// zones hold (RFC 6376 §3.1 asks for sub-domains).
func validSelector(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '.' || s[len(s)-1] == '.' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.' && s[i-1] != '.':
		default:
			return false
		}
	}
	return true
}
