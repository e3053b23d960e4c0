package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/acme"

	"postrider/queue"
)

// fault is why an attempt failed, for the operator.
type fault struct {
	reason, advice string
	wait           time.Duration // that the authority asks for
	silent         bool          // it did not answer at all
}

// maxReason bounds what is repeated of others' words.
const maxReason = 500

// explain says what an error of an attempt means, and what to do.
func explain(err error, directory, domain string) fault {
	f := fault{reason: oneLine(err.Error())}
	problem := problemOf(err)
	if problem == nil {
		f.advice = adviceWithout(err, directory)
		e, ok := errors.AsType[*net.OpError](err)
		f.silent = ok && e.Op == "dial"
		return f
	}
	f.advice = adviceOn(problem, domain)
	if wait, ok := acme.RateLimit(problem); ok {
		f.wait = max(wait, time.Hour)
	}
	return f
}

// problemOf finds what the authority said.
func problemOf(err error) *acme.Error {
	if z, ok := errors.AsType[*acme.AuthorizationError](err); ok {
		for _, e := range z.Errors {
			if p := problemOf(e); p != nil {
				return p
			}
		}
		return nil
	}
	if o, ok := errors.AsType[*acme.OrderError](err); ok {
		return o.Problem
	}
	p, _ := errors.AsType[*acme.Error](err)
	return p
}

// adviceOn is what to do about a problem (RFC 8555 §6.7).
func adviceOn(p *acme.Error, domain string) string {
	kind := p.ProblemType[strings.LastIndexByte(p.ProblemType, ':')+1:]
	switch kind {
	case "dns":
		return "publish an A or AAAA record for " + domain + " that leads to this relay"
	case "connection", "tls":
		return "let the internet reach " + domain + " on port 80 (tls.acme.http_listen) or on port 443 (tls:// in http.listen): see DNS, firewall, and published ports of a container"
	case "unauthorized", "incorrectResponse":
		return "something else answers for " + domain + " on port 80 or 443: let its DNS lead here, or let the proxy pass /.well-known/acme-challenge/ on to tls.acme.http_listen"
	case "caa":
		return "allow the authority in the CAA record of " + domain + ", or remove that record"
	case "rejectedIdentifier", "unsupportedIdentifier":
		return "this authority gives no certificate for " + domain + ": correct tls.acme.domains, or choose another authority"
	case "rateLimited":
		return "wait: too many certificates or failures for this name or account lately; mend what failed before"
	case "externalAccountRequired":
		return bindingAdvice
	case "userActionRequired":
		return "accept the authority's new terms of service at " + oneLine(p.Instance)
	case "invalidContact", "unsupportedContact":
		return "correct tls.acme.email"
	case "accountDoesNotExist":
		return "nothing: a new account is made with the next attempt"
	}
	if p.StatusCode >= 500 {
		return "nothing, if it passes: the authority has trouble of its own"
	}
	return "see what the authority says; if it lasts, choose another one (tls.acme.directory)"
}

const bindingAdvice = "set tls.acme.eab_key_id and tls.acme.eab_key, which the authority shows in your account with it"

// adviceWithout is what to do where the authority said nothing.
func adviceWithout(err error, directory string) string {
	if errors.Is(err, errBindingWanted) {
		return bindingAdvice
	}
	if errors.Is(err, queue.ErrUnavailable) || errors.Is(err, queue.ErrFull) {
		return "see how the store is: the authority was not to blame"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "set tls.acme.ca to the root certificate of the authority's server"
	}
	host := directory
	if u, err := url.Parse(directory); err == nil {
		host = u.Host
	}
	_, dial := errors.AsType[*net.OpError](err)
	if e, ok := errors.AsType[net.Error](err); dial || ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return "let this machine reach " + host + ": see DNS, firewall and proxy settings"
	}
	return "see whether tls.acme.directory is right, and whether " + host + " works"
}

// oneLine clips a text of others and takes out what could forge a line.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}
