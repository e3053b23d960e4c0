package imaptest

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
)

// Ledger remembers what messages are made of, for all clients: what lies under a
// UID never changes (RFC 3501 §2.3.1.1). It is safe for concurrent use.
type Ledger struct {
	seed maphash.Seed

	mu    sync.Mutex
	marks map[leaf]mark
}

// leaf is one item of one message, in whichever folder it is.
type leaf struct {
	account       string
	validity, uid uint32
	item          string
}

type mark struct {
	hash uint64
	size int
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger { return &Ledger{seed: maphash.MakeSeed(), marks: map[leaf]mark{}} }

// Len is how many items it holds.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.marks)
}

// compare holds items against what was there before.
func (l *Ledger) compare(account string, validity, uid uint32, items map[string][]byte) error {
	for name, value := range items {
		m := mark{maphash.Bytes(l.seed, value), len(value)}
		at := leaf{account, validity, uid, name}
		l.mu.Lock()
		before, ok := l.marks[at]
		l.marks[at] = m
		l.mu.Unlock()
		if ok && before != m {
			return fmt.Errorf("%s of UID %d is %.200q, %d octets, and was %d others", name, uid, value, m.size, before.size)
		}
	}
	return sums(uid, items)
}

// sums compares items with each other.
func sums(uid uint32, items map[string][]byte) error {
	whole, ok := literal(items, "BODY[]")
	if !ok {
		return nil
	}
	if n, ok := items["RFC822.SIZE"]; ok && string(n) != strconv.Itoa(len(whole)) {
		return fmt.Errorf("RFC822.SIZE of UID %d is %s, and BODY[] has %d octets", uid, n, len(whole))
	}
	header, ok := literal(items, "BODY[HEADER]")
	if text, both := literal(items, "BODY[TEXT]"); ok && both && !bytes.Equal(whole, append(header[:len(header):len(header)], text...)) {
		return fmt.Errorf("BODY[HEADER] and BODY[TEXT] of UID %d are not BODY[]", uid)
	}
	for name := range items {
		at, ok := strings.CutPrefix(name, "BODY[]<")
		if !ok {
			continue
		}
		from, err := strconv.Atoi(strings.TrimSuffix(at, ">"))
		part, _ := literal(items, name)
		if err != nil || from > len(whole) && len(part) > 0 || len(part) > 0 && !bytes.HasPrefix(whole[from:], part) {
			return fmt.Errorf("%s of UID %d is not what BODY[] has there", name, uid)
		}
	}
	return nil
}

func literal(items map[string][]byte, name string) ([]byte, bool) {
	value, ok := items[name]
	if !ok {
		return nil, false
	}
	p := &parser{b: value}
	return p.nstring(), true
}
