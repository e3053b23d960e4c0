package doctor

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postrider/dkim"
)

// dkim judges the published half of each key that signs for the domain, and then
// whether a signature made with them verifies.
func (x *exam) dkim(ctx context.Context, d Domain) []Finding {
	f := about("dom.dkim", d.Name, "the keys that sign mail from "+d.Name)
	if x.o.Keys == nil {
		return []Finding{f.unknown("the keys are not at hand: " + cmp.Or(x.c.NoStore, "nothing was opened"))}
	}
	keys, err := x.o.Keys.Keys(ctx, d.Name)
	switch {
	case errors.Is(err, dkim.ErrNoKey) || err == nil && len(keys) == 0:
		return []Finding{f.fail("there is no key, so that mail leaves unsigned").
			advise("Turn on dkim.autogenerate and name the domain in dkim.domains if that lists any, or import a key into dkim.keys_dir; then run `postrider domain records "+d.Name+"`.", atConfig)}
	case err != nil:
		return []Finding{f.unknown("the keys could not be read: " + shown(err.Error()))}
	}
	var found []Finding
	for _, k := range keys {
		found = append(found, x.key(ctx, d, k))
	}
	found = append(found, x.otherKeys(ctx, d, keys[0].Domain)...)
	if x.o.Signer != nil && !slices.ContainsFunc(found, func(f Finding) bool { return f.Level != OK }) {
		found = append(found, x.sample(ctx, d))
	}
	return found
}

// otherKeys judges the records of keys that do not sign now, which have to be
// there before and after.
func (x *exam) otherKeys(ctx context.Context, d Domain, owner string) (found []Finding) {
	if x.o.Others == nil {
		return nil
	}
	keys, err := x.o.Others(ctx, owner)
	if err != nil {
		return []Finding{about("dom.dkim", d.Name, "the next keys of "+owner).unknown("the keys could not be read: " + shown(err.Error()))}
	}
	for _, k := range keys {
		f := x.key(ctx, d, k)
		switch {
		case f.Level != Warn:
		case k.State == dkim.Published:
			f.Found += ". It is that of the next key, which signs as soon as its record is seen"
		case k.State == dkim.Retired:
			f.Found += ". Its key signs no more, but mail signed with it is still on its way"
		}
		found = append(found, f)
	}
	return found
}

// key judges the record of one key. Without that of an RSA key that signs, mail is
// unsigned to most receivers; an Ed25519 key signs beside it and is missed by few.
func (x *exam) key(ctx context.Context, d Domain, k dkim.Key) Finding {
	f := about("dom.dkim", d.Name, "TXT of "+k.ID()).marked(k.Selector)
	want, err := dkim.RecordFor(k)
	if err != nil {
		return f.unknown(shown(err.Error()))
	}
	texts, err := x.txt(ctx, k.ID())
	if err != nil {
		return f.unknown(trouble(err))
	}
	bad := Fail
	if k.Algorithm == dkim.Ed25519 || k.State != dkim.Active {
		bad = Warn
	}
	record := txtRecord(k.ID(), want.Value)
	record.Note = "A CNAME to a name that has this record will do as well."
	good := func(texts []string) bool { return len(texts) == 1 && keyFault(texts[0], want.Value) == "" }
	const publish = "Publish this record, whole, on one line."
	switch fault := ""; {
	case len(texts) == 0:
		return x.missed(ctx, f.is(bad, "there is no such record").advise(publish, atDNS(want.Zone)).offer(record), k.ID(), good)
	case len(texts) > 1:
		return x.missed(ctx, f.is(bad, fmt.Sprintf("there are %d records, of which receivers take any: %s", len(texts), quotedList(texts))).
			advise("Leave this one alone.", atDNS(want.Zone)).offer(record), k.ID(), good)
	default:
		if fault = keyFault(texts[0], want.Value); fault != "" {
			return x.missed(ctx, f.is(bad, fault+": "+quoted(texts[0])).advise("Replace the record by this one.", atDNS(want.Zone)).offer(record), k.ID(), good)
		}
	}
	tags, _ := parseTags(texts[0])
	switch bits := rsaBits(want.Value); {
	case hasFlag(tags["t"], "y"):
		return f.warn("the record says t=y: receivers treat the domain as one that is only trying out DKIM").
			advise("Take t=y out of the record.", atDNS(want.Zone)).offer(record)
	case bits > 0 && bits < 2048:
		return f.warn(fmt.Sprintf("the key has %d bits; receivers ask for 2048", bits)).
			advise("Make a new key and publish it before it signs.", atConfig)
	}
	return f.ok("the record holds our key")
}

// keyFault says what is wrong with a key record, or "".
func keyFault(text, want string) string {
	tags, err := parseTags(text)
	wanted, _ := parseTags(want)
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	switch {
	case err != nil:
		return "the record cannot be read (" + err.Error() + ")"
	case tags["v"] != "" && tags["v"] != "DKIM1":
		return "the record is of another version"
	case squeeze(tags["p"]) == "":
		return "the record says that the key was revoked"
	case cmp.Or(strings.ToLower(tags["k"]), "rsa") != wanted["k"]:
		return "the record is of another kind of key"
	case squeeze(tags["p"]) != wanted["p"] && !sameKey(squeeze(tags["p"]), wanted["p"]):
		return "the record holds another key, or part of it"
	case tags["h"] != "" && !hasFlag(tags["h"], "sha256"):
		return "the record forbids SHA-256 (h=), with which we sign"
	case tags["s"] != "" && !hasFlag(tags["s"], "email") && !hasFlag(tags["s"], "*"):
		return "the record is not for mail (s=)"
	}
	return ""
}

// sameKey compares two RSA keys, which have two encodings (RFC 6376 §3.6.1 and
// what OpenSSL writes).
func sameKey(a, b string) bool {
	ka, kb := rsaKey(a), rsaKey(b)
	return ka != nil && kb != nil && ka.Equal(kb)
}

func rsaKey(p string) *rsa.PublicKey {
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

func rsaBits(record string) int {
	tags, _ := parseTags(record)
	if k := rsaKey(tags["p"]); k != nil {
		return k.N.BitLen()
	}
	return 0
}

// hasFlag looks for a word in a list with colons.
func hasFlag(list, word string) bool {
	for w := range strings.SplitSeq(list, ":") {
		if strings.EqualFold(strings.TrimSpace(w), word) {
			return true
		}
	}
	return false
}

// maxTags bounds what is read of one record.
const maxTags = 64

// parseTags reads a list of tags such as v=DKIM1; p=… (RFC 6376 §3.2).
func parseTags(text string) (map[string]string, error) {
	tags := map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return tags, fmt.Errorf("%s is no tag", quoted(strings.TrimSpace(part)))
		}
		if _, twice := tags[name]; twice {
			return tags, fmt.Errorf("%s= is there twice", shown(name))
		}
		if len(tags) == maxTags {
			return tags, errors.New("too many tags")
		}
		tags[name] = strings.TrimSpace(value)
	}
	return tags, nil
}

// sample signs a message that is sent to nobody and verifies it as a receiver
// does.
func (x *exam) sample(ctx context.Context, d Domain) Finding {
	f := about("dom.dkim.self", d.Name, "a signed message, verified with the keys in the DNS")
	now := x.o.Now()
	message := "From: doctor@" + d.Name + "\r\nTo: doctor@" + d.Name + "\r\nSubject: test\r\nDate: " + now.Format("Mon, 02 Jan 2006 15:04:05 -0700") +
		"\r\nMessage-ID: <doctor@" + d.Name + ">\r\nMIME-Version: 1.0\r\n\r\nTest.\r\n"
	s, err := x.o.Signer.Sign(ctx, dkim.SignRequest{FromDomain: d.Name, Message: strings.NewReader(message), Now: now})
	if errors.Is(err, dkim.ErrNoKey) {
		return f.fail("mail from the domain is not signed: dkim.domains leaves it out").advise("Name the domain in dkim.domains.", atConfig)
	}
	if err != nil {
		return f.unknown("it could not be signed: " + shown(err.Error()))
	}
	verdicts, err := dkim.Verify(ctx, strings.NewReader(string(s.Header)+message), x.txt)
	if err != nil {
		return f.unknown(shown(err.Error()))
	}
	if len(verdicts) == 0 {
		return f.fail("no signature was made").advise("Look into the log, and report this.", atHost)
	}
	for _, v := range verdicts {
		switch {
		case v.Err != nil && v.Temporary:
			return f.unknown("the DNS did not answer: " + shown(v.Err.Error()))
		case v.Err != nil:
			return f.fail("the signature for "+shown(v.Domain)+" does not verify: "+shown(v.Err.Error())).
				advise("Publish the key that `postrider domain records "+d.Name+"` prints, and see that the clock is right.", atDNS(d.Name))
		}
	}
	return f.ok(count(int64(len(verdicts)), "signature") + " verified")
}
