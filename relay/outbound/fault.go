package outbound

import (
	"crypto/x509"
	"errors"
)

// What can be wrong with the TLS of a next hop, by the names of RFC 8460 §4.3.1.
// What can be wrong with a policy is for those who look it up to name.
const (
	FaultNoStartTLS   = "starttls-not-supported"
	FaultHostMismatch = "certificate-host-mismatch"
	FaultExpired      = "certificate-expired"
	FaultNotTrusted   = "certificate-not-trusted"
	FaultValidation   = "validation-failure" // any other
)

// Fault is the error of an Authenticator that says which fault it was.
type Fault struct {
	Type string // as in RFC 8460 §4.3
	Err  error
}

func (f *Fault) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// faultOf names the fault of a certificate.
func faultOf(err error) string {
	var (
		fault *Fault
		host  x509.HostnameError
		bad   x509.CertificateInvalidError
		ca    x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &fault):
		return fault.Type
	case errors.As(err, &host):
		return FaultHostMismatch
	case errors.As(err, &bad) && bad.Reason == x509.Expired:
		return FaultExpired
	case errors.As(err, &ca):
		return FaultNotTrusted
	}
	return FaultValidation
}
