package dkim

import "context"

// A KeyStore keeps the keys that were made here, so that they survive and that
// all nodes sign with the same ones. Domains are in the form of Key.Domain. It
// must be safe for concurrent use. [EncodeKeys] and [DecodeKeys] give the keys
// of one domain the form of one record.
type KeyStore interface {
	// Keys returns all keys of the domain, in any state and order, and none
	// without an error when there are none. It does not look at parents.
	Keys(ctx context.Context, domain string) ([]Key, error)

	// Create stores keys, all of them keys of domain, if the domain has none
	// yet, and returns the keys that the domain has now: these, or those of
	// whoever came first. It is atomic among all users of the store, and
	// durable when it returns nil.
	Create(ctx context.Context, domain string, keys []Key) ([]Key, error)

	// List returns all keys of all domains, in any order.
	List(ctx context.Context) ([]Key, error)
}
