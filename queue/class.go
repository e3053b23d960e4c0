package queue

// Class says why an attempt did not succeed, in the words of a site owner's
// trouble rather than the peer's. It is stored and part of the API.
type Class string

// The classes. What each means, who can mend it and what we do about it is in
// relay/bounce; the text that people see is in Advice.
const (
	ClassNone Class = ""

	ClassRcptUnknown    Class = "rcpt.unknown"
	ClassRcptDisabled   Class = "rcpt.disabled"
	ClassRcptFull       Class = "rcpt.full"
	ClassRcptRate       Class = "rcpt.rate"
	ClassRcptMoved      Class = "rcpt.moved"
	ClassRcptSyntax     Class = "rcpt.syntax"
	ClassRcptSuppressed Class = "rcpt.suppressed" // on the suppression list, and so not tried

	ClassDomainBad  Class = "domain.bad"
	ClassDNSTemp    Class = "dns.temp"
	ClassNetConnect Class = "net.connect"
	ClassNetTLS     Class = "net.tls"

	ClassTLSRequired Class = "tls.required"
	ClassGreylist    Class = "greylist"
	ClassRateSite    Class = "rate.site"
	ClassBlockIP     Class = "block.ip"
	ClassBlockDomain Class = "block.domain"

	ClassAuthNone  Class = "auth.none"
	ClassAuthSPF   Class = "auth.spf"
	ClassAuthDKIM  Class = "auth.dkim"
	ClassAuthDMARC Class = "auth.dmarc"
	ClassAuthAlign Class = "auth.align"
	ClassAuthPTR   Class = "auth.ptr"

	ClassContentSpam   Class = "content.spam"
	ClassContentVirus  Class = "content.virus"
	ClassContentFormat Class = "content.format"
	ClassContentUTF8   Class = "content.utf8"
	ClassSize          Class = "size"

	ClassPolicyRecipient Class = "policy.recipient"
	ClassRelayDenied     Class = "relay.denied"
	ClassSenderInvalid   Class = "sender.invalid"
	ClassRouteAuth       Class = "route.auth" // a smart host refused our login
	ClassRouteBad        Class = "route.bad"  // a smart host cannot be found
	ClassLoop            Class = "loop"
	ClassProtocol        Class = "protocol"
	ClassExpired         Class = "expired"
	ClassSystemTemp      Class = "system.temp"
	ClassLocalTemp       Class = "local.temp"    // our own trouble
	ClassLocalStaging    Class = "local.staging" // kept back, since this is no relay for production
	ClassOtherTemp       Class = "other.temp"
	ClassOtherPerm       Class = "other.perm"
)
