// Package authority is a name server for zones that it signs itself, for tests
// with a resolver that validates.
//
// It answers as servers on the Internet do: with the records of its own zones,
// their signatures, and signed proof of what does not exist. [Damage] makes
// signatures that do not hold, and [Server.Fail] questions that get no answer. A
// resolver comes to trust a zone by the DS of the key that [Zone.Sign] returns.
// It leaves referrals to others: every zone is asked for at its server.
package authority
