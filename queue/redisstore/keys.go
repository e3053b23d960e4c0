package redisstore

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"postrider/queue"
)

// Every key there is. What stands in braces decides its slot (Redis Cluster
// specification, hash tags): a partition is one, contents are spread over as
// many, the registry with the readers' positions is one, and each limit, claim,
// cached value and account's shelf of folders is alone.
//
//	P{qN}            what a partition remembers: fence, clock, horizon, segment …
//	P{qN}c           counts of recipients by state
//	P{qN}m<id>       a message: h header, b content reference, s facts, 0… recipients,
//	                 e1… events, p0… who asked for a pending action
//	P{qN}b<id>       a content that is kept with its message
//	P{qN}k<hash>     an idempotency key
//	P{qN}a v         accounts that are ready; what accounts were given
//	P{qN}r<prio><account>  lanes of an account that are ready, by due time
//	P{qN}l<lane>     flows of a lane that have something due
//	P{qN}f<…>        a flow: hints that are due, in order
//	P{qN}n t t<b>    hints that are due soon; buckets of later ones
//	P{qN}x           leases by their end
//	P{qN}j jz        parked lanes
//	P{qN}s s<n> g<n> segments of messages in order of acceptance, and their counts
//	P{qN}h<state>    segments that have a recipient in the state
//	P{qN}y z         how many wait in each lane; the lanes by name
//	P{qN}e           the event log
//	P{qN}d<q> d<q><b>  messages that are final, by the time of their last change
//	P{cN}s           contents that nobody has named yet, or nobody names any more
//	P{cN}<id>.<k>    a chunk of a content
//	P{meta} {meta}n  the store: format, partitions; the nodes that run
//	P{reg} …         registry: version, records and names by kind, readers
//	P{folder:…} r    a shelf of folders: v its version, i… its index; its rows
//	P{folders}       the accounts that may have one, by name
//	P{rate:…} {slot:…} {claim:…} {cache:…}
type keys struct{ prefix string }

func (k keys) partition(n int) string    { return k.prefix + "{q" + strconv.Itoa(n) + "}" }
func (k keys) contents(n int) string     { return k.prefix + "{c" + strconv.Itoa(n) + "}" }
func (k keys) meta() string              { return k.prefix + "{meta}" }
func (k keys) nodes() string             { return k.prefix + "{meta}n" }
func (k keys) registry() string          { return k.prefix + "{reg}" }
func (k keys) readers() string           { return k.prefix + "{reg}a" }
func (k keys) rate(name string) string   { return k.alone("rate", name) }
func (k keys) slot(name string) string   { return k.alone("slot", name) }
func (k keys) claim(name string) string  { return k.alone("claim", name) }
func (k keys) cache(name string) string  { return k.alone("cache", name) }
func (k keys) folder(acct string) string { return k.alone("folder", acct) }
func (k keys) folderNames() string       { return k.prefix + "{folders}" }

// alone hashes names, which may be long and hold braces.
func (k keys) alone(kind, name string) string {
	h := sha256.Sum256([]byte(name))
	return k.prefix + "{" + kind + ":" + string(hexOf(h[:16])) + "}"
}

func hexOf(b []byte) []byte {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return out
}

// shortID is the part of a message's id that differs.
func shortID(id queue.MessageID) string { return string(id[:14]) }

func longID(s string) (id queue.MessageID, ok bool) {
	if len(s) != 14 {
		return id, false
	}
	copy(id[:], s)
	return id, true
}

// idemHash names an idempotency key of an account.
func idemHash(account, key string) string {
	h := sha256.New()
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(account)))
	h.Write(n[:])
	h.Write([]byte(account))
	h.Write([]byte(key))
	return string(h.Sum(nil)[:16])
}

// spread maps a key to one of n.
func spread(s string, n int) int {
	if n == 1 {
		return 0
	}
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h ^= h >> 29
	return int(h % uint64(n))
}
