package configs

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ListenMode says how TLS begins on a listener.
type ListenMode string

// The ways in which a listener speaks TLS.
const (
	ListenPlain    ListenMode = "plain"    // STARTTLS is offered if a certificate is configured
	ListenSTARTTLS ListenMode = "starttls" // STARTTLS is required before AUTH and MAIL
	ListenTLS      ListenMode = "tls"      // TLS from the first byte
)

// Listener is one address to listen on.
type Listener struct {
	Mode ListenMode
	Host string // empty: every interface; else an IP address or a name, without brackets
	Port int    // 0: any free port
}

const listenFix = "write host:port as in 127.0.0.1:2525, :2525 for every interface, tls://:465, starttls://:587, or off"

// ParseListener reads one element of a listen key, such as :2525,
// 127.0.0.1:2525, tls://:465 or starttls://[::1]:587.
func ParseListener(s string) (Listener, error) {
	l, rest := Listener{Mode: ListenPlain}, s
	if scheme, after, ok := strings.Cut(s, "://"); ok {
		rest = after
		switch scheme {
		case "tls":
			l.Mode = ListenTLS
		case "starttls":
			l.Mode = ListenSTARTTLS
		default:
			return Listener{}, wrong(listenFix, "%q has the unknown scheme %q", s, scheme)
		}
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return Listener{}, wrong(listenFix, "%q is not host:port", s)
	}
	if strings.Trim(port, "0123456789") != "" || port == "" {
		return Listener{}, wrong(listenFix, "%q has no port number", s)
	}
	if l.Port, err = strconv.Atoi(port); err != nil || l.Port > 65535 {
		return Listener{}, wrong("use a port from 1 to 65535", "%q has a port out of range", s)
	}
	if host == "*" {
		host = ""
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !validHostname(host) {
		return Listener{}, wrong(listenFix, "%q has neither an address nor a host name before the port", s)
	}
	l.Host = host
	return l, nil
}

// Address is what net.Listen takes.
func (l Listener) Address() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// String is the form ParseListener reads.
func (l Listener) String() string {
	if l.Mode == ListenPlain || l.Mode == "" {
		return l.Address()
	}
	return string(l.Mode) + "://" + l.Address()
}

// Loopback reports whether only this machine can reach the listener.
func (l Listener) Loopback() bool {
	if strings.EqualFold(l.Host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(l.Host)
	return err == nil && a.Unmap().IsLoopback()
}

// collides reports whether both cannot be bound at once.
func (l Listener) collides(m Listener) bool {
	return l.Port != 0 && l.Port == m.Port && (l.Host == m.Host || l.everywhere() || m.everywhere())
}

func (l Listener) everywhere() bool {
	a, err := netip.ParseAddr(l.Host)
	return l.Host == "" || err == nil && a.IsUnspecified()
}
