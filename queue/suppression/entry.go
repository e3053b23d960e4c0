package suppression

import (
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"postrider/queue"
)

// The words that stand for all.
const (
	AllAccounts = "*" // as Account
	Everything  = "*" // as Scope
)

// Limits of an entry, in octets.
const (
	MaxScope   = queue.MaxList
	MaxSource  = 200
	MaxNote    = 200
	maxAccount = 128
)

// ErrInvalid is wrapped by errors about what was asked for; their texts may be
// told to whoever asked.
var ErrInvalid = errors.New("not a valid suppression")

// Reason says why an address is on the list. It is stored and part of the API.
type Reason string

// The reasons, the weakest first.
const (
	Bounce      Reason = "bounce"
	Manual      Reason = "manual"
	Unsubscribe Reason = "unsubscribe"
	Complaint   Reason = "complaint"
)

// Reasons lists all reasons, the weakest first.
func Reasons() []Reason { return []Reason{Bounce, Manual, Unsubscribe, Complaint} }

// Valid reports whether r is one of the reasons above.
func (r Reason) Valid() bool { return r.strength() >= 0 }

func (r Reason) strength() int { return slices.Index(Reasons(), r) }

// Entry says that an address is not sent to.
type Entry struct {
	Account   string        // AllAccounts: of every account
	Address   queue.Address // as Fold writes it
	Scope     string        // a stream or a list; Everything: all mail
	Reason    Reason
	Source    string // what led to it: a message's id, a text, or nothing
	Note      string // for people
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
}

// Ended reports whether the entry is over by itself.
func (e Entry) Ended(now time.Time) bool {
	return !e.ExpiresAt.IsZero() && !now.Before(e.ExpiresAt)
}

// ID names the entry, for ever: "sup_" and text that ParseID can read.
func (e Entry) ID() string {
	return idPrefix + idEncoding.EncodeToString([]byte(strings.Join([]string{e.Account, Fold(e.Address).String(), e.Scope}, "\x00")))
}

const (
	idPrefix = "sup_"
	maxID    = 2048
)

var idEncoding = base32.NewEncoding(queue.Crockford).WithPadding(base32.NoPadding)

// ParseID reads an id, in either letter case. That it can be read does not mean
// that there is such an entry. Its error wraps queue.ErrBadID.
func ParseID(id string) (account string, a queue.Address, scope string, err error) {
	bad := fmt.Errorf("suppression id: %w", queue.ErrBadID)
	text, ok := strings.CutPrefix(strings.ToLower(id), idPrefix)
	if !ok || len(id) > maxID {
		return "", a, "", bad
	}
	b, err := idEncoding.DecodeString(text)
	if err != nil || idEncoding.EncodeToString(b) != text {
		return "", a, "", bad
	}
	parts := strings.Split(string(b), "\x00")
	if len(parts) != 3 || checkAccount(parts[0]) != nil || checkScope(parts[2]) != nil {
		return "", a, "", bad
	}
	if a, err = queue.ParseAddress(parts[1]); err != nil || Fold(a).String() != parts[1] {
		return "", queue.Address{}, "", bad
	}
	return parts[0], a, parts[2], nil
}

// Fold returns the one address that stands for all that are taken to be equal.
func Fold(a queue.Address) queue.Address {
	return queue.Address{Local: lowerASCII(a.Local), Domain: foldDomain(a.Domain)}
}

// lowerASCII leaves other letters alone: RFC 6532 has no rule for them.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func foldDomain(d string) string {
	d = strings.ToLower(d)
	if strings.ContainsFunc(d, func(r rune) bool { return r >= utf8.RuneSelf }) {
		if ascii, err := idna.Lookup.ToASCII(d); err == nil {
			return ascii
		}
	}
	return d
}

// tidy checks an entry and brings it into the form in which it is kept.
func (e Entry) tidy() (Entry, error) {
	e.Address = Fold(e.Address)
	if e.Scope == "" {
		e.Scope = Everything
	}
	if err := checkAccount(e.Account); err != nil {
		return e, err
	}
	if err := checkScope(e.Scope); err != nil {
		return e, err
	}
	_, err := queue.ParseAddress(e.Address.String())
	switch {
	case err != nil:
		return e, fmt.Errorf("%w: it needs an address, such as bob@example.com", ErrInvalid)
	case !e.Reason.Valid():
		return e, fmt.Errorf("%w: the reason must be bounce, complaint, unsubscribe or manual", ErrInvalid)
	case len(e.Source) > MaxSource || !plain(e.Source):
		return e, fmt.Errorf("%w: the source may have %d octets of text in one line", ErrInvalid, MaxSource)
	case len(e.Note) > MaxNote || !plain(e.Note):
		return e, fmt.Errorf("%w: the note may have %d octets of text in one line", ErrInvalid, MaxNote)
	}
	e.CreatedAt = moment(e.CreatedAt)
	e.ExpiresAt = moment(e.ExpiresAt)
	return e, nil
}

func moment(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

func checkAccount(name string) error {
	if name == "" || len(name) > maxAccount || strings.ContainsRune(name, '/') || !plain(name) {
		return fmt.Errorf("%w: it needs the name of an account, or * for all", ErrInvalid)
	}
	return nil
}

func checkScope(scope string) error {
	if scope == "" || len(scope) > MaxScope || !plain(scope) {
		return fmt.Errorf("%w: the scope must be the name of a stream or a list, of at most %d octets, or * for all mail", ErrInvalid, MaxScope)
	}
	return nil
}

func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// strengthen returns what both entries, of one scope, say together: the stronger
// reason with what is said about it, and the later end.
func (e Entry) strengthen(by Entry) Entry {
	if by.Reason.strength() >= e.Reason.strength() {
		e.Reason = by.Reason
		if by.Source != "" {
			e.Source = by.Source
		}
		if by.Note != "" {
			e.Note = by.Note
		}
	}
	if by.ExpiresAt.IsZero() || !e.ExpiresAt.IsZero() && by.ExpiresAt.After(e.ExpiresAt) {
		e.ExpiresAt = by.ExpiresAt
	}
	return e
}
