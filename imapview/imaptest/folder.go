package imaptest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Folder is a selected folder as a client knows it from untagged data.
type Folder struct {
	Name        string
	ReadOnly    bool
	UIDValidity uint32
	UIDNext     uint32 // when it was selected
	// Highest is the greatest modification sequence up to which the client was
	// told of everything.
	Highest  uint64
	Messages []Message // by sequence number, from 1

	listed map[string]bool // the flags that FLAGS named
	heard  map[string]bool // what SELECT has said
	seen   uint64          // the greatest MODSEQ, of the command under way too
	gone   map[uint32]bool // UIDs that FETCH passed over
}

// Message is a message as far as it is known.
type Message struct {
	UID    uint32 // 0: not known
	Flags  []string
	Known  bool // the flags are
	ModSeq uint64

	least uint32 // its UID is at least that
}

// told says how a response came about.
type told struct {
	uid        bool // during a command by UID
	unasked    bool // during one that asks for no FETCH
	numbers    bool // that may move no sequence number
	wantModSeq bool // that asks for modification sequences
	condStore  bool // the client has asked for them once
	selecting  bool // SELECT or EXAMINE
}

// apply takes in a response, or says why it cannot be so.
func (f *Folder) apply(r Response, t told) error {
	defer func() { f.heard[cmp.Or(r.Code, r.Kind)] = true }()
	switch r.Kind {
	case "EXISTS":
		return f.exists(int(r.Number), t)
	case "RECENT":
		if r.Number != 0 {
			return fmt.Errorf("%d messages are recent", r.Number)
		}
	case "EXPUNGE":
		return f.expunge(int(r.Number), t)
	case "FETCH":
		return f.fetched(r, t)
	case "FLAGS":
		for _, flag := range r.Flags {
			f.listed[flag] = true
		}
	case "OK":
		f.code(r)
	case "STATUS":
		if n, ok := r.Status.Items["MESSAGES"]; ok && r.Status.Folder == f.Name && n != uint64(len(f.Messages)) {
			return fmt.Errorf("STATUS of the selected folder says %d, and there are %d", n, len(f.Messages))
		}
	}
	return nil
}

func (f *Folder) code(r Response) {
	switch r.Code {
	case "UIDVALIDITY":
		f.UIDValidity = uint32(r.number())
	case "UIDNEXT":
		f.UIDNext = uint32(r.number())
	case "HIGHESTMODSEQ":
		f.seen = max(f.seen, r.number())
	}
}

func (f *Folder) exists(n int, t told) error {
	if n < len(f.Messages) {
		return fmt.Errorf("EXISTS says %d, and there were %d", n, len(f.Messages))
	}
	if t.selecting && f.heard["EXISTS"] {
		return errors.New("EXISTS comes twice")
	}
	least := uint32(0)
	if !t.selecting {
		least = f.UIDNext
	}
	for len(f.Messages) < n {
		f.Messages = append(f.Messages, Message{least: least})
	}
	return nil
}

func (f *Folder) expunge(n int, t told) error {
	if t.numbers {
		return errors.New("EXPUNGE during a command by sequence number")
	}
	if n > len(f.Messages) {
		return fmt.Errorf("EXPUNGE of %d, and there are %d", n, len(f.Messages))
	}
	f.Messages = slices.Delete(f.Messages, n-1, n)
	return nil
}

func (f *Folder) fetched(r Response, t told) error {
	n := int(r.Number)
	if n > len(f.Messages) {
		return fmt.Errorf("FETCH of %d, and there are %d", n, len(f.Messages))
	}
	m := &f.Messages[n-1]
	switch got := r.Fetch; {
	case t.uid && got.UID == 0:
		return fmt.Errorf("FETCH of %d says no UID during a command by UID", n)
	case got.ModSeq > 0 && !t.condStore && !t.wantModSeq:
		return fmt.Errorf("FETCH of %d says MODSEQ, for which nobody asked", n)
	case got.HasFlags && got.ModSeq == 0 && t.condStore && t.unasked:
		return fmt.Errorf("FETCH of %d says FLAGS without MODSEQ", n)
	case got.ModSeq > 0 && got.ModSeq < m.ModSeq:
		return fmt.Errorf("MODSEQ of %d is %d, and was %d", n, got.ModSeq, m.ModSeq)
	}
	if got := r.Fetch; got.UID > 0 {
		if err := f.identify(n, got.UID); err != nil {
			return err
		}
	}
	if r.Fetch.HasFlags {
		for _, flag := range r.Fetch.Flags {
			if !f.listed[flag] {
				return fmt.Errorf("FETCH of %d says %s, which FLAGS does not list", n, flag)
			}
		}
		m.Flags, m.Known = slices.Sorted(slices.Values(r.Fetch.Flags)), true
	}
	m.ModSeq = max(m.ModSeq, r.Fetch.ModSeq)
	f.seen = max(f.seen, r.Fetch.ModSeq)
	return nil
}

// advance is for IDLE, where there is no end of an answer to wait for: older changes
// come first, so there is nothing more below what was told last. Others of the same
// modification sequence may follow.
func (f *Folder) advance() { f.Highest = max(f.Highest, f.seen-min(f.seen, 1)) }

// identify learns a message's UID.
func (f *Folder) identify(n int, uid uint32) error {
	m := &f.Messages[n-1]
	if m.UID == uid {
		return nil
	}
	if m.UID != 0 {
		return fmt.Errorf("message %d has the UID %d, and had %d", n, uid, m.UID)
	}
	if uid < m.least {
		return fmt.Errorf("message %d has the UID %d, and came when UIDNEXT had been %d", n, uid, m.least)
	}
	for i := n - 2; i >= 0; i-- {
		if below := f.Messages[i].UID; below > 0 {
			if below >= uid {
				return fmt.Errorf("message %d has the UID %d, and message %d has %d", n, uid, i+1, below)
			}
			break
		}
	}
	for i := n; i < len(f.Messages); i++ {
		if above := f.Messages[i].UID; above > 0 {
			if above <= uid {
				return fmt.Errorf("message %d has the UID %d, and message %d has %d", n, uid, i+1, above)
			}
			break
		}
	}
	m.UID = uid
	return nil
}

// complete checks what SELECT must say (RFC 3501 §6.3.1, RFC 7162 §3.1.2).
func (f *Folder) complete() error {
	for _, what := range []string{"EXISTS", "RECENT", "FLAGS", "PERMANENTFLAGS", "UIDVALIDITY", "UIDNEXT", "HIGHESTMODSEQ"} {
		if !f.heard[what] {
			return fmt.Errorf("SELECT says no %s", what)
		}
	}
	return nil
}

// find returns the place of a UID, if it is known.
func (f *Folder) find(uid uint32) (i int, ok bool) {
	i = slices.IndexFunc(f.Messages, func(m Message) bool { return m.UID == uid })
	return i, i >= 0
}
