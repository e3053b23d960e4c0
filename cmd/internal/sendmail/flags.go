package sendmail

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// mode is what one call is for.
type mode int

const (
	modeSend    mode = iota // a message on stdin (-bm)
	modeTunnel              // SMTP on stdin and stdout (-bs)
	modeQueue               // list the queue (-bp, mailq)
	modeNothing             // -bi, newaliases, -q: the relay needs no telling
	modeVerify              // -bv
	modeVersion
	modeHelp
)

// options is a parsed command line.
type options struct {
	mode             mode
	headerRecipients bool // -t
	ignoreDots       bool // -i, -oi
	sender           string
	senderGiven      bool   // -f, also with an empty address: the null reverse-path
	fullName         string // -F
	notify           string // -N, as NOTIFY= wants it
	ret              string // -R, as RET= wants it
	envelopeID       string // -V, not yet encoded
	bodyType         string // -B, upper case
	wishes           header // --at, --expires, --priority
	recipients       []string
	warnings         []string
}

// Flags by how they take a value. Those that we do not act on are known so
// that their values are not mistaken for recipients.
const (
	flagsWithValue = "ABCFLNORVXbdfhopr"
	flagsAlone     = "GImntUiv"
)

// parseArgs reads a command line as sendmail(8) does: single letters, grouped
// (-ti) or with the value glued on (-fADDR) or following (-f ADDR); the last
// one wins. args[0] is the name it was called by. Options are also taken after
// the first recipient, up to "--".
func parseArgs(args []string) (options, error) {
	var o options
	if len(args) == 0 {
		return o, fail(exitUsage, "called without a name")
	}
	switch filepath.Base(args[0]) {
	case "mailq":
		o.mode = modeQueue
	case "newaliases":
		o.mode = modeNothing
	}
	rest := args[1:]
	for len(rest) > 0 {
		arg := rest[0]
		rest = rest[1:]
		switch {
		case arg == "--":
			o.recipients = append(o.recipients, rest...)
			rest = nil
		case strings.HasPrefix(arg, "--"):
			if err := o.long(arg); err != nil {
				return o, err
			}
		case len(arg) > 1 && arg[0] == '-':
			var err error
			if rest, err = o.group(arg[1:], rest); err != nil {
				return o, err
			}
		default:
			o.recipients = append(o.recipients, arg)
		}
	}
	return o, o.validate()
}

func (o *options) long(arg string) error {
	name, value, given := strings.Cut(arg, "=")
	switch name {
	case "--version":
		o.mode = modeVersion
	case "--help":
		o.mode = modeHelp
	case "--at", "--expires", "--priority":
		if !given || value == "" {
			return fail(exitUsage, "%s wants a value: write %s=…", name, name)
		}
		o.wish(name, value)
	default:
		o.warn("unknown option %s ignored", arg)
	}
	return nil
}

// wish puts into the header what SMTP has no words for; the relay takes it out.
// The first field of a name counts there.
func (o *options) wish(option, value string) {
	name := map[string]string{"--at": "X-Postrider-Send-At", "--expires": "X-Postrider-Expires", "--priority": "X-Postrider-Priority"}[option]
	o.wishes = append(header{{name: strings.ToLower(name), raw: name + ": " + value + "\r\n"}}, o.wishes...)
}

// group reads one argument of flags and returns the arguments behind it.
func (o *options) group(flags string, rest []string) ([]string, error) {
	for flags != "" {
		flag := flags[0]
		flags = flags[1:]
		switch {
		case strings.IndexByte(flagsAlone, flag) >= 0:
			o.alone(flag)
		case flag == 'e': // error mode, always glued: -em, -eq
			return rest, nil
		case flag == 'q': // run the queue, optionally -q30m or -qRtext
			o.mode = modeNothing
			return rest, nil
		case strings.IndexByte(flagsWithValue, flag) >= 0:
			value := flags
			if value == "" {
				var given bool
				if value, rest, given = o.following(flag, rest); !given {
					return rest, nil
				}
			}
			return rest, o.valued(flag, value)
		default:
			o.warn("unknown option -%s ignored", printable(flag))
		}
	}
	return rest, nil
}

// following takes a flag's value from the next argument. An -f with nothing
// behind it is what mail() makes of an empty sender ("-f”" after the shell);
// it must not swallow the -t that follows.
func (o *options) following(flag byte, rest []string) (value string, after []string, given bool) {
	if len(rest) == 0 {
		o.warn("option -%c without a value ignored", flag)
		return "", nil, false
	}
	if (flag == 'f' || flag == 'r') && strings.HasPrefix(rest[0], "-") {
		o.warn("option -%c without an address ignored", flag)
		return "", rest, false
	}
	return rest[0], rest[1:], true
}

func (o *options) alone(flag byte) {
	switch flag {
	case 't':
		o.headerRecipients = true
	case 'i':
		o.ignoreDots = true
	case 'I':
		o.mode = modeNothing
	}
}

func (o *options) valued(flag byte, value string) error {
	switch flag {
	case 'f', 'r':
		o.sender, o.senderGiven = value, true
	case 'F':
		o.fullName = value
	case 'N':
		return o.setNotify(value)
	case 'R':
		return o.setReturn(value)
	case 'V':
		o.envelopeID = value
	case 'B':
		o.bodyType = strings.ToUpper(value)
	case 'b':
		return o.setMode(value)
	case 'o':
		if value == "i" {
			o.ignoreDots = true
		}
	}
	return nil
}

func (o *options) setMode(value string) error {
	modes := map[string]mode{
		"m": modeSend, "s": modeTunnel, "p": modeQueue, "i": modeNothing, "v": modeVerify,
	}
	m, known := modes[value]
	if !known {
		return fail(exitUsage, "mode -b%s is not supported: for a server run postrider serve", value)
	}
	o.mode = m
	return nil
}

// setNotify checks the condition list of RFC 3461 §4.1.
func (o *options) setNotify(value string) error {
	conditions := strings.Split(strings.ToUpper(value), ",")
	for i, c := range conditions {
		conditions[i] = strings.TrimSpace(c)
		switch conditions[i] {
		case "NEVER":
			if len(conditions) > 1 {
				return fail(exitUsage, "-N: never stands alone")
			}
		case "SUCCESS", "FAILURE", "DELAY":
		default:
			return fail(exitUsage, "-N wants never, or a list of success, failure and delay")
		}
	}
	slices.Sort(conditions)
	o.notify = strings.Join(slices.Compact(conditions), ",")
	return nil
}

func (o *options) setReturn(value string) error {
	switch strings.ToLower(value) {
	case "full":
		o.ret = "FULL"
	case "hdrs":
		o.ret = "HDRS"
	default:
		return fail(exitUsage, "-R wants full or hdrs")
	}
	return nil
}

// validate refuses what would break a command or header line.
func (o *options) validate() error {
	values := append([]string{o.sender, o.fullName}, o.recipients...)
	for _, w := range o.wishes {
		values = append(values, strings.TrimSuffix(w.raw, "\r\n"))
	}
	for _, value := range values {
		if strings.ContainsAny(value, "\r\n\x00") {
			return fail(exitData, "line break or NUL in the argument %q", value)
		}
	}
	// RFC 3461 §4.4: printable characters, at most 100.
	if len(o.envelopeID) > 100 {
		return fail(exitUsage, "-V: an envelope id has at most 100 characters")
	}
	for i := range len(o.envelopeID) {
		if c := o.envelopeID[i]; c < ' ' || c > '~' {
			return fail(exitUsage, "-V: an envelope id is printable ASCII")
		}
	}
	switch o.bodyType {
	case "", "7BIT", "8BITMIME":
	default:
		o.warn("body type %s ignored", o.bodyType)
		o.bodyType = ""
	}
	// qmail's sendmail takes the header's recipients when there are no
	// others, and never ends at a dot.
	if o.mode == modeSend && len(o.recipients) == 0 && !o.headerRecipients {
		o.headerRecipients, o.ignoreDots = true, true
	}
	return nil
}

func (o *options) warn(format string, args ...any) {
	o.warnings = append(o.warnings, fmt.Sprintf(format, args...))
}

func printable(c byte) string {
	if c > ' ' && c < 0x7f {
		return string(rune(c))
	}
	return fmt.Sprintf("\\x%02x", c)
}

const usage = `usage: sendmail [-t] [-i] [-f sender] [-F name] [-N conditions] [-R full|hdrs] [-V id] [-B type]
                [--at=TIME] [--expires=TIME] [--priority=high|normal|low] [recipient ...]
       sendmail -bs | -bp | -bv address ... | -bi | -q
       mailq | newaliases
TIME is 2026-01-31T15:04:05Z, or +2h or +3d from now.
`
