package outbound

import (
	"bytes"
	"strconv"
	"strings"
)

// capabilities are what a peer said to EHLO; the zero value is a HELO peer.
type capabilities struct {
	pipelining bool
	eightBit   bool
	smtputf8   bool
	dsn        bool
	startTLS   bool
	requireTLS bool // RFC 8689
	authPlain  bool
	authLogin  bool
	sized      bool  // SIZE is offered
	size       int64 // its maximum; 0: none said (RFC 1870 §4)
	rcptMax    int   // RFC 9422; 0: none said
	mailMax    int
	domainMax  int // of the recipients of a session
}

// parseCapabilities reads the lines after the first of a reply to EHLO, in
// either case (RFC 5321 §2.4), AUTH also with an equals sign.
func parseCapabilities(text []byte) capabilities {
	var c capabilities
	_, rest, _ := bytes.Cut(text, []byte("\n"))
	for line := range strings.Lines(string(rest)) {
		words := strings.Fields(strings.ToUpper(line))
		if len(words) == 0 {
			continue
		}
		args := words[1:]
		if mechanism, ok := strings.CutPrefix(words[0], "AUTH="); ok {
			words[0], args = "AUTH", append(args, mechanism)
		}
		switch words[0] {
		case "PIPELINING":
			c.pipelining = true
		case "8BITMIME":
			c.eightBit = true
		case "SMTPUTF8":
			c.smtputf8 = true
		case "DSN":
			c.dsn = true
		case "STARTTLS":
			c.startTLS = true
		case "REQUIRETLS":
			c.requireTLS = true
		case "AUTH":
			for _, m := range args {
				c.authPlain = c.authPlain || m == "PLAIN"
				c.authLogin = c.authLogin || m == "LOGIN"
			}
		case "SIZE":
			c.sized = true
			if len(args) > 0 {
				c.size, _ = strconv.ParseInt(args[0], 10, 64)
				c.size = max(c.size, 0)
			}
		case "LIMITS":
			c.limits(args)
		}
	}
	return c
}

func (c *capabilities) limits(args []string) {
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || n == 0 {
			continue // RFC 9422 §3.1: an unusable limit is as if not said
		}
		switch name {
		case "RCPTMAX":
			c.rcptMax = int(n)
		case "MAILMAX":
			c.mailMax = int(n)
		case "RCPTDOMAINMAX":
			c.domainMax = int(n)
		}
	}
}
