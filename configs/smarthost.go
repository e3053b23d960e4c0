package configs

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// SmartHostTLS says how a smart host is spoken to.
type SmartHostTLS string

// The ways in which a smart host is spoken to.
const (
	SmartHostRequired      SmartHostTLS = "required"      // TLS with a valid certificate, or no delivery
	SmartHostOpportunistic SmartHostTLS = "opportunistic" // STARTTLS if offered
	SmartHostPlain         SmartHostTLS = "none"          // never
)

// SmartHost is a relay that takes our mail. The zero SmartHost, written mx, is
// delivery to the mail exchangers of the domain.
type SmartHost struct {
	Host     string // a name or an IP address, without brackets
	Port     uint16
	Implicit bool // smtps: TLS from the first byte
	TLS      SmartHostTLS
	Username string // empty: no AUTH
	Password Secret
}

// byMX, written for a smart host, is delivery by MX.
const byMX = "mx"

const smartHostFix = "write smtp://user:password@host:587 or smtps://user:password@host:465; " +
	"the user and password may be left out, and % in them is written %25; or write mx"

// ParseSmartHost reads smtp://[user:password@]host[:port][?tls=…], smtps://… or
// mx. Without a port it is 465 for smtps and 587 for smtp. With a user, smtp://
// requires STARTTLS unless the host is this machine, or ?tls=opportunistic or
// ?tls=none says otherwise. Everything before the last @ is the user and the password, so that
// a password may hold @, / and #. No error repeats any of the text.
func ParseSmartHost(s string) (SmartHost, error) {
	if s == byMX {
		return SmartHost{}, nil
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme != "smtp" && scheme != "smtps" {
		return SmartHost{}, wrong(smartHostFix, "the smart host is not a smtp:// or smtps:// URL")
	}
	h := SmartHost{Port: 587}
	if scheme == "smtps" {
		h.Port, h.Implicit = 465, true
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if err := h.setCredentials(rest[:at]); err != nil {
			return SmartHost{}, err
		}
		rest = rest[at+1:]
	}
	rest, query, _ := strings.Cut(rest, "?")
	if err := h.setAddress(strings.TrimSuffix(rest, "/")); err != nil {
		return SmartHost{}, err
	}
	if err := h.setTLS(query); err != nil {
		return SmartHost{}, err
	}
	return h, nil
}

func (h *SmartHost) setCredentials(userinfo string) error {
	user, password, ok := strings.Cut(userinfo, ":")
	user, err1 := url.PathUnescape(user)
	password, err2 := url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return wrong(smartHostFix, "the smart host's user or password has a %% that begins no %%XX code")
	}
	if !ok || user == "" || password == "" {
		return wrong(smartHostFix, "the smart host has a user without a password, or a password without a user")
	}
	if hasControl(user) || hasControl(password) {
		return wrong(smartHostFix, "the smart host's user or password has a control character")
	}
	h.Username, h.Password = user, NewSecret(password)
	return nil
}

func (h *SmartHost) setAddress(address string) error {
	h.Host = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	if host, port, err := net.SplitHostPort(address); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return wrong(smartHostFix, "the smart host's port is not a number from 1 to 65535")
		}
		h.Host, h.Port = host, uint16(n)
	}
	if _, err := netip.ParseAddr(h.Host); err != nil && !validHostname(strings.ReplaceAll(h.Host, "_", "-")) {
		return wrong(smartHostFix, "the smart host has no valid host name")
	}
	return nil
}

func (h *SmartHost) setTLS(query string) error {
	name, value, _ := strings.Cut(query, "=")
	switch {
	case query != "" && (name != "tls" || h.Implicit):
		return wrong("smtp:// takes ?tls=required, ?tls=opportunistic or ?tls=none; smtps:// takes nothing", "the smart host has an unknown parameter")
	case h.Implicit, query == "" && h.Username != "" && !h.local():
		h.TLS = SmartHostRequired
	case query == "":
		h.TLS = SmartHostOpportunistic
	default:
		h.TLS = SmartHostTLS(value)
		if h.TLS != SmartHostRequired && h.TLS != SmartHostOpportunistic && h.TLS != SmartHostPlain {
			return wrong("use ?tls=required, ?tls=opportunistic or ?tls=none", "the smart host's tls parameter is unknown")
		}
	}
	return nil
}

// local reports whether the connection does not leave this machine.
func (h SmartHost) local() bool { return Listener{Host: h.Host}.Loopback() }

// ByMX reports whether this is no smart host, but delivery by MX.
func (h SmartHost) ByMX() bool { return h.Host == "" }

// Address is what net.Dial takes.
func (h SmartHost) Address() string { return net.JoinHostPort(h.Host, strconv.Itoa(int(h.Port))) }

// String is the URL with *** for the password.
func (h SmartHost) String() string {
	if h.ByMX() {
		return byMX
	}
	scheme, userinfo, query := "smtp", "", ""
	if h.Implicit {
		scheme = "smtps"
	} else {
		query = "?tls=" + string(h.TLS)
	}
	if h.Username != "" {
		userinfo = url.PathEscape(h.Username) + ":" + hidden + "@"
	}
	return scheme + "://" + userinfo + h.Address() + query
}
