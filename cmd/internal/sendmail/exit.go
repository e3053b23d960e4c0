package sendmail

import (
	"errors"
	"fmt"
	"strings"
)

// The exit codes, by the names of sysexits.h.
const (
	exitOK           = 0
	exitUsage        = 64
	exitData         = 65
	exitNoUser       = 67
	exitUnavailable  = 69
	exitCannotCreate = 73
	exitIO           = 74
	exitTemporary    = 75
	exitNoPermission = 77
	exitConfig       = 78
)

// failure is an error that knows its exit code.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(code int, format string, args ...any) error {
	return &failure{code: code, err: fmt.Errorf(format, args...)}
}

// exitCode says how the process ends for err. An error of unknown kind is
// temporary, as everywhere in the relay.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return exitTemporary
}

// maxReason bounds one line on stderr, in bytes.
const maxReason = 1000

// oneLine makes text safe for a log that is read line by line.
func oneLine(text string) string {
	if len(text) > maxReason {
		text = text[:maxReason] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// refusal turns a reply of the relay into the failure it means. The stage
// decides what a permanent refusal is about.
func refusal(stage string, permanent int, r reply) error {
	code := permanent
	switch {
	case r.temporary():
		code = exitTemporary
	case r.code == 530 || r.code == 535 || strings.HasPrefix(r.enhanced(), "5.7."):
		code = exitNoPermission
	case r.code == 552 || r.code == 501 || r.code == 553:
		code = exitData
	}
	return fail(code, "the relay refused %s: %s", stage, r)
}
