package doctor

import (
	"fmt"
	"strings"
)

// maxString is the longest character-string of a TXT record (RFC 1035 §3.3).
const maxString = 255

// A Record is a DNS record to publish.
type Record struct {
	Name  string // full, without the final dot
	Type  string
	Value string // unquoted, as most providers' forms take it
	Note  string
}

func txtRecord(name, value string) Record { return Record{Name: name, Type: "TXT", Value: value} }

// Strings returns the value in pieces of at most 255 octets, as a TXT record
// holds it.
func (r Record) Strings() []string {
	if r.Type != "TXT" {
		return []string{r.Value}
	}
	var pieces []string
	rest := r.Value
	for len(rest) > maxString {
		pieces = append(pieces, rest[:maxString])
		rest = rest[maxString:]
	}
	return append(pieces, rest)
}

// ZoneFile returns the record as it stands in a zone file, without a line end
// unless it takes several lines.
func (r Record) ZoneFile() string {
	if r.Type != "TXT" {
		return fmt.Sprintf("%s. 3600 IN %s %s", r.Name, r.Type, r.Value)
	}
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	var quoted []string
	for _, s := range r.Strings() {
		quoted = append(quoted, `"`+quote.Replace(s)+`"`)
	}
	if len(quoted) == 1 {
		return fmt.Sprintf("%s. 3600 IN TXT %s", r.Name, quoted[0])
	}
	return fmt.Sprintf("%s. 3600 IN TXT (\n\t%s\n\t)\n", r.Name, strings.Join(quoted, "\n\t"))
}
