package access

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// maxSecret bounds what is looked at: keys are short, and so are passwords that
// somebody types.
const maxSecret = 1 << 10

// secretHeaders carry a key as they are: in the APIs of Postmark and of Postal.
var secretHeaders = []string{"X-Postmark-Server-Token", "X-Server-API-Key"}

// anyUser are the names that stand for no account beside a key, as in Mailgun's
// "api:KEY".
const anyUser = "api"

// FromRequest reads the credentials that a request shows: a Bearer token, Basic
// with an account's name (or none, or "api" with a key), or one of the headers
// of other providers' APIs. It is false if there are none, if they cannot be
// read, and if there are several that differ: which of them counts must not
// depend on who looks.
func FromRequest(r *http.Request) (Credentials, bool) {
	var found Credentials
	seen := false
	take := func(c Credentials, ok bool) bool {
		if !ok || seen && c != found {
			return false
		}
		found, seen = c, true
		return true
	}
	for _, v := range r.Header.Values("Authorization") {
		if !take(fromAuthorization(v)) {
			return Credentials{}, false
		}
	}
	for _, name := range secretHeaders {
		for _, v := range r.Header.Values(name) {
			if !take(fromSecret(v)) {
				return Credentials{}, false
			}
		}
	}
	return found, seen
}

func fromAuthorization(v string) (Credentials, bool) {
	scheme, rest, ok := strings.Cut(strings.TrimSpace(v), " ")
	if !ok {
		return Credentials{}, false
	}
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return fromSecret(rest)
	case strings.EqualFold(scheme, "Basic"):
		return fromBasic(strings.TrimSpace(rest))
	}
	return Credentials{}, false
}

// fromBasic reads RFC 7617 user-pass.
func fromBasic(v string) (Credentials, bool) {
	if len(v) > base64.StdEncoding.EncodedLen(2*maxSecret) {
		return Credentials{}, false
	}
	b, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		return Credentials{}, false
	}
	name, secret, ok := strings.Cut(string(b), ":")
	if !ok || secret == "" || !clean(secret) || !clean(name) {
		return Credentials{}, false
	}
	if name == anyUser {
		name = ""
	}
	return Credentials{Name: name, Secret: secret}, true
}

func fromSecret(v string) (Credentials, bool) {
	v = strings.TrimSpace(v)
	if v == "" || !clean(v) {
		return Credentials{}, false
	}
	return Credentials{Secret: v}, true
}

// clean reports whether a text may be looked up and compared.
func clean(s string) bool {
	if len(s) > maxSecret {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
