package configs

import (
	"net/netip"
	"strconv"
	"strings"
)

// words splits a list as shell scripts do, and as Postfix does: by blanks and
// commas.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\n' || r == '\r' })
}

// truth reads a switch of a shell script, where any text turns it on; but who
// writes false hardly means true.
func truth(s string) bool {
	v, err := boolKind().parse(s)
	return err != nil || v
}

// relayHop is the way out, in the pieces that other images write it in.
type relayHop struct {
	at                 string // variable that names the host; empty: there is none
	host               string
	port               uint16 // 0: not said
	lookUp             bool   // written without brackets: Postfix asks for mail exchangers
	implicit           bool
	level              SmartHostTLS // empty: not said
	user               string
	password           Secret
	userAt             string
	secretAt           string
	levelAt, levelText string
}

const relayHostFix = "write [smtp.example.net]:587 or smtp.example.net:587"

// parseRelayHost reads the next hop as Postfix writes it: [host]:port, host:port,
// [host] or host, where the port may be a service's name. No error repeats it: it
// may hold a password that belongs elsewhere.
func parseRelayHost(s string) (host string, port uint16, lookUp bool, err error) {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, ", \t\n") {
		return "", 0, false, wrong("name one; a second one is delivery.fallback_smarthost (POSTRIDER_FALLBACK_SMARTHOST)", "it names more than one host")
	}
	if scheme, rest, ok := strings.Cut(s, ":"); ok && strings.HasPrefix(rest, "[") {
		switch scheme { // transport:nexthop
		case "smtp", "relay":
			s = rest
		}
	}
	rest, lookUp := s, true
	if after, ok := strings.CutPrefix(s, "["); ok {
		host, rest, ok = strings.Cut(after, "]")
		if !ok {
			return "", 0, false, wrong(relayHostFix, "a bracket is not closed")
		}
		host = strings.TrimPrefix(host, "IPv6:") // RFC 5321 §4.1.3
		lookUp = false
	} else if a, err := netip.ParseAddr(s); err == nil {
		return a.String(), 0, false, nil
	} else {
		host, rest, _ = strings.Cut(s, ":")
		if rest != "" || strings.HasSuffix(s, ":") {
			rest = ":" + rest
		}
	}
	if port, err = parseRelayPort(rest); err != nil {
		return "", 0, false, err
	}
	if err := checkRelayName(host); err != nil {
		return "", 0, false, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		lookUp = false
	}
	return host, port, lookUp, nil
}

// checkRelayName accepts what ParseSmartHost does.
func checkRelayName(host string) error {
	if _, err := netip.ParseAddr(host); err != nil && !validHostname(strings.ReplaceAll(host, "_", "-")) {
		return wrong(relayHostFix, "it has no valid host name")
	}
	return nil
}

// parseRelayPort reads what follows the host: nothing, or a colon and a port.
func parseRelayPort(s string) (uint16, error) {
	if s == "" {
		return 0, nil
	}
	text, ok := strings.CutPrefix(s, ":")
	if !ok {
		return 0, wrong(relayHostFix, "there is text between the host and the port")
	}
	switch strings.ToLower(text) {
	case "smtp":
		return 25, nil
	case "submission":
		return 587, nil
	case "smtps", "submissions":
		return 465, nil
	}
	return parsePort(text)
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
	if err != nil || n == 0 {
		return 0, wrong("write a number from 1 to 65535", "the port is not a number from 1 to 65535")
	}
	return uint16(n), nil
}

// postfixNetworks turns mynetworks into ours: [::1]/128 is written without
// brackets.
func postfixNetworks(s string) (string, error) {
	var all []string
	for _, w := range words(s) {
		if strings.HasPrefix(w, "!") || strings.Contains(w, ":/") || strings.HasPrefix(w, "/") {
			return "", wrong("write networks such as 10.1.0.0/16", "%q is neither a network nor an address: exceptions and tables are not read here", w)
		}
		w = strings.NewReplacer("[", "", "]", "").Replace(w)
		if _, err := parseNetwork(w); err != nil {
			return "", err
		}
		all = append(all, w)
	}
	if len(all) == 0 {
		return "", wrong("write networks such as 10.1.0.0/16", "it names no network")
	}
	return strings.Join(all, ","), nil
}

// eximNetworks reads networks behind colons, the form of Exim's lists, of IPv4
// alone.
func eximNetworks(s string) ([]string, error) {
	if !strings.HasPrefix(strings.TrimSpace(s), ":") {
		return nil, wrong("write :10.1.0.0/16:10.2.0.0/16", "it does not begin with a colon")
	}
	var all []string
	for part := range strings.SplitSeq(s, ":") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if _, err := parseNetwork(part); err != nil {
			return nil, err
		}
		all = append(all, part)
	}
	return all, nil
}

// senderDomains reads allowed senders as tables of Postfix are read: a domain
// stands for the domains below it as well.
func senderDomains(s string) (string, error) {
	var all []string
	for _, w := range words(s) {
		p, err := parseSender(strings.TrimPrefix(w, "@"))
		if err != nil {
			return "", err
		}
		all = append(all, p)
		if !strings.Contains(p, "@") && !strings.HasPrefix(p, "*") {
			all = append(all, "*."+p)
		}
	}
	if len(all) == 0 {
		return "", wrong("write the domains that mail is sent from, with blanks between them", "it names no domain")
	}
	return strings.Join(all, ","), nil
}

// postfixSize reads octets; 0 is no limit there, and unlimited here.
func postfixSize(s string) (size string, unlimited bool, err error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 0 {
		return "", false, wrong("write a number of octets, such as 26214400", "%q is not a number of octets", s)
	}
	return strconv.FormatInt(n, 10), n == 0, nil
}

// dkimSelectors reads foo,example.org=bar: the general selector and those of
// single domains.
func dkimSelectors(s string) (general string, domains []string, err error) {
	for _, w := range words(s) {
		if !strings.Contains(w, "=") {
			if general != "" {
				return "", nil, wrong("write foo,example.org=bar", "it names two selectors for all domains")
			}
			if general, err = selectorKind().parse(w); err != nil {
				return "", nil, err
			}
			continue
		}
		d, err := parseDomainSelector(w)
		if err != nil {
			return "", nil, err
		}
		domains = append(domains, d.String())
	}
	return general, domains, nil
}

// loginPairs turns user:password pairs into lines that the accounts are read
// from. No error repeats any of it.
func loginPairs(s string, separated func(string) []string) (string, error) {
	var lines []string
	for i, pair := range separated(s) {
		if pair = strings.TrimSpace(pair); pair == "" || pair[0] == '#' {
			continue
		}
		_, password, ok := strings.Cut(pair, ":")
		if hasControl(pair) {
			return "", wrong("write user:password on one line", "login %d has a control character", i+1) // the next line would be another login
		}
		if !ok {
			return "", wrong("write user:password", "login %d has no colon between user and password", i+1)
		}
		for _, mark := range []string{"$2a$", "$2b$", "$2y$", "$apr1$", "$5$", "$6$", "{SHA}", "{SSHA}"} {
			if strings.HasPrefix(password, mark) {
				return "", wrong("write the password itself, or make the account with `postrider account create`", "the password of login %d is hashed", i+1)
			}
		}
		lines = append(lines, pair)
	}
	if len(lines) == 0 {
		return "", wrong("write user:password", "it names no login")
	}
	return strings.Join(lines, "\n"), nil
}

func byComma(s string) []string { return strings.Split(s, ",") }

// mailAddressIn reads an address, alone or behind a name in angle brackets.
func mailAddressIn(s string) (string, error) {
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutSuffix(s, ">"); ok {
		if i := strings.LastIndexByte(rest, '<'); i >= 0 {
			s = rest[i+1:]
		}
	}
	return parseAddress(s)
}

// postfixLevel turns a TLS level of Postfix into that towards a smart host.
func postfixLevel(s string) (SmartHostTLS, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "none":
		return SmartHostPlain, nil
	case "may", "dane":
		return SmartHostOpportunistic, nil
	case "encrypt", "verify", "secure":
		return SmartHostRequired, nil
	}
	return "", wrong("use none, may, encrypt, verify or secure; mail exchangers that publish TLSA records or a policy are held to them anyhow", "%q is not a level that is known here", s)
}
