package dkim

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Verdict says how the DNS stands to a key.
type Verdict string

// The verdicts.
const (
	RecordRight   Verdict = "published" // exactly as it should be
	RecordMissing Verdict = "missing"   // there is no key record
	RecordWrong   Verdict = "wrong"     // another one, or more than one
	RecordRevoked Verdict = "revoked"   // there is one with an empty p=
	RecordTesting Verdict = "testing"   // the key's, with t=y: its signatures count for nothing
	RecordUnknown Verdict = "unknown"   // the DNS gave no answer
)

// JudgeRecord holds the TXT records found at a key's name, each joined to one
// string, against what receivers need to verify the key's signatures. detail
// says of a wrong record, and of one under test, what is wrong with it.
func JudgeRecord(k Key, texts []string) (v Verdict, detail string) {
	var records []tagList
	for _, text := range texts {
		if tags, ok := parseTags(text); ok && tags.has("p") {
			records = append(records, tags)
		} else if strings.Contains(strings.ToUpper(text), "DKIM1") {
			return RecordWrong, "the record is not a list of tags as RFC 6376 wants it"
		}
	}
	switch {
	case len(records) == 0:
		return RecordMissing, ""
	case len(texts) > 1: // RFC 6376 §3.6.2.2: the result is undefined.
		return RecordWrong, fmt.Sprintf("there are %d records where receivers expect one", len(texts))
	}
	return judgeTags(k, records[0])
}

func judgeTags(k Key, got tagList) (Verdict, string) {
	public := got.value("p")
	if public == "" {
		return RecordRevoked, ""
	}
	kind := got.value("k")
	if kind == "" {
		kind = string(RSA) // RFC 6376 §3.6.1: the default.
	}
	switch {
	case got.has("v") && (got[0].name != "v" || got.value("v") != "DKIM1"):
		return RecordWrong, "v= must be DKIM1 and come first"
	case kind != string(k.Algorithm):
		return RecordWrong, "k= is " + clip(kind) + " where the key is " + string(k.Algorithm)
	case got.has("h") && !inList(got.value("h"), "sha256"):
		return RecordWrong, "h= does not allow sha256"
	case got.has("s") && !inList(got.value("s"), "email") && !inList(got.value("s"), "*"):
		return RecordWrong, "s= does not allow email"
	}
	if k.private == nil {
		return RecordWrong, "the key was withdrawn, and is still published"
	}
	want, err := publicText(k)
	if err != nil {
		return RecordWrong, err.Error()
	}
	switch {
	case public != want && !sameRSA(public, want):
		return RecordWrong, "p= is that of another key, or was cut"
	case inList(got.value("t"), "y"): // RFC 6376 §3.6.1: as if unsigned.
		return RecordTesting, "t=y says that signatures are a test and count for nothing"
	}
	return RecordRight, ""
}

// sameRSA compares two RSA keys, which have two encodings: that of RFC 6376
// §3.6.1, and SubjectPublicKeyInfo, which OpenSSL writes and all verifiers take.
func sameRSA(a, b string) bool {
	ka, kb := rsaPublic(a), rsaPublic(b)
	return ka != nil && kb != nil && ka.Equal(kb)
}

func rsaPublic(p string) *rsa.PublicKey {
	der, err := base64.StdEncoding.DecodeString(p)
	if err != nil {
		return nil
	}
	if k, err := x509.ParsePKIXPublicKey(der); err == nil {
		pub, _ := k.(*rsa.PublicKey)
		return pub
	}
	pub, _ := x509.ParsePKCS1PublicKey(der)
	return pub
}

// A tag is one name=value of a tag-list (RFC 6376 §3.2).
type tag struct{ name, value string }

type tagList []tag

func (l tagList) find(name string) int {
	return slices.IndexFunc(l, func(t tag) bool { return t.name == name })
}

func (l tagList) has(name string) bool { return l.find(name) >= 0 }

func (l tagList) value(name string) string {
	if i := l.find(name); i >= 0 {
		return l[i].value
	}
	return ""
}

// maxTags is far above what any record holds.
const maxTags = 32

// parseTags reads a tag-list. White space in values goes: where a record was
// pasted in lines it means nothing, and no tag we read may hold any.
func parseTags(text string) (tagList, bool) {
	var list tagList
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" || list.has(name) || len(list) == maxTags {
			return nil, false
		}
		list = append(list, tag{name, strings.Join(strings.Fields(value), "")})
	}
	return list, true
}

func inList(list, word string) bool { return slices.Contains(strings.Split(list, ":"), word) }

// clip bounds what is told of the DNS, which may hold anything.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}
