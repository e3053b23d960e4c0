package dkim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/dkim"
)

// maxVerifications bounds the work that a message with many signatures makes.
const maxVerifications = 10

// A Verification is the verdict on one DKIM-Signature field.
type Verification struct {
	// Domain is the d= tag.
	Domain string
	// Signed is the h= tag.
	Signed []string
	// Made and Expires are t= and x=, zero if absent.
	Made, Expires time.Time
	// Err is nil if the signature is valid, else says why not.
	Err error
	// Temporary says that Err may go away, the DNS being out of reach.
	Temporary bool
}

// LookupTXT returns the TXT records of a name, each joined to one string.
// (*net.Resolver).LookupTXT is one.
type LookupTXT func(ctx context.Context, name string) ([]string, error)

// Verify checks every signature of a message, ten at most, in the order of
// their fields. A message without any is no error. Lines may end in CRLF or
// LF; the body may be absent.
func Verify(ctx context.Context, message io.Reader, lookup LookupTXT) ([]Verification, error) {
	// A message may end with its header; go-msgauth insists on the empty line.
	// More empty lines at the end change no hash (RFC 6376 §3.4.3, §3.4.4).
	whole := io.MultiReader(message, strings.NewReader("\r\n\r\n"))
	found, err := dkim.VerifyWithOptions(whole, &dkim.VerifyOptions{
		LookupTXT:        func(name string) ([]string, error) { return lookup(ctx, name) },
		MaxVerifications: maxVerifications,
	})
	if err != nil && !errors.Is(err, dkim.ErrTooManySignatures) {
		return nil, fmt.Errorf("verify dkim: %w", err)
	}
	verdicts := make([]Verification, 0, len(found))
	for _, v := range found {
		verdicts = append(verdicts, Verification{
			Domain: v.Domain, Signed: v.HeaderKeys, Made: v.Time, Expires: v.Expiration,
			Err: v.Err, Temporary: v.Err != nil && dkim.IsTempFail(v.Err),
		})
	}
	return verdicts, nil
}
