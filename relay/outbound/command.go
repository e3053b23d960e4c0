package outbound

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"postrider/queue"
)

// appendMail writes MAIL with the parameters that the peer offers.
func appendMail(b []byte, e *queue.Envelope, size int64, c *capabilities, utf8, requireTLS bool) ([]byte, error) {
	b = append(b, "MAIL FROM:"...)
	b, err := appendPath(b, e.ReversePath, utf8)
	if err != nil {
		return b, err
	}
	if c.sized && size > 0 {
		b = strconv.AppendInt(append(b, " SIZE="...), size, 10)
	}
	if e.EightBit && c.eightBit {
		b = append(b, " BODY=8BITMIME"...)
	}
	if utf8 {
		b = append(b, " SMTPUTF8"...)
	}
	if requireTLS {
		b = append(b, " REQUIRETLS"...)
	}
	if c.dsn {
		switch e.Ret {
		case queue.RetHeaders:
			b = append(b, " RET=HDRS"...)
		case queue.RetFull:
			b = append(b, " RET=FULL"...)
		}
		if e.EnvID != "" {
			b = appendXtext(append(b, " ENVID="...), e.EnvID)
		}
	}
	return append(b, '\r', '\n'), nil
}

func appendRcpt(b []byte, r *Recipient, c *capabilities, utf8 bool) ([]byte, error) {
	b = append(b, "RCPT TO:"...)
	b, err := appendPath(b, r.Address, utf8)
	if err != nil {
		return b, err
	}
	if c.dsn {
		b = appendNotify(b, r.Notify)
		b = appendORCPT(b, r.ORCPT)
	}
	return append(b, '\r', '\n'), nil
}

// appendPath writes an address in angle brackets, its domain as A-labels unless
// the peer is spoken to in UTF-8.
func appendPath(b []byte, a queue.Address, inUTF8 bool) ([]byte, error) {
	if err := checkAddress(a); err != nil {
		return b, err
	}
	if !inUTF8 && !isASCII(a.Domain) {
		domain, err := idna.Lookup.ToASCII(a.Domain)
		if err != nil {
			return b, fmt.Errorf("the domain %.100q has no ASCII form: %w", a.Domain, err)
		}
		a.Domain = domain
	}
	b = append(b, '<')
	b = append(b, a.String()...)
	return append(b, '>'), nil
}

// checkAddress refuses what would not stay one argument of one command, whoever
// made the address.
func checkAddress(a queue.Address) error {
	if a.IsNull() {
		return nil
	}
	if a.Local == "" || a.Domain == "" {
		return fmt.Errorf("the address %.100q is incomplete", a.String())
	}
	for _, s := range [2]string{a.Local, a.Domain} {
		for i := range len(s) {
			if s[i] < ' ' || s[i] == 0x7f {
				return fmt.Errorf("the address %.100q has a control character", a.String())
			}
		}
		if !utf8.ValidString(s) {
			return fmt.Errorf("the address %.100q is not UTF-8", a.String())
		}
	}
	if strings.ContainsAny(a.Domain, " <>@\"\\") {
		return fmt.Errorf("the address %.100q has a bad domain", a.String())
	}
	return nil
}

func appendNotify(b []byte, n queue.Notify) []byte {
	if n == 0 {
		return b
	}
	b = append(b, " NOTIFY="...)
	if n&queue.NotifyNever != 0 {
		return append(b, "NEVER"...)
	}
	sep := ""
	for _, k := range [...]struct {
		bit  queue.Notify
		name string
	}{{queue.NotifySuccess, "SUCCESS"}, {queue.NotifyFailure, "FAILURE"}, {queue.NotifyDelay, "DELAY"}} {
		if n&k.bit != 0 {
			b = append(append(b, sep...), k.name...)
			sep = ","
		}
	}
	return b
}

// appendORCPT writes the original recipient, unless its type is no atom.
func appendORCPT(b []byte, orcpt string) []byte {
	kind, address, ok := strings.Cut(orcpt, ";")
	if !ok || kind == "" || address == "" {
		return b
	}
	for i := range len(kind) {
		c := kind[i] | 0x20
		if (c < 'a' || c > 'z') && (kind[i] < '0' || kind[i] > '9') && kind[i] != '-' {
			return b
		}
	}
	b = append(append(append(b, " ORCPT="...), kind...), ';')
	if strings.EqualFold(kind, "utf-8") {
		return appendUTF8Xtext(b, address)
	}
	return appendXtext(b, address)
}

const hexDigits = "0123456789ABCDEF"

// appendXtext encodes by RFC 3461 §4.
func appendXtext(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c < '!' || c > '~' || c == '+' || c == '=' {
			b = append(b, '+', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

// appendUTF8Xtext encodes by RFC 6533 §3, utf-8-addr-xtext.
func appendUTF8Xtext(b []byte, s string) []byte {
	for _, r := range s {
		if r < '!' || r > '~' || r == '+' || r == '=' || r == '\\' {
			b = fmt.Appendf(b, `\x{%02X}`, r)
		} else {
			b = append(b, byte(r))
		}
	}
	return b
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
