package compat

import (
	"errors"
	"net/http"
	"time"

	"postrider/api/access"
	"postrider/api/send"
	"postrider/queue"
)

// throttled is how long somebody with many failed logins is asked to wait.
const throttled = time.Minute

// CodeNoKey is the code of the error for a request that shows no key, which some
// providers tell from a wrong one.
const CodeNoKey = "missing_key"

// Caller says who makes a request, and that they may do this. Its errors are
// *send.Error.
func (o Options) Caller(w http.ResponseWriter, r *http.Request, scope queue.Scope) (access.Caller, error) {
	c, ok := access.FromRequest(r)
	if !ok {
		return access.Caller{}, &send.Error{Status: http.StatusUnauthorized, Code: CodeNoKey,
			Detail: "The request shows no API key, or several that differ. Send one key of this relay."}
	}
	caller, err := o.Auth.Authenticate(r.Context(), c, o.Remote(r))
	if err != nil {
		return access.Caller{}, o.denied(r, err)
	}
	if o.Rate != nil {
		o.Rate(r.Context(), w.Header(), caller)
	}
	caller.Remote = o.Remote(r)
	if !caller.May(scope) {
		return access.Caller{}, &send.Error{Status: http.StatusForbidden, Code: "forbidden_scope",
			Detail: "This key lacks the scope " + string(scope) + ". Use a key that has it."}
	}
	return caller, nil
}

func (o Options) denied(r *http.Request, err error) *send.Error {
	switch {
	case errors.Is(err, access.ErrUnauthorized):
		return &send.Error{Status: http.StatusUnauthorized, Code: "unauthorized",
			Detail: "There is no such API key. Use a key of this relay; keys of other providers do not work here."}
	case errors.Is(err, access.ErrExpired):
		return &send.Error{Status: http.StatusUnauthorized, Code: "key_expired", Detail: "This API key has expired. Create a new one."}
	case errors.Is(err, access.ErrNetwork):
		return &send.Error{Status: http.StatusForbidden, Code: "ip_not_allowed", Detail: "This API key may not be used from this address."}
	case errors.Is(err, access.ErrThrottled):
		return &send.Error{Status: http.StatusTooManyRequests, Code: "rate_limited", RetryAfter: throttled,
			Detail: "There were too many failed logins from this address. Check the API key and try again in a minute."}
	}
	return o.Fault(r, err)
}
