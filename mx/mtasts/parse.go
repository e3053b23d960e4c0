package mtasts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"postrider/mx"
)

const (
	version      = "STSv1"
	maxMaxAge    = 31_557_600 * time.Second // a year; RFC 8461 §3.2
	maxPatterns  = 1000
	maxRecordLen = 4 << 10
)

// ErrNoRecord says that a domain has no MTA-STS record.
var ErrNoRecord = errors.New("no MTA-STS record")

// errInvalid is wrapped by the errors of records and policies that cannot be
// read.
var errInvalid = errors.New("invalid")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errInvalid}, args...)...)
}

// ParseRecord finds the id in the TXT records of _mta-sts.<domain>
// (RFC 8461 §3.1). The error is [ErrNoRecord] if none of them is about MTA-STS;
// another one means that the domain counts as one without a record all the same.
func ParseRecord(texts []string) (id string, err error) {
	var records []string
	for _, text := range texts {
		if v, _, _ := strings.Cut(text, ";"); strings.TrimRight(v, " \t") == "v="+version {
			records = append(records, text)
		}
	}
	switch {
	case len(records) == 0:
		return "", ErrNoRecord
	case len(records) > 1:
		return "", invalid("%d MTA-STS records, want one", len(records))
	case len(records[0]) > maxRecordLen:
		return "", invalid("the MTA-STS record is too long")
	}
	for field := range strings.SplitSeq(records[0], ";") {
		name, value, ok := strings.Cut(strings.Trim(field, " \t"), "=")
		if ok && name == "id" && id == "" {
			if !validID(value) {
				return "", invalid("the id of the MTA-STS record is not 1 to 32 letters and digits")
			}
			id = value
		}
	}
	if id == "" {
		return "", invalid("the MTA-STS record has no id")
	}
	return id, nil
}

func validID(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// File is a policy as its host publishes it.
type File struct {
	Mode   Mode
	Hosts  []string // lower case, A-labels
	MaxAge time.Duration
}

// ParsePolicy reads a policy (RFC 8461 §3.2). Lines end with CRLF or LF; of
// fields other than mx the first counts; unknown ones are passed over. A max_age
// of more than a year counts as a year.
func ParsePolicy(body []byte) (File, error) {
	var f File
	seen := make(map[string]string)
	for line := range strings.Lines(string(body)) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return File{}, invalid("a line of the policy has no colon")
		}
		name, value = strings.TrimRight(name, " \t"), strings.TrimLeft(value, " \t")
		if name == "mx" {
			if err := f.allow(value); err != nil {
				return File{}, err
			}
		} else if _, again := seen[name]; !again && isField(name) {
			seen[name] = value
		}
	}
	return f, f.fill(seen)
}

func isField(name string) bool { return name == "version" || name == "mode" || name == "max_age" }

// fill takes over the fields that a policy has once.
func (f *File) fill(fields map[string]string) error {
	if fields["version"] != version {
		return invalid("the policy is not of version %s", version)
	}
	switch f.Mode = Mode(fields["mode"]); f.Mode {
	case None:
	case Testing, Enforce:
		if len(f.Hosts) == 0 {
			return invalid("the policy names no mx")
		}
	default:
		return invalid("the mode of the policy is none of enforce, testing and none")
	}
	age := fields["max_age"]
	if len(age) == 0 || len(age) > 10 || strings.Trim(age, "0123456789") != "" {
		return invalid("the max_age of the policy is no number of seconds")
	}
	seconds, err := strconv.ParseInt(age, 10, 64)
	if err != nil {
		return invalid("the max_age of the policy is no number of seconds")
	}
	f.MaxAge = time.Duration(min(seconds, int64(maxMaxAge/time.Second))) * time.Second
	return nil
}

// allow adds a pattern of mail hosts.
func (f *File) allow(pattern string) error {
	if len(f.Hosts) >= maxPatterns {
		return invalid("the policy names more than %d mx", maxPatterns)
	}
	host, wild := strings.CutPrefix(pattern, "*.")
	name, err := mx.NormalizeDomain(host)
	if err != nil || strings.HasPrefix(name, "[") {
		return invalid("an mx of the policy is not a host name, nor *. and a domain")
	}
	if wild {
		name = "*." + name
	}
	f.Hosts = append(f.Hosts, name)
	return nil
}
