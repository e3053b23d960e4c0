package configs

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// TLS is the certificate of all listeners: PEM files, or some that are had from an
// authority.
type TLS struct {
	Cert, Key string
	ACME      ACME
}

// Configured reports whether there is a certificate, or will be.
func (t TLS) Configured() bool { return t.Cert != "" || t.ACME.On() }

// ACME is how certificates are had from an authority, and renewed (RFC 8555).
type ACME struct {
	Domains     []string // empty: not at all
	Email       string
	Directory   string
	CA          string // PEM file with the roots of the directory's server; empty: the system's
	HTTPListen  []Listener
	AcceptTerms bool
	EABKeyID    string // of an account that the authority knows already; empty: none
	EABKey      Secret // in base64url
}

// On reports whether certificates are had from an authority.
func (a ACME) On() bool { return len(a.Domains) > 0 }

// letsEncrypt is the directory of the authority that asks for nothing.
const letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

func tlsSection() section {
	return section{"tls", "The certificate of every listener that speaks TLS: either files, or one from an authority such as Let's Encrypt. Without one, no TLS is offered.", append([]field[Config]{
		one(Key{Path: "tls.cert", Env: "POSTRIDER_TLS_CERT", Example: "/etc/postrider/tls/fullchain.pem",
			Doc: "PEM file with the certificate and its chain. It is read again when it changes. PHP refuses self-signed ones."},
			func(c *Config) *string { return &c.TLS.Cert }, pathKind()),
		one(Key{Path: "tls.key", Env: "POSTRIDER_TLS_KEY", Example: "/etc/postrider/tls/privkey.pem",
			Doc: "PEM file with its private key."},
			func(c *Config) *string { return &c.TLS.Key }, pathKind()),
	}, acmeFields()...)}
}

func acmeFields() []field[Config] {
	return []field[Config]{
		many(Key{Path: "tls.acme.domains", Env: "POSTRIDER_ACME_DOMAINS", Example: "off",
			Doc: "Names to have certificates for from an authority in place of `tls.cert`, such as `[mail.example.com]`: one each, renewed by itself. `off` is none. Programs must connect to one of these names. The authority looks whether the name leads here: on port 80 (`tls.acme.http_listen`), or on port 443 (`tls://` in `http.listen`)."},
			func(c *Config) *[]string { return &c.TLS.ACME.Domains }, domainKind("domain")),
		one(Key{Path: "tls.acme.accept_terms", Env: "POSTRIDER_ACME_ACCEPT_TERMS", Example: "true",
			Doc: "That you accept the authority's terms of service; it gives no certificate otherwise."},
			func(c *Config) *bool { return &c.TLS.ACME.AcceptTerms }, boolKind()),
		one(Key{Path: "tls.acme.email", Env: "POSTRIDER_ACME_EMAIL", Example: "postmaster@example.com",
			Doc: "Address that the authority may write to about your certificates."},
			func(c *Config) *string { return &c.TLS.ACME.Email }, addressKind()),
		one(Key{Path: "tls.acme.directory", Env: "POSTRIDER_ACME_DIRECTORY", Example: letsEncrypt,
			Doc: "The authority, by the address of its directory (RFC 8555)."},
			func(c *Config) *string { return &c.TLS.ACME.Directory }, textual("https URL", parseDirectory)),
		one(Key{Path: "tls.acme.ca", Env: "POSTRIDER_ACME_CA", Example: "/etc/postrider/tls/our-authority.pem", Advanced: true,
			Doc: "PEM file with root certificates for the directory's own server, beside those of the system: for an authority of your own."},
			func(c *Config) *string { return &c.TLS.ACME.CA }, pathKind()),
		many(Key{Path: "tls.acme.http_listen", Env: "POSTRIDER_ACME_HTTP_LISTEN", Example: `[":80"]`,
			Doc: "Where the authority's question on port 80 is answered, and nothing else. `off` leaves it to a `tls://` listener of `http.listen` that is reached on port 443."},
			func(c *Config) *[]Listener { return &c.TLS.ACME.HTTPListen }, plainListenerKind()),
		one(Key{Path: "tls.acme.eab_key_id", Env: "POSTRIDER_ACME_EAB_KEY_ID", Example: "kid-1", Advanced: true,
			Doc: "Id of the key by which the authority knows your account with it (external account binding), where it asks for one."},
			func(c *Config) *string { return &c.TLS.ACME.EABKeyID }, textual("text", parseLine)),
		one(Key{Path: "tls.acme.eab_key", Env: "POSTRIDER_ACME_EAB_KEY", Example: `"zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"`, Advanced: true,
			Doc: "That key, in base64url as the authority shows it."},
			func(c *Config) *Secret { return &c.TLS.ACME.EABKey }, macKeyKind()),
	}
}

func parseLine(s string) (string, error) {
	if hasControl(s) || len(s) > 256 {
		return "", wrong("write it as the authority shows it", "the value is too long or has a control character")
	}
	return s, nil
}

func parseDirectory(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || len(s) > 200 {
		return "", wrong("write it as "+letsEncrypt, "%q is not the https address of a directory", s)
	}
	return s, nil
}

// MACKey is the key of an external account binding as octets.
func (a ACME) MACKey() []byte {
	key, err := decodeMACKey(a.EABKey.Reveal())
	if err != nil {
		return nil
	}
	return key
}

func decodeMACKey(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(s))
}

// macKeyKind is a secret in base64.
func macKeyKind() kind[Secret] {
	k := secretKind()
	parse := k.parse
	k.parse = func(s string) (Secret, error) {
		secret, err := parse(s)
		if err != nil {
			return secret, err
		}
		if key, err := decodeMACKey(s); err != nil || len(key) == 0 {
			return Secret{}, wrong("write it as the authority shows it", "the key is not base64url")
		}
		return secret, nil
	}
	return k
}
