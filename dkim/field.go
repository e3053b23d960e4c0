package dkim

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"time"
)

// A signedField is a header field that signatures cover when it is there.
type signedField struct {
	name string
	// oversigned fields are listed once more than they occur, also when they
	// do not occur at all, so that none can be added (RFC 6376 §8.15). They are
	// those that readers see or that change what readers see.
	oversigned bool
}

// signedFields is the list of RFC 6376 §5.4.1 with what later practice added.
// RFC 8058 §4 demands both List-Unsubscribe fields. Fields that are rewritten in
// transit (Received, Return-Path, Bcc) never belong here. What does not fit
// into maxSigned octets is left out from the end.
var signedFields = [...]signedField{
	{"From", true},
	{"To", true},
	{"Cc", true},
	{"Subject", true},
	{"Date", true},
	{"Message-ID", true},
	{"Reply-To", true},
	{"In-Reply-To", true},
	{"References", true},
	{"MIME-Version", true},
	{"Content-Type", true},
	{"Content-Transfer-Encoding", true},
	{"Sender", false},
	{"List-Unsubscribe", false},
	{"List-Unsubscribe-Post", false},
	{"List-Id", false},
	{"Feedback-ID", false},
}

const (
	// maxSigned bounds the value of h=. Verifiers unfold it into one line, and
	// some have room for little more than RFC 5321's 1000 octets.
	maxSigned = 900
	// maxColumns is the line length that RFC 5322 §2.1.1 recommends.
	maxColumns = 78
)

// A selection is what the signatures of one message cover.
type selection struct {
	names []string // the h= tag, in order
	canon []byte   // the canonical form of those fields that exist
}

// choose fills the selection from the fields of a message. Fields that occur
// more than once are taken from the last to the first, as verifiers do (RFC
// 6376 §5.4.2). A name that occurs so often that maxSigned is exceeded is left
// out as a whole; for From that is an error.
func (s *selection) choose(fields []field) error {
	s.names, s.canon = s.names[:0], s.canon[:0]
	room := maxSigned
	for i, want := range signedFields {
		count := 0
		for _, f := range fields {
			if isField(f, want.name) {
				count++
			}
		}
		if i == 0 && count == 0 {
			return ErrNoFrom
		}
		listed := count
		if want.oversigned {
			listed++
		}
		if size := listed * (len(want.name) + 1); size > room {
			if i == 0 {
				return ErrMalformedHeader
			}
			continue
		} else {
			room -= size
		}
		for range listed {
			s.names = append(s.names, want.name)
		}
		for j := len(fields) - 1; j >= 0 && count > 0; j-- {
			if isField(fields[j], want.name) {
				s.canon = append(appendRelaxed(s.canon, fields[j].raw), crlf...)
				count--
			}
		}
	}
	return nil
}

func isField(f field, name string) bool {
	return len(f.name) == len(name) && bytes.EqualFold(f.name, []byte(name))
}

// A folder writes one header field, folded so that no line exceeds maxColumns
// unless a single token does.
type folder struct {
	b      []byte
	column int
}

// word adds a token that white space may stand before.
func (f *folder) word(parts ...string) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	if f.column+1+size > maxColumns {
		f.fold()
	} else {
		f.b = append(f.b, ' ')
		f.column++
	}
	f.add(parts...)
}

// joined adds a token directly, or on a new line if there is no room.
func (f *folder) joined(parts ...string) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	if f.column+size > maxColumns {
		f.fold()
	}
	f.add(parts...)
}

func (f *folder) fold() {
	f.b = append(f.b, "\r\n "...)
	f.column = 1
}

func (f *folder) add(parts ...string) {
	for _, p := range parts {
		f.b = append(f.b, p...)
		f.column += len(p)
	}
}

// A stamp holds the tags that all signatures of one message share.
type stamp struct {
	names         []string // h=
	bodyHash      string   // bh=
	made, expires string   // t= and x=, the latter empty if absent
}

func newStamp(names []string, bodyDigest []byte, made, expires time.Time) stamp {
	s := stamp{
		names:    names,
		bodyHash: base64.StdEncoding.EncodeToString(bodyDigest),
		made:     strconv.FormatInt(made.Unix(), 10),
	}
	if !expires.IsZero() {
		s.expires = strconv.FormatInt(expires.Unix(), 10)
	}
	return s
}

// unsignedField appends the DKIM-Signature field of the key to f, up to and
// with "b=".
func unsignedField(f *folder, k Key, s stamp) {
	f.column = 0
	f.add("DKIM-Signature:")
	f.word("v=1;")
	f.word("a=", string(k.Algorithm), "-sha256;")
	f.word("c=relaxed/relaxed;")
	f.word("d=", k.Domain, ";")
	f.word("s=", k.Selector, ";")
	f.word("t=", s.made, ";")
	if s.expires != "" {
		f.word("x=", s.expires, ";")
	}
	for i, name := range s.names {
		after := ":"
		if i == len(s.names)-1 {
			after = ";"
		}
		if i == 0 {
			f.word("h=", name, after)
		} else {
			f.joined(name, after)
		}
	}
	f.word("bh=", s.bodyHash, ";")
	f.word("b=")
}

// signatureValue appends the value of b=, folded, and ends the field.
func signatureValue(f *folder, signature []byte) {
	value := base64.StdEncoding.EncodeToString(signature)
	for value != "" {
		if f.column >= maxColumns {
			f.fold()
		}
		n := min(len(value), maxColumns-f.column)
		f.add(value[:n])
		value = value[n:]
	}
	f.b = append(f.b, "\r\n"...)
}
