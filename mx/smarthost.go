package mx

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// TLSMode says what a smart host's connection must be.
type TLSMode string

// The TLS modes of a smart host.
const (
	TLSRequired      TLSMode = "required"      // TLS with a certificate valid for the host, or no delivery
	TLSOpportunistic TLSMode = "opportunistic" // TLS when offered, its certificate unchecked, else plain text
	TLSNone          TLSMode = "none"          // plain text
)

// SmartHost is a next hop that the operator has named.
type SmartHost struct {
	Host     string // a host name in A-labels, or an IP address without brackets
	Port     uint16
	Implicit bool // TLS from the first byte (smtps), not by STARTTLS
	TLS      TLSMode
	Auth     Credentials // the zero value: no AUTH
}

// Credentials are a user name and password. However they are printed or
// marshalled, they come out as ***.
type Credentials struct{ pair **credentialPair }

// The pair is behind two pointers: fmt's reflection, which is at work where a
// SmartHost lies in an unexported field, looks through one.
type credentialPair struct{ user, password string }

const hidden = "***"

// NewCredentials returns credentials for AUTH.
func NewCredentials(user, password string) Credentials {
	pair := &credentialPair{user, password}
	return Credentials{&pair}
}

// IsZero reports whether there are no credentials.
func (c Credentials) IsZero() bool { return c.pair == nil }

// Reveal returns user name and password, empty when there are none.
func (c Credentials) Reveal() (user, password string) {
	if c.pair == nil {
		return "", ""
	}
	return (*c.pair).user, (*c.pair).password
}

// String returns ***, or nothing when there are no credentials.
func (c Credentials) String() string {
	if c.pair == nil {
		return ""
	}
	return hidden
}

// Format implements [fmt.Formatter]; every verb prints String.
func (c Credentials) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }

// MarshalText implements [encoding.TextMarshaler].
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// LogValue implements [slog.LogValuer].
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// HostPort returns host:port, for the log.
func (h SmartHost) HostPort() string {
	return net.JoinHostPort(h.Host, strconv.Itoa(int(h.Port)))
}

// String returns the URL of the smart host with its credentials hidden.
func (h SmartHost) String() string {
	scheme, auth := "smtp", ""
	if h.Implicit {
		scheme = "smtps"
	}
	if !h.Auth.IsZero() {
		auth = hidden + "@"
	}
	return scheme + "://" + auth + h.HostPort() + "?tls=" + string(h.TLS)
}

// identity distinguishes next hops that must not share a connection, without
// telling a user name, which with some providers is the secret.
func (h SmartHost) identity() string {
	id := h.HostPort()
	if h.Implicit {
		id += "/tls"
	}
	if !h.Auth.IsZero() {
		user, _ := h.Auth.Reveal()
		sum := sha256.Sum256([]byte(user))
		id += "#" + hex.EncodeToString(sum[:4])
	}
	return id
}

// ParseSmartHost reads smtp://[user:password@]host[:port][?tls=mode] or
// smtps://…; the default ports are 587 and 465. User name and password are
// percent-encoded. smtps is always TLSRequired. For smtp the default is
// TLSRequired where there are credentials, unless the host is this machine,
// and TLSOpportunistic otherwise. Errors never quote the credentials.
func ParseSmartHost(s string) (SmartHost, error) {
	h, err := parseSmartHost(s)
	if err != nil {
		return SmartHost{}, fmt.Errorf("smart host: %w; write smtp://user:password@host:587 or smtps://user:password@host:465", err)
	}
	return h, nil
}

func parseSmartHost(s string) (SmartHost, error) {
	var h SmartHost
	scheme, _, ok := strings.Cut(s, "://")
	switch {
	case ok && strings.EqualFold(scheme, "smtp"):
		h.Port, h.TLS = 587, TLSOpportunistic
	case ok && strings.EqualFold(scheme, "smtps"):
		h.Port, h.TLS, h.Implicit = 465, TLSRequired, true
	default:
		return h, errors.New("the URL does not begin with smtp:// or smtps://")
	}
	u, err := url.Parse(s)
	if err != nil || u.Fragment != "" || u.Path != "" && u.Path != "/" || u.Opaque != "" {
		// What net/url says can hold a part of the password.
		return h, errors.New("not a valid URL (percent-encode special characters in user and password: @ as %40, / as %2F, # as %23, ? as %3F, : as %3A, % as %25)")
	}
	if err := h.setHost(u); err != nil {
		return h, err
	}
	if u.User != nil {
		user := u.User.Username()
		password, _ := u.User.Password()
		if user == "" || password == "" {
			return h, errors.New("user and password must both be given, or none")
		}
		if strings.ContainsRune(user+password, 0) { // RFC 4616 §2 separates them with NUL.
			return h, errors.New("user and password must not contain NUL")
		}
		h.Auth = NewCredentials(user, password)
		if h.TLS == TLSOpportunistic && !h.isLocal() {
			h.TLS = TLSRequired
		}
	}
	return h, h.setOptions(u.RawQuery)
}

func (h *SmartHost) setHost(u *url.URL) error {
	host := u.Hostname()
	if host == "" {
		return errors.New("the host is missing")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.IsUnspecified() || addr.Zone() != "" {
			return errors.New("the host is not an address one can connect to")
		}
		h.Host = addr.String()
	} else {
		name, err := NormalizeDomain(host)
		if err != nil || strings.HasPrefix(name, "[") {
			return errors.New("the host is neither a valid name nor an IP address")
		}
		h.Host = name
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return errors.New("the port is not a number from 1 to 65535")
		}
		h.Port = uint16(n)
	}
	return nil
}

func (h *SmartHost) setOptions(raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return errors.New("the part after ? is not valid")
	}
	for name, values := range query {
		if name != "tls" || len(values) != 1 {
			return errors.New("after ? only one tls=required, tls=opportunistic or tls=none is understood")
		}
		switch mode := TLSMode(values[0]); mode {
		case TLSRequired, TLSOpportunistic, TLSNone:
			h.TLS = mode
		default:
			return errors.New("tls must be required, opportunistic or none")
		}
	}
	if h.Implicit && h.TLS != TLSRequired {
		return errors.New("smtps is always tls=required")
	}
	return nil
}

// isLocal reports whether the connection does not leave this machine.
func (h *SmartHost) isLocal() bool {
	if addr, err := netip.ParseAddr(h.Host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return h.Host == "localhost"
}
