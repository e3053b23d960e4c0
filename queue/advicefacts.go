package queue

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// FactsOf gathers what Advice is filled with. Whoever gives advice about a
// recipient calls it, so that reports, folders and the API say the same. a is
// the attempt in question, nil if there was none; reason is what is known
// beside it. When the recipient is tried again is said by its State and Due.
func FactsOf(m *Message, r *Recipient, a *Attempt, reason string) AdviceFacts {
	f := AdviceFacts{
		Recipient: r.Address, FromDomain: authorOf(m).Domain, Detail: plainLine(saidIn(a, reason), maxDetail), Size: m.Content.Size,
		Tries: r.Attempts, Expired: r.State == StateExpired, Held: r.State == StateHeld,
	}
	if d := m.Envelope.ReversePath.Domain; !strings.EqualFold(d, f.FromDomain) {
		f.OtherDomain = d
	}
	if f.Expired && !m.AcceptedAt.IsZero() {
		f.Age = max(0, r.UpdatedAt.Sub(m.AcceptedAt))
	}
	switch r.State {
	case StateQueued, StateActive, StateDeferred, StateScheduled:
		f.Next, f.Until = r.Due, m.ExpiresAt
	}
	if a != nil {
		f.attempt(a)
	}
	return f
}

// AdviceClass is what advice about a recipient is given for. That of an expiry
// is of the last attempt, since it says more.
func AdviceClass(r *Recipient) Class {
	switch {
	case r.State == StateSuppressed && r.Class != ClassLocalStaging:
		return ClassRcptSuppressed
	case r.Class != ClassNone:
		return r.Class
	case r.State == StateExpired:
		return ClassExpired
	case r.State.Final():
		return ClassOtherPerm
	}
	return ClassOtherTemp
}

func authorOf(m *Message) Address {
	if m.Header.From.IsNull() {
		return m.Envelope.ReversePath
	}
	return m.Header.From
}

const maxDetail = 300

// saidIn is the verbatim reply, or our own words where there was none.
func saidIn(a *Attempt, reason string) string {
	switch {
	case a == nil:
		return reason
	case a.Reply.Code != 0:
		return a.Reply.String()
	case a.Error != "":
		return a.Error
	}
	return cmp.Or(a.Reply.Text, reason)
}

func (f *AdviceFacts) attempt(a *Attempt) {
	f.Host, f.IP = plainLine(a.Host, maxDomain), a.Local
	f.Tries = max(f.Tries, a.Number)
	if p, ok := ProviderOf(a.Host); ok {
		f.Provider = p.Name
	}
	f.List, f.DelistURL = blockList(a.Reply.Text)
	f.Limit = sizeLimit(cmp.Or(a.Reply.Text, a.Error))
}

// plainLine makes foreign text one line of at most n octets, without control
// characters and what changes the direction of writing.
func plainLine(s string, n int) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\u2028', r == '\u2029':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// list is a block list: how replies name it, and where its owner takes
// requests.
type list struct{ word, name, url string }

// blockLists are the known ones; the more special words come first.
var blockLists = []list{
	{"dbl.spamhaus", "the Spamhaus DBL", "https://check.spamhaus.org/"},
	{"spamhaus", "Spamhaus", "https://check.spamhaus.org/"},
	{"spamcop", "SpamCop", "https://www.spamcop.net/bl.shtml"},
	{"barracuda", "Barracuda", "https://www.barracudacentral.org/lookups"},
	{"cloudmark", "Cloudmark", "https://csi.cloudmark.com/en/reset/"},
	{"ipcheck.proofpoint", "Proofpoint", "https://ipcheck.proofpoint.com/"},
	{"proofpoint", "Proofpoint", "https://ipcheck.proofpoint.com/"},
	{"uceprotect", "UCEPROTECT", "https://www.uceprotect.net/"},
	{"sorbs", "SORBS", ""},
	{"abuseat", "the Spamhaus CBL", "https://check.spamhaus.org/"},
	{"manitu", "NiX Spam", "https://www.nixspam.net/"},
	{"invaluement", "Invaluement", "https://www.invaluement.com/"},
	{"ivmsip", "Invaluement", "https://www.invaluement.com/"},
	{"surbl", "SURBL", "https://surbl.org/"},
	{"uribl", "URIBL", "https://uribl.com/"},
}

// blockList finds the block list that a reply names, and where to ask for
// removal: the address that the reply gives, else the list's own.
func blockList(text string) (name, url string) {
	low := strings.ToLower(text)
	for _, l := range blockLists {
		if strings.Contains(low, l.word) {
			name, url = l.name, l.url
			break
		}
	}
	if given := firstURL(text); given != "" {
		url = given
	}
	return name, url
}

// maxURL bounds what is repeated of a reply as an address.
const maxURL = 200

// firstURL returns the first web address of a text, without what punctuation is
// behind it.
func firstURL(text string) string {
	for _, scheme := range []string{"https://", "http://"} {
		i := strings.Index(strings.ToLower(text), scheme)
		if i < 0 || i+len(scheme) > len(text) {
			continue
		}
		u := text[i:]
		if end := strings.IndexFunc(u, notInURL); end >= 0 {
			u = u[:end]
		}
		if u = strings.TrimRight(u, ".,;:!?)]'"); len(u) > len(scheme)+3 && len(u) <= maxURL {
			return u
		}
	}
	return ""
}

func notInURL(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("<>\"`{}|\\^", r) }

var sizeWords = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(?:limit|maximum|max\.?|takes|accepts?|allowed|exceed(?:s|ed)?)[^0-9]{0,40}?([0-9]{1,12})(?:\.[0-9]+)? ?(bytes?|octets?|[kmg]i?b?)?\b`)
})

// sizeLimit finds the most octets that a text says are taken; 0 if it says
// nothing of the kind.
func sizeLimit(text string) int64 {
	m := sizeWords().FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0
	}
	unit := int64(1)
	switch low := strings.ToLower(m[2]); {
	case strings.HasPrefix(low, "k"):
		unit = 1 << 10
	case strings.HasPrefix(low, "m"):
		unit = 1 << 20
	case strings.HasPrefix(low, "g"):
		unit = 1 << 30
	}
	const least, most = 1 << 10, 1 << 40 // what is no size of mail
	if n > most/unit || n*unit < least {
		return 0
	}
	return n * unit
}

// Mender says in a word or two who can mend what a class stands for. waits says
// that the mail is still tried.
func Mender(c Class, waits bool) string {
	switch c {
	case ClassAuthPTR:
		return MendProvider
	case ClassRcptDisabled, ClassRcptFull, ClassNetTLS, ClassContentUTF8, ClassPolicyRecipient, ClassRelayDenied,
		ClassLoop, ClassOtherPerm:
		return MendRecipient
	case ClassRcptRate, ClassDNSTemp, ClassNetConnect, ClassGreylist, ClassRateSite, ClassSystemTemp, ClassOtherTemp,
		ClassExpired, ClassNone:
		if !waits {
			return MendLater
		}
		return MendNobody
	}
	return MendYou
}

// Who can mend something.
const (
	MendYou       = "you"
	MendProvider  = "your provider"
	MendRecipient = "the recipient"
	MendNobody    = "nobody, wait"
	MendLater     = "nobody; it may be sent again later"
)
