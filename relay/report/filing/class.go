package filing

import "postrider/queue"

// The views below Bounced.
const (
	viewAddress    = "Bad address"
	viewFull       = "Mailbox full"
	viewBlocked    = "Blocked or spam"
	viewPolicy     = "Policy or auth"
	viewNetwork    = "DNS or timeout"
	viewExpired    = "Expired"
	viewSuppressed = "Suppressed" // never tried: a bad address is one that somebody said no to
	viewCancelled  = "Cancelled"
	viewStaging    = "Staging" // this is no relay for production
)

// reason is what a class is called in a subject, and which view shows it when it
// was the end.
type reason struct{ words, view string }

var reasons = map[queue.Class]reason{
	queue.ClassRcptUnknown:     {"no such user", viewAddress},
	queue.ClassRcptDisabled:    {"mailbox switched off", viewAddress},
	queue.ClassRcptFull:        {"mailbox full", viewFull},
	queue.ClassRcptRate:        {"mailbox gets too much", viewFull},
	queue.ClassRcptMoved:       {"recipient moved", viewAddress},
	queue.ClassRcptSyntax:      {"not a mail address", viewAddress},
	queue.ClassRcptSuppressed:  {"suppressed", viewSuppressed},
	queue.ClassDomainBad:       {"domain takes no mail", viewAddress},
	queue.ClassDNSTemp:         {"DNS trouble", viewNetwork},
	queue.ClassNetConnect:      {"server not reached", viewNetwork},
	queue.ClassNetTLS:          {"TLS trouble", viewNetwork},
	queue.ClassTLSRequired:     {"no TLS", viewPolicy},
	queue.ClassGreylist:        {"greylisted", viewBlocked},
	queue.ClassRateSite:        {"too much mail", viewBlocked},
	queue.ClassBlockIP:         {"our address is blocked", viewBlocked},
	queue.ClassBlockDomain:     {"a domain is blocked", viewBlocked},
	queue.ClassAuthNone:        {"no SPF or DKIM", viewPolicy},
	queue.ClassAuthSPF:         {"SPF failed", viewPolicy},
	queue.ClassAuthDKIM:        {"DKIM failed", viewPolicy},
	queue.ClassAuthDMARC:       {"DMARC failed", viewPolicy},
	queue.ClassAuthAlign:       {"sender not aligned", viewPolicy},
	queue.ClassAuthPTR:         {"no reverse name", viewPolicy},
	queue.ClassContentSpam:     {"taken for spam", viewBlocked},
	queue.ClassContentVirus:    {"attachment refused", viewBlocked},
	queue.ClassContentFormat:   {"not well formed", viewPolicy},
	queue.ClassContentUTF8:     {"no SMTPUTF8", viewPolicy},
	queue.ClassSize:            {"too large", viewPolicy},
	queue.ClassPolicyRecipient: {"recipient's rules", viewPolicy},
	queue.ClassRelayDenied:     {"relaying denied", viewPolicy},
	queue.ClassSenderInvalid:   {"return address refused", viewPolicy},
	queue.ClassRouteAuth:       {"smart host login refused", viewPolicy},
	queue.ClassRouteBad:        {"smart host not found", viewNetwork},
	queue.ClassLoop:            {"mail loop", viewPolicy},
	queue.ClassProtocol:        {"protocol trouble", viewPolicy},
	queue.ClassExpired:         {"out of time", viewExpired},
	queue.ClassSystemTemp:      {"server trouble", viewNetwork},
	queue.ClassLocalTemp:       {"trouble of this relay", viewNetwork},
	queue.ClassLocalStaging:    {"staging", viewStaging},
	queue.ClassOtherTemp:       {"not taken for now", viewNetwork},
	queue.ClassOtherPerm:       {"refused", viewPolicy},
}

// reasonOf says why a recipient failed or waits.
func reasonOf(r *queue.Recipient) reason {
	switch r.State {
	case queue.StateCancelled:
		return reason{"cancelled", viewCancelled}
	case queue.StateSuppressed:
		if r.Class == queue.ClassLocalStaging {
			return reasons[r.Class]
		}
		return reason{"suppressed", viewSuppressed}
	case queue.StateExpired:
		words := reasons[queue.ClassExpired].words
		if of, ok := reasons[r.Class]; ok && r.Class != queue.ClassExpired {
			words += ", " + of.words
		}
		return reason{words, viewExpired}
	}
	if of, ok := reasons[r.Class]; ok {
		return of
	}
	if r.State.Final() {
		return reasons[queue.ClassOtherPerm]
	}
	return reasons[queue.ClassOtherTemp]
}

// hardness says in a word what kind of failure it is.
func hardness(s queue.State) string {
	switch s {
	case queue.StateBounced:
		return "hard bounce"
	case queue.StateExpired:
		return "soft bounce"
	case queue.StateSuppressed:
		return "not sent"
	case queue.StateHeld:
		return "held"
	}
	return ""
}
