package suspension

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"postrider/queue"
)

// Limits of a suspension.
const (
	MaxReason = 500  // octets
	MaxActor  = 128  // octets
	Max       = 1000 // suspensions at a time
)

// ErrInvalid is wrapped by errors about what was asked for; their texts may be
// told to whoever asked.
var ErrInvalid = errors.New("not a valid suspension")

// Suspension keeps mail for a destination back.
type Suspension struct {
	ID        string    `json:"id"` // "sus_…"
	Selector  Selector  `json:"selector"`
	Reason    string    `json:"reason"`
	Actor     string    `json:"actor,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: lasts until it is resumed
}

// Ended reports whether the suspension is over by itself.
func (s Suspension) Ended(now time.Time) bool {
	return !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt)
}

// Selector says which mail a suspension concerns; all the fields that are set
// must match, and one is set at least. Domains are in lower case, with A-labels.
type Selector struct {
	Domain  string     `json:"domain,omitempty"`  // of the recipient
	Lane    queue.Lane `json:"lane,omitempty"`    // such as the id of a static route
	Account string     `json:"account,omitempty"` // that sent it
	Sender  string     `json:"sender,omitempty"`  // domain of the reverse-path
}

// IsZero reports whether nothing is selected.
func (s Selector) IsZero() bool { return s == Selector{} }

func (s Selector) String() string {
	var parts []string
	for _, p := range []struct{ name, value string }{
		{"domain", s.Domain}, {"lane", string(s.Lane)}, {"account", s.Account}, {"sender", s.Sender},
	} {
		if p.value != "" {
			parts = append(parts, p.name+" "+p.value)
		}
	}
	return strings.Join(parts, ", ")
}

// normalize checks a selector and writes its domains in the one way in which
// they are compared.
func (s Selector) normalize() (Selector, error) {
	if s.IsZero() {
		return s, fmt.Errorf("%w: name a domain, a lane, an account or a sender's domain", ErrInvalid)
	}
	for _, d := range []struct {
		what  string
		value *string
	}{{"domain", &s.Domain}, {"sender", &s.Sender}} {
		*d.value = foldDomain(strings.TrimPrefix(strings.TrimSpace(*d.value), "@"))
		if len(*d.value) > 255 || strings.ContainsAny(*d.value, " @\x00\r\n\t/") {
			return s, fmt.Errorf("%w: the %s must be a domain such as example.com", ErrInvalid, d.what)
		}
	}
	if len(s.Lane) > 320 || strings.ContainsRune(string(s.Lane), 0) {
		return s, fmt.Errorf("%w: the lane must be a name as the queue shows it, of at most 320 octets", ErrInvalid)
	}
	if len(s.Account) > 64 {
		return s, fmt.Errorf("%w: the account must be the name of an account, of at most 64 octets", ErrInvalid)
	}
	if s.IsZero() {
		return s, fmt.Errorf("%w: name a domain, a lane, an account or a sender's domain", ErrInvalid)
	}
	return s, nil
}

// Mail is what a suspension is asked about: recipients of one domain of one
// message, which wait in a lane.
type Mail struct {
	Lane    queue.Lane
	Domain  string
	Account string
	Sender  string // domain of the reverse-path; empty for the null one
}

// Matches reports whether the suspension concerns the mail.
func (s Selector) Matches(m Mail) bool {
	if s.Lane != "" && s.Lane != m.Lane || s.Account != "" && s.Account != m.Account {
		return false
	}
	return sameDomain(s.Domain, m.Domain) && sameDomain(s.Sender, m.Sender)
}

// covers reports whether the suspension concerns all mail of the lane, so that
// the lane as a whole may rest. A lane that bears a domain's name holds mail for
// that domain only.
func (s Selector) covers(lane queue.Lane) bool {
	if s.Account != "" || s.Sender != "" {
		return false
	}
	return (s.Lane == "" || s.Lane == lane) && (s.Domain == "" || s.Domain == foldDomain(DomainOf(lane)))
}

// DomainOf returns the domain of a lane that holds mail for one domain: the part
// before the @, behind which the source that it leaves from may be named. Of
// other lanes it returns what is no domain.
func DomainOf(lane queue.Lane) string {
	domain, _, _ := strings.Cut(string(lane), "@")
	return domain
}

// sameDomain compares with a selector's domain, of which empty means any.
func sameDomain(selected, domain string) bool {
	return selected == "" || strings.EqualFold(selected, domain) || !isASCII(domain) && selected == foldDomain(domain)
}

func foldDomain(domain string) string {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	if isASCII(domain) {
		return domain
	}
	if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
		return ascii
	}
	return domain
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// Lane is the lane of a suspension's own: what it keeps back of lanes that serve
// others too waits there. No domain and no route is called so.
func Lane(id string) queue.Lane { return lanePrefix + queue.Lane(id) }

// OfLane returns whose lane it is, if it is one of a suspension's own.
func OfLane(l queue.Lane) (id string, ok bool) {
	return strings.CutPrefix(string(l), string(lanePrefix))
}

const lanePrefix = queue.Lane("suspended/")

const idPrefix = "sus_"
