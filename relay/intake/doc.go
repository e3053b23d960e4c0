// Package intake is the one door for mail, however it comes in: it checks the
// policy of account and key and the suppression list, normalises line ends,
// repairs the header, puts our trace field on top and makes the message durable
// through the store.
//
// It promises that what went in comes out: the octets of a message are kept
// but for line ends (bare CR, bare LF and CR CR LF become CR LF, and the last
// line is ended), the repairs of RFC 6409 §8 (a missing Date, Message-ID or
// From is added), the removal of X-Idempotency-Key and of the X-Postrider fields
// that say when and how urgently to send, that of X-Relay-Site, which is logged, the
// Received field on top, and what the account's From policy rewrites. NUL octets are refused.
//
// Who is on the suppression list is not sent to: such a recipient is stored as
// suppressed, with the reason. Sandboxed mail ends at once: its recipients are
// delivered, or what their local-part asks for ("bounce", "suppressed"), and
// nothing of it leaves. Every refusal has a kind for programs beside its text.
//
// Where the relay is set to staging, recipients who must not get mail are stored as
// suppressed too, and the mail goes to somebody else or to nobody ([Staging]); that
// holds for the relay's own reports as well.
//
// It asks no DNS and no network: what it needs is in memory or in the store. It
// leaves to others who the client is (relay/auth), how it speaks
// (relay/submission, api), and when and how mail leaves (relay/delivery).
package intake
