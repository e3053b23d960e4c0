// Package suppression is the list of addresses that are not sent to: who
// unsubscribed, complained or bounced for good, and whom an operator put there.
//
// It promises that what was added counts for every message that is accepted
// after Add returned, on all nodes, and that adding never weakens what is there:
// whoever complained stays a complaint. Nothing on it is ever sent to by
// accident: if the list cannot be read, Check says so, and the caller must not
// send.
//
// An entry is of one account (AllAccounts: of everybody), one address and one
// scope: the name of a stream or of a mailing list, or Everything. One who
// leaves a newsletter still gets the receipts.
//
// Addresses compare with the domain in lower case and A-labels, and with the
// ASCII letters of the local-part in lower case: RFC 5321 §2.4 would allow Bob@
// and bob@ to be two people, but nobody's mail provider does, and a person who
// unsubscribes as Bob@ is bob@. Nothing else is taken to be equal: no "+tag" is
// cut and no dot is dropped.
//
// The list is kept in the registry, one record for each account and address
// with all its scopes, so that a message's recipients are checked by one
// question to the store. It leaves to others when to ask (relay/intake) and who
// may change it (api).
package suppression
