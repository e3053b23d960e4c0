package queue

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// AdviceFacts are what the text of Advice is filled with; FactsOf gathers them.
// Empty ones are left out or replaced by general words.
type AdviceFacts struct {
	Recipient   Address
	Host        string     // who answered
	Provider    string     // whose host that is, if it is a known one
	IP          netip.Addr // our address
	FromDomain  string     // of the message's author
	OtherDomain string     // of the return path, if it is another one
	Detail      string     // our own words for what happened, or the peer's
	List        string     // the block list that the reply names
	DelistURL   string     // where to ask that list for removal
	Size        int64      // of the message, in octets
	Limit       int64      // the most octets that the host takes, if it said so
	Tries       int
	Expired     bool          // its time ran out
	Age         time.Duration // how long it was tried, if it expired
	Held        bool
	Next        time.Time // next try; zero if there is none
	Until       time.Time // when we give up
	Zone        *time.Location
}

// Advice says in one or two sentences, to the owner of a site, what a class
// means and what to do about it. It never replaces the verbatim reply, which
// is shown beside it.
func Advice(c Class, f AdviceFacts) string {
	text, ok := advice[c]
	if !ok {
		text = advice[ClassOtherTemp]
	}
	host := cmp.Or(f.Host, "the recipient's mail server")
	who := cmp.Or(f.Provider, host)
	rcpt, domain := cmp.Or(f.Recipient.String(), "the recipient"), cmp.Or(f.Recipient.Domain, "the recipient's domain")
	text = strings.NewReplacer(
		"{Rcpt}", begin(rcpt, f.Recipient.Domain), "{rcpt}", rcpt,
		"{Mailbox}", f.mailbox("T"), "{mailbox}", f.mailbox("t"),
		"{Domain}", begin(domain, f.Recipient.Domain), "{domain}", domain,
		"{Host}", begin(host, f.Host), "{host}", host,
		"{Who}", begin(who, f.Provider+f.Host), "{who}", who,
		"{from_domain}", cmp.Or(f.FromDomain, "your domain"),
		"{detail}", cmp.Or(strings.TrimRight(f.Detail, ". "), "no detail was given"),
		"{ip}", f.ip(), "{listed}", f.listed(), "{onlist}", f.onList(), "{delist}", f.delist(),
		"{size}", f.size(), "{limit}", f.limit(), "{other}", f.other(), "{returns}", f.returns(),
		"{records}", "`postrider domain records "+cmp.Or(f.FromDomain, "DOMAIN")+"`",
		"{retry}", f.retry(),
	).Replace(text)
	return strings.TrimSpace(f.tried() + text)
}

// begin gives general words a capital letter, and leaves names as they are.
func begin(words, name string) string {
	if name != "" {
		return words
	}
	return strings.ToUpper(words[:1]) + words[1:]
}

// mailbox is whose mailbox it is, beginning with that letter.
func (f AdviceFacts) mailbox(t string) string {
	if f.Recipient.IsNull() {
		return t + "he recipient's mailbox"
	}
	return t + "he mailbox " + f.Recipient.String()
}

// tried tells of mail whose time ran out before what its class says is said.
func (f AdviceFacts) tried() string {
	if !f.Expired || f.Tries == 0 {
		return ""
	}
	s := "It was tried once"
	if f.Tries > 1 {
		s = fmt.Sprintf("It was tried %d times", f.Tries)
	}
	if f.Age >= time.Minute {
		s += " in " + span(f.Age)
	}
	return s + ", and its time ran out. "
}

// span writes how long something took, roughly.
func span(d time.Duration) string {
	n, unit := int64(d/time.Minute), "minute"
	switch {
	case d >= 48*time.Hour:
		n, unit = int64(d/(24*time.Hour)), "day"
	case d >= 2*time.Hour:
		n, unit = int64(d/time.Hour), "hour"
	}
	if n == 1 {
		return "a " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

func (f AdviceFacts) retry() string {
	switch {
	case f.Held:
		return "It is held, and not tried until it is released."
	case f.Expired:
		return ""
	case f.Next.IsZero():
		return "It will not be tried again."
	}
	zone := f.Zone
	if zone == nil {
		zone = time.UTC
	}
	const form = "2 January 15:04 MST"
	s := "The next try is at " + f.Next.In(zone).Format(form)
	if !f.Until.IsZero() {
		s += ", the last one before " + f.Until.In(zone).Format(form)
	}
	return s + "."
}

// ip is our address behind the words "your server's address".
func (f AdviceFacts) ip() string {
	if !f.IP.IsValid() {
		return ""
	}
	return " " + f.IP.Unmap().String()
}

func (f AdviceFacts) listed() string {
	if f.List == "" {
		return ""
	}
	return " because " + f.List + " lists it"
}

// onList is who says so of a domain that the message names.
func (f AdviceFacts) onList() string {
	if f.List == "" {
		return ""
	}
	return ", which asks " + f.List
}

func (f AdviceFacts) delist() string {
	switch {
	case f.DelistURL != "":
		return "see " + f.DelistURL + " and ask for its removal there"
	case f.List != "":
		return "ask " + f.List + " for its removal"
	}
	return "ask whomever the reply names for its removal"
}

func (f AdviceFacts) size() string {
	if f.Size <= 0 {
		return ""
	}
	return " (" + octets(f.Size) + ")"
}

func (f AdviceFacts) limit() string {
	if f.Limit <= 0 {
		return ""
	}
	return ", which is " + octets(f.Limit)
}

// octets writes a size as mail programs do.
func octets(n int64) string {
	const mega = 1 << 20
	switch {
	case n >= mega:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/mega), ".0") + " MB"
	case n >= 1<<10:
		return fmt.Sprintf("%d KB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

func (f AdviceFacts) other() string {
	if f.OtherDomain == "" {
		return ""
	}
	return " (the return path is at " + f.OtherDomain + ")"
}

// returns is the domain of the return path behind the words "its domain".
func (f AdviceFacts) returns() string {
	if d := cmp.Or(f.OtherDomain, f.FromDomain); d != "" {
		return " " + d
	}
	return ""
}

// advice holds the text of each class. Who can mend it is said first or last,
// never left open.
var advice = map[Class]string{
	ClassRcptUnknown:     "{Host} says that {mailbox} does not exist. Check the spelling.",
	ClassRcptDisabled:    "{Mailbox} exists but is switched off. Treat it like a wrong address.",
	ClassRcptFull:        "The mailbox of {rcpt} is full. Only the recipient can mend this. {retry}",
	ClassRcptRate:        "The mailbox of {rcpt} gets more mail at the moment than its server allows. {retry}",
	ClassRcptMoved:       "{Rcpt} has moved to another address. See the reply for the new one.",
	ClassRcptSyntax:      "The address cannot be read as a mail address. Check its spelling.",
	ClassRcptSuppressed:  "Nothing was sent to {rcpt}, because it is on the suppression list. If it may get mail again, take it off the list: `postrider suppression remove {rcpt}`.",
	ClassDomainBad:       "{Domain} cannot receive mail: {detail}. Check the spelling of what stands behind the @.",
	ClassDNSTemp:         "We could not look up {domain}: {detail}. Nothing to do unless it lasts more than a day. {retry}",
	ClassNetConnect:      "No mail server of {domain} can be reached: {detail}. If this happens for all domains, your network provider probably blocks outgoing port 25: ask for it to be opened, or use a smart host. {retry}",
	ClassNetTLS:          "No encrypted connection to {host} could be made: {detail}. This is for the recipient's side to mend; the mail is not sent without encryption. {retry}",
	ClassTLSRequired:     "This mail may go to {domain} over encrypted connections only, and none to {host} could be made: {detail}. {retry}",
	ClassGreylist:        "{Host} asks every new sender to come back later. This is normal. {retry}",
	ClassRateSite:        "{Who} says that mail comes too fast. We slow down by ourselves; nothing to do unless it lasts more than a day. {retry}",
	ClassBlockIP:         "{Who} refuses mail from your server's address{ip}{listed}. Look for hacked accounts first, then {delist}, or send through a smart host. {retry}",
	ClassBlockDomain:     "A domain that the message names has a bad reputation at {who}{onlist}. Look at its links and at {from_domain}.",
	ClassAuthNone:        "{Who} says that mail from {from_domain} proves neither by SPF nor by DKIM that it is yours. Publish the records that {records} prints.",
	ClassAuthSPF:         "{Who} says that your server's address{ip} is not in the SPF record of {from_domain}. Add it there; {records} prints the record.",
	ClassAuthDKIM:        "{Who} could not verify the DKIM signature of {from_domain}. Publish the record that {records} prints, exactly.",
	ClassAuthDMARC:       "{Who} refuses this mail because of the DMARC policy of {from_domain}, or because there is none. Publish what {records} prints, and send from that domain's own addresses.",
	ClassAuthAlign:       "{Who} says that the visible sender, at {from_domain}, is not what SPF or DKIM vouch for{other}. Sign as {from_domain}: {records} prints the record.",
	ClassAuthPTR:         "Your server's address{ip} has no reverse name that {who} accepts. Ask your server's provider to set its PTR record to the relay's host name, and let that name point back to the address.",
	ClassContentSpam:     "{Who} judged this message to be spam. Look at its links, attachments and wording, and send only to people who asked for it.",
	ClassContentVirus:    "{Who} refuses an attachment of this message. Send a link instead.",
	ClassContentFormat:   "{Who} says that the message is not well formed: {detail}. The program that made it must be mended.",
	ClassContentUTF8:     "{Host} does not take addresses or headers in other alphabets than ASCII (SMTPUTF8). Use an address of the recipient in plain letters, if there is one.",
	ClassSize:            "The message{size} is larger than {host} accepts{limit}. Send a link instead of an attachment.",
	ClassPolicyRecipient: "A rule of the recipient's organisation refused this mail. Only their administrator can change it.",
	ClassRelayDenied:     "{Host} says that it is not responsible for {domain}: the domain's DNS (MX) leads to a wrong server, or your smart host wants a login.",
	ClassSenderInvalid:   "{Host} does not accept the return address: its domain{returns} cannot be found or takes no mail. It needs an MX or A record.",
	ClassRouteAuth:       "Your smart host {host} refused the login. Check user name and password of the route. {retry}",
	ClassRouteBad:        "The smart host of the route for {domain} cannot be found: {detail}. Check the route in the configuration. {retry}",
	ClassLoop:            "The message goes round in circles between servers. A forwarding rule at {domain} is wrong, or a route leads back to this relay.",
	ClassProtocol:        "{Host} and this relay did not understand each other. Please tell the relay's operator.",
	ClassExpired:         "It could not be delivered in time. The last answer was: {detail}.",
	ClassSystemTemp:      "{Host} has trouble of its own. {retry}",
	ClassLocalTemp:       "This relay has trouble of its own; see its log. {retry}",
	ClassLocalStaging:    "This relay sends nothing to {rcpt}, because it is set to staging: see staging.allow, staging.redirect and staging.discard. If the mail is to go there, send it again, or release it, from a relay that is not.",
	ClassOtherTemp:       "{Host} did not take the message for now. {retry}",
	ClassOtherPerm:       "{Host} refuses the message for good. See the reply for its reason.",
}
