package api

import (
	"errors"
	"net/http"
	"net/netip"
	"time"

	"postrider/api/access"
)

// drainWait is what a caller is told to wait while the relay stops.
const drainWait = 5 * time.Second

// authenticated admits callers with a credential, and those of the admin socket.
func (s *Server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-s.draining:
			s.refuse(w, r, refusal(http.StatusServiceUnavailable, "shutting_down", "The relay is being stopped. Try again in a moment.").after(drainWait).closing())
			return
		default:
		}
		if access.From(r.Context()).Admin() {
			next.ServeHTTP(w, r)
			return
		}
		if s.o.Auth == nil {
			s.notFound(w, r)
			return
		}
		c, f := s.caller(r)
		if f != nil {
			s.refuse(w, r, f)
			return
		}
		next.ServeHTTP(w, r.WithContext(access.With(r.Context(), c)))
	})
}

// caller finds out who makes a request.
func (s *Server) caller(r *http.Request) (access.Caller, *failure) {
	credentials, ok := access.FromRequest(r)
	if !ok {
		return access.Caller{}, unauthorized("unauthorized", "Give a key as Authorization: Bearer KEY, or account and password by Basic.")
	}
	c, err := s.o.Auth.Authenticate(r.Context(), credentials, remoteOf(r))
	switch {
	case err == nil:
		c.Remote = remoteOf(r)
		return c, nil
	case errors.Is(err, access.ErrUnauthorized):
		return c, unauthorized("unauthorized", "There is no such key, or account and password do not belong together.")
	case errors.Is(err, access.ErrExpired):
		return c, unauthorized("key_expired", "This key has expired. Make a new one.")
	case errors.Is(err, access.ErrNetwork):
		return c, refusal(http.StatusForbidden, "ip_not_allowed", "This key may not be used from your address.")
	case errors.Is(err, access.ErrThrottled):
		f := refusal(http.StatusTooManyRequests, "rate_limited", "Too many failed logins from here or for this account. Wait a minute.").after(throttleWait)
		limited(f.header, throttleWait)
		return c, f
	}
	return c, s.failureOf(r.Context(), err)
}

func unauthorized(code, detail string) *failure {
	return refusal(http.StatusUnauthorized, code, detail).with("WWW-Authenticate", `Bearer realm="postrider"`)
}

// remoteOf returns the client's address; the zero one on a Unix socket, and for
// a client that its proxies do not agree on.
func remoteOf(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}
