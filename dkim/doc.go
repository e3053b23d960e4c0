// Package dkim signs outgoing mail so that receivers can tell who answers for
// it (RFC 6376, RFC 8301, RFC 8463).
//
// A [Keyring] knows which keys sign for a From domain and, when asked to, makes
// the missing ones in the background. A [Signer] turns a message and those keys
// into the DKIM-Signature fields to put in front of it: one per key, RSA first,
// with the body read and hashed once for all of them. A [Record] is what has to
// be published in the DNS for a key, ready to paste. A [Rotator] changes keys: it
// makes the next one, has it sign once its record is in the DNS, and deletes the
// last one when no signature of it is valid any more.
//
// The package promises that a signed message cannot be changed where readers
// look: the fields that mail programs show or act on are signed once more than
// they occur, so that adding a second From or Subject breaks the signature. It
// signs with relaxed/relaxed canonicalisation, never with l=, and reads a
// message as a stream: memory per signature is bounded by [MaxHeader].
//
// It leaves to others where keys are kept (they implement [KeyStore]), what
// happens to mail that cannot be signed, and how the DNS is asked. Verification, for
// tests and for the doctor, is go-msgauth's.
package dkim
