package logstore

import (
	"encoding/binary"
	"math"
	"time"

	"postrider/queue"
	"postrider/queue/commitlog"
)

// The first byte of a key in the index says what it is. Numbers are big-endian,
// so that keys sort as the numbers do.
const (
	keyMeta      = '0' // one key: position, counts and versions
	keyMessage   = 'm' // message id → content place, facts
	keyRecipient = 'r' // recipient id → recipient
	keyDue       = 't' // lane, priority, account, due, recipient id
	keyState     = 's' // state, recipient id → accepted at
	keyHistory   = 'h' // message id, log position, index → event
	keyPiece     = 'p' // log position → message id, octets: content that lives there
	keyFinal     = 'f' // queue, time, message id: what retention looks at
	keyIdem      = 'i' // account, key → fingerprint, message id, end
	keyIdemEnd   = 'j' // end, account, key
	keyOpen      = 'x' // log position of the first chunk of a content nobody named yet
	keyRecord    = 'g' // kind, name → version, value
	keyCache     = 'k' // key → end, value
	keyCacheEnd  = 'l' // end, key
	keyReader    = 'y' // reader → event position
	keyPending   = 'q' // recipient id: an action is pending
	keyLane      = 'n' // lane → how many wait in it; no lane → position that this is of
	keyShelf     = 'a' // account → version of its shelf
	keyShelved   = 'b' // account, key → value in the shelf's index
	keyShelfRow  = 'c' // account, key → row of the shelf
	keyLineage   = 'd' // one key: the name of the store's history
)

// The queues of keyFinal.
const (
	finalSent    = 'S'
	finalTrouble = 'B'
	finalContent = 'C'
)

const tailSize = 8 + 16 // due and recipient id at the end of a keyDue

var (
	metaKey    = []byte{keyMeta}
	lineageKey = []byte{keyLineage}
)

// nanos is the instant as a number; instants out of its range are moved to the
// nearest end, which keeps their order.
func nanos(t time.Time) int64 {
	switch sec := t.Unix(); {
	case sec < math.MinInt64/int64(time.Second)+1:
		return math.MinInt64
	case sec > math.MaxInt64/int64(time.Second)-1:
		return math.MaxInt64
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time { return time.Unix(0, n).UTC() }

// appendOrdered writes n so that bytes sort as numbers do, negative ones first.
func appendOrdered(b []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(n)^1<<63)
}

func readOrdered(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) ^ 1<<63) }

func messageKey(b []byte, m queue.MessageID) []byte {
	return append(append(b[:0], keyMessage), m[:]...)
}

func recipientKey(b []byte, r queue.RecipientID) []byte {
	return append(append(b[:0], keyRecipient), r[:]...)
}

func stateKey(b []byte, st queue.State, r queue.RecipientID) []byte {
	return append(append(b[:0], keyState, byte(st)), r[:]...)
}

func pendingKey(b []byte, r queue.RecipientID) []byte {
	return append(append(b[:0], keyPending), r[:]...)
}

func historyKey(b []byte, m queue.MessageID, pos commitlog.Position, i int) []byte {
	b = append(append(b[:0], keyHistory), m[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(pos))
	return binary.BigEndian.AppendUint16(b, uint16(i))
}

func positionKey(b []byte, kind byte, pos commitlog.Position) []byte {
	return binary.BigEndian.AppendUint64(append(b[:0], kind), uint64(pos))
}

func finalKey(b []byte, q byte, at time.Time, m queue.MessageID) []byte {
	b = appendOrdered(append(b[:0], keyFinal, q), nanos(at))
	return append(b, m[:]...)
}

// flowKey names a flow: what is leased in order of due time.
type flowKey struct {
	lane     queue.Lane
	priority queue.Priority
	account  string
}

// laneKey is the prefix of all due keys of a lane.
func laneKey(b []byte, lane queue.Lane) []byte {
	b = binary.BigEndian.AppendUint16(append(b[:0], keyDue), uint16(len(lane)))
	return append(b, lane...)
}

// prefix is the start of the due keys of the flow. No flow's prefix begins with
// another's.
func (k flowKey) prefix(b []byte) []byte {
	b = append(laneKey(b, k.lane), byte(k.priority))
	b = binary.BigEndian.AppendUint16(b, uint16(len(k.account)))
	return append(b, k.account...)
}

// item is a recipient in its flow.
type item struct {
	due int64
	id  queue.RecipientID
}

func (a item) compare(b item) int {
	switch {
	case a.due < b.due:
		return -1
	case a.due > b.due:
		return 1
	}
	for i := range a.id {
		if a.id[i] != b.id[i] {
			return int(a.id[i]) - int(b.id[i])
		}
	}
	return 0
}

func dueKey(b []byte, k flowKey, it item) []byte {
	b = appendOrdered(k.prefix(b), it.due)
	return append(b, it.id[:]...)
}

func readItem(key []byte) (it item) {
	tail := key[len(key)-tailSize:]
	it.due = readOrdered(tail)
	copy(it.id[:], tail[8:])
	return it
}

// readFlowKey takes a due key apart.
func readFlowKey(key []byte) (k flowKey, ok bool) {
	b := key[1:]
	cut := func() (string, bool) {
		if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
			return "", false
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		s := string(b[2:n])
		b = b[n:]
		return s, true
	}
	lane, ok := cut()
	if !ok || len(b) == 0 {
		return k, false
	}
	k.lane, k.priority = queue.Lane(lane), queue.Priority(b[0])
	b = b[1:]
	k.account, ok = cut()
	return k, ok && len(b) == tailSize
}

// accountKey names something of an account: the account, then the name.
func accountKey(b []byte, account, name string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(account)))
	b = append(b, account...)
	return append(b, name...)
}

func idemKey(b []byte, account, name string) []byte {
	return accountKey(append(b[:0], keyIdem), account, name)
}

func idemEndKey(b []byte, end time.Time, account, name string) []byte {
	return accountKey(appendOrdered(append(b[:0], keyIdemEnd), nanos(end)), account, name)
}

// shelfKey names a value in one part of an account's shelf; with no key, the
// start of all of them. No account's begins with another's.
func shelfKey(b []byte, part byte, account, key string) []byte {
	return accountKey(append(b[:0], part), account, key)
}

func nameKey(b []byte, kind byte, name string) []byte {
	return append(append(b[:0], kind), name...)
}

func cacheEndKey(b []byte, end time.Time, name string) []byte {
	return append(appendOrdered(append(b[:0], keyCacheEnd), nanos(end)), name...)
}

func recordKey(b []byte, kind queue.RecordKind, name string) []byte {
	b = append(append(b[:0], keyRecord), kind...)
	return append(append(b, 0), name...)
}

// after returns the smallest key above all that begin with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// listed reports whether recipients in this state are in the index of states:
// all but what nearly everything ends as.
func listed(s queue.State) bool {
	return s != queue.StateDelivered && s != queue.StateRelayed
}
