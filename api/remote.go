package api

import (
	"net/http"
	"net/netip"
	"strings"
)

// withRemote replaces a request's RemoteAddr by what trusted proxies say of
// their client, so that all that comes after can believe it.
func (s *Server) withRemote(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if peer := remoteOf(r); s.trusts(peer) {
			r.RemoteAddr = s.forwardedFor(peer, r.Header)
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) trusts(a netip.Addr) bool {
	for _, p := range s.o.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// unknownRemote is the RemoteAddr of a client that nobody vouches for: it is in no
// network but that of all addresses.
const unknownRemote = "0.0.0.0:0"

// forwardedFor returns the client as the proxy at peer saw it: the right-most
// address that is no trusted proxy's, since all to its left may be made up. A
// proxy writes one of the two headers, and lets the other pass as the client
// sent it: if they do not agree, neither is believed.
func (s *Server) forwardedFor(peer netip.Addr, h http.Header) string {
	old, both := h.Values("X-Forwarded-For"), h.Values("Forwarded")
	var found []netip.Addr
	if len(old) > 0 {
		found = append(found, s.rightmost(peer, strings.Split(strings.Join(old, ","), ",")))
	}
	if len(both) > 0 {
		found = append(found, s.rightmost(peer, forwardedNodes(both)))
	}
	switch {
	case len(found) == 0:
		return netip.AddrPortFrom(peer, 0).String()
	case !found[0].IsValid(), found[0] != found[len(found)-1]:
		return unknownRemote
	}
	return netip.AddrPortFrom(found[0], 0).String()
}

// rightmost returns the right-most node that is no trusted proxy; the left-most
// one if all are; the zero address if that one is none.
func (s *Server) rightmost(peer netip.Addr, nodes []string) netip.Addr {
	at := peer
	for i := len(nodes) - 1; i >= 0; i-- {
		at = nodeAddr(nodes[i])
		if !at.IsValid() || !s.trusts(at) {
			return at
		}
	}
	return at
}

// nodeAddr reads an address, with or without port and brackets (RFC 7239 §6).
func nodeAddr(node string) netip.Addr {
	node = strings.Trim(strings.TrimSpace(node), `"`)
	if ap, err := netip.ParseAddrPort(node); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(node, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// forwardedNodes returns the "for" of each element of Forwarded (RFC 7239 §4).
func forwardedNodes(values []string) []string {
	var nodes []string
	for element := range strings.SplitSeq(strings.Join(values, ","), ",") {
		node := ""
		for pair := range strings.SplitSeq(element, ";") {
			if name, v, ok := strings.Cut(pair, "="); ok && strings.EqualFold(strings.TrimSpace(name), "for") {
				node = v
			}
		}
		nodes = append(nodes, node)
	}
	return nodes
}
