// Package feed turns the store's event log into the events of the HTTP API, and
// lets callers read them: page by page, by a request that waits, or as a stream
// of server-sent events. Webhooks and counters read through it too.
//
// There is one log and one kind of cursor. A cursor is the store's position in an
// opaque form; whoever goes on from it gets each later event once, and events of
// one message in their order. A call looks at a bounded part of the log: a caller
// whose events are rare among those of others gets empty pages with a cursor that
// has moved on, never a request that hangs.
//
// The log holds what befalls messages. What changes elsewhere (suppressions,
// keys, webhooks) is not in it, and so not in the feed.
package feed
