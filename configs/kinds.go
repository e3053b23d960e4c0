package configs

import (
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func asIs(s string) string { return s }

// textual is a kind of string that is shown as it is.
func textual(name string, parse func(string) (string, error)) kind[string] {
	return kind[string]{name: name, parse: parse, format: asIs}
}

func pathKind() kind[string] {
	return textual("path", func(s string) (string, error) {
		if s == "" || hasControl(s) {
			return "", wrong("give a path", "the path is empty or has a control character")
		}
		return s, nil
	})
}

// optionalPathKind is a path or off.
func optionalPathKind() kind[string] {
	return kind[string]{name: "path or off", format: offIfEmpty, parse: func(s string) (string, error) {
		if s == off {
			return "", nil
		}
		return pathKind().parse(s)
	}}
}

func offIfEmpty(s string) string {
	if s == "" {
		return off
	}
	return s
}

func durationKind() kind[time.Duration] {
	return kind[time.Duration]{name: "duration", format: FormatDuration, parse: func(s string) (time.Duration, error) {
		d, err := ParseDuration(s)
		if err == nil && d <= 0 {
			return 0, wrong(durationFix, "the duration is zero")
		}
		return d, err
	}}
}

// optionalDurationKind is a duration, zero included, or off.
func optionalDurationKind() kind[time.Duration] {
	return kind[time.Duration]{
		name: "duration or off",
		format: func(d time.Duration) string {
			if d == 0 {
				return off
			}
			return FormatDuration(d)
		},
		parse: func(s string) (time.Duration, error) {
			if s == off {
				return 0, nil
			}
			return ParseDuration(s)
		},
	}
}

// durationBetween is a duration within bounds.
func durationBetween(least, most time.Duration) kind[time.Duration] {
	k := durationKind()
	parse := k.parse
	k.parse = func(s string) (time.Duration, error) {
		d, err := parse(s)
		if err == nil && (d < least || d > most) {
			return 0, wrong("use "+FormatDuration(least)+" to "+FormatDuration(most), "%s is out of range", FormatDuration(d))
		}
		return d, err
	}
	return k
}

// retentionKind is a duration; zero means not at all.
func retentionKind() kind[time.Duration] {
	return kind[time.Duration]{name: "duration", format: FormatDuration, parse: ParseDuration}
}

func sizeKind(least int64) kind[int64] {
	return kind[int64]{name: "size", format: FormatSize, parse: func(s string) (int64, error) {
		n, err := ParseSize(s)
		if err == nil && n < least {
			return 0, wrong("use at least "+FormatSize(least), "%s is too small", FormatSize(n))
		}
		return n, err
	}}
}

// sizeBetween is a size within bounds.
func sizeBetween(least, most int64) kind[int64] {
	k := sizeKind(least)
	parse := k.parse
	k.parse = func(s string) (int64, error) {
		n, err := parse(s)
		if err == nil && n > most {
			return 0, wrong("use at most "+FormatSize(most), "%s is too large", FormatSize(n))
		}
		return n, err
	}
	return k
}

func countKind(least, most int) kind[int] {
	fix := fmt.Sprintf("use a whole number from %d to %d", least, most)
	if most == math.MaxInt32 {
		fix = fmt.Sprintf("use a whole number of at least %d", least)
	}
	return kind[int]{name: "number", format: strconv.Itoa, parse: func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0, wrong(fix, "%q is not a whole number", s)
		}
		if n < least || n > most {
			return 0, wrong(fix, "%d is out of range", n)
		}
		return n, nil
	}}
}

func boolKind() kind[bool] {
	return kind[bool]{name: "true or false", format: strconv.FormatBool, parse: func(s string) (bool, error) {
		switch strings.ToLower(s) {
		case "true", "yes", "on", "1":
			return true, nil
		case "false", "no", "off", "0":
			return false, nil
		default:
			return false, wrong("write true or false", "%q is neither true nor false", s)
		}
	}}
}

// oneOf is a kind with few values, the given ones.
func oneOf[T ~string](values ...T) kind[T] {
	var allowed []string
	for _, v := range values {
		allowed = append(allowed, string(v))
	}
	return kind[T]{
		name:    "word",
		allowed: allowed,
		format:  func(v T) string { return string(v) },
		parse: func(s string) (T, error) {
			if i := slices.Index(allowed, strings.ToLower(s)); i >= 0 {
				return values[i], nil
			}
			return "", wrong("use "+orList(allowed), "%q is not known here", s)
		},
	}
}

func orList(words []string) string {
	if n := len(words) - 1; n > 0 {
		return strings.Join(words[:n], ", ") + " or " + words[n]
	}
	return strings.Join(words, "")
}

// boundKind makes a kind of a parser whose values know how to print themselves.
func boundKind[T fmt.Stringer](name string, parse func(string) (T, error)) kind[T] {
	return kind[T]{name: name, parse: parse, format: func(v T) string { return v.String() }}
}

func listenerKind() kind[Listener]         { return boundKind("addresses", ParseListener) }
func networkKind() kind[netip.Prefix]      { return boundKind("networks", parseNetwork) }
func nameserverKind() kind[netip.AddrPort] { return boundKind("addresses", parseNameserver) }

// plainListenerKind is a listener that cannot speak TLS.
func plainListenerKind() kind[Listener] {
	return boundKind("addresses", func(s string) (Listener, error) {
		l, err := ParseListener(s)
		if err == nil && l.Mode != ListenPlain {
			return l, wrong("write host:port", "%q asks for TLS, which this listener does not speak", s)
		}
		return l, err
	})
}

// webListenerKind is a listener that knows no STARTTLS.
func webListenerKind() kind[Listener] {
	return boundKind("addresses", func(s string) (Listener, error) {
		l, err := ParseListener(s)
		if err == nil && l.Mode == ListenSTARTTLS {
			return l, wrong("write host:port, or tls://host:port for HTTPS", "%q asks for STARTTLS, which HTTP does not have", s)
		}
		return l, err
	})
}

func smartHostKind() kind[SmartHost] { return boundKind("URL", ParseSmartHost) }

func modeKind() kind[fs.FileMode] {
	return kind[fs.FileMode]{
		name:   "octal mode",
		format: func(m fs.FileMode) string { return fmt.Sprintf("%04o", uint32(m)) },
		parse: func(s string) (fs.FileMode, error) {
			n, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 32)
			if err != nil || n > 0o777 {
				return 0, wrong("write it as for chmod, such as 0666 or 0660", "%q is not a file mode", s)
			}
			return fs.FileMode(n), nil
		},
	}
}

func levelKind() kind[slog.Level] {
	return kind[slog.Level]{
		name:    "word",
		allowed: []string{"debug", "info", "warn", "error"},
		format:  func(l slog.Level) string { return strings.ToLower(l.String()) },
		parse: func(s string) (slog.Level, error) {
			switch strings.ToLower(s) {
			case "debug":
				return slog.LevelDebug, nil
			case "info":
				return slog.LevelInfo, nil
			case "warn", "warning":
				return slog.LevelWarn, nil
			case "error":
				return slog.LevelError, nil
			default:
				return 0, wrong("use debug, info, warn or error", "%q is not a log level", s)
			}
		},
	}
}

// secretKind never repeats what it was given.
func secretKind() kind[Secret] {
	return kind[Secret]{
		name: "secret",
		format: func(s Secret) string {
			if s.IsZero() {
				return ""
			}
			return hidden
		},
		parse: func(s string) (Secret, error) {
			if s == "" {
				return Secret{}, wrong("set it, in quotes if it begins with a sign", "the secret is empty")
			}
			if hasControl(s) {
				return Secret{}, wrong("use one line of printable characters", "the secret has a control character")
			}
			return NewSecret(s), nil
		},
	}
}

func storeKind() kind[StoreURL] { return boundKind("URL", ParseStoreURL) }

// directoryURLKind is a file:// URL of a directory, or nothing.
func directoryURLKind() kind[string] {
	const scheme = "file://"
	return kind[string]{
		name: "URL",
		format: func(dir string) string {
			if dir == "" {
				return ""
			}
			return scheme + dir
		},
		parse: func(s string) (string, error) {
			dir, ok := strings.CutPrefix(s, scheme)
			if s == "" {
				return "", nil
			}
			if !ok || !filepath.IsAbs(dir) || filepath.Clean(dir) == "/" || hasControl(dir) {
				return "", wrong("write file:///srv/postrider, the full path of a directory that all nodes share, as it is and without %XX codes; or leave it empty", "%q is not the file:// URL of a directory", s)
			}
			return filepath.Clean(dir), nil
		},
	}
}

func domainKind(name string) kind[string] { return textual(name, parseDomain) }
func addressKind() kind[string]           { return textual("mail address", parseAddress) }
func senderKind() kind[string]            { return textual("domains and addresses", parseSender) }

// selectorKind is one or more DNS labels.
func selectorKind() kind[string] {
	return textual("DNS label", func(s string) (string, error) {
		if !validHostname(s) {
			return "", wrong("use letters, digits and hyphens", "%q is not a selector", s)
		}
		return strings.ToLower(s), nil
	})
}

// accountNameKind is what an account may be called.
func accountNameKind() kind[string] {
	return textual("name", func(s string) (string, error) {
		const fix = "use letters, digits and . _ - + @, beginning with a letter or digit, at most 64 of them"
		first := true
		bad := strings.IndexFunc(s, func(r rune) bool {
			ok := isLetter(r) || isDigit(r) || !first && strings.ContainsRune("._-+@", r)
			first = false
			return !ok
		})
		switch {
		case s == "" || len(s) > 64 || bad >= 0:
			// Not repeated: whoever swaps the two writes the password here.
			return "", wrong(fix, "the name of an account is empty, too long or has a character that is not allowed")
		case strings.EqualFold(s, "local") || strings.EqualFold(s, "trusted"):
			return "", wrong("choose another name", "the account name %q is reserved for the socket and trusted networks", s)
		}
		return s, nil
	})
}
