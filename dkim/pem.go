package dkim

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// ParsePrivateKey reads the first private key of a PEM file, PKCS#8 ("PRIVATE
// KEY", RSA or Ed25519) or PKCS#1 ("RSA PRIVATE KEY"). Its errors say what the
// file is instead and how to convert it.
func ParsePrivateKey(file []byte) (crypto.Signer, error) {
	for rest := file; ; {
		block, next := pem.Decode(rest)
		if block == nil {
			return nil, errors.New("no private key in PEM form: expected a line -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----")
		}
		rest = next
		if block.Headers["DEK-Info"] != "" || block.Type == "ENCRYPTED PRIVATE KEY" {
			return nil, errors.New("the private key is protected by a passphrase: write it out without one with openssl pkey -in FILE -out NEWFILE")
		}
		switch block.Type {
		case "PRIVATE KEY":
			return parsePKCS8(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("parse PKCS#1 private key: %w", err)
			}
			return checked(key)
		case "OPENSSH PRIVATE KEY":
			return nil, errors.New("this is an OpenSSH key: make a key with openssl genpkey, or let the relay make one")
		case "PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE":
			// Some tools put the public half first; keep looking.
			if len(next) == 0 {
				return nil, fmt.Errorf("this file holds a %s and no private key", block.Type)
			}
		}
	}
}

func parsePKCS8(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("parse PKCS#8 private key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key of type %T: DKIM knows RSA and Ed25519 only", key)
	}
	return checked(signer)
}

func checked(key crypto.Signer) (crypto.Signer, error) {
	if _, err := algorithmOf(key); err != nil {
		return nil, err
	}
	return key, nil
}

// storedKey is the form in which keys are kept.
type storedKey struct {
	Domain    string    `json:"domain"`
	Selector  string    `json:"selector"`
	State     State     `json:"state"`
	Created   time.Time `json:"created"`
	Private   string    `json:"private,omitempty"`   // PKCS#8, PEM; not of revoked keys
	Algorithm Algorithm `json:"algorithm,omitempty"` // of revoked keys only

	Since  time.Time `json:"since,omitzero"`
	Seen   time.Time `json:"seen,omitzero"`
	Missed time.Time `json:"missed,omitzero"`
}

// EncodeKeys writes the keys down for a [KeyStore], private keys included and
// not encrypted.
func EncodeKeys(keys []Key) ([]byte, error) {
	stored := make([]storedKey, 0, len(keys))
	for _, k := range keys {
		s := storedKey{
			Domain: k.Domain, Selector: k.Selector, State: k.State, Created: k.Created,
			Since: k.Since, Seen: k.Seen, Missed: k.Missed,
		}
		if k.State == Revoked {
			s.Algorithm = k.Algorithm
		} else {
			der, err := x509.MarshalPKCS8PrivateKey(k.private)
			if err != nil {
				return nil, fmt.Errorf("encode private key of %s: %w", k.ID(), err)
			}
			s.Private = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		}
		stored = append(stored, s)
	}
	return json.Marshal(stored)
}

// DecodeKeys reads what [EncodeKeys] wrote.
func DecodeKeys(b []byte) ([]Key, error) {
	var stored []storedKey
	if err := json.Unmarshal(b, &stored); err != nil {
		return nil, fmt.Errorf("decode dkim keys: %w", err)
	}
	keys := make([]Key, 0, len(stored))
	for _, s := range stored {
		k, err := s.key()
		if err != nil {
			return nil, fmt.Errorf("decode dkim key %s of %s: %w", s.Selector, s.Domain, err)
		}
		k.Since, k.Seen, k.Missed = s.Since, s.Seen, s.Missed
		keys = append(keys, k)
	}
	return keys, nil
}

func (s storedKey) key() (Key, error) {
	if s.State == Revoked {
		return revokedKey(s.Domain, s.Selector, s.Algorithm, s.Created)
	}
	private, err := ParsePrivateKey([]byte(s.Private))
	if err != nil {
		return Key{}, err
	}
	return NewKey(s.Domain, s.Selector, private, s.State, s.Created)
}
