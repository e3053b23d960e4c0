package dane

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"postrider/mx"
)

// Resolver asks DNS; [*mx.Resolver] is one. An error that is an [*mx.Error] and
// not temporary means that the name has no such record, any other that nobody
// knows.
type Resolver interface {
	TLSA(ctx context.Context, name string) (mx.Answer[mx.TLSA], error)
	CNAME(ctx context.Context, name string) (mx.Answer[string], error)
	TrustsAD() bool
}

// LookupError is the error of [Find]: what DANE asks of the host is not known,
// so the host may not be used for now (RFC 7672 §2.1.2).
type LookupError struct {
	Host   string
	Result Result // for reports of RFC 8460
	Err    error
}

// Error tells the host and the cause.
func (e *LookupError) Error() string {
	return fmt.Sprintf("DANE policy of %s: %v", e.Host, e.Err)
}

// Unwrap returns the cause, as a rule an [*mx.Error].
func (e *LookupError) Unwrap() error { return e.Err }

// Find says what DANE asks of a connection to a host of the plan on the port
// (RFC 7672 §2.2). The error is a [*LookupError]; it is temporary and means: do
// not use this host now.
//
// A host of a static route is named by the operator and needs no authenticated
// MX record.
func Find(ctx context.Context, r Resolver, plan *mx.Plan, host *mx.Host, port uint16) (Policy, error) {
	if !r.TrustsAD() || host.Via == nil && !plan.AD || strings.HasPrefix(host.Name, "[") {
		return Policy{}, nil
	}
	bases, err := candidates(ctx, r, host)
	if err != nil {
		return Policy{}, lookupError(host, err)
	}
	for _, base := range bases {
		records, err := secureRecords(ctx, r, base, port)
		if err != nil {
			return Policy{}, lookupError(host, err)
		}
		if len(records) > 0 {
			return newPolicy(base, records, referenceNames(base, plan, host)), nil
		}
	}
	return Policy{}, nil
}

// candidates returns the names under which TLSA records of the host may lie,
// the best first (RFC 7672 §2.2.3). Where the addresses are not authenticated it
// asks for none of them: servers of zones without DNSSEC stumble over TLSA.
func candidates(ctx context.Context, r Resolver, host *mx.Host) ([]string, error) {
	alias := host.AddrName != "" && host.AddrName != host.Name
	switch {
	case host.AD && alias:
		return []string{host.AddrName, host.Name}, nil
	case host.AD:
		return []string{host.Name}, nil
	case !alias:
		return nil, nil
	}
	// RFC 7672 §2.2.2: an alias in a signed zone counts even if it leads to a
	// zone that is not signed.
	cname, err := r.CNAME(ctx, host.Name)
	if absent(err) {
		return nil, nil
	}
	if err != nil || !cname.AD {
		return nil, err
	}
	return []string{host.Name}, nil
}

// secureRecords returns the authenticated TLSA records of a base domain.
func secureRecords(ctx context.Context, r Resolver, base string, port uint16) ([]mx.TLSA, error) {
	a, err := r.TLSA(ctx, "_"+strconv.Itoa(int(port))+"._tcp."+base)
	switch {
	case absent(err):
		return nil, nil
	case err != nil:
		return nil, err
	case !a.AD:
		return nil, nil
	}
	return a.Values, nil
}

// absent reports whether DNS has said that there is no such record.
func absent(err error) bool {
	var e *mx.Error
	return errors.As(err, &e) && !e.Temporary
}

// referenceNames are the names besides base that a certificate below a trust
// anchor may have (RFC 7672 §3.2.2).
func referenceNames(base string, plan *mx.Plan, host *mx.Host) []string {
	names := make([]string, 0, 3)
	add := func(name string) {
		if name == "" || name == base {
			return
		}
		for _, n := range names {
			if n == name {
				return
			}
		}
		names = append(names, name)
	}
	add(host.Name)
	if host.Via == nil {
		add(plan.Domain)
		add(plan.MXName)
	}
	return names
}

func lookupError(host *mx.Host, err error) error {
	e := &LookupError{Host: host.Name, Result: ResultValidationFailure, Err: err}
	var me *mx.Error
	if errors.As(err, &me) && me.Kind == mx.KindBogus {
		e.Result = ResultDNSSECInvalid
	}
	return e
}
