package mx

import (
	"errors"
	"strings"
	"time"
)

// ErrClosed is wrapped by the temporary errors of a closed [Resolver].
var ErrClosed = errors.New("resolver is closed")

// Kind says what kept a domain from having a plan, or a name an answer.
// It is short and stable, fit for logs and metrics.
type Kind string

// The kinds of [Error].
const (
	KindSyntax     Kind = "syntax"     // not a domain at all
	KindLiteral    Kind = "literal"    // an address literal, and those are refused
	KindNXDomain   Kind = "nxdomain"   // the name does not exist
	KindNoData     Kind = "nodata"     // the name exists, without the records asked for
	KindNullMX     Kind = "null-mx"    // the domain takes no mail
	KindTrouble    Kind = "dns"        // no usable answer from any server
	KindBogus      Kind = "bogus"      // the resolver says DNSSEC validation failed
	KindCNAME      Kind = "cname"      // a chain of CNAMEs that loops or is too long
	KindUnroutable Kind = "unroutable" // none of the mail servers has a usable address now
	KindGone       Kind = "gone"       // none of the mail servers that the domain names exists
	KindLoop       Kind = "loop"       // the best mail server is this one
	KindProhibited Kind = "prohibited" // only private or reserved addresses
)

// Error says why there is no answer or no plan, in the terms of an SMTP reply.
// Every error of this package's lookups is one.
type Error struct {
	Kind      Kind
	Domain    string // what was asked about
	Enhanced  string // enhanced status code, such as "5.1.2"
	Code      int    // reply code that goes with it, such as 550
	Temporary bool   // the attempt may be repeated; true unless DNS was definite
	Detail    string // one line for the log and the operator
	err       error
}

// Error returns the domain and the detail.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("mail route of ")
	b.WriteString(e.Domain)
	b.WriteString(": ")
	b.WriteString(e.Detail)
	return b.String()
}

// Unwrap returns the cause, such as the context's error, or nil.
func (e *Error) Unwrap() error { return e.err }

// goneFor is how long the mail servers of a domain may be missing before that is
// taken for what the domain wants. Until then it may be moving.
const goneFor = 24 * time.Hour

// After returns the error as it stands when it has been met for so long: one of
// [KindGone] is final after a day, the others stay what they are.
func (e *Error) After(lasted time.Duration) *Error {
	if e.Kind != KindGone || lasted < goneFor {
		return e
	}
	final := *e
	final.Code, final.Enhanced, final.Temporary = 550, "5.4.4", false
	return &final
}

func newError(k Kind, domain, detail string) *Error {
	e := &Error{Kind: k, Domain: domain, Detail: detail}
	switch k {
	case KindSyntax:
		e.Code, e.Enhanced = 553, "5.1.3"
	case KindLiteral, KindNXDomain:
		e.Code, e.Enhanced = 550, "5.1.2"
	case KindNoData, KindProhibited:
		e.Code, e.Enhanced = 550, "5.4.4"
	case KindNullMX:
		e.Code, e.Enhanced = 556, "5.1.10" // RFC 7505 §4.
	case KindLoop:
		e.Code, e.Enhanced = 550, "5.4.6"
	case KindBogus:
		e.Code, e.Enhanced, e.Temporary = 451, "4.7.5", true
	case KindUnroutable, KindGone:
		e.Code, e.Enhanced, e.Temporary = 451, "4.4.4", true
	default: // KindTrouble, KindCNAME, and whatever is unknown.
		e.Code, e.Enhanced, e.Temporary = 451, "4.4.3", true
	}
	return e
}

func (e *Error) because(cause error) *Error {
	e.err = cause
	return e
}
