package tlspolicy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxHeader bounds what is read for one header field.
const maxHeader = 1 << 20

// SaysOptional reads a message's header, up to the empty line or the end, and
// reports whether it has "TLS-Required: No" (RFC 8689 §5). The first field of
// that name counts; other values mean nothing.
func SaysOptional(header io.Reader) (bool, error) {
	r := bufio.NewReaderSize(io.LimitReader(header, maxHeader), 4<<10)
	value, found := "", false
	for {
		line, err := nextLine(r)
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return false, fmt.Errorf("read header: %w", err)
		case found && line != "" && (line[0] == ' ' || line[0] == '\t'):
			if value += line; len(value) > 100 {
				return false, nil // whatever it says, it is the first of its name
			}
			continue
		case found:
			return strings.EqualFold(strings.TrimSpace(value), "no"), nil
		case err != nil, line == "":
			return false, nil
		}
		name, rest, ok := strings.Cut(line, ":")
		found = ok && strings.EqualFold(strings.TrimRight(name, " \t"), "TLS-Required")
		value = rest
	}
}

// nextLine reads a line without its end. Of a long one the beginning is enough.
func nextLine(r *bufio.Reader) (string, error) {
	b, more, err := r.ReadLine()
	line := string(b)
	for more && err == nil {
		_, more, err = r.ReadLine()
	}
	if line != "" {
		err = nil // the end is seen again
	}
	return line, err
}
