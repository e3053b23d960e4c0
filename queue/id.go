package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// MessageID names one accepted message: a UUIDv7 (RFC 9562 §5.7) whose last 16
// bits are zero, so that its recipients' ids follow it directly. As text it is
// "msg_" and 26 letters of lower-case Crockford base32; ids sort by time in
// both forms.
type MessageID [16]byte

// RecipientID names one recipient of one message: the message's id with the
// recipient's index, counted from 1, in the last 16 bits. Its text form starts
// with "rcp_".
type RecipientID [16]byte

// EventID names one event. It is derived from what the event is about, so that
// any engine computes the same id for the same history. Its text form starts
// with "evt_".
type EventID [16]byte

// ErrBadID is wrapped by the errors of the Parse functions of this file.
var ErrBadID = errors.New("not a valid id")

const (
	messagePrefix   = "msg_"
	recipientPrefix = "rcp_"
	eventPrefix     = "evt_"
)

// NewMessageID makes an id from the wall clock and the system's random source.
// Ids made by one process ascend.
func NewMessageID() MessageID {
	id := MessageID(uuid.Must(uuid.NewV7()))
	id[14], id[15] = 0, 0
	return id
}

// Recipient returns the id of the message's recipient with the given index,
// counted from 0.
func (m MessageID) Recipient(index int) RecipientID {
	r := RecipientID(m)
	binary.BigEndian.PutUint16(r[14:], uint16(index+1))
	return r
}

// Time returns the millisecond in which the id was made.
func (m MessageID) Time() time.Time { return idTime(m) }

// IsZero reports whether the id is unset.
func (m MessageID) IsZero() bool { return m == MessageID{} }

// Message returns the id of the message that the recipient belongs to.
func (r RecipientID) Message() MessageID {
	m := MessageID(r)
	m[14], m[15] = 0, 0
	return m
}

// Index returns the recipient's place in its message, counted from 0.
func (r RecipientID) Index() int { return int(binary.BigEndian.Uint16(r[14:])) - 1 }

// IsZero reports whether the id is unset.
func (r RecipientID) IsZero() bool { return r == RecipientID{} }

// NewEventID derives the id of the seq-th event (counted from 0) in the life of
// a recipient, or of a whole message if of is that message's id.
func NewEventID(at time.Time, of RecipientID, seq uint32) EventID {
	h := fnv.New128a()
	h.Write(of[:])
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], seq)
	h.Write(n[:])
	var id EventID
	h.Sum(id[:0])
	ms := uint64(at.UnixMilli())
	id[0], id[1], id[2] = byte(ms>>40), byte(ms>>32), byte(ms>>24)
	id[3], id[4], id[5] = byte(ms>>16), byte(ms>>8), byte(ms)
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

func (m MessageID) String() string   { return messagePrefix + encodeID(m) }
func (r RecipientID) String() string { return recipientPrefix + encodeID(r) }
func (e EventID) String() string     { return eventPrefix + encodeID(e) }

// MarshalText writes the text form.
func (m MessageID) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// MarshalText writes the text form.
func (r RecipientID) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// MarshalText writes the text form.
func (e EventID) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads the text form.
func (m *MessageID) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMessageID(string(b))
	return err
}

// UnmarshalText reads the text form.
func (r *RecipientID) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRecipientID(string(b))
	return err
}

// UnmarshalText reads the text form.
func (e *EventID) UnmarshalText(b []byte) error {
	id, err := decodeID(eventPrefix, string(b))
	*e = id
	return err
}

// ParseMessageID reads the text form of a message id, in either case.
func ParseMessageID(s string) (MessageID, error) {
	id, err := decodeID(messagePrefix, s)
	if err == nil && (id[14] != 0 || id[15] != 0) {
		return MessageID{}, fmt.Errorf("message id %.40q: %w", s, ErrBadID)
	}
	return id, err
}

// ParseRecipientID reads the text form of a recipient id, in either case.
func ParseRecipientID(s string) (RecipientID, error) {
	id, err := decodeID(recipientPrefix, s)
	if err == nil && id[14] == 0 && id[15] == 0 {
		return RecipientID{}, fmt.Errorf("recipient id %.40q: %w", s, ErrBadID)
	}
	return id, err
}

// IDLen is how many letters an id has behind its prefix.
const IDLen = 26

// Crockford is the alphabet of ids as text: lower-case Crockford base32.
const Crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// NewID makes an id for what is no message, recipient or event, in the same form:
// a UUIDv7 as IDLen letters after a prefix such as "whk_".
func NewID(prefix string) string { return prefix + encodeID(uuid.Must(uuid.NewV7())) }

func idTime(id [16]byte) time.Time {
	ms := int64(binary.BigEndian.Uint64(id[:8]) >> 16)
	return time.UnixMilli(ms)
}

// encodeID writes 128 bits as 26 letters of 5 bits, the first of which carries 3.
func encodeID(id [16]byte) string {
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	var b [IDLen]byte
	for i := IDLen - 1; i >= 0; i-- {
		b[i] = Crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(b[:])
}

func decodeID(prefix, s string) (id [16]byte, err error) {
	bad := func() ([16]byte, error) {
		return [16]byte{}, fmt.Errorf("%sid %.40q: %w", strings.TrimSuffix(prefix, "_")+" ", s, ErrBadID)
	}
	if len(s) != len(prefix)+IDLen || !strings.EqualFold(s[:len(prefix)], prefix) {
		return bad()
	}
	var hi, lo uint64
	for i := range IDLen {
		c := s[len(prefix)+i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		v := strings.IndexByte(Crockford, c)
		if v < 0 || i == 0 && v > 7 {
			return bad()
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(v)
	}
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id, nil
}
