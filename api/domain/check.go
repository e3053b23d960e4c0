package domain

import (
	"context"
	"slices"
	"strings"
	"sync"

	v1 "postrider/api/v1"
)

// The states of a record.
const (
	RecordVerified  = "verified"
	RecordMissing   = "missing"
	RecordWrong     = "wrong"
	RecordTemporary = "temporary_failure"
)

// Limits of what is told of the DNS.
const (
	maxObserved      = 10
	maxObservedBytes = 2048 // octets of one
)

// Lookup returns the TXT records of a name, each with its strings joined; none
// and no error if there is no such name.
type Lookup func(ctx context.Context, name string) ([]string, error)

// Check looks a domain's records up, all at once, and judges each.
func Check(ctx context.Context, lookup Lookup, want []v1.Record) []v1.DomainRecord {
	out := make([]v1.DomainRecord, len(want))
	var all sync.WaitGroup
	for i, w := range want {
		all.Go(func() {
			observed, err := lookup(ctx, w.Name)
			out[i] = judge(w, observed, err)
		})
	}
	all.Wait()
	return out
}

// judge compares what a record should be with what is there. Only the key that
// mail is signed with for everybody, and SPF, are required.
func judge(w v1.Record, observed []string, err error) v1.DomainRecord {
	r := v1.DomainRecord{
		Purpose: w.Purpose, Type: w.Type, Name: w.Name, Value: w.Value, Required: required(w), Observed: shown(observed), Note: w.Note,
	}
	own := slices.DeleteFunc(slices.Clone(observed), func(s string) bool { return !about(w, s) })
	switch {
	case err != nil:
		r.Status, r.Error = RecordTemporary, "The DNS gave no answer: try again in some minutes, and look at the name servers of the domain if that stays so."
	case w.State == withdrawn && !slices.ContainsFunc(own, stillThere):
		r.Status = RecordVerified
	case len(own) == 0:
		r.Status, r.Error = RecordMissing, "There is no such record yet: publish it. It may take an hour until it is seen."
	case len(own) > 1 && single(w):
		r.Status, r.Error = RecordWrong, "There is more than one such record, so that receivers ignore them all: leave one."
	case slices.ContainsFunc(own, func(s string) bool { return same(w, s) }):
		r.Status = RecordVerified
	default:
		r.Status, r.Error = RecordWrong, "There is another value: replace it by this one."
	}
	return r
}

// withdrawn is the state of a DKIM record whose key is gone: it has an empty p=,
// or is not there at all.
const withdrawn = "withdrawn"

func stillThere(text string) bool { return tags(text)["p"] != "" }

func required(w v1.Record) bool {
	if w.State != "" && w.State != "active" {
		return false
	}
	return w.Purpose == "spf" || w.Purpose == "dkim" && !strings.Contains(strings.ToLower(w.Value), "k=ed25519")
}

// single reports whether a name may have only one such record (RFC 7208 §4.5,
// RFC 7489 §6.6.3, RFC 6376 §3.6.2.2).
func single(w v1.Record) bool { return w.Purpose != "" }

// about reports whether a TXT record has to do with the purpose: the apex of a
// domain holds many others.
func about(w v1.Record, text string) bool {
	text = strings.ToLower(strings.TrimSpace(text))
	switch w.Purpose {
	case "spf":
		return text == "v=spf1" || strings.HasPrefix(text, "v=spf1 ")
	case "dmarc":
		return strings.HasPrefix(text, "v=dmarc1")
	}
	return true
}

// same reports whether a record says what it should.
func same(w v1.Record, text string) bool {
	switch w.Purpose {
	case "dkim":
		want, got := tags(w.Value), tags(text)
		return got["p"] != "" && got["p"] == want["p"] && orRSA(got["k"]) == orRSA(want["k"])
	case "spf":
		return includes(strings.Fields(strings.ToLower(text)), strings.Fields(strings.ToLower(w.Value)))
	case "dmarc":
		return tags(text)["p"] != "" // any policy will do
	}
	return strings.TrimSpace(text) == strings.TrimSpace(w.Value)
}

// includes reports whether an SPF record has all that should be in it, but for
// what stands at its end for all others.
func includes(got, want []string) bool {
	for _, m := range want {
		if strings.HasSuffix(m, "all") {
			continue
		}
		if !slices.ContainsFunc(got, func(g string) bool { return strings.TrimPrefix(g, "+") == strings.TrimPrefix(m, "+") }) {
			return false
		}
	}
	return true
}

func orRSA(k string) string {
	if k == "" {
		return "rsa" // RFC 6376 §3.6.1
	}
	return k
}

// tags reads a list of tags (RFC 6376 §3.2); white space in values, as where a
// record was pasted in lines, means nothing.
func tags(text string) map[string]string {
	m := map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		name, value, ok := strings.Cut(part, "=")
		if ok {
			m[strings.ToLower(strings.TrimSpace(name))] = strings.Join(strings.Fields(value), "")
		}
	}
	return m
}

// shown bounds what is told of the DNS: it may hold anything.
func shown(observed []string) []string {
	out := make([]string, 0, len(observed))
	for _, s := range observed[:min(len(observed), maxObserved)] {
		s = strings.ToValidUTF8(s, "?")
		if len(s) > maxObservedBytes {
			s = strings.ToValidUTF8(s[:maxObservedBytes], "") + "…"
		}
		out = append(out, s)
	}
	return out
}
