// Package report tells senders what became of their mail: it reads the event
// log, renders delivery status notifications (RFC 3461, RFC 3464) and hands
// them in through the one door for mail.
//
// It promises at most one report per message and round: a report's idempotency
// key is derived from its first event, so that a crash between submitting and
// acknowledging makes no second one. There is never a report for the null
// reverse-path, for NOTIFY=NEVER, or about a report (RFC 3461 §5.2.9, §6.1).
//
// It leaves to others what a reply means (relay/bounce) and how a report
// travels (it is ordinary mail once it is submitted).
package report
