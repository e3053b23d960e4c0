package throttle

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"postrider/queue"
)

// tableVersion is that of the form of the file, not of its values.
const tableVersion = "1"

// ParseTable reads rules in the form of providers.txt, which describes itself.
func ParseTable(text string) (*Table, error) {
	var rules []Rule
	versioned := false
	for n, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if !versioned {
			if len(words) != 2 || words[0] != "version" || words[1] != tableVersion {
				return nil, fmt.Errorf("line %d: want version %s", n+1, tableVersion)
			}
			versioned = true
			continue
		}
		if words[0] == "provider" {
			if len(words) != 2 || !isName(words[1]) {
				return nil, fmt.Errorf("line %d: a provider has one name, of small letters, digits and -", n+1)
			}
			rules = append(rules, Rule{Name: words[1]})
			continue
		}
		if len(rules) == 0 {
			return nil, fmt.Errorf("line %d: %s belongs to no provider", n+1, words[0])
		}
		if err := rules[len(rules)-1].read(words[0], words[1:]); err != nil {
			return nil, fmt.Errorf("line %d: provider %s: %w", n+1, rules[len(rules)-1].Name, err)
		}
	}
	if !versioned {
		return nil, errors.New("there is no version")
	}
	for _, r := range rules {
		if err := r.complete(); err != nil {
			return nil, fmt.Errorf("provider %s: %w", r.Name, err)
		}
	}
	if err := apart(rules); err != nil {
		return nil, err
	}
	return newTable(rules)
}

// apart refuses providers of which one takes hosts of another.
func apart(rules []Rule) error {
	for i, r := range rules {
		for j, other := range rules {
			for _, mx := range r.MX {
				for _, wider := range other.MX {
					if i != j && queue.Below(mx, wider) {
						return fmt.Errorf("hosts below %s are claimed by %s and by %s", mx, other.Name, r.Name)
					}
				}
			}
		}
	}
	return nil
}

func (r *Rule) read(key string, values []string) (err error) {
	switch key {
	case "mx":
		for _, v := range values {
			domains, err := mxOf(v)
			if err != nil {
				return err
			}
			r.MX = append(r.MX, domains...)
		}
		return nil
	case "sample":
		for _, v := range values {
			if v != plainHost(v) {
				return fmt.Errorf("sample %s: write it in small letters and without a dot at its end", v)
			}
		}
		r.samples = append(r.samples, values)
		return nil
	case "apart":
		if len(values) > 0 || r.Apart {
			return errors.New("apart stands alone, once")
		}
		r.Apart = true
		return nil
	}
	if len(values) != 1 {
		return fmt.Errorf("%s has one value", key)
	}
	switch {
	case key == "connections" && r.Connections == 0:
		r.Connections, err = limit(values[0])
	case key == "messages" && r.MessagesPerConnection == 0:
		r.MessagesPerConnection, err = limit(values[0])
	case key == "rate" && r.Rate.IsZero():
		r.Rate, err = ParseRate(values[0])
	case key == "tls" && r.TLS == "" && values[0] == TLSEncrypt:
		r.TLS = TLSEncrypt
	default:
		return fmt.Errorf("%s %s is not known here, or given twice", key, values[0])
	}
	return err
}

func (r *Rule) complete() error {
	switch {
	case len(r.MX) == 0:
		return errors.New("it has no mx, so it would never apply")
	case len(r.samples) == 0:
		return errors.New("it has no sample")
	case r.Connections == 0 && r.MessagesPerConnection == 0 && r.Rate.IsZero() && r.TLS == "":
		return errors.New("it limits nothing")
	}
	return nil
}

func limit(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxLimit {
		return 0, fmt.Errorf("%q is not a number from 1 to %d", s, maxLimit)
	}
	return n, nil
}

func isName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// mxOf reads a domain, or the name of a provider that is known by its hosts.
func mxOf(s string) ([]string, error) {
	if strings.Contains(s, ".") {
		return []string{s}, checkMX(s)
	}
	for _, p := range queue.Providers() {
		if p.Key == s {
			return p.Suffixes, nil
		}
	}
	return nil, fmt.Errorf("mx %q is neither a domain nor a provider that is known by its hosts", s)
}

// checkMX refuses what no host could ever fit, such as a name that ends in a dot.
func checkMX(s string) error {
	if len(s) > 253 || !strings.Contains(s, ".") {
		return fmt.Errorf("mx %q is not a domain", s)
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return fmt.Errorf("mx %q: write a domain in small letters, without a dot at either end", s)
		}
	}
	return nil
}
