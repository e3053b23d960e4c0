package queue

import (
	"strings"
	"time"
)

// AdviceFacts are what the text of Advice is filled with. Empty ones are
// replaced by general words.
type AdviceFacts struct {
	Recipient  Address
	Host       string    // who answered
	FromDomain string    // of the message's author
	Detail     string    // our own words for what happened, or the peer's
	Next       time.Time // next try; zero if there is none
	Until      time.Time // when we give up
	Zone       *time.Location
}

// Advice says in one or two sentences, to the owner of a site, what a class
// means and what to do about it. It never replaces the verbatim reply, which
// is shown beside it.
func Advice(c Class, f AdviceFacts) string {
	text, ok := advice[c]
	if !ok {
		text = advice[ClassOtherTemp]
	}
	return strings.NewReplacer(
		"{rcpt}", orElse(f.Recipient.String(), "this address"),
		"{domain}", orElse(f.Recipient.Domain, "the recipient's domain"),
		"{host}", orElse(f.Host, "The recipient's mail server"),
		"{from_domain}", orElse(f.FromDomain, "your domain"),
		"{detail}", orElse(f.Detail, "no detail was given"),
		"{retry}", f.retry(),
	).Replace(text)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (f AdviceFacts) retry() string {
	if f.Next.IsZero() {
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

// advice holds the text of each class. Who can mend it is said first or last,
// never left open.
var advice = map[Class]string{
	ClassRcptUnknown:     "{host} says that the mailbox {rcpt} does not exist. Check the spelling.",
	ClassRcptDisabled:    "The mailbox {rcpt} exists but is switched off. Treat it like a wrong address.",
	ClassRcptFull:        "The mailbox {rcpt} is full. Only the recipient can mend this. {retry}",
	ClassRcptRate:        "The mailbox {rcpt} gets more mail at the moment than its server allows. {retry}",
	ClassRcptMoved:       "The recipient {rcpt} has moved to another address. See the reply for the new one.",
	ClassRcptSyntax:      "The address cannot be read as a mail address. Check its spelling.",
	ClassRcptSuppressed:  "Nothing was sent to {rcpt}, because it is on the suppression list. If it may get mail again, take it off the list: `postrider suppression remove {rcpt}`.",
	ClassDomainBad:       "The domain {domain} cannot receive mail: {detail}. Check the spelling of what stands behind the @.",
	ClassDNSTemp:         "We could not look up {domain}: {detail}. Nothing to do unless it lasts more than a day. {retry}",
	ClassNetConnect:      "The mail server of {domain} cannot be reached: {detail}. If this happens for all domains, your network provider probably blocks outgoing port 25: ask for it to be opened, or use a smart host. {retry}",
	ClassNetTLS:          "No encrypted connection to {host} could be made: {detail}. This is for the recipient's side to mend. {retry}",
	ClassTLSRequired:     "This mail may go over encrypted connections only, and none to {host} could be made: {detail}. {retry}",
	ClassGreylist:        "{host} asks every new sender to come back later. This is normal. {retry}",
	ClassRateSite:        "{host} says that mail comes too fast. We slow down by ourselves; nothing to do unless it lasts more than a day. {retry}",
	ClassBlockIP:         "{host} refuses your server's address because it is on a block list. Look for hacked accounts first, then ask the list named in the reply for removal, or send through a smart host. {retry}",
	ClassBlockDomain:     "A domain that the message names has a bad reputation at {host}. Look at its links and at {from_domain}.",
	ClassAuthNone:        "{host} says that mail from {from_domain} proves neither by SPF nor by DKIM that it is yours. Publish the records that `postrider domain records {from_domain}` prints.",
	ClassAuthSPF:         "{host} says that your server is not listed in the SPF record of {from_domain}. Add your server's address to that record.",
	ClassAuthDKIM:        "{host} could not verify the DKIM signature of {from_domain}. Publish the record that `postrider domain records {from_domain}` prints, exactly.",
	ClassAuthDMARC:       "The DMARC policy of {from_domain} says to refuse this mail, or it has none. Sign as {from_domain} (`postrider domain records {from_domain}`) and send from its own addresses.",
	ClassAuthAlign:       "The visible sender and the domain that SPF or DKIM vouch for differ. Sign as {from_domain}: `postrider domain records {from_domain}`.",
	ClassAuthPTR:         "Your server's address has no matching reverse name. Ask your server's provider to set its PTR record to the relay's host name, and let that name point back to the address.",
	ClassContentSpam:     "{host} judged this message to be spam. Look at its links, attachments and wording, and send only to people who asked for it.",
	ClassContentVirus:    "{host} refuses an attachment of this message. Send a link instead.",
	ClassContentFormat:   "{host} says that the message is not well formed: {detail}. The program that made it must be mended.",
	ClassContentUTF8:     "{host} does not take addresses or headers in other alphabets than ASCII (SMTPUTF8). Use an address of the recipient in plain letters, if there is one.",
	ClassSize:            "The message is larger than {host} accepts. Send a link instead of an attachment.",
	ClassPolicyRecipient: "A rule of the recipient's organisation refused this mail. Only their administrator can change it.",
	ClassRelayDenied:     "{host} says that it is not responsible for {domain}: the domain's DNS (MX) leads to a wrong server, or your smart host wants a login.",
	ClassSenderInvalid:   "The return address cannot be used: its domain cannot be found or accepts no mail. It needs an MX or A record.",
	ClassRouteAuth:       "Your smart host {host} refused the login. Check user name and password of the route. {retry}",
	ClassRouteBad:        "The smart host of the route for {domain} cannot be found: {detail}. Check the route in the configuration. {retry}",
	ClassLoop:            "The message goes round in circles between servers. A forwarding rule at {domain} is wrong, or a route leads back to this relay.",
	ClassProtocol:        "{host} and this relay did not understand each other. Please tell the relay's operator.",
	ClassExpired:         "It could not be delivered in time. The last answer was: {detail}",
	ClassSystemTemp:      "{host} has trouble of its own. {retry}",
	ClassLocalTemp:       "This relay has trouble of its own; see its log. {retry}",
	ClassOtherTemp:       "{host} did not take the message for now. {retry}",
	ClassOtherPerm:       "{host} refuses the message for good. See the reply for its reason.",
}
