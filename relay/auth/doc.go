// Package auth says who a client is, in one place for SMTP, HTTP, IMAP and
// POP3, and keeps the accounts and keys by which it knows.
//
// Accounts come from the configuration (static) or live in the registry, where
// they can be changed while the relay runs; a static account hides one of the
// same name in the registry. An account's password opens sending and reading;
// further keys ("prk_…") carry the scopes they were made with, and may be limited
// further: to senders, recipients, streams and networks, in time and rate, and to
// the sandbox. A key needs no name: whatever stands beside it is ignored, so that
// one secret serves as SMTP password, Bearer token and Basic password.
//
// # What it promises
//
// The same answer in the same time for an unknown name and for a wrong
// password: each failure costs exactly one argon2id. A failure of the store is
// an error of its own, temporary, and never a wrong password. A credential that
// was right a moment ago is recognised in microseconds, also while its address
// or its account is being guessed at. A change of an account or a key counts at
// once on this node and, on others, as soon as their store shows it.
//
// # How secrets are kept
//
// Passwords that people choose are argon2id with 19 MiB, two passes and one
// lane (the OWASP minimum): a relay that idles at 30 MB cannot give 64 MiB to
// everybody who knocks. At most two run at once and a bounded number waits, so
// that guessing costs at most 38 MiB and two cores. Passwords and keys that we
// generate have 192 random bits, which no hash must stretch: they are kept as
// HMAC-SHA256 under a fixed label. Static secrets are in the configuration as
// plain text anyway; in memory they are HMACs under a key of the process.
//
// What an account may send is decided by relay/intake: auth supplies its
// Policies, in which a key's limits narrow those of its account. That an account
// is disabled is told in Identity and by the policy, for a right password must
// not look like a wrong one. That a key has expired, or may not be used from
// somewhere, is told to nobody but who has it.
package auth
