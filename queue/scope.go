package queue

import "slices"

// Scope is what a credential may be used for. Those in the first group are sets
// of those in the others.
type Scope string

// The sets. An account's own password carries ScopeSend and ScopeRead.
const (
	ScopeSend   Scope = "send"   // hand in mail
	ScopeRead   Scope = "read"   // see the account's mail, its content and its fate
	ScopeManage Scope = "manage" // change what is the account's own: its mail, suppressions, streams, webhooks and keys
	ScopeAdmin  Scope = "admin"  // everything, of all accounts
)

// What an account may do with its own.
const (
	ScopeMessagesSend      Scope = "messages:send"
	ScopeMessagesRead      Scope = "messages:read"
	ScopeMessagesContent   Scope = "messages:content" // bodies hold password resets
	ScopeMessagesWrite     Scope = "messages:write"   // cancel, retry, hold, release, resend, schedule
	ScopeEventsRead        Scope = "events:read"
	ScopeStatsRead         Scope = "stats:read"
	ScopeSuppressionsRead  Scope = "suppressions:read"
	ScopeSuppressionsWrite Scope = "suppressions:write"
	ScopeStreamsRead       Scope = "streams:read"
	ScopeStreamsWrite      Scope = "streams:write"
	ScopeWebhooksRead      Scope = "webhooks:read"
	ScopeWebhooksWrite     Scope = "webhooks:write"
	ScopeKeysRead          Scope = "keys:read"
	ScopeKeysWrite         Scope = "keys:write"
)

// What concerns the relay as a whole, so that only an admin may grant it.
const (
	ScopeAccountsRead  Scope = "accounts:read"
	ScopeAccountsWrite Scope = "accounts:write"
	ScopeDomainsRead   Scope = "domains:read"
	ScopeDomainsWrite  Scope = "domains:write"
	ScopeQueueRead     Scope = "queue:read"
	ScopeQueueWrite    Scope = "queue:write"
	ScopeConfigRead    Scope = "config:read"
)

var scopeSets = map[Scope][]Scope{
	ScopeSend: {ScopeMessagesSend},
	ScopeRead: {ScopeMessagesRead, ScopeMessagesContent, ScopeEventsRead, ScopeStatsRead, ScopeSuppressionsRead, ScopeStreamsRead},
	ScopeManage: {
		ScopeMessagesRead, ScopeMessagesWrite, ScopeEventsRead, ScopeStatsRead, ScopeSuppressionsRead, ScopeSuppressionsWrite,
		ScopeStreamsRead, ScopeStreamsWrite, ScopeWebhooksRead, ScopeWebhooksWrite, ScopeKeysRead, ScopeKeysWrite,
	},
}

var singleScopes = []Scope{
	ScopeMessagesSend, ScopeMessagesRead, ScopeMessagesContent, ScopeMessagesWrite, ScopeEventsRead, ScopeStatsRead,
	ScopeSuppressionsRead, ScopeSuppressionsWrite, ScopeStreamsRead, ScopeStreamsWrite, ScopeWebhooksRead, ScopeWebhooksWrite,
	ScopeKeysRead, ScopeKeysWrite, ScopeAccountsRead, ScopeAccountsWrite, ScopeDomainsRead, ScopeDomainsWrite,
	ScopeQueueRead, ScopeQueueWrite, ScopeConfigRead,
}

// Scopes lists all scopes, the sets first.
func Scopes() []Scope {
	return append([]Scope{ScopeSend, ScopeRead, ScopeManage, ScopeAdmin}, singleScopes...)
}

// Valid reports whether s is one of the scopes above.
func (s Scope) Valid() bool { return slices.Contains(Scopes(), s) }

// Covers reports whether a credential that carries s may do what asks for want.
// A set covers another if it covers all that is in it.
func (s Scope) Covers(want Scope) bool {
	if s == ScopeAdmin || s == want {
		return true
	}
	if parts := scopeSets[want]; parts != nil {
		return !slices.ContainsFunc(parts, func(p Scope) bool { return !s.Covers(p) })
	}
	return slices.Contains(scopeSets[s], want)
}

// Cover reports whether scopes together allow what asks for want.
func Cover(scopes []Scope, want Scope) bool {
	if parts := scopeSets[want]; parts != nil && !slices.Contains(scopes, want) {
		return !slices.ContainsFunc(parts, func(p Scope) bool { return !Cover(scopes, p) })
	}
	return slices.ContainsFunc(scopes, func(s Scope) bool { return s.Covers(want) })
}
