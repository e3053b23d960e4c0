package main

import (
	"bufio"
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"strings"
	"sync"
)

// maxRecipient bounds the bitmap (128 MB of bits).
const maxRecipient = 1 << 30

// tally is a set of recipient numbers that counts what is put in again. It is
// safe for concurrent use.
type tally struct {
	mu         sync.Mutex // guards all
	words      []uint64
	unique     int64
	duplicates int64
	log        *bufio.Writer // one number a line as they come; nil for none
}

func newTally(log io.Writer) *tally {
	t := &tally{}
	if log != nil {
		t.log = bufio.NewWriterSize(log, 64<<10)
	}
	return t
}

// add puts n in; it returns false if it was in already.
func (t *tally) add(n int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.log != nil {
		t.log.Write(strconv.AppendInt(t.log.AvailableBuffer(), n, 10))
		t.log.WriteByte('\n') // a write error stays with the writer until close
	}
	for int64(len(t.words)) <= n/64 {
		t.words = append(t.words, make([]uint64, max(64, len(t.words)))...)
	}
	w, bit := &t.words[n/64], uint64(1)<<(n%64)
	if *w&bit != 0 {
		t.duplicates++
		return false
	}
	*w |= bit
	t.unique++
	return true
}

func (t *tally) counts() (unique, duplicates int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unique, t.duplicates
}

// flush writes out the log, if there is one.
func (t *tally) flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.log == nil {
		return nil
	}
	return t.log.Flush()
}

// missing counts the numbers of t that are not in other, and lists the first
// of them.
func (t *tally) missing(other *tally, list int) (count int64, first []int64) {
	mine, theirs := t.snapshot(), other.snapshot()
	for i, w := range mine {
		if i < len(theirs) {
			w &^= theirs[i]
		}
		count += int64(bits.OnesCount64(w))
		for ; w != 0 && len(first) < list; w &= w - 1 {
			first = append(first, int64(i*64+bits.TrailingZeros64(w)))
		}
	}
	return count, first
}

func (t *tally) snapshot() []uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]uint64(nil), t.words...)
}

// readTally reads numbers, one a line.
func readTally(r io.Reader) (*tally, error) {
	t := newTally(nil)
	scan := bufio.NewScanner(r)
	for line := 1; scan.Scan(); line++ {
		n, err := strconv.ParseInt(strings.TrimSpace(scan.Text()), 10, 64)
		if err != nil || n < 0 || n >= maxRecipient {
			return nil, fmt.Errorf("line %d: %q is no recipient number", line, scan.Text())
		}
		t.add(n)
	}
	return t, scan.Err()
}

// recipientNumber reads the number of an address like r42@sink.test.
func recipientNumber(address string) (int64, bool) {
	local, _, found := strings.Cut(address, "@")
	if !found || len(local) < 2 || local[0] != 'r' && local[0] != 'R' || local[1] < '0' || local[1] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(local[1:], 10, 64)
	return n, err == nil && n < maxRecipient
}
