// Package unsubscribe lets recipients leave a list with one click (RFC 8058).
//
// An Offer says how; a Minter makes the link for one recipient of one list; the
// Handler takes it when the recipient, or the recipient's mail program, uses it.
// A link carries what it means, encrypted, so that it works on every node and
// long after the message was forgotten, and shows nothing to others. Opening a
// link changes nothing (scanners open all links): only posting to it does. Who
// is sent to is decided elsewhere: the Handler only writes the suppression.
package unsubscribe

import (
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"postrider/queue"
)

// Offer says how recipients of a list leave it (RFC 8058, RFC 2369).
type Offer struct {
	Mode   Mode   `json:"mode"`
	List   string `json:"list,omitempty"`   // list whose suppressions count; required for one_click
	URL    string `json:"url,omitempty"`    // for custom: https
	Mailto string `json:"mailto,omitempty"` // an address, added to either
}

// Mode says who makes the link.
type Mode string

// The modes.
const (
	None     Mode = "none"
	OneClick Mode = "one_click" // we mint it
	Custom   Mode = "custom"    // the sender has one
)

// Limits of an Offer, in octets.
const (
	MaxList = 64
	MaxURL  = 800
)

// Problem is one thing that is wrong in an Offer; Field is its JSON name.
type Problem struct{ Field, Code, Detail string }

// Check returns what is wrong; nothing if the offer may be made.
func (o Offer) Check() (ps []Problem) {
	add := func(field, code, detail string) { ps = append(ps, Problem{field, code, detail}) }
	switch o.Mode {
	case None, OneClick, Custom:
	default:
		add("mode", "invalid_value", "Use one_click, custom or none.")
	}
	switch {
	case o.List != "" && !ValidList(o.List):
		add("list", "invalid_value", "A list's name is 1 to 64 of the letters a-z 0-9 . _ -, with a letter or digit at both ends.")
	case o.List == "" && o.Mode == OneClick:
		add("list", "required", "Name the list that is left with one click.")
	}
	switch {
	case o.URL != "" && o.Mode != Custom:
		add("url", "not_allowed", "A url goes with the mode custom only.")
	case o.URL == "" && o.Mode == Custom:
		add("url", "required", "Give the https link that takes the post of RFC 8058.")
	case o.URL != "" && !validURL(o.URL):
		add("url", "invalid_value", "Give one https link without spaces, at most 800 octets long.")
	}
	if o.Mailto != "" {
		if a, err := queue.ParseAddress(o.Mailto); err != nil || !a.ASCII() {
			add("mailto", "invalid_address", "This is not a valid mail address in ASCII.")
		}
	}
	return ps
}

var listName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$`)

// ValidList reports a list's name: such that a List-Id can be made of it (RFC 2919 §2).
func ValidList(s string) bool {
	return len(s) <= MaxList && listName.MatchString(s) && !strings.Contains(s, "..")
}

func validURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && len(s) <= MaxURL &&
		utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`<>",\`, r) })
}

// ListUnsubscribe writes the value of that header for a link.
func (o Offer) ListUnsubscribe(link string) string {
	v := "<" + link + ">"
	if o.Mailto != "" {
		v += ", <mailto:" + strings.ReplaceAll(url.PathEscape(o.Mailto), ",", "%2C") + "?subject=unsubscribe>"
	}
	return v
}

// Post is the value of the List-Unsubscribe-Post header (RFC 8058 §3.1).
const Post = "List-Unsubscribe=One-Click"
